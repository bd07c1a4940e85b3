//! `serve`: runs every enabled job when it is due, until stopped.

use tokio_util::sync::CancellationToken;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print, progress,
    run::cancel_on_signal,
    session::{Session, project},
};
use crate::clock::Clock;

pub(super) async fn serve(global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let project = project(global, &[], &[])?;
    let session = Session::start(global, &project, clock, progress::log_events()).await?;
    let stop = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(stop.clone()));
    let scheduled = project
        .jobs
        .iter()
        .filter(|j| j.enabled && j.schedule.is_some())
        .count();
    print::note(format!("serving {scheduled} scheduled jobs; Ctrl-C stops"));
    let served = session.engine.serve(project.jobs, stop).await;
    signals.abort();
    session.stop().await;
    served.map_err(|e| CliError::machine("the scheduler could not start")(e.into()))?;
    Ok(Exit::Done)
}
