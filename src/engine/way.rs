//! Giving way: a backfill asks for nothing while runs of other jobs are under way.

use std::time::Duration;

use super::{Engine, process};
use crate::domain::{job::Job, run::Trigger};

/// How often it is looked whether they are still under way.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Waits until no run of another job is under way, where this engine gives way. A run of the same
    /// job may be waiting for the units of this one, which must therefore go on.
    pub(super) async fn give_way(&self, job: &Job) {
        while self.gives_way && self.others_run(job).await {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn others_run(&self, job: &Job) -> bool {
        let now = self.clock.now();
        let running = match self.store.running().await {
            Ok(running) => running,
            Err(error) => {
                tracing::warn!(%error, "whether other runs are under way could not be told");
                return false;
            }
        };
        let mut others = running.iter().filter(|run| {
            let is_gone = run.process.as_deref().is_some_and(process::is_gone);
            !is_gone && run.alive_until >= now && run.trigger != Some(Trigger::Backfill)
        });
        let is_waited_for = others.clone().any(|run| run.job == job.name);
        !is_waited_for && others.any(|run| run.job != job.name)
    }
}
