//! What stands above each table: when and where it was measured.

use std::{fs, thread};

/// One line of Markdown.
pub(crate) fn remark() -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = file("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let load = file("/proc/loadavg");
    let load = load.split(' ').next().filter(|text| !text.is_empty());
    format!(
        "Measured on {}, {cores} cores{}{model}; load before: {}.",
        databuddy_jobs::clock::Clock::system()
            .now()
            .format("%Y-%m-%d"),
        if model.is_empty() { "" } else { " of " },
        load.unwrap_or("unknown"),
    )
}
