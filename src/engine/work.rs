//! The work of one run: plan, fetch, publish, deliver, and what it has done so far.

use std::{collections::BTreeSet, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineError, Event, Order,
    columns::Columns,
    context::Origin,
    fetch::Fetched,
    lease::{Lease, Taken},
    step::Fetching,
};
use crate::{
    domain::{
        job::Job,
        run::{ArtifactRecord, DeliveryRecord, StepRecord, StepState, Trigger},
    },
    plan::{Plan, Step},
};

/// How often a unit is tried that a backfill is writing.
const BACKFILL_PAUSE: Duration = Duration::from_secs(1);

/// A claimed run that has to pause for longer goes back to the queue: it gives its place to others,
/// and whoever is there then takes it up. For a shorter pause the rows at hand are kept.
const KEPT: Duration = Duration::from_secs(60);

/// One run at work.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) engine: &'a Engine,
    pub(super) job: &'a Job,
    pub(super) order: &'a Order,
    /// The run's id.
    pub(super) run: &'a str,
    /// Its window in words.
    pub(super) label: &'a str,
    /// What keeps others from its days.
    pub(super) lease: &'a Lease,
    /// Cancelled when others may write the same days.
    pub(super) lost: &'a CancellationToken,
    /// Cancelled by a person, a signal, the timeout or a lost lease.
    pub(super) stop: &'a CancellationToken,
}

/// What a run has done so far; its record in the making.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) attempts: u32,
    /// Attempts that count: not those that were interrupted.
    pub(super) spent: u32,
    pub(super) steps: Vec<StepRecord>,
    pub(super) artifacts: Vec<ArtifactRecord>,
    pub(super) deliveries: Vec<DeliveryRecord>,
    pub(super) errors: Vec<String>,
    pub(super) temporary: bool,
}

