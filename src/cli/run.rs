//! `run`: runs jobs now, once.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    CliError,
    args::{Global, RunArgs},
    exit::Exit,
    print, progress,
    session::{Session, planned_project},
};
use crate::{
    clock::Clock,
    config::{MailUrl, Project},
    domain::{
        channel::is_channel,
        destination::DestinationUrl,
        run::{DeliveryState, RunRecord, RunState, Trigger},
    },
    engine::{Order, resolve_at},
};

pub(super) async fn run(args: &RunArgs, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let project = planned_project(global, &args.plan)?;
    let now = clock.now();
    let ticks = project
        .jobs
        .iter()
        .map(|job| resolve_at(args.plan.at, job, now))
        .collect::<Result<Vec<_>, _>>()
        .map_err(CliError::Argument)?;
    let session = Session::start(global, &project, clock, progress::events(global)).await?;
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(cancel.clone()));
    let mut outcomes = Vec::new();
    // In the order in which they were named
    for name in &args.plan.jobs {
        let Some(index) = project.jobs.iter().position(|job| job.name == *name) else {
            continue;
        };
        if args.queue {
            let queued = session.engine.enqueue(&project.jobs[index], ticks[index]);
            outcomes.push(queued.await?);
            continue;
        }
        let order = Order {
            force: args.force,
            ..Order::of(ticks[index], Trigger::Manual)
        };
        if let Some(outcome) = session
            .engine
            .run(&project.jobs[index], &order, &cancel)
            .await?
        {
            outcomes.push(outcome);
        }
        if cancel.is_cancelled() {
            break;
        }
    }
    signals.abort();
    session.stop().await;
    let records: Vec<&RunRecord> = outcomes.iter().map(|o| &o.record).collect();
    if global.json {
        print::json(&json!({ "runs": records }));
    } else {
        for record in &records {
            summary(record);
        }
        where_to_look(&project, &records);
    }
    let interrupted = cancel.is_cancelled();
    Ok(outcomes
        .iter()
        .map(|o| Exit::of_outcome(o, interrupted))
        .max()
        .unwrap_or(Exit::Done))
}

/// Cancels on Ctrl-C or SIGTERM.
pub(super) async fn cancel_on_signal(cancel: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    print::note("stopping: finishing what is in hand, nothing half-written will be left");
    cancel.cancel();
}

/// What a person wants to know after a run: did it work, where are the files and mails.
pub(super) fn summary(record: &RunRecord) {
    let colour = match record.state {
        RunState::Succeeded | RunState::Skipped => print::GOOD,
        _ => print::BAD,
    };
    let state = record.state.name().replace('_', " ");
    let days = if record.window.start == record.window.end {
        record.window.start.clone()
    } else {
        format!("{} to {}", record.window.start, record.window.end)
    };
    print::line(format!(
        "{} {} — {days} ({}), run {}",
        record.job,
        print::paint(colour, state),
        record.window.timezone,
        record.id,
    ));
    if let Some(error) = &record.error {
        print::line(format!("  {error}"));
    }
    if record.state == RunState::Queued {
        return;
    }
    print::line(format!(
        "  {} rows in {} request{}, {} ms",
        record.rows,
        record.requests,
        if record.requests == 1 { "" } else { "s" },
        record.duration_ms
    ));
    files(record);
    mails(record);
}

/// What to open now, for somebody who has just tried it.
fn where_to_look(project: &Project, records: &[&RunRecord]) {
    let shown = |path: &std::path::Path| {
        let short = path.strip_prefix(&project.root).unwrap_or(path);
        short.display().to_string()
    };
    for job in &project.jobs {
        let ran = |r: &&&RunRecord| r.job == job.name && !r.artifacts.is_empty();
        if !records.iter().any(|r| ran(&r)) {
            continue;
        }
        let mut folders: Vec<String> = job
            .exports
            .iter()
            .map(|export| match &export.to {
                DestinationUrl::Directory(folder) => shown(&clean(folder)),
                DestinationUrl::Bucket(url) => url.to_string(),
            })
            .collect();
        folders.dedup();
        for folder in folders {
            print::line(format!(
                "look at {folder}: the files of {}; {folder}/_manifests/{} lists them",
                job.name, job.name
            ));
        }
    }
    if let Some(MailUrl::Dir(folder)) = &project.settings.mail_url
        && records
            .iter()
            .any(|r| r.deliveries.iter().any(|d| !is_channel(&d.to)))
    {
        print::line(format!(
            "look at {}: the mails; open an .html in a browser or an .eml in a mail program",
            shown(folder)
        ));
    }
}

/// A path without `.` segments.
fn clean(path: &std::path::Path) -> std::path::PathBuf {
    path.components().collect()
}

fn files(record: &RunRecord) {
    let written = record.artifacts.iter().filter(|a| a.written).count();
    let same = record.artifacts.len() - written;
    if let Some(first) = record.artifacts.first() {
        print::line(format!(
            "  files: {written} written, {same} unchanged, for example {}",
            first.path
        ));
    }
}

fn mails(record: &RunRecord) {
    for delivery in &record.deliveries {
        let state = match delivery.state {
            DeliveryState::Sent => "sent",
            DeliveryState::AlreadySent => "not sent again: it was sent before",
            DeliveryState::Pending => "not sent yet",
            DeliveryState::Refused => "refused",
            DeliveryState::Skipped => "skipped",
            DeliveryState::Unknown => {
                "unknown: it may have been sent; it is not sent again by itself"
            }
        };
        print::line(format!(
            "  {} to {}: “{}” — {state}{}",
            if is_channel(&delivery.to) {
                "report"
            } else {
                "mail"
            },
            delivery.to,
            delivery.subject,
            delivery
                .error
                .as_ref()
                .map_or(String::new(), |why| format!(": {why}"))
        ));
    }
}
