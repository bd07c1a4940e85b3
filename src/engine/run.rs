//! One run from its tick to its record.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineError, Event,
    lease::Lease,
    outcome::outcome_of,
    process,
    resend::Resend,
    work::{Progress, Work},
};
use crate::{
    domain::{
        job::Job,
        run::{
            DeliveryRecord, DeliveryState, RunRecord, RunState, StepRecord, StepState, Trigger,
            WindowRecord,
        },
        schedule::Tick,
        window::Window,
    },
    store::{Attempt, Claimed, NewRun, Occasion, Spent},
};

/// Letters of a run id: no look-alikes, none that shells or URLs treat in a special way.
const ID_LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Order {
    /// The instants it is for, at least one; several where windows are filled in afterwards.
    pub ticks: Vec<Tick>,
    /// Why.
    pub trigger: Trigger,
    /// Write and send even what is there already.
    pub force: bool,
    /// The units (days, or `START_END`) that files are made of; `None`: all.
    pub only: Option<BTreeSet<String>>,
    /// Whether reports are sent.
    pub reports: bool,
    /// The attempt that began when it was claimed from the queue, to which it goes back where it cannot
    /// go on; `None`: it was not.
    pub claimed: Option<Attempt>,
    /// Stored mails to send again, in place of everything else.
    pub resend: Option<Arc<Resend>>,
}

impl Order {
    /// One run for one tick.
    pub fn of(tick: Tick, trigger: Trigger) -> Self {
        Self {
            ticks: vec![tick],
            trigger,
            force: false,
            only: None,
            reports: true,
            claimed: None,
            resend: None,
        }
    }

