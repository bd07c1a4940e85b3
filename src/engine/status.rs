//! What is to be seen of the service from outside: counts for metrics, and whether it is well.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::run::{RunRecord, RunState};

/// A loop that has not come round for so long hangs.
const STALE: TimeDelta = TimeDelta::seconds(30);

/// What is to be seen of the service from outside.
#[derive(Debug, Default)]
pub struct Status {
    /// Jobs with ticks.
    pub jobs: AtomicUsize,
    /// Runs under way here.
    pub running: AtomicUsize,
    /// Runners that share the work, this one included.
    pub runners: AtomicU64,
    /// Ticks whose runs were queued by this runner.
    pub ticks_queued: AtomicU64,
    /// Ticks that were recorded as skipped by this runner.
    pub ticks_skipped: AtomicU64,
    /// Runs that this runner took over from one that was cut off.
    pub taken_over: AtomicU64,
    /// Runs that went back to the queue.
    pub handed_back: AtomicU64,
    /// Requests to the store that failed.
    pub store_errors: AtomicU64,
    /// Query requests of runs that ended here.
    pub requests: AtomicU64,
    /// Rows of runs that ended here.
    pub rows: AtomicU64,
    /// The longest time from a tick's due instant to the start of its run, in milliseconds.
    pub worst_lateness_ms: AtomicI64,
    ended: Mutex<BTreeMap<&'static str, u64>>,
    broken: Mutex<BTreeMap<String, String>>,
    /// When the loop last had the store's answer, in milliseconds since 1970; 0: never.
    turned_ms: AtomicI64,
    /// The same, whether or not the store answered.
    beaten_ms: AtomicI64,
}

impl Status {
    /// The loop came round, and the store answered.
    pub(super) fn turned(&self, now: DateTime<Utc>) {
        self.turned_ms
            .store(now.timestamp_millis(), Ordering::Relaxed);
    }

    /// The loop came round.
    pub(super) fn beaten(&self, now: DateTime<Utc>) {
        self.beaten_ms
            .store(now.timestamp_millis(), Ordering::Relaxed);
    }

    /// Counts a run that ended here.
    pub(super) fn ended(&self, run: &RunRecord) {
        if run.state == RunState::Queued {
            self.handed_back.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.requests.fetch_add(run.requests, Ordering::Relaxed);
        self.rows.fetch_add(run.rows, Ordering::Relaxed);
        let mut ended = self.ended.lock().expect("nothing panics while it is held");
        *ended.entry(run.state.name()).or_default() += 1;
    }

    pub(super) fn started(&self, lateness: TimeDelta) {
        let ms = lateness.num_milliseconds();
        self.worst_lateness_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// Says which job files are broken, and why.
    pub(super) fn set_broken(&self, broken: BTreeMap<String, String>) {
        *self.broken.lock().expect("nothing panics while it is held") = broken;
    }

    /// Job files that are broken, and why; their last good version is used.
    pub fn broken(&self) -> BTreeMap<String, String> {
        let broken = self.broken.lock().expect("nothing panics while it is held");
        broken.clone()
    }

    /// Runs that ended here, by state.
    pub fn ended_by_state(&self) -> BTreeMap<&'static str, u64> {
        let ended = self.ended.lock().expect("nothing panics while it is held");
        ended.clone()
    }

    /// Whether the loop goes on; else why not. One that has not begun yet has the benefit of the doubt.
    ///
    /// # Errors
    /// In words: it stands still.
    pub fn is_alive(&self, now: DateTime<Utc>) -> Result<(), String> {
        match since(&self.beaten_ms, now) {
            Some(silent) if silent > STALE => Err(format!(
                "the scheduler has stood still for {} s",
                silent.num_seconds()
            )),
            _ => Ok(()),
        }
    }

    /// Whether the loop goes on and the store answers; else why not.
    ///
    /// # Errors
    /// In words: it has not begun, or the store is away.
    pub fn is_ready(&self, now: DateTime<Utc>) -> Result<(), String> {
        match since(&self.turned_ms, now) {
            None => Err("the scheduler has not begun".to_owned()),
            Some(silent) if silent > STALE => Err(format!(
                "the store has not answered for {} s",
                silent.num_seconds()
            )),
            Some(_) => Ok(()),
        }
    }
}

fn since(ms: &AtomicI64, now: DateTime<Utc>) -> Option<TimeDelta> {
    let ms = ms.load(Ordering::Relaxed);
    (ms != 0).then(|| now - DateTime::from_timestamp_millis(ms).unwrap_or_default())
}
