//! `check`: validates settings, jobs and templates, all problems in one pass.

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{Session, project},
};
use crate::{
    clock::Clock,
    config::{Problem, Problems, Project},
    domain::{
        job::{Job, ReportSpec},
        run::Trigger,
        schedule::Tick,
    },
    engine::{EngineError, Events, Order},
    report::{Broken, Condition, Misuse, ReportError, Template},
};

pub(super) async fn check(
    jobs: &[String],
    online: bool,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (names, warnings, problems) = match project(global, jobs, &[]) {
        Ok(project) => {
            let names: Vec<String> = project.jobs.iter().map(|j| j.name.clone()).collect();
            let mut problems = template_problems(&project);
            if online && problems.is_empty() {
                problems = online_problems(&project, global, clock).await?;
            }
            (names, project.warnings, Problems::of(problems))
        }
        Err(CliError::Problems(problems)) => (Vec::new(), Vec::new(), Some(problems)),
        Err(error) => return Err(error),
    };
    if global.json {
        let none = json!([]);
        print::json(&json!({
            "problems": problems.as_ref().map_or(none, Problems::to_json),
            "warnings": warnings.iter().map(Problem::to_json).collect::<Vec<_>>(),
            "jobs": names,
        }));
        let done = problems.map_or(Exit::Done, |_| Exit::WrongInput);
        return Ok(done);
    }
    for warning in &warnings {
        print::note(format!("warning: {warning}"));
    }
    if let Some(problems) = problems {
        return Err(CliError::Problems(problems));
    }
    let plural = if names.len() == 1 {
        "job is"
    } else {
        "jobs are"
    };
    print::line(format!(
        "{} {plural} fine: {}",
        names.len(),
        names.join(", ")
    ));
    Ok(Exit::Done)
}

/// What the server, the destinations and the mail server say.
async fn online_problems(
    project: &Project,
    global: &Global,
    clock: &Clock,
) -> Result<Vec<Problem>, CliError> {
    let session = Session::without_key(global, project, clock, Events::new(|_| {})).await?;
    let mut problems = Vec::new();
    for finding in session.engine.doctor(&project.jobs).await {
        if finding.is_fine == Some(false) {
            problems.push(Problem::of_file(
                finding.part,
                finding.found,
                finding.remedy,
            ));
        }
    }
    // Without an answering server every plan would fail with the same words
    if problems.is_empty() {
        for (job, source) in project.jobs.iter().zip(&project.sources) {
            let tick = Tick(clock.now());
            match session
                .engine
                .for_job(job)
                .plan(job, &Order::of(tick, Trigger::Manual))
                .await
            {
                Ok(_) => {}
                Err(EngineError::Plan(error)) => problems.extend(error.0.iter().map(|problem| {
                    let place = job
                        .queries
                        .iter()
                        .position(|q| Some(q.name.as_str()) == problem.query());
                    source.problem_at(&problem.pointer(place), problem.to_string(), None)
                })),
                Err(error) => {
                    problems.push(Problem::of_file(&job.file, print::chain(&error), None));
                }
            }
        }
    }
    session.stop().await;
    Ok(problems)
}

/// Templates that are missing or broken, and queries that they need and the job lacks.
fn template_problems(project: &Project) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (job, source) in project.jobs.iter().zip(&project.sources) {
        for (place, report) in job.reports.iter().enumerate() {
            match Template::load(&project.root.join("templates"), &report.template) {
                Err(ReportError::Misused(wrong)) => problems.extend(in_templates(project, wrong)),
                Err(error) => problems.push(source.problem_at(
                    &format!("/reports/{place}/template"),
                    print::chain(&error),
                    None,
                )),
                Ok(template) => {
                    let pointer = format!("/reports/{place}/template");
                    for (message, hint) in lacking(&template, job, report) {
                        problems.push(source.problem_at(&pointer, message, hint));
                    }
                    problems.extend(in_templates(project, named(&template, job, report)));
                }
            }
            let pointer = format!("/reports/{place}/when");
            for broken in report.when.iter().flat_map(|when| wrong_when(job, when)) {
                problems.push(source.problem_in(&pointer, broken.place, broken.message, None));
            }
        }
    }
    problems
}

/// What is wrong in the files of a template, each at its place.
fn in_templates(project: &Project, wrong: Vec<Misuse>) -> impl Iterator<Item = Problem> {
    wrong.into_iter().map(|wrong| Problem {
        line: wrong.line,
        column: wrong.column,
        excerpt: Some(wrong.excerpt),
        ..Problem::of_file(project.root.join(wrong.file), wrong.message, None)
    })
}

/// Queries that files of a template name and the report does not have.
fn named(template: &Template, job: &Job, report: &ReportSpec) -> Vec<Misuse> {
    let queries: Vec<&str> = job.queries.iter().map(|q| q.name.as_str()).collect();
    let condition = report.when.as_ref();
    let condition = condition.and_then(|when| Condition::parse(when).ok());
    let of_when = condition.iter().flat_map(Condition::queries);
    let of_when = of_when.map(|(name, _)| name);
    let attached = report.attach.iter().map(|attach| attach.query.as_str());
    let others: Vec<&str> = of_when.chain(attached).collect();
    template.lacking(&queries, &others)
}

/// Queries that a template needs and the job lacks.
fn lacking(template: &Template, job: &Job, report: &ReportSpec) -> Vec<(String, Option<String>)> {
    let lacking = |need: &&String| !job.queries.iter().any(|q| q.name == **need);
    let needs = template.needs().queries.keys().filter(lacking);
    needs
        .map(|need| {
            (
                format!(
                    "the template `{}` needs a query named `{need}`",
                    report.template
                ),
                Some(format!("add `{need}` to `queries`")),
            )
        })
        .collect()
}

/// A condition that is no expression, and queries that it names and the job lacks.
fn wrong_when(job: &Job, when: &str) -> Vec<Broken> {
    let condition = match Condition::parse(when) {
        Ok(condition) => condition,
        Err(broken) => return vec![broken],
    };
    let names: Vec<&str> = job.queries.iter().map(|q| q.name.as_str()).collect();
    let queries = condition.queries().into_iter();
    let unknown = queries.filter(|(name, _)| !names.contains(name));
    unknown
        .map(|(name, place)| Broken {
            message: format!("the job has no query `{name}`; it has {}", names.join(", ")),
            place,
        })
        .collect()
}
