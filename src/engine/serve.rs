//! The scheduler service: queues what is due, and runs what waits, with any number of others.
//!
//! croner decides when a job is due; tokio-cron-scheduler only wakes this up once a second, in UTC,
//! because it keeps fixed offsets over a change of the clocks (its issue #107).

mod look;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::mpsc,
    task::{self, JoinHandle, JoinSet},
    time::timeout,
};
use tokio_cron_scheduler::{Job as WakeUp, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use super::{Engine, EngineError, JobFiles, Status, planner::Planner, process, run::one_line};
use crate::{
    config::Settings,
    domain::{job::Job, run::RunRecord},
    store::{Claimed, Runner},
};

/// How often files are looked at, what others did to watermarks, and dead runners.
const LOOK: TimeDelta = TimeDelta::seconds(5);

/// Watermarks for each thousand jobs later: their sum takes a millisecond.
const LOOK_PER_THOUSAND: TimeDelta = TimeDelta::seconds(1);

/// How long notifications may take when the service ends.
const TELLING: Duration = Duration::from_secs(3);

/// How long the store may take for one turn before it counts as away.
const STORE: Duration = Duration::from_secs(20);

/// Runs at once for each core: they mostly wait for the server.
const RUNS_PER_CORE: usize = 4;

/// When the service ends.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Nothing new begins; what is under way may go on for `runner.grace`.
    pub gently: CancellationToken,
    /// What is under way goes back to the queue at once.
    pub now: CancellationToken,
}

/// A service at work.
struct Service {
    engine: Engine,
    status: Arc<Status>,
    planner: Planner,
    files: Option<JobFiles>,
    runner: Runner,
    most: usize,
    /// Ids of runs under way here.
    in_hand: BTreeSet<String>,
    /// Which run a task of `runs` is.
    tasks: HashMap<task::Id, String>,
    runs: JoinSet<Ended>,
    hand_back: CancellationToken,
    telling: JoinHandle<()>,
    looked: DateTime<Utc>,
    refreshed: DateTime<Utc>,
    signed_in: DateTime<Utc>,
    vacuumed: DateTime<Utc>,
}

/// A run that ended here.
struct Ended {
    id: String,
    record: Option<RunRecord>,
}

impl Engine {
    /// Queues runs when they are due, and runs what waits, until `stop`. Then runs under way may go on
    /// for `runner.grace`, and go back to the queue with nothing half-published. Settings that come through
    /// `reread` are taken up.
    ///
    /// # Errors
    /// The wake-up could not be started.
    pub async fn serve(
        &self,
        jobs: Vec<Job>,
        files: Option<JobFiles>,
        status: Arc<Status>,
        mut reread: mpsc::Receiver<Settings>,
        stop: &Stop,
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
        let mut service = Service::new(self.clone(), jobs, files, status);
        service.turn().await;
        loop {
            tokio::select! {
                () = stop.gently.cancelled() => break,
                () = stop.now.cancelled() => break,
                _ = woken.recv() => service.turn().await,
                Some(settings) = reread.recv() => service.take_settings(settings),
                Some(ended) = service.runs.join_next() => {
                    service.put_down(ended);
                    // Those that ended together are followed together, in one transaction
                    while let Some(ended) = service.runs.try_join_next() {
                        service.put_down(ended);
                    }
                    service.take_up_or_warn().await;
                }
            }
        }
        alarm.shutdown().await?;
        service.wind_down(stop).await;
        Ok(())
    }
}

impl Service {
    fn new(engine: Engine, jobs: Vec<Job>, files: Option<JobFiles>, status: Arc<Status>) -> Self {
        let mut planner = Planner::default();
        for job in jobs {
            planner.put(job);
        }
        status.jobs.store(planner.scheduled(), Ordering::Relaxed);
        let now = engine.clock.now();
        Self {
            status,
            planner,
            files,
            runner: Runner {
                id: super::run::new_id(),
                name: process::machine(),
                labels: engine.settings.runner.labels.clone(),
                started: now,
            },
            most: most(&engine),
            in_hand: BTreeSet::new(),
            tasks: HashMap::new(),
            runs: JoinSet::new(),
            hand_back: CancellationToken::new(),
            telling: tokio::spawn(async {}),
            looked: DateTime::<Utc>::MIN_UTC,
            refreshed: DateTime::<Utc>::MIN_UTC,
            signed_in: DateTime::<Utc>::MIN_UTC,
            vacuumed: now,
            engine,
        }
    }

    /// Takes settings up that were read again, as far as that goes without a restart.
    fn take_settings(&mut self, read: Settings) {
        let (engine, fixed) = match self.engine.with_settings(read) {
            Ok(changed) => changed,
            Err(error) => {
                tracing::error!(error = %one_line(&error), "the settings cannot be used: those before stay");
                return;
            }
        };
        self.engine = engine;
        self.most = most(&self.engine);
        // A key of its own has a budget of its own, which is shared with the other runners
        self.signed_in = DateTime::<Utc>::MIN_UTC;
        for setting in fixed {
            tracing::warn!(setting, "it has changed, and needs a restart");
        }
        tracing::info!("the settings were read again");
    }

    /// One turn: what has changed, what is due, what waits.
    async fn turn(&mut self) {
        self.read_files().await;
        let now = self.engine.clock.now();
        match timeout(STORE, self.turn_with_store(now)).await {
            Ok(Ok(())) => self.status.turned(self.engine.clock.now()),
            Ok(Err(error)) => self.warn(&error),
            Err(_) => {
                self.status.store_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("the store does not answer");
            }
        }
        self.status.beaten(self.engine.clock.now());
    }

