//! From jobs and their watermarks to the runs that are due.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use chrono::{DateTime, Utc};

use super::{Engine, EngineError, Order, Outcome, Status};
use crate::{
    domain::{
        due::{PassedOver, due, settled},
        job::Job,
        run::{RunRecord, RunState, Trigger},
        schedule::{CatchUp, Overlap, Schedule, Tick},
    },
    store::{Marks, Planned, Queued, Watermark},
};

/// The jobs of the service, and when each is looked at next.
#[derive(Debug, Default)]
pub(super) struct Planner {
    jobs: BTreeMap<String, Entry>,
    /// Jobs with ticks.
    scheduled: usize,
    /// Nothing is due before this, of all jobs: they are looked through only then.
    look: Option<DateTime<Utc>>,
    /// The watermarks as they were read.
    marks: Option<Marks>,
}

#[derive(Debug)]
struct Entry {
    job: Arc<Job>,
    seen: Option<Watermark>,
    /// Nothing is due before this; `None`: nothing is due at all.
    look: Option<DateTime<Utc>>,
}

impl Planner {
    /// The job of that name, as it is now.
    pub(super) fn job(&self, name: &str) -> Option<Arc<Job>> {
        self.jobs.get(name).map(|entry| Arc::clone(&entry.job))
    }

    /// All jobs, as they are now.
    pub(super) fn jobs(&self) -> Vec<Arc<Job>> {
        let entries = self.jobs.values();
        entries.map(|entry| Arc::clone(&entry.job)).collect()
    }

    /// Whether there are no jobs.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a job of that name may run here.
    pub(super) fn may_run(&self, name: &str, labels: &[String]) -> bool {
        let may =
            |job: &Job| job.runs_on.is_empty() || job.runs_on.iter().any(|l| labels.contains(l));
        self.jobs.get(name).is_some_and(|entry| may(&entry.job))
    }

    /// How many jobs have ticks.
    pub(super) fn scheduled(&self) -> usize {
        self.scheduled
    }

    /// Takes a job up, new or in a new version.
    pub(super) fn put(&mut self, job: Job) {
        let name = job.name.clone();
        let seen = self.take(&name).and_then(|entry| entry.seen);
        let entry = Entry {
            job: Arc::new(job),
            seen,
            look: Some(DateTime::<Utc>::MIN_UTC),
        };
        self.scheduled += usize::from(entry.schedule().is_some());
        self.look = entry.look;
        self.jobs.insert(name, entry);
    }

    /// Forgets a job.
    pub(super) fn remove(&mut self, name: &str) {
        self.take(name);
    }

    fn take(&mut self, name: &str) -> Option<Entry> {
        let entry = self.jobs.remove(name)?;
        self.scheduled -= usize::from(entry.schedule().is_some());
        Some(entry)
    }

    /// Reads the watermarks if others may have moved them, or paused jobs.
    pub(super) async fn refresh(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let marks = engine.store.marks().await?;
        if self.marks.as_ref() != Some(&marks) {
            self.reread(engine).await?;
            self.marks = Some(marks);
        }
        Ok(())
    }

    async fn reread(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let mut seen = engine.store.watermarks().await?;
        for (name, entry) in &mut self.jobs {
            let now = seen.remove(name);
            if entry.seen != now {
                entry.seen = now;
                entry.look = Some(DateTime::<Utc>::MIN_UTC);
                self.look = entry.look;
            }
        }
        Ok(())
    }

    /// Queues the runs that are due. What other runners have queued meanwhile is left to them.
    pub(super) async fn plan(
        &mut self,
        engine: &Engine,
        status: &Status,
    ) -> Result<(), EngineError> {
        let now = engine.clock.now();
        if self.look.is_none_or(|look| look > now) {
            return Ok(());
        }
        self.plan_due(engine, status, now).await?;
        self.look = self.jobs.values().filter_map(|entry| entry.look).min();
        Ok(())
    }

    async fn plan_due(
        &mut self,
        engine: &Engine,
        status: &Status,
        now: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let is_due = |entry: &Entry| entry.look.is_some_and(|look| look <= now);
        let busy = engine.store.busy_jobs().await?;
        let mut planned = Vec::new();
        for entry in self.jobs.values_mut().filter(|entry| is_due(entry)) {
            match entry.plan(engine, &busy, now) {
                Some(job) => planned.push(job),
                None => entry.look(now),
            }
        }
        let moved = engine.store.plan(&planned, now).await?;
        for (job, is_moved) in planned.iter().zip(&moved) {
            let Some(entry) = self.jobs.get_mut(&job.job).filter(|_| *is_moved) else {
                continue;
            };
            entry.seen = Some(Watermark {
                at: job.watermark,
                fingerprint: job.fingerprint.clone(),
                is_paused: false,
            });
            entry.look(now);
            if let Some(marks) = &mut self.marks {
                marks.moved(job);
            }
            count(job, status);
            entry.tell_missed(engine, job);
        }
        if moved.contains(&false) {
            // What is read now may be of a pause that ends before the marks are looked at again
            self.marks = None;
            self.reread(engine).await?;
        }
        Ok(())
    }
}