    /// The last instant it is for.
    pub fn tick(&self) -> Tick {
        *self.ticks.last().expect("an order has at least one tick")
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its record.
    pub record: RunRecord,
    /// What would have to change for it to work; `None` where nothing failed.
    pub remedy: Option<Remedy>,
}

/// What would have to change for a failed run to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Time: the same run may well work a little later.
    Wait,
    /// The job, its templates or the settings.
    Input,
    /// Something else: the message says what.
    Other,
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
        let record = self.new_record(job, order);
        let process = process::identity();
        let new = NewRun {
            tick: order.tick().0,
            definition_hash: &job.definition_hash,
            record: &record,
            process: process.as_deref(),
            now: self.clock.now(),
        };
        if !self.store.create_run(new).await? {
            return Ok(None);
        }
        let never = CancellationToken::new();
        let outcome = self.carry_out(job, order, record, cancel, &never).await?;
        Ok(Some(outcome))
    }

    /// Runs what was claimed from the queue. Where `hand_back` is cancelled, or the run has to wait
    /// for long, it goes back there: the state of its record is `queued` then.
    ///
    /// # Errors
    /// The store cannot be used, or another runner has the run by now.
    pub async fn run_claimed(
        &self,
        job: &Job,
        claimed: &Claimed,
        hand_back: &CancellationToken,
    ) -> Result<Outcome, EngineError> {
        let order = Order {
            claimed: Some(claimed.attempt),
            ..Order::of(Tick(claimed.tick), claimed.trigger)
        };
        let record = RunRecord {
            id: claimed.id.clone(),
            ..self.new_record(job, &order)
        };
        let cancel = hand_back.child_token();
        self.carry_out(job, &order, record, &cancel, hand_back)
            .await
    }

    async fn carry_out(
        &self,
        job: &Job,
        order: &Order,
        mut record: RunRecord,
        cancel: &CancellationToken,
        hand_back: &CancellationToken,
    ) -> Result<Outcome, EngineError> {
        let started = Instant::now();
        let mut engine = self.for_job(job);
        engine.client = engine.client.for_run();
        if order.claimed.is_some() {
            // A service that runs for years must see websites that were added since
            engine.server = Arc::default();
        }
        let label = self.label(job, order);
        self.events.tell(&Event::RunStarted {
            run: &record.id,
            job: &job.name,
            window: label.clone(),
        });
        let mut progress = Progress::default();
        let result = engine
            .guarded(job, order, &record.id, &label, &mut progress, cancel)
            .await;
        let result = match result {
            // The run has not failed: it goes on here or elsewhere once its lease is over, which also
            // settles what is unknown of its mails
            Err(EngineError::Store(error)) if order.claimed.is_some() && error.is_passing() => {
                return Err(error.into());
            }
            result => result,
        };
        let counts = engine.client.counts();
        (record.requests, record.retries) = (counts.requests, counts.retries);
        record.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let (true, Err(error)) = (order.claimed.is_some(), &result)
            && let Some((wait, spent)) = wait_of(job, error, &progress, hand_back)
        {
            let why = one_line(error);
            let now = self.clock.now();
            self.store
                .hand_back(&record.id, now + wait, spent, Some(&why), now)
                .await?;
            record.state = RunState::Queued;
            record.error = Some(why);
            return Ok(Outcome {
                record,
                remedy: Some(Remedy::Wait),
            });
        }
        let is_timed_out = matches!(result, Err(EngineError::TimedOut { .. }));
        let remedy = conclude(&mut record, progress, result);
        let outcome = outcome_of(job, &record, is_timed_out);
        let now = self.clock.now();
        self.store.end_run(&record, Some(outcome), now).await?;
        self.events.tell(&Event::RunFinished(&record));
        if order.claimed.is_some() {
            engine.tell_beside(job);
        } else {
            engine.tell_notices(job, Occasion::News).await;
        }
        Ok(Outcome { record, remedy })
    }

    fn label(&self, job: &Job, order: &Order) -> String {
        self.window(job, order).label()
    }

    fn window(&self, job: &Job, order: &Order) -> Window {
        let days = self.settings.api_days;
        let ticks = order.ticks.iter();
        let windows = ticks.map(|tick| job.window.resolve(tick.0, days, job.timezone));
        Window::span(windows).expect("an order has at least one tick")
    }

    pub(super) fn new_record(&self, job: &Job, order: &Order) -> RunRecord {
        let window = self.window(job, order);
        let zone = job.schedule.as_ref().map_or(job.timezone, |s| s.timezone);
        RunRecord {
            id: new_id(),
            job: job.name.clone(),
            tick: order.tick().to_rfc3339_in(zone),
            state: RunState::Running,
            trigger: order.trigger,
            window: match &order.resend {
                Some(resend) => resend.window.clone(),
                None => WindowRecord {
                    start: window.start.to_string(),
                    end: window.end.to_string(),
                    timezone: window.timezone.name().to_owned(),
                },
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
        }
    }

    /// The work under its lease and its timeout.
    async fn guarded(
        &self,
        job: &Job,
        order: &Order,
        run: &str,
        label: &str,
        progress: &mut Progress,
        cancel: &CancellationToken,
    ) -> Result<(), EngineError> {
        let stop = cancel.child_token();
        let (lost, timed_out) = (CancellationToken::new(), CancellationToken::new());
        let unwanted = CancellationToken::new();
        let lease = Lease::start(&self.store, &self.clock, run, &lost);
        let watch = tokio::spawn({
            let (stop, lost, timed_out) = (stop.clone(), lost.clone(), timed_out.clone());
            let timeout = job.timeout;
            let asked = is_asked_to_stop(self.clone(), run.to_owned());
            let unwanted = unwanted.clone();
            async move {
                tokio::select! {
                    () = tokio::time::sleep(timeout) => timed_out.cancel(),
                    () = lost.cancelled() => {}
                    () = asked => unwanted.cancel(),
                }
                stop.cancel();
            }
        });
        let work = Work {
            engine: self,
            job,
            order,
            run,
            label,
            lease: &lease,
            lost: &lost,
            stop: &stop,
        };
        // All of a run: large
        let result = caught(Box::pin(work.go(progress))).await;
        self.clear_staging(run);
        watch.abort();
        if let Err(error) = lease.release().await {
            // They end by themselves; what the run did stands all the same
            tracing::warn!(%error, "the run's leases could not be given back");
        }
        match result {
            Err(EngineError::Cancelled) if lost.is_cancelled() => Err(EngineError::LeaseLost),
            Err(EngineError::Cancelled) if unwanted.is_cancelled() => Err(EngineError::Unwanted),
            Err(EngineError::Cancelled) if timed_out.is_cancelled() => Err(EngineError::TimedOut {
                seconds: job.timeout.as_secs(),
            }),
            other => other,
        }
    }
}

/// A fault of this program in the work of one run must not end the others, and somebody must hear of
/// it: it is the run's failure.
pub(super) async fn caught(
    work: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), EngineError> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or_else(|panic| Err(EngineError::fault(&*panic)))
}