    async fn turn_with_store(&mut self, now: DateTime<Utc>) -> Result<(), EngineError> {
        self.sign_in(now).await?;
        if self.is_time_to_look(now) {
            self.looked = now;
            self.take_over(now).await?;
            self.cancel_orphans(now).await?;
            self.tell_again(now).await?;
        }
        if self.is_time_to_refresh(now) {
            self.refreshed = now;
            self.planner.refresh(&self.engine).await?;
        }
        self.planner.plan(&self.engine, &self.status).await?;
        self.take_up().await?;
        self.forget_old(now);
        Ok(())
    }

    fn is_time_to_look(&self, now: DateTime<Utc>) -> bool {
        now < self.looked || now - self.looked >= LOOK
    }

    fn is_time_to_refresh(&self, now: DateTime<Utc>) -> bool {
        let thousands = i32::try_from(self.planner.scheduled() / 1000).unwrap_or(i32::MAX);
        now < self.refreshed || now - self.refreshed >= LOOK + LOOK_PER_THOUSAND * thousands
    }

    /// Says that this runner is there, and takes its part of the rate budget.
    async fn sign_in(&mut self, now: DateTime<Utc>) -> Result<(), EngineError> {
        let ttl = TimeDelta::from_std(self.engine.store.ttl()).unwrap_or(LOOK);
        if now >= self.signed_in && now - self.signed_in < ttl / 3 {
            return Ok(());
        }
        let runners = self.engine.store.sign_in(&self.runner, now).await?;
        self.signed_in = now;
        self.status.runners.store(runners, Ordering::Relaxed);
        self.engine
            .client
            .share(usize::try_from(runners).unwrap_or(1));
        Ok(())
    }

    /// Claims what waits, as far as there is room, and starts it.
    async fn take_up(&mut self) -> Result<(), EngineError> {
        let now = self.engine.clock.now();
        let room = self.most.saturating_sub(self.in_hand.len());
        if room == 0 || !self.engine.store.has_due(now).await? {
            return Ok(());
        }
        let labels = &self.runner.labels;
        // A run that was taken from here may still be ending here
        let may_take = |run: &Claimed| {
            !self.in_hand.contains(&run.id) && self.planner.may_run(&run.job, labels)
        };
        let process = process::identity();
        let claim = self.engine.store.claim(
            &self.runner.id,
            process.as_deref(),
            labels,
            room,
            may_take,
            now,
        );
        for claimed in claim.await? {
            self.status.started(now - claimed.tick);
            let Some(job) = self.planner.job(&claimed.job) else {
                continue;
            };
            let run = claimed.id.clone();
            self.in_hand.insert(run.clone());
            let hand_back = self.hand_back.clone();
            let task = self
                .runs
                .spawn(run_one(self.engine.clone(), job, claimed, hand_back));
            self.tasks.insert(task.id(), run);
        }
        self.status
            .running
            .store(self.in_hand.len(), Ordering::Relaxed);
        Ok(())
    }

    async fn take_up_or_warn(&mut self) {
        match timeout(STORE, self.take_up()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.warn(&error),
            Err(_) => tracing::warn!("the store does not answer"),
        }
    }

    fn put_down(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(ended) => {
                self.in_hand.remove(&ended.id);
                self.tasks.retain(|_, run| *run != ended.id);
                if let Some(record) = &ended.record {
                    self.status.ended(record);
                }
            }
            // Its work is guarded: a fault of this program met it while it was recorded, which must not
            // end the others, nor hold its place
            Err(error) => {
                let run = self.tasks.remove(&error.id()).unwrap_or_default();
                self.in_hand.remove(&run);
                tracing::error!(run, %error, "the run ended abnormally");
            }
        }
        self.status
            .running
            .store(self.in_hand.len(), Ordering::Relaxed);
    }

    /// Waits for runs under way, and hands back what does not end in time.
    async fn wind_down(&mut self, stop: &Stop) {
        let grace = tokio::time::sleep(self.engine.settings.runner.grace);
        tokio::pin!(grace);
        loop {
            tokio::select! {
                () = &mut grace => break,
                () = stop.now.cancelled() => break,
                ended = self.runs.join_next() => match ended {
                    Some(ended) => self.put_down(ended),
                    None => break,
                },
            }
        }
        self.hand_back.cancel();
        while let Some(ended) = self.runs.join_next().await {
            self.put_down(ended);
        }
        self.engine.tellings.close();
        tokio::select! {
            () = self.engine.tellings.wait() => {}
            () = stop.now.cancelled() => {}
            () = tokio::time::sleep(TELLING) => {
                tracing::warn!("a notification takes too long: it is sent after the next start");
            }
        }
        let now = self.engine.clock.now();
        if let Err(error) = self.engine.store.sign_out(&self.runner.id, now).await {
            self.warn(&error.into());
        }
    }

    fn warn(&self, error: &EngineError) {
        self.status.store_errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(error = %one_line(error), "the store could not be used");
    }
}

/// Runs at once.
fn most(engine: &Engine) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let most = engine.settings.runner.max_runs;
    most.unwrap_or(cores * RUNS_PER_CORE)
}

async fn run_one(
    engine: Engine,
    job: Arc<Job>,
    claimed: Claimed,
    hand_back: CancellationToken,
) -> Ended {
    let run = engine.run_claimed(&job, &claimed, &hand_back).await;
    let failed = |error: &EngineError| tracing::error!(job = %job.name, run = %claimed.id, error = %one_line(error), "the run could not be recorded");
    let record = run.inspect_err(failed).ok().map(|outcome| outcome.record);
    Ended {
        id: claimed.id,
        record,
    }
}
