//! The files that run the jobs elsewhere: they are what systemd, Kubernetes and cron take.

use std::process::Command;

use serde_json::Value;

use crate::workspace::TestWorkspace;

fn text(workspace: &TestWorkspace, args: &[&str]) -> String {
    let output = workspace.run(args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The documents of a stream of YAML.
fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .skip(1)
        .map(|document| serde_yaml::from_str(&format!("{document}\n")).unwrap())
        .collect()
}

#[test]
fn systemd_takes_the_unit() {
    let workspace = TestWorkspace::with_examples();
    let unit = text(&workspace, &["generate", "systemd"]);
    for line in [
        "Type=notify",
        "WatchdogSec=60",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "RestartPreventExitStatus=2",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
    ] {
        assert!(
            unit.lines().any(|l| l == line),
            "{line} is missing in {unit}"
        );
    }
    let root = workspace.path().display();
    assert!(unit.contains("serve\n") && unit.contains(&format!("ReadWritePaths={root}\n")));
    workspace.write("databuddy-jobs.service", &unit);
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(workspace.path().join("databuddy-jobs.service"))
        .output();
    // Where systemd is not installed the lines above are all that can be said
    if let Ok(verified) = verified {
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        let ours: Vec<&str> = said
            .lines()
            .filter(|l| l.contains("databuddy-jobs.service"))
            .collect();
        assert!(ours.is_empty(), "{ours:#?}");
    }
}

#[test]
fn cron_calls_run_in_each_jobs_zone() {
    let workspace = TestWorkspace::with_examples();
    let each = "schedule: { cron: '*/10 * * * * *' }\npreset: yesterday\nqueries: [summary]\nexports: [{ format: csv, to: out/x }]\n";
    workspace.write("jobs/seconds.yaml", each);
    let table = text(
        &workspace,
        &[
            "generate",
            "crontab",
            "--program",
            "/usr/bin/databuddy-jobs",
        ],
    );
    let berlin = table.split("CRON_TZ=Europe/Berlin\n").nth(1).unwrap();
    assert!(
        berlin.contains("0 8 * * MON '/usr/bin/databuddy-jobs' --project '"),
        "{table}"
    );
    assert!(
        table.contains("# `*/10 * * * * *` of seconds is not for cron: it has seconds"),
        "{table}"
    );
    for line in table
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty() && !l.starts_with("CRON_TZ="))
    {
        assert!(line.contains(" --no-progress run "), "{line}");
    }
}

#[test]
fn kubernetes_gets_a_cron_job_for_each_job_with_its_zone() {
    let workspace = TestWorkspace::with_examples();
    let manifests = text(
        &workspace,
        &[
            "generate",
            "kubernetes",
            "--image",
            "registry.example/jobs:1",
        ],
    );
    let documents = documents(&manifests);
    let kinds: Vec<&str> = documents
        .iter()
        .map(|d| d["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.iter().filter(|k| **k == "ConfigMap").count(), 1);
    let weekly = documents
        .iter()
        .find(|d| d["metadata"]["name"] == "databuddy-jobs-weekly-report")
        .unwrap();
    let spec = &weekly["spec"];
    assert_eq!(
        (spec["schedule"].as_str(), spec["timeZone"].as_str()),
        (Some("0 8 * * MON"), Some("Europe/Berlin"))
    );
    assert_eq!(spec["concurrencyPolicy"], "Forbid");
    let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
    hardened(pod);
    assert_eq!(pod["containers"][0]["image"], "registry.example/jobs:1");
    let args: Vec<&str> = pod["containers"][0]["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap())
        .collect();
    assert_eq!(args[args.len() - 2..], ["run", "weekly-report"]);
    mounts_the_project(&documents[0], pod, &workspace);
}

#[test]
fn kubernetes_gets_runners_that_share_a_postgres() {
    let workspace = TestWorkspace::with_examples();
    let documents = documents(&text(
        &workspace,
        &["generate", "kubernetes", "--shape", "runners"],
    ));
    let kinds: Vec<&str> = documents
        .iter()
        .map(|d| d["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["ConfigMap", "Deployment", "Service", "PodDisruptionBudget"]
    );
    let pod = &documents[1]["spec"]["template"]["spec"];
    hardened(pod);
    let container = &pod["containers"][0];
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(
        documents[1]["spec"]["selector"]["matchLabels"],
        documents[1]["spec"]["template"]["metadata"]["labels"]
    );
}

fn hardened(pod: &Value) {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(
        (
            &container["readOnlyRootFilesystem"],
            &container["allowPrivilegeEscalation"]
        ),
        (&Value::from(true), &Value::from(false))
    );
    assert_eq!(
        pod["containers"][0]["envFrom"][0]["secretRef"]["name"],
        "databuddy-jobs"
    );
}

/// The project in the container is the project here, and `check` finds nothing wrong with it.
fn mounts_the_project(config: &Value, pod: &Value, workspace: &TestWorkspace) {
    let copy = TestWorkspace::empty();
    let volumes = pod["volumes"].as_array().unwrap();
    let project = volumes.iter().find(|v| v["name"] == "project").unwrap();
    for item in project["configMap"]["items"].as_array().unwrap() {
        let text = config["data"][item["key"].as_str().unwrap()]
            .as_str()
            .unwrap();
        copy.write(item["path"].as_str().unwrap(), text);
    }
    assert_eq!(copy.contents("jobs"), workspace.contents("jobs"));
    assert_eq!(copy.run(&["check"]).status.code(), Some(0));
}

#[test]
fn every_shell_gets_completions() {
    let workspace = TestWorkspace::empty();
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef databuddy-jobs"),
        ("fish", "complete -c databuddy-jobs"),
    ] {
        assert!(
            text(&workspace, &["completions", shell]).contains(sign),
            "{shell}"
        );
    }
}

#[test]
fn the_dockerfile_builds_with_a_profile_that_cargo_knows_and_takes_what_that_makes() {
    let read = |name: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(root.join(name)).unwrap()
    };
    let (dockerfile, manifest) = (read("Dockerfile"), read("Cargo.toml"));
    let words: Vec<&str> = dockerfile.split_whitespace().collect();
    let named = words.windows(2).find(|pair| pair[0] == "--profile");
    let profile = named.map_or("release", |pair| pair[1]);
    assert!(named.is_some() || words.contains(&"--release"));
    assert!(
        manifest.contains(&format!("[profile.{profile}]")),
        "{profile}"
    );
    let made = format!("target/{profile}/databuddy-jobs");
    assert!(words.contains(&made.as_str()), "{made}");
}
