//! `generate`: the files that run the jobs under systemd, on Kubernetes, or by cron.

mod crontab;
mod kubernetes;
mod systemd;

use std::path::PathBuf;

use super::{
    CliError,
    args::{GenerateArgs, Global, Target},
    exit::Exit,
    print,
    session::project,
};
use crate::{config::Project, domain::job::Job};

pub(super) fn generate(args: &GenerateArgs, global: &Global) -> Result<Exit, CliError> {
    let project = project(global, &[], &[])?;
    let text = match args.target {
        Target::Systemd => systemd::unit(&project, &program(args)?),
        Target::Crontab => crontab::table(&project, &program(args)?),
        Target::Kubernetes => kubernetes::manifests(&project, args)?,
    };
    print::line(text.trim_end());
    Ok(Exit::Done)
}

/// The program as it is to be called: this one.
fn program(args: &GenerateArgs) -> Result<PathBuf, CliError> {
    match &args.program {
        Some(program) => Ok(program.clone()),
        None => std::env::current_exe().map_err(|e| {
            CliError::machine("this program's own path is unknown: give --program")(e.into())
        }),
    }
}

/// Jobs with ticks.
fn scheduled(project: &Project) -> impl Iterator<Item = &Job> {
    let jobs = project.jobs.iter();
    jobs.filter(|job| job.enabled && job.schedule.is_some())
}

/// Why cron and Kubernetes cannot keep to an expression; `None`: they can.
fn beyond_cron(cron: &str) -> Option<&'static str> {
    if cron.starts_with('@') {
        return None;
    }
    if cron.split_ascii_whitespace().count() != 5 {
        return Some("it has seconds");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '/' | ',' | '-' | ' ');
    let has_special = cron.split([' ', ',']).any(|part| {
        matches!(part, "L" | "W")
            || part.trim_start_matches(|c: char| c.is_ascii_digit()) == "L"
            || part.trim_start_matches(|c: char| c.is_ascii_digit()) == "W"
    });
    (has_special || !cron.chars().all(is_plain)).then_some("it has `L`, `W`, `#` or `+`")
}

#[cfg(test)]
mod tests {
    use super::beyond_cron;

    #[test]
    fn expressions_that_only_this_program_keeps_to_are_known() {
        for fine in ["0 2 * * *", "*/5 1-3 1,15 * MON", "@daily", "0 0 * JUL WED"] {
            assert_eq!(beyond_cron(fine), None, "{fine}");
        }
        for beyond in [
            "0 0 2 * * *",
            "0 2 L * *",
            "0 2 15W * *",
            "0 2 * * 5#1",
            "0 2 1 * +MON",
            "0 2 * * 5L",
        ] {
            assert!(beyond_cron(beyond).is_some(), "{beyond}");
        }
    }
}
