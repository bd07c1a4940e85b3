//! A hardened unit for `serve`.

use std::path::Path;

use crate::config::Project;

/// What systemd allows beyond the grace of runs before it kills.
const MORE_SECONDS: u64 = 15;

pub(super) fn unit(project: &Project, program: &Path) -> String {
    let root = project.root.display();
    let stop = project.settings.runner.grace.as_secs() + MORE_SECONDS;
    format!(
        "# /etc/systemd/system/databuddy-jobs.service, by `databuddy-jobs generate systemd`
#   useradd --system --home-dir {root} databuddy-jobs && chown -R databuddy-jobs {root}
#   echo DATABUDDY_API_KEY=… > /etc/databuddy-jobs.env && chmod 600 /etc/databuddy-jobs.env
#   systemctl daemon-reload && systemctl enable --now databuddy-jobs
[Unit]
Description=Scheduled exports and reports of Databuddy
Documentation=https://github.com/databuddy-analytics
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} --project {root} --log-format json -v serve
# Settings are read again, the environment is not: what changes belongs into a file (${{file:…}})
ExecReload=/bin/kill -HUP $MAINPID
EnvironmentFile=-/etc/databuddy-jobs.env
User=databuddy-jobs
WorkingDirectory={root}
# It tells systemd that it lives; hung, it is started anew. What was under way goes on elsewhere or later
WatchdogSec=60
Restart=on-failure
RestartSec=5
# Wrong settings do not get better by trying again
RestartPreventExitStatus=2
TimeoutStopSec={stop}
KillMode=mixed
# It needs its project's folder, the network and nothing else
ReadWritePaths={root}
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077

[Install]
WantedBy=multi-user.target
",
        program = program.display(),
    )
}
