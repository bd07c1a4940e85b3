//! One run from its tick to its record.

use std::{sync::Arc, time::Instant};

use tokio_util::sync::CancellationToken;

use super::{Engine, EngineError, Event, fetch::Fetched, lease::Lease};
use crate::domain::{
    job::Job,
    run::{
        ArtifactRecord, DeliveryRecord, DeliveryState, RunRecord, RunState, StepRecord, StepState,
        Trigger, WindowRecord,
    },
    schedule::Tick,
};
use crate::{plan::Plan, store::NewRun};

/// Letters of a run id: no look-alikes, none that shells or URLs treat in a special way.
const ID_LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Order {
    /// The instant it is for.
    pub tick: Tick,
    /// Why.
    pub trigger: Trigger,
    /// Write and send even what is there already.
    pub force: bool,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its record.
    pub record: RunRecord,
    /// Whether what failed may well work a little later.
    pub temporary: bool,
}

/// What a run has done so far; its record in the making.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) attempts: u32,
    pub(super) steps: Vec<StepRecord>,
    pub(super) artifacts: Vec<ArtifactRecord>,
    pub(super) deliveries: Vec<DeliveryRecord>,
    pub(super) errors: Vec<String>,
    pub(super) temporary: bool,
}

impl Engine {
    /// Runs a job for a tick. `None`: a scheduled run of that tick exists already.
    ///
    /// # Errors
    /// The store cannot be used. Everything else ends up in the record of the run.
    pub async fn run(
        &self,
        job: &Job,
        order: &Order,
        cancel: &CancellationToken,
    ) -> Result<Option<Outcome>, EngineError> {
        let started = Instant::now();
        let window = job
            .window
            .resolve(order.tick.0, self.settings.api_days, job.timezone);
        let zone = job.schedule.as_ref().map_or(job.timezone, |s| s.timezone);
        let id: String = std::iter::repeat_with(|| ID_LETTERS[fastrand::usize(..ID_LETTERS.len())])
            .take(10)
            .map(char::from)
            .collect();
        let mut record = RunRecord {
            id: id.clone(),
            job: job.name.clone(),
            tick: order.tick.to_rfc3339_in(zone),
            state: RunState::Running,
            trigger: order.trigger,
            window: WindowRecord {
                start: window.start.to_string(),
                end: window.end.to_string(),
                timezone: window.timezone.name().to_owned(),
            },
            attempts: 0,
            requests: 0,
            retries: 0,
            rows: 0,
            duration_ms: 0,
            steps: Vec::new(),
            artifacts: Vec::new(),
            deliveries: Vec::new(),
            error: None,
        };
        let new = NewRun {
            tick: order.tick.0,
            definition_hash: &job.definition_hash,
            record: &record,
            now: self.clock.now(),
        };
        if !self.store.create_run(new).await? {
            return Ok(None);
        }
        let label = window.label();
        self.events.tell(&Event::RunStarted {
            run: &id,
            job: &job.name,
            window: label.clone(),
        });
        let mut engine = self.for_job(job);
        engine.client = engine.client.for_run();
        if order.trigger == Trigger::Schedule {
            // A service that runs for years must see websites that were added since
            engine.server = Arc::default();
        }
        let mut progress = Progress::default();
        let result = engine
            .guarded(job, order, &id, &label, &mut progress, cancel)
            .await;
        let counts = engine.client.counts();
        record.requests = counts.requests;
        record.retries = counts.retries;
        let temporary = conclude(&mut record, progress, result);
        record.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.store.save_run(&record).await?;
        self.events.tell(&Event::RunFinished(&record));
        Ok(Some(Outcome { record, temporary }))
    }

    /// The work under its lease and its timeout.
    async fn guarded(
        &self,
        job: &Job,
        order: &Order,
        id: &str,
        label: &str,
        progress: &mut Progress,
        cancel: &CancellationToken,
    ) -> Result<(), EngineError> {
        let busy = || EngineError::Busy {
            job: job.name.clone(),
            window: label.to_owned(),
        };
        let stop = cancel.child_token();
        let name = format!("job:{}", job.name);
        let lease = Lease::acquire(&self.store, &self.clock, name, id, stop.clone())
            .await?
            .ok_or_else(busy)?;
        let (timer, deadline) = (stop.clone(), job.timeout);
        let watch = tokio::spawn(async move {
            tokio::time::sleep(deadline).await;
            timer.cancel();
        });
        let result = self.work(job, order, id, progress, &stop).await;
        let timed_out = watch.is_finished();
        watch.abort();
        lease.release().await?;
        match result {
            Err(EngineError::Cancelled) if !cancel.is_cancelled() && timed_out => {
                Err(EngineError::TimedOut {
                    seconds: deadline.as_secs(),
                })
            }
            Err(EngineError::Cancelled) if !cancel.is_cancelled() => Err(busy()),
            other => other,
        }
    }