/// A new id: ten letters.
pub(super) fn new_id() -> String {
    let letter = || char::from(ID_LETTERS[fastrand::usize(..ID_LETTERS.len())]);
    std::iter::repeat_with(letter).take(10).collect()
}

/// How often it is looked whether somebody wants a run cancelled.
const ASK: Duration = Duration::from_secs(2);

/// How long a claimed run waits for another that holds its days.
const BUSY: TimeDelta = TimeDelta::seconds(10);

/// Returns once somebody wants the run cancelled.
async fn is_asked_to_stop(engine: Engine, run: String) {
    loop {
        tokio::time::sleep(ASK).await;
        match engine.store.is_cancellation_wanted(&run).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "whether the run is still wanted could not be told");
            }
        }
    }
}

/// How long a claimed run that ended so waits in the queue, and whether that costs it an attempt;
/// `None`: it is over.
fn wait_of(
    job: &Job,
    error: &EngineError,
    progress: &Progress,
    hand_back: &CancellationToken,
) -> Option<(TimeDelta, Spent)> {
    let attempts_left = progress.spent < job.retry.attempts;
    match error {
        EngineError::Cancelled if hand_back.is_cancelled() => {
            Some((TimeDelta::zero(), Spent::Nothing))
        }
        EngineError::Postponed { seconds, .. } => {
            let wait = TimeDelta::seconds(i64::try_from(*seconds).unwrap_or(0));
            Some((wait, Spent::Attempt))
        }
        EngineError::Busy { .. } => Some((BUSY, Spent::Nothing)),
        EngineError::LeaseLost => Some((TimeDelta::zero(), Spent::Nothing)),
        error if error.is_temporary() && attempts_left => {
            let wait = TimeDelta::from_std(job.retry.pause_after(progress.spent)).ok()?;
            Some((wait, Spent::Attempt))
        }
        _ => None,
    }
}

/// Turns progress and result into the final state; says what would have to change.
pub(super) fn conclude(
    record: &mut RunRecord,
    progress: Progress,
    result: Result<(), EngineError>,
) -> Option<Remedy> {
    record.attempts = progress.attempts;
    record.rows = progress.steps.iter().map(|s| s.rows).sum();
    record.steps = progress.steps;
    record.artifacts = progress.artifacts;
    record.deliveries = progress.deliveries;
    let mut errors = progress.errors;
    errors.splice(0..0, failed_steps(&record.steps));
    let is_open =
        |d: &DeliveryRecord| matches!(d.state, DeliveryState::Pending | DeliveryState::Unknown);
    let is_done = |d: &DeliveryRecord| {
        matches!(
            d.state,
            DeliveryState::Sent | DeliveryState::AlreadySent | DeliveryState::Skipped
        )
    };
    let something_done = !record.artifacts.is_empty() || record.deliveries.iter().any(is_done);
    let remedy = match &result {
        Err(error) => error.remedy(),
        Ok(()) if progress.temporary => Remedy::Wait,
        Ok(()) => Remedy::Other,
    };
    record.state = match result {
        Err(EngineError::Cancelled | EngineError::Unwanted | EngineError::TimedOut { .. }) => {
            RunState::Cancelled
        }
        Err(_) if !something_done => RunState::Failed,
        // A refusal by a server stands among the errors, one that somebody wanted does not
        Ok(()) if errors.is_empty() && !record.deliveries.iter().any(is_open) => {
            RunState::Succeeded
        }
        _ if something_done => RunState::PartiallySucceeded,
        _ => RunState::Failed,
    };
    if let Err(error) = result {
        errors.insert(0, one_line(&error));
    }
    for step in &mut record.steps {
        if step.state == StepState::Pending {
            step.state = StepState::Cancelled;
        }
    }
    record.error = (!errors.is_empty()).then(|| errors.join("; "));
    (record.state != RunState::Succeeded).then_some(remedy)
}

/// How many steps failed, and the first of them in full.
fn failed_steps(steps: &[StepRecord]) -> Option<String> {
    let failed: Vec<&StepRecord> = steps
        .iter()
        .filter(|s| s.state == StepState::Failed)
        .collect();
    let first = failed.first()?;
    Some(format!(
        "{} of {} steps failed, the first `{}` of {}: {}",
        failed.len(),
        steps.len(),
        first.query,
        first
            .website_id
            .as_deref()
            .or(first.link_id.as_deref())
            .unwrap_or("nothing"),
        first.error.as_deref().unwrap_or("no reason was given"),
    ))
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