impl Engine {
    /// Leaves a run by hand to whichever runner comes first.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn enqueue(&self, job: &Job, tick: Tick) -> Result<Outcome, EngineError> {
        let now = self.clock.now();
        let record = RunRecord {
            state: RunState::Queued,
            ..self.new_record(job, &Order::of(tick, Trigger::Manual))
        };
        let run = Queued {
            tick: tick.0,
            not_before: now,
            // Somebody waits for it
            priority: 0,
            runs_on: job.runs_on.clone(),
            definition_hash: job.definition_hash.clone(),
            record,
        };
        self.store.enqueue(&run, now).await?;
        Ok(Outcome {
            record: run.record,
            remedy: None,
        })
    }
}

fn count(planned: &Planned, status: &Status) {
    for run in &planned.runs {
        let counter = match run.record.state {
            RunState::Skipped => {
                tracing::warn!(job = %planned.job, tick = %run.record.tick, why = run.record.error.as_deref(), "skipped");
                &status.ticks_skipped
            }
            _ => &status.ticks_queued,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Entry {
    fn schedule(&self) -> Option<&Schedule> {
        self.job.schedule.as_ref().filter(|_| self.job.enabled)
    }

    /// Tells of ticks that were missed and do not run, beside the work.
    fn tell_missed(&self, engine: &Engine, planned: &Planned) {
        if planned.runs.iter().any(Queued::is_missed) {
            engine.for_job(&self.job).tell_beside(&self.job);
        }
    }

    /// Decides when to look again.
    fn look(&mut self, now: DateTime<Utc>) {
        let seen = self.seen.as_ref().filter(|seen| !seen.is_paused);
        self.look = match (self.schedule(), seen) {
            (Some(schedule), Some(seen)) => {
                let next = schedule.next_after(settled(seen.at, now));
                next.map(|tick| tick.0)
            }
            _ => None,
        };
    }

    /// What is to be recorded of the job at `now`; `None`: nothing.
    fn plan(
        &self,
        engine: &Engine,
        busy: &BTreeSet<String>,
        now: DateTime<Utc>,
    ) -> Option<Planned> {
        let schedule = self.schedule()?;
        let moved = |seen: Option<&Watermark>, runs| Planned {
            job: self.job.name.clone(),
            seen: seen.map(|seen| seen.at),
            // The store keeps milliseconds
            watermark: DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now),
            fingerprint: schedule.fingerprint(),
            runs,
        };
        let Some(seen) = &self.seen else {
            return Some(moved(None, Vec::new()));
        };
        if seen.is_paused {
            return None;
        }
        // Of a schedule that was changed nobody has missed the earlier ticks
        if seen.fingerprint != schedule.fingerprint() {
            return Some(moved(Some(seen), Vec::new()));
        }
        let from = settled(seen.at, now);
        let due = due(schedule, from, now);
        let mut runs = Vec::new();
        if let Some(over) = due.passed_over {
            runs.push(self.passed_over(engine, schedule, over));
        }
        let mut is_busy = busy.contains(&self.job.name);
        for (tick, trigger) in due.run {
            let skip =
                is_busy && trigger == Trigger::Schedule && schedule.rules.overlap == Overlap::Skip;
            let why = "the run before is still under way or waits (overlap: skip)";
            runs.push(self.queued(
                engine,
                schedule,
                tick,
                trigger,
                skip.then(|| why.to_owned()),
            ));
            is_busy = true;
        }
        (!runs.is_empty() || from != seen.at).then(|| moved(Some(seen), runs))
    }

    fn passed_over(&self, engine: &Engine, schedule: &Schedule, over: PassedOver) -> Queued {
        let zone = schedule.timezone;
        let rule = match schedule.rules.catch_up {
            CatchUp::None => "none".to_owned(),
            CatchUp::Latest => "latest".to_owned(),
            CatchUp::All => format!("all, catch_up_limit: {}", schedule.rules.catch_up_limit),
        };
        let count = over
            .count
            .map_or("many".to_owned(), |count| count.to_string());
        let why = format!(
            "{count} ticks from {} to {} were missed while nothing ran (catch_up: {rule})",
            over.first.to_rfc3339_in(zone),
            over.last.to_rfc3339_in(zone),
        );
        self.queued(engine, schedule, over.last, Trigger::CatchUp, Some(why))
    }

    fn queued(
        &self,
        engine: &Engine,
        schedule: &Schedule,
        tick: Tick,
        trigger: Trigger,
        skipped: Option<String>,
    ) -> Queued {
        let job = &self.job;
        let state = match skipped {
            Some(_) => RunState::Skipped,
            None => RunState::Queued,
        };
        Queued {
            record: RunRecord {
                state,
                error: skipped,
                ..engine.new_record(job, &Order::of(tick, trigger))
            },
            tick: tick.0,
            not_before: tick.0 + schedule.delay(&job.name, tick),
            priority: priority(job, trigger),
            runs_on: job.runs_on.clone(),
            definition_hash: job.definition_hash.clone(),
        }
    }
}

/// A mail that is due goes before an export, and both before what is made up for.
pub(super) fn priority(job: &Job, trigger: Trigger) -> i64 {
    let late = i64::from(matches!(trigger, Trigger::CatchUp | Trigger::Backfill));
    if job.reports.is_empty() {
        2 + late
    } else {
        late
    }
}

#[cfg(test)]
mod tests;
