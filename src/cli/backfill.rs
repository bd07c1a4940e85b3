//! `backfill`: fills a range of windows in.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    CliError,
    args::{BackfillArgs, Global, OnlyWord, OrderWord, PlanArgs},
    exit::Exit,
    print, progress,
    run::cancel_on_signal,
    session::{Session, planned_project},
};
use crate::{
    clock::Clock,
    domain::run::{RunRecord, RunState},
    engine::{Backfill, Filled, Only},
};

pub(super) async fn backfill(
    args: &BackfillArgs,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    if args.to < args.from {
        return Err(CliError::Argument(format!(
            "--to {} lies before --from {}",
            args.to, args.from
        )));
    }
    if args.to > clock.now().date_naive() {
        tracing::warn!(to = %args.to, "`--to` lies in the future: windows that are not due yet are left out");
    }
    let plan = PlanArgs {
        jobs: vec![args.job.clone()],
        at: None,
        website: args.website.clone(),
        set: args.set.clone(),
    };
    let project = planned_project(global, &plan)?;
    let job = project.jobs.iter().find(|job| job.name == args.job);
    let job = job.expect("the project was read for this job");
    if job.exports.is_empty() && !args.reports {
        return Err(CliError::Argument(format!(
            "`{}` has no `exports` to fill in; --reports sends its reports",
            job.name
        )));
    }
    let bar = progress::Backfill::new(global);
    let session = Session::start(global, &project, clock, bar.events()).await?;
    bar.watch(&session.engine.client);
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(cancel.clone()));
    let order = Backfill {
        from: args.from,
        to: args.to,
        only: match args.only {
            OnlyWord::Missing => Only::Missing,
            OnlyWord::Failed => Only::Failed,
            OnlyWord::All => Only::All,
        },
        newest_first: args.order == OrderWord::Newest,
        force: args.force,
        reports: args.reports,
    };
    let filled = session.engine.backfill(job, &order, &cancel).await;
    signals.abort();
    bar.finish();
    session.stop().await;
    let filled = filled?;
    if global.json {
        print::json(&document(args, &filled));
    } else {
        summary(args, &filled);
    }
    let interrupted = cancel.is_cancelled();
    let exits = filled.outcomes.iter();
    Ok(exits
        .map(|outcome| Exit::of_outcome(outcome, interrupted))
        .max()
        .unwrap_or(Exit::Done))
}

fn records(filled: &Filled) -> impl Iterator<Item = &RunRecord> {
    filled.outcomes.iter().map(|outcome| &outcome.record)
}

fn document(args: &BackfillArgs, filled: &Filled) -> serde_json::Value {
    json!({
        "job": args.job, "from": args.from, "to": args.to,
        "units": filled.units, "skipped": filled.skipped, "resumed": filled.resumed,
        "requests": records(filled).map(|r| r.requests).sum::<u64>(),
        "rows": records(filled).map(|r| r.rows).sum::<u64>(),
        "runs": records(filled).collect::<Vec<_>>(),
    })
}

fn summary(args: &BackfillArgs, filled: &Filled) {
    let Filled {
        units,
        skipped,
        resumed,
        ..
    } = filled;
    if *units == 0 {
        print::line(format!(
            "no window of {} lies within {} to {}",
            args.job, args.from, args.to
        ));
        return;
    }
    let (mut written, mut unchanged) = (0, 0);
    for artifact in records(filled).flat_map(|record| &record.artifacts) {
        *(if artifact.written {
            &mut written
        } else {
            &mut unchanged
        }) += 1;
    }
    let (rows, requests): (u64, u64) = (
        records(filled).map(|r| r.rows).sum(),
        records(filled).map(|r| r.requests).sum(),
    );
    let done = units - skipped - resumed;
    print::line(format!(
        "{}, {} to {}: {done} of {units} windows asked for, {skipped} were there, {resumed} done before",
        args.job, args.from, args.to
    ));
    print::line(format!(
        "  {rows} rows in {requests} requests; files: {written} written, {unchanged} unchanged"
    ));
    for record in records(filled).filter(|r| r.state != RunState::Succeeded) {
        let why = record.error.as_deref().unwrap_or("no reason was given");
        print::line(format!(
            "  {} to {}: {} — {why}",
            record.window.start,
            record.window.end,
            record.state.name()
        ));
    }
}
