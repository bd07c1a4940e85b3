//! A crontab that calls `run`.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{beyond_cron, scheduled};
use crate::config::Project;

pub(super) fn table(project: &Project, program: &Path) -> String {
    let mut text = String::from(
        "# By `databuddy-jobs generate crontab`; add it with `crontab -e`.
# CRON_TZ is known to cronie and systemd-cron; Debian's cron reads all times in the machine's zone.
# Missed ticks are not made up for: `serve` does that. Store and locks are the same, so both may run.
",
    );
    let mut zones: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for job in scheduled(project) {
        let Some(schedule) = &job.schedule else {
            continue;
        };
        let call = format!(
            "'{}' --project '{}' --no-progress run {}",
            program.display(),
            project.root.display(),
            job.name
        );
        // In a crontab a % ends the command
        let call = call.replace('%', "\\%");
        let line = match beyond_cron(&schedule.cron) {
            None => format!("{} {call}", schedule.cron),
            Some(why) => format!(
                "# `{}` of {} is not for cron: {why}",
                schedule.cron, job.name
            ),
        };
        zones
            .entry(schedule.timezone.name())
            .or_default()
            .push(line);
    }
    for (zone, lines) in zones {
        let written = writeln!(text, "\nCRON_TZ={zone}\n{}", lines.join("\n"));
        written.expect("writing to a string cannot fail");
    }
    text
}
