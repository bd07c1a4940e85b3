//! Running the program as a child and asking the system what it cost.
//!
//! The system keeps one account of all children of a process, so each child gets a parent of its own: this
//! very program again, with `child` as its first argument. That also keeps the memory of the server
//! out of the figure, because a child's peak counts what its parent held at the moment of its start.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use super::Result;

/// What a child cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// User and system.
    pub(crate) cpu_secs: f64,
    pub(crate) wall_secs: f64,
    pub(crate) peak_mib: f64,
    pub(crate) is_success: bool,
}

/// Runs a command in a folder; what it cost, and what it printed.
pub(crate) fn run(folder: &Path, command: &[OsString]) -> Result<(Cost, Vec<u8>)> {
    let costs = folder.join("cost.json");
    let mut parent = Command::new(env::current_exe()?);
    // They would win over the project's settings, and a proxy would stand in between
    for (name, _) in env::vars_os().filter(|(name, _)| is_setting(name)) {
        parent.env_remove(name);
    }
    let output = parent
        .env("NO_PROXY", "127.0.0.1")
        .arg("child")
        .arg(&costs)
        .args(command)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the parent of the measured program failed".into());
    }
    let cost: Cost = serde_json::from_slice(&std::fs::read(costs)?)?;
    if !cost.is_success {
        let said = String::from_utf8_lossy(&output.stdout);
        return Err(format!("the measured program failed: {said}").into());
    }
    Ok((cost, output.stdout))
}

fn is_setting(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("DATABUDDY_")
}

/// The parent: starts the one child, waits, and writes its cost.
pub(crate) fn parent(costs: &Path, command: &[OsString]) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or("no command was given")?;
    let start = Instant::now();
    let status = Command::new(program).args(arguments).status()?;
    let wall_secs = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let cost = Cost {
        cpu_secs: (micros(usage.user_time()) + micros(usage.system_time())) as f64 / 1e6,
        wall_secs,
        peak_mib: usage.max_rss() as f64 / MAX_RSS_IN_A_MIB,
        is_success: status.success(),
    };
    std::fs::write(costs, serde_json::to_vec(&cost)?)?;
    Ok(())
}

/// getrusage(2): Linux counts KiB, macOS bytes.
const MAX_RSS_IN_A_MIB: f64 = if cfg!(target_os = "macos") {
    1_048_576.0
} else {
    1024.0
};