    /// Plan, fetch, publish, deliver.
    async fn work(
        &self,
        job: &Job,
        order: &Order,
        id: &str,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) -> Result<(), EngineError> {
        let plan = Arc::new(
            self.plan_with_retries(job, order.tick, id, progress, stop)
                .await?,
        );
        let fetched = self.fetch(job, &plan, id, progress, stop).await?;
        record_steps(&plan, &fetched, progress);
        self.publish(job, order, &plan, &fetched, progress, stop)?;
        self.deliver(job, order, &plan, &fetched, id, progress, stop)
            .await
    }

    /// Requests retry by themselves; a server that is away for longer costs an attempt of the run.
    async fn plan_with_retries(
        &self,
        job: &Job,
        tick: Tick,
        id: &str,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) -> Result<Plan, EngineError> {
        loop {
            progress.attempts = self.store.start_attempt(id, self.clock.now()).await?;
            let planned = stop.run_until_cancelled(self.plan(job, tick)).await;
            match planned.ok_or(EngineError::Cancelled)? {
                Err(error) if error.is_temporary() && progress.attempts < job.retry.attempts => {
                    tracing::warn!(%error, attempt = progress.attempts, "the server cannot be read yet");
                    self.pause(job, progress.attempts, 0, stop).await?;
                }
                other => return other,
            }
        }
    }

    /// The pause before attempt `done + 1`.
    pub(super) async fn pause(
        &self,
        job: &Job,
        done: u32,
        steps: usize,
        stop: &CancellationToken,
    ) -> Result<(), EngineError> {
        let doubled = job
            .retry
            .backoff
            .saturating_mul(2_u32.saturating_pow(done.saturating_sub(1)));
        let wait = doubled.min(job.retry.max_backoff);
        self.events.tell(&Event::Retrying {
            steps,
            seconds: wait.as_secs(),
        });
        let slept = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        slept.ok_or(EngineError::Cancelled)
    }
}

fn record_steps(plan: &Plan, fetched: &[Fetched], progress: &mut Progress) {
    progress.steps = plan
        .steps
        .iter()
        .zip(fetched)
        .map(|(step, fetched)| StepRecord {
            query: step.query.clone(),
            website_id: Some(step.website_id.clone()),
            link_id: None,
            start: step.window.start.to_string(),
            end: step.window.end.to_string(),
            state: if fetched.is_ok() {
                StepState::Succeeded
            } else {
                StepState::Failed
            },
            rows: fetched.as_ref().map_or(0, |data| data.count),
            error: fetched.as_ref().err().map(|e| e.message.clone()),
        })
        .collect();
}

/// Turns progress and result into the final state; says whether the failure is temporary.
fn conclude(record: &mut RunRecord, progress: Progress, result: Result<(), EngineError>) -> bool {
    record.attempts = progress.attempts;
    record.rows = progress.steps.iter().map(|s| s.rows).sum();
    record.steps = progress.steps;
    record.artifacts = progress.artifacts;
    record.deliveries = progress.deliveries;
    let mut errors = progress.errors;
    let failed_steps: Vec<&StepRecord> = record
        .steps
        .iter()
        .filter(|s| s.state == StepState::Failed)
        .collect();
    if let Some(first) = failed_steps.first() {
        let message = first.error.as_deref().unwrap_or("no reason was given");
        errors.insert(
            0,
            format!(
                "{} of {} steps failed, the first `{}` of {}: {message}",
                failed_steps.len(),
                record.steps.len(),
                first.query,
                first.website_id.as_deref().unwrap_or("no website"),
            ),
        );
    }
    let is_done =
        |d: &DeliveryRecord| matches!(d.state, DeliveryState::Sent | DeliveryState::AlreadySent);
    let something_done = !record.artifacts.is_empty() || record.deliveries.iter().any(is_done);
    let temporary = match &result {
        Err(error) => error.is_temporary(),
        Ok(()) => progress.temporary,
    };
    record.state = match result {
        Err(EngineError::Cancelled | EngineError::TimedOut { .. }) => RunState::Cancelled,
        Err(_) if !something_done => RunState::Failed,
        Ok(()) if errors.is_empty() && record.deliveries.iter().all(is_done) => RunState::Succeeded,
        _ if something_done => RunState::PartiallySucceeded,
        _ => RunState::Failed,
    };
    if let Err(error) = result {
        errors.insert(0, one_line(&error));
    }
    record.error = (!errors.is_empty()).then(|| errors.join("; "));
    temporary
}

/// An error with its causes, on one line.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
