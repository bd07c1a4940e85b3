//! `resend`: sends the stored mails of a run again, without asking the API.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    CliError,
    args::{Global, ResendArgs},
    exit::Exit,
    print, progress,
    run::{cancel_on_signal, summary},
    runs::find,
    session::{Session, open_store, project, settings},
};
use crate::{clock::Clock, engine::Selection};

pub(super) async fn resend(
    args: &ResendArgs,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (_, settings) = settings(global)?;
    let store = open_store(&settings, clock).await?;
    let run = find(&store, &args.run).await;
    store.close().await;
    let run = run?;
    // Other jobs may be broken
    let project = project(global, std::slice::from_ref(&run.job), &[])?;
    let session = Session::without_key(global, &project, clock, progress::events(global)).await?;
    let job = project.jobs.iter().find(|job| job.name == run.job);
    let job = job.ok_or_else(|| {
        CliError::Argument(format!(
            "the project has no job `{}`, whose mails these were",
            run.job
        ))
    })?;
    let selection = match (args.failed, args.unknown) {
        (false, false) => Selection::All,
        (failed, unknown) => Selection::Lacking { failed, unknown },
    };
    let order = session.engine.order_resend(&run, selection).await?;
    let count = order.resend.as_ref().map_or(0, |resend| resend.count());
    if count == 0 {
        session.stop().await;
        if global.json {
            return Ok(print::json(&json!({ "runs": [] })));
        }
        print::note(format!("nothing of run {} is left to send", run.id));
        return Ok(Exit::Done);
    }
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(cancel.clone()));
    let outcome = session.engine.run(job, &order, &cancel).await;
    signals.abort();
    session.stop().await;
    let Some(outcome) = outcome? else {
        return Ok(Exit::Done);
    };
    if global.json {
        print::json(&json!({ "runs": [outcome.record] }));
    } else {
        summary(&outcome.record);
    }
    Ok(Exit::of_outcome(&outcome, cancel.is_cancelled()))
}
