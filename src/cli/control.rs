//! `pause`, `resume` and `cancel`: what people ask of a service, through its store.

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{open_store, project, settings},
};
use crate::{
    clock::Clock,
    config::Settings,
    engine::EngineError,
    store::{Cancellation, Found},
};

/// The settings, where there is a file of that job, be it broken: then above all somebody wants to pause
/// it.
fn settings_for(job: &str, global: &Global) -> Result<Settings, CliError> {
    let (root, settings) = settings(global)?;
    let file = |extension: &str| root.join("jobs").join(format!("{job}.{extension}"));
    if !["yaml", "yml"].into_iter().any(|e| file(e).exists()) {
        project(global, &[job.to_owned()], &[])?;
    }
    Ok(settings)
}

pub(super) async fn pause(job: &str, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let settings = settings_for(job, global)?;
    let store = open_store(&settings, clock).await?;
    let paused = store.pause(job, clock.now()).await;
    store.close().await;
    paused.map_err(EngineError::from)?;
    let said =
        format!("{job} is paused: it has no ticks until `resume {job}`; `run {job}` still runs it");
    Ok(say(global, &json!({ "job": job, "paused": true }), &said))
}

pub(super) async fn resume(job: &str, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let settings = settings_for(job, global)?;
    let store = open_store(&settings, clock).await?;
    let resumed = store.resume(job).await;
    store.close().await;
    let said = if resumed.map_err(EngineError::from)? {
        format!("{job} is resumed; ticks that it missed are made up for as `catch_up` says")
    } else {
        format!("{job} was not paused")
    };
    Ok(say(global, &json!({ "job": job, "paused": false }), &said))
}

pub(super) async fn cancel(run: &str, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let (_, settings) = settings(global)?;
    let store = open_store(&settings, clock).await?;
    let cancelled = match store.find_run(run).await.map_err(EngineError::from)? {
        Found::One(found) => {
            let asked = store.cancel(&found.id, clock.now()).await;
            Ok((found.id, asked.map_err(EngineError::from)?))
        }
        Found::None => Err(CliError::Argument(format!(
            "no run `{run}`; `runs` lists them"
        ))),
        Found::Many(ids) => Err(CliError::Argument(format!(
            "`{run}` is the beginning of several runs: {}",
            ids.join(", ")
        ))),
    };
    store.close().await;
    let (id, outcome) = cancelled?;
    let (word, said) = match outcome {
        Cancellation::Done => (
            "cancelled",
            format!("run {id} is cancelled before it started"),
        ),
        Cancellation::Asked => (
            "asked",
            format!("run {id} stops within seconds, with nothing half-published"),
        ),
        Cancellation::Over => ("over", format!("run {id} is over already")),
    };
    Ok(say(global, &json!({ "run": id, "outcome": word }), &said))
}

fn say(global: &Global, document: &serde_json::Value, text: &str) -> Exit {
    if global.json {
        return print::json(document);
    }
    print::line(text);
    Exit::Done
}