impl Work<'_> {
    /// Plan, fetch, publish, deliver.
    pub(super) async fn go(&self, progress: &mut Progress) -> Result<(), EngineError> {
        if let Some(resend) = &self.order.resend {
            return self.resend(resend, progress).await;
        }
        let plan = self.plan(progress).await?;
        self.lock_units(&plan).await?;
        progress.steps = plan.steps.iter().map(pending).collect();
        let steps = progress.steps.iter().enumerate();
        self.engine.store.save_steps(self.run, steps).await?;
        let (engine, job) = (self.engine, self.job);
        let columns = Columns::read(engine, job, &plan, self.order.force).await?;
        let staging = engine.staging_of(self.run);
        let fetching = Fetching {
            job,
            plan: &plan,
            columns: &columns,
            staging: Some(&staging),
        };
        let mut fetched = self.fetch(fetching, progress).await?;
        self.publish(&plan, &columns, &mut fetched, progress)
            .await?;
        if !self.order.reports {
            return Ok(());
        }
        self.send_reports(&plan, &fetched, progress).await
    }

    /// The mails of the plan; those that are deliberately not sent are recorded after the others.
    async fn send_reports(
        &self,
        plan: &Plan,
        fetched: &[Fetched],
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let origin = Origin {
            job: self.job,
            plan,
            fetched,
            run: self.run,
        };
        let rendering = self.render(origin, progress).await?;
        let delivered = self.deliver(plan, &rendering.outgoing, progress).await;
        let first = progress.deliveries.len();
        progress.deliveries.extend(rendering.skipped);
        let skipped = &progress.deliveries[first..];
        for record in skipped {
            self.engine.events.tell(&Event::DeliveryDone(record));
        }
        let store = &self.engine.store;
        store.save_deliveries(self.run, first, skipped).await?;
        delivered
    }

    /// One writer of each unit at a time.
    async fn lock_units(&self, plan: &Plan) -> Result<(), EngineError> {
        let job = self.job;
        let of_files = plan
            .artifacts
            .iter()
            .map(|artifact| plan.unit_of(artifact, job.exports[artifact.export].per));
        let mut names: BTreeSet<String> = of_files.collect();
        if self.order.reports && !plan.deliveries.is_empty() {
            names.insert(plan.report_unit());
        }
        self.lock(&names).await
    }

    /// Waits for backfills only: they let go soon.
    pub(super) async fn lock(&self, units: &BTreeSet<String>) -> Result<(), EngineError> {
        let job = self.job;
        let names: Vec<String> = units.iter().map(|unit| self.lease_of(unit)).collect();
        loop {
            match self.lease.take(names.clone()).await? {
                Taken::All => return Ok(()),
                // A backfill writes one piece after the other, and lets go soon; it waits itself
                Taken::HeldBy(holder)
                    if self.is_backfill() || holder == Some(Trigger::Backfill) =>
                {
                    let wait = tokio::time::sleep(BACKFILL_PAUSE);
                    let waited = self.stop.run_until_cancelled(wait).await;
                    waited.ok_or(EngineError::Cancelled)?;
                }
                Taken::HeldBy(_) => {
                    return Err(EngineError::Busy {
                        job: job.name.clone(),
                        window: self.label.to_owned(),
                    });
                }
            }
        }
    }

    /// Nothing is published on a lease that is not held for certain.
    ///
    /// # Errors
    /// It is not; the run ends as one that lost it.
    pub(super) fn check_lease(&self) -> Result<(), EngineError> {
        if self.lease.is_held() && !self.lost.is_cancelled() {
            return Ok(());
        }
        self.lost.cancel();
        Err(EngineError::Cancelled)
    }

    /// What the lease of a unit is called.
    pub(super) fn lease_of(&self, unit: &str) -> String {
        format!("job:{} {unit}", self.job.name)
    }

    fn is_backfill(&self) -> bool {
        self.order.trigger == Trigger::Backfill
    }

    /// Requests retry by themselves; a server that is away for longer costs an attempt of the run.
    async fn plan(&self, progress: &mut Progress) -> Result<Plan, EngineError> {
        loop {
            self.start_attempt(progress).await?;
            let planning = self.engine.plan(self.job, self.order);
            let planned = self.stop.run_until_cancelled(planning).await;
            match planned.ok_or(EngineError::Cancelled)? {
                Err(error) if error.is_temporary() && self.may_retry(progress) => {
                    let why = super::run::one_line(&error);
                    self.pause(progress, 0, &why).await?;
                }
                other => return other,
            }
        }
    }

    pub(super) async fn start_attempt(&self, progress: &mut Progress) -> Result<(), EngineError> {
        let now = self.engine.clock.now();
        let attempt = match self.order.claimed.filter(|_| progress.attempts == 0) {
            Some(begun) => begun,
            None => self.engine.store.start_attempt(self.run, now).await?,
        };
        (progress.attempts, progress.spent) = (attempt.number, attempt.spent);
        Ok(())
    }

    pub(super) fn may_retry(&self, progress: &Progress) -> bool {
        progress.spent < self.job.retry.attempts
    }

    /// Ends the attempt, and waits before the next one.
    pub(super) async fn pause(
        &self,
        progress: &Progress,
        steps: usize,
        why: &str,
    ) -> Result<(), EngineError> {
        self.pause_for(Duration::ZERO, progress, steps, why).await
    }

    /// The same, for no less than was asked for.
    pub(super) async fn pause_for(
        &self,
        asked: Duration,
        progress: &Progress,
        steps: usize,
        why: &str,
    ) -> Result<(), EngineError> {
        let now = self.engine.clock.now();
        self.engine
            .store
            .end_attempt(self.run, Some(why), now)
            .await?;
        let wait = self.job.retry.pause_after(progress.spent).max(asked);
        if self.order.claimed.is_some() && wait > KEPT {
            return Err(EngineError::Postponed {
                seconds: wait.as_secs(),
                why: why.to_owned(),
            });
        }
        self.engine.events.tell(&Event::Retrying {
            steps,
            seconds: wait.as_secs(),
            why,
        });
        let slept = self
            .stop
            .run_until_cancelled(tokio::time::sleep(wait))
            .await;
        slept.ok_or(EngineError::Cancelled)
    }
}

fn pending(step: &Step) -> StepRecord {
    StepRecord {
        query: step.query.clone(),
        website_id: step.target.website_id().map(str::to_owned),
        link_id: step.target.link_id().map(str::to_owned),
        start: step.window.start.to_string(),
        end: step.window.end.to_string(),
        state: StepState::Pending,
        rows: 0,
        error: None,
    }
}
