//! The scheduler service, thin: every enabled job runs when it is due while this runs.
//!
//! croner decides when a job is due; tokio-cron-scheduler only wakes this up once a second, in UTC,
//! because it keeps fixed offsets over a change of the clocks (its issue #107).

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_cron_scheduler::{Job as WakeUp, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use super::{Engine, Order, run::one_line};
use crate::domain::{job::Job, run::Trigger, schedule::Tick};

impl Engine {
    /// Runs jobs when they are due until `stop`; then waits for runs under way, which are
    /// interrupted where they stand with nothing half-published.
    ///
    /// # Errors
    /// The wake-up could not be started.
    pub async fn serve(
        &self,
        jobs: Vec<Job>,
        stop: CancellationToken,
    ) -> Result<(), JobSchedulerError> {
        let (wake, mut woken) = mpsc::channel::<()>(1);
        let mut alarm = JobScheduler::new().await?;
        alarm
            .add(WakeUp::new_async("* * * * * *", move |_, _| {
                let wake = wake.clone();
                Box::pin(async move {
                    // A full channel means that a wake-up is waiting already
                    let _ = wake.try_send(());
                })
            })?)
            .await?;
        alarm.start().await?;
        let mut due = Due::new(jobs, self.clock.now());
        let mut runs = JoinSet::new();
        while stop
            .run_until_cancelled(woken.recv())
            .await
            .flatten()
            .is_some()
        {
            while let Some(ended) = runs.try_join_next() {
                due.ended(ended);
            }
            for (job, tick) in due.take(self.clock.now()) {
                runs.spawn(run_one(self.clone(), job, tick, stop.clone()));
            }
        }
        alarm.shutdown().await?;
        while runs.join_next().await.is_some() {}
        Ok(())
    }
}

async fn run_one(engine: Engine, job: Arc<Job>, tick: Tick, stop: CancellationToken) -> String {
    let order = Order::of(tick, Trigger::Schedule);
    // A fault of this program in one run must not end the others, nor the job for good
    let run = AssertUnwindSafe(engine.run(&job, &order, &stop)).catch_unwind();
    match run.await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::error!(job = %job.name, error = %one_line(&error), "the run could not be recorded");
        }
        Err(_) => tracing::error!(job = %job.name, "the run ended abnormally"),
    }
    job.name.clone()
}

/// The next tick of each job, and which jobs are running.
struct Due {
    jobs: Vec<Arc<Job>>,
    next: BTreeMap<String, Tick>,
    running: Vec<String>,
}

impl Due {
    fn new(jobs: Vec<Job>, now: DateTime<Utc>) -> Self {
        let jobs: Vec<_> = jobs
            .into_iter()
            .filter(|j| j.enabled)
            .map(Arc::new)
            .collect();
        let next = jobs
            .iter()
            .filter_map(|job| Some((job.name.clone(), job.schedule.as_ref()?.next_after(now)?)))
            .collect();
        Self {
            jobs,
            next,
            running: Vec::new(),
        }
    }

    /// Jobs that are due now. A tick that falls due while its job still runs is passed over.
    fn take(&mut self, now: DateTime<Utc>) -> Vec<(Arc<Job>, Tick)> {
        let mut due = Vec::new();
        for job in &self.jobs {
            let Some(tick) = self
                .next
                .get(&job.name)
                .copied()
                .filter(|tick| tick.0 <= now)
            else {
                continue;
            };
            let next = job.schedule.as_ref().and_then(|s| s.next_after(now));
            match next {
                Some(next) => self.next.insert(job.name.clone(), next),
                None => self.next.remove(&job.name),
            };
            if self.running.contains(&job.name) {
                tracing::warn!(job = %job.name, tick = %tick.0, "passed over: the run before is still under way");
            } else {
                self.running.push(job.name.clone());
                due.push((Arc::clone(job), tick));
            }
        }
        due
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(name) => self.running.retain(|running| *running != name),
            Err(error) => tracing::error!(%error, "a run was lost"),
        }
    }
}
