//! What the service looks after every few seconds: files that changed, runners that are gone, runs
//! without a job, and who has not been told yet.

use std::sync::{Arc, atomic::Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt};

use super::{EngineError, Service, process};
use crate::{domain::job::Job, store::Occasion};

/// How long a run waits whose job this runner does not know, where others may know it that have newer
/// files, or are away.
const UNKNOWN: TimeDelta = TimeDelta::days(1);

/// Jobs whose news are told at once.
const TELLINGS_AT_ONCE: usize = 16;

impl Service {
    /// Takes up job files that have changed. A broken one keeps its last good version.
    pub(super) async fn read_files(&mut self) {
        let now = self.engine.clock.now();
        let Some(mut files) = self
            .files
            .take_if(|_| self.looked != DateTime::<Utc>::MIN_UTC)
        else {
            return;
        };
        if !self.is_time_to_look(now) {
            self.files = Some(files);
            return;
        }
        let read = tokio::task::spawn_blocking(move || {
            let changes = files.changes(now.into());
            (files, changes)
        });
        let read = match read.await {
            Ok((mut files, mut changes)) if files.may_clash(&changes) => {
                let in_use = self.planner.jobs();
                let checked = tokio::task::spawn_blocking(move || {
                    files.keep_clashes_back(&mut changes, &in_use);
                    (files, changes)
                });
                checked.await
            }
            read => read,
        };
        let Ok((files, changes)) = read else {
            tracing::error!("job files could not be read again: restart to take changes up");
            return;
        };
        if changes.broken_changed {
            self.status.set_broken(files.broken().clone());
        }
        self.files = Some(files);
        for name in changes.removed {
            tracing::info!(job = %name, "removed");
            self.planner.remove(&name);
            let (store, always) = (&self.engine.store, DateTime::<Utc>::MAX_UTC);
            let cancelled = store.cancel_waiting(&name, always, "the job was removed", now);
            if let Err(error) = cancelled.await {
                self.warn(&error.into());
            }
        }
        for job in changes.put {
            tracing::info!(job = %job.name, "taken up");
            self.planner.put(job);
        }
        self.status
            .jobs
            .store(self.planner.scheduled(), Ordering::Relaxed);
    }

    /// Puts runs back into the queue whose runner is gone.
    pub(super) async fn take_over(&mut self, now: DateTime<Utc>) -> Result<(), EngineError> {
        for run in self.engine.store.running().await? {
            let is_gone = run.process.as_deref().is_some_and(process::is_gone);
            let is_dead = is_gone || run.alive_until < now;
            if is_dead
                && !self.in_hand.contains(&run.id)
                && self.engine.store.abandon(&run, now).await?
            {
                tracing::warn!(run = %run.id, job = %run.job, "its runner was cut off: taken over");
                self.status.taken_over.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Cancels what waits of jobs whose file went while nobody looked.
    pub(super) async fn cancel_orphans(&self, now: DateTime<Utc>) -> Result<(), EngineError> {
        let store = &self.engine.store;
        // A folder that holds no job at all is rather one that is not there just now
        let Some(files) = self.files.as_ref().filter(|_| !self.planner.is_empty()) else {
            return Ok(());
        };
        let before = if store.is_shared() {
            now - UNKNOWN
        } else {
            now
        };
        for job in store.waiting_jobs(before).await? {
            if self.planner.job(&job).is_some() || files.has(&job) {
                continue;
            }
            let why = "its job has no file any more";
            let runs = store.cancel_waiting(&job, before, why, now).await?;
            tracing::warn!(%job, runs, why, "runs that waited were cancelled");
        }
        Ok(())
    }

    /// Tells what nobody could be told before, and what was found of runs that were cut off; beside the work.
    pub(super) async fn tell_again(&mut self, now: DateTime<Utc>) -> Result<(), EngineError> {
        if !self.telling.is_finished() {
            return Ok(());
        }
        let names = self.engine.store.jobs_to_tell(now).await?;
        let known = names.iter().filter_map(|name| self.planner.job(name));
        let jobs: Vec<Arc<Job>> = known.collect();
        if !jobs.is_empty() {
            let engine = self.engine.clone();
            // One that never answers keeps few others waiting
            self.telling = tokio::spawn(async move {
                let tell = async |job: Arc<Job>| {
                    let engine = engine.for_job(&job);
                    engine.tell_notices(&job, Occasion::Time).await;
                };
                let jobs = stream::iter(jobs);
                jobs.for_each_concurrent(TELLINGS_AT_ONCE, tell).await;
            });
        }
        Ok(())
    }

    /// Once a day, beside the work.
    pub(super) fn forget_old(&mut self, now: DateTime<Utc>) {
        if now - self.vacuumed < TimeDelta::days(1) {
            return;
        }
        self.vacuumed = now;
        let store = Arc::clone(&self.engine.store);
        let before = now - self.engine.settings.keep_runs;
        tokio::spawn(async move {
            match store.vacuum(before).await {
                Ok(runs) => tracing::info!(runs, "old runs were removed"),
                Err(error) => tracing::warn!(%error, "old runs could not be removed"),
            }
        });
    }
}
