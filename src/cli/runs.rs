//! `runs` and `show`: the history, and one run in full.

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{open_store, project},
};
use crate::{clock::Clock, domain::run::RunRecord, engine::EngineError, store::Found};

pub(super) async fn runs(
    job: Option<&str>,
    limit: u32,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let project = project(global, &[], &[])?;
    let store = open_store(&project.settings, clock).await?;
    let runs = store.runs(job, limit).await.map_err(EngineError::from)?;
    store.close().await;
    if global.json {
        return Ok(print::json(&json!({ "runs": runs })));
    }
    if runs.is_empty() {
        print::note("no runs yet");
        return Ok(Exit::Done);
    }
    let rows = runs.iter().map(|run| {
        vec![
            run.id.clone(),
            run.job.clone(),
            run.tick.clone(),
            format!("{} to {}", run.window.start, run.window.end),
            run.state.name().replace('_', " "),
            run.rows.to_string(),
            run.error.clone().unwrap_or_default(),
        ]
    });
    print::table(
        &["run", "job", "tick", "window", "state", "rows", "error"],
        rows,
    );
    Ok(Exit::Done)
}

pub(super) async fn show(id: &str, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let project = project(global, &[], &[])?;
    let store = open_store(&project.settings, clock).await?;
    let found = store.find_run(id).await.map_err(EngineError::from)?;
    store.close().await;
    match found {
        Found::One(run) if global.json => Ok(print::json(&json!({ "runs": [run] }))),
        Found::One(run) => {
            details(&run);
            Ok(Exit::Done)
        }
        Found::None => Err(CliError::Argument(format!(
            "no run `{id}`; `runs` lists them"
        ))),
        Found::Many(ids) => Err(CliError::Argument(format!(
            "`{id}` is the beginning of several runs: {}",
            ids.join(", ")
        ))),
    }
}

fn details(run: &RunRecord) {
    print::line(format!("run       {}", run.id));
    print::line(format!("job       {}", run.job));
    print::line(format!("state     {}", run.state.name().replace('_', " ")));
    print::line(format!("tick      {} ({})", run.tick, run.trigger.name()));
    print::line(format!(
        "window    {} to {} ({})",
        run.window.start, run.window.end, run.window.timezone
    ));
    print::line(format!(
        "attempts  {}, {} requests, {} retries, {} ms",
        run.attempts, run.requests, run.retries, run.duration_ms
    ));
    if let Some(error) = &run.error {
        print::line(format!("error     {error}"));
    }
    print::line("");
    print::table(
        &["query", "of", "start", "end", "state", "rows", "error"],
        run.steps.iter().map(|s| {
            vec![
                s.query.clone(),
                s.website_id
                    .clone()
                    .or(s.link_id.clone())
                    .unwrap_or_default(),
                s.start.clone(),
                s.end.clone(),
                s.state.name().to_owned(),
                s.rows.to_string(),
                s.error.clone().unwrap_or_default(),
            ]
        }),
    );
    if !run.artifacts.is_empty() {
        print::line("");
        print::table(
            &["file", "rows", "bytes", "written"],
            run.artifacts.iter().map(|a| {
                vec![
                    a.path.clone(),
                    a.rows.to_string(),
                    a.bytes.to_string(),
                    if a.written { "yes" } else { "unchanged" }.to_owned(),
                ]
            }),
        );
    }
    if !run.deliveries.is_empty() {
        print::line("");
        print::table(
            &["mail to", "subject", "state"],
            run.deliveries.iter().map(|d| {
                vec![
                    d.to.clone(),
                    d.subject.clone(),
                    d.state.name().replace('_', " "),
                ]
            }),
        );
    }
}
