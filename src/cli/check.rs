//! `check`: validates settings, jobs and templates, all problems in one pass.

use serde_json::json;

use super::{CliError, args::Global, exit::Exit, print, session::project};
use crate::report::Template;

pub(super) fn check(jobs: &[String], global: &Global) -> Result<Exit, CliError> {
    let project = match project(global, jobs, &[]) {
        Ok(project) => project,
        Err(CliError::Problems(problems)) if global.json => {
            print::json(&json!({ "problems": problems.to_json() }));
            return Ok(Exit::WrongInput);
        }
        Err(error) => return Err(error),
    };
    let mut wrong = Vec::new();
    for job in &project.jobs {
        for report in &job.reports {
            match Template::load(&project.root.join("templates"), &report.template) {
                Ok(template) => wrong.extend(
                    template
                        .needs()
                        .queries
                        .keys()
                        .filter(|need| !job.queries.iter().any(|q| q.name == **need))
                        .map(|need| format!("{}: report `{}` needs a query named `{need}`: add it under `queries`", job.file.display(), report.name)),
                ),
                Err(error) => wrong.push(format!("{}: {error}", job.file.display())),
            }
        }
    }
    if !wrong.is_empty() {
        return Err(CliError::Argument(wrong.join("\n")));
    }
    if global.json {
        print::json(
            &json!({ "problems": [], "jobs": project.jobs.iter().map(|j| &j.name).collect::<Vec<_>>() }),
        );
    } else {
        let names: Vec<&str> = project.jobs.iter().map(|j| j.name.as_str()).collect();
        print::line(format!(
            "{} jobs are fine: {}",
            names.len(),
            names.join(", ")
        ));
    }
    Ok(Exit::Done)
}
