//! `list` and `next`: jobs with their state, and their coming ticks.

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    note, print,
    session::{open_store, project},
};
use crate::{clock::Clock, domain::job::Job, engine::EngineError};

pub(super) async fn list(global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let project = project(global, &[], &[])?;
    let store = open_store(&project.settings, clock).await?;
    let last = store.last_runs().await.map_err(EngineError::from)?;
    let watermarks = store.watermarks().await.map_err(EngineError::from)?;
    store.close().await;
    let last_of = |job: &Job| last.iter().find(|run| run.job == job.name);
    let is_paused = |job: &Job| watermarks.get(&job.name).is_some_and(|seen| seen.is_paused);
    let now = clock.now();
    let next = |job: &Job| {
        let schedule = job
            .schedule
            .as_ref()
            .filter(|_| job.enabled && !is_paused(job))?;
        Some(schedule.next_after(now)?.to_rfc3339_in(schedule.timezone))
    };
    if global.json {
        let jobs = project.jobs.iter().map(|job| {
            json!({
                "name": job.name, "description": job.description, "enabled": job.enabled, "paused": is_paused(job),
                "cron": job.schedule.as_ref().map(|s| &s.cron),
                "timezone": job.schedule.as_ref().map(|s| s.timezone.name()),
                "next": next(job), "last_run": last_of(job),
            })
        });
        return Ok(print::json(&json!({ "jobs": jobs.collect::<Vec<_>>() })));
    }
    let rows = project.jobs.iter().map(|job| {
        let state = last_of(job).map_or("never run".to_owned(), |run| {
            format!(
                "{} ({})",
                run.state.name().replace('_', " "),
                run.window.end
            )
        });
        let due = match (&job.schedule, job.enabled) {
            (_, false) => "disabled".to_owned(),
            (Some(_), true) if is_paused(job) => "paused".to_owned(),
            (None, true) => "by hand".to_owned(),
            (Some(_), true) => next(job).unwrap_or_default(),
        };
        vec![job.name.clone(), due, state, job.description.clone()]
    });
    print::table(&["job", "next", "last run", "description"], rows);
    Ok(Exit::Done)
}

pub(super) fn next(
    job: Option<&str>,
    count: u16,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let only: Vec<String> = job.map(str::to_owned).into_iter().collect();
    let project = project(global, &only, &[])?;
    let mut documents = Vec::new();
    let mut rows = Vec::new();
    for job in &project.jobs {
        let Some(schedule) = &job.schedule else {
            continue;
        };
        let mut at = clock.now();
        let mut before = None;
        for _ in 0..count {
            let Some(tick) = schedule.next_after(at) else {
                break;
            };
            at = tick.0;
            let local = tick.to_rfc3339_in(schedule.timezone);
            let utc = tick.0.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            let note = note::of_tick(schedule, before, tick);
            before = Some(tick);
            let starts = tick.0 + schedule.delay(&job.name, tick);
            let starts = starts.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            documents.push(json!({ "job": job.name, "local": local, "utc": utc, "timezone": schedule.timezone.name(), "starts": starts, "note": note }));
            rows.push(vec![
                job.name.clone(),
                local,
                utc,
                schedule.timezone.name().to_owned(),
                note,
            ]);
        }
    }
    if global.json {
        return Ok(print::json(&json!({ "ticks": documents })));
    }
    print::table(&["job", "local", "utc", "zone", ""], rows);
    for job in &project.jobs {
        if let Some(schedule) = &job.schedule {
            let rules = note::of_rules(&schedule.rules).join("; ");
            print::line(format!("{}: {}; {rules}", job.name, schedule.describe()));
        }
    }
    Ok(Exit::Done)
}
