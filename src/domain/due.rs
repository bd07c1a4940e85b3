//! Which ticks are due: from the watermark of a job to the present.
//!
//! One rule for every reason why nothing ran: the program was down, the machine slept, the job was
//! disabled or paused, the clock was set forward.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    run::Trigger,
    schedule::{CatchUp, Schedule, Tick},
};

/// A tick that is older than this was missed, not just met late.
pub const MISSED_AFTER: TimeDelta = TimeDelta::seconds(60);

/// A watermark that is further ahead than this comes from a clock that was wrong; within it, runners
/// whose clocks differ wait for each other.
pub const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::hours(1);

/// The most ticks that are met late and yet run, where a schedule is due many times a second; the
/// newest.
const LATE_LIMIT: usize = 120;

/// What is to be done about a job now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// Ticks that run, oldest first.
    pub run: Vec<(Tick, Trigger)>,
    /// Missed ticks that do not run.
    pub passed_over: Option<PassedOver>,
}

/// Missed ticks that do not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// The oldest.
    pub first: Tick,
    /// The newest.
    pub last: Tick,
    /// How many; `None`: too many to be counted.
    pub count: Option<usize>,
}

/// The ticks after `watermark` up to and including `now`.
pub fn due(schedule: &Schedule, watermark: DateTime<Utc>, now: DateTime<Utc>) -> Due {
    // The common case, for ten thousand jobs each second, is that nothing is due
    let Some(first) = schedule.next_after(watermark).filter(|tick| tick.0 <= now) else {
        return Due::default();
    };
    let missed_before = now - MISSED_AFTER;
    let (on_time, _) = newest(schedule, watermark.max(missed_before), now, LATE_LIMIT);
    let mut due = Due::default();
    if first.0 <= missed_before {
        let wanted = match schedule.rules.catch_up {
            CatchUp::None => 0,
            CatchUp::Latest => usize::from(on_time.is_empty()),
            CatchUp::All => schedule.rules.catch_up_limit as usize,
        };
        let (newest, is_all) = newest(schedule, watermark, missed_before, wanted.max(COUNTED));
        let (over, caught) = newest.split_at(newest.len().saturating_sub(wanted));
        due.run = caught.iter().map(|t| (*t, Trigger::CatchUp)).collect();
        due.passed_over = over.last().map(|last| PassedOver {
            first,
            last: *last,
            count: is_all.then_some(over.len()),
        });
    }
    due.run
        .extend(on_time.into_iter().map(|tick| (tick, Trigger::Schedule)));
    due
}

/// Ticks that were passed over are counted up to this many.
const COUNTED: usize = 1_000;

/// The newest ticks after `from` up to and including `to`, oldest first, at most `limit`; and whether
/// these are all. A long time is looked at from its end, so that a month of seconds takes no longer
/// than a minute of them.
fn newest(
    schedule: &Schedule,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    limit: usize,
) -> (Vec<Tick>, bool) {
    let mut reach = TimeDelta::minutes(1);
    loop {
        let is_whole = to - reach <= from;
        let mut ticks = VecDeque::new();
        let mut at = from.max(to - reach);
        while let Some(tick) = schedule.next_after(at).filter(|tick| tick.0 <= to) {
            at = tick.0;
            ticks.push_back(tick);
            if ticks.len() > limit + 1 {
                ticks.pop_front();
            }
        }
        let is_all = is_whole && ticks.len() <= limit;
        if is_whole || ticks.len() > limit {
            if ticks.len() > limit {
                ticks.pop_front();
            }
            return (ticks.into(), is_all);
        }
        reach = reach * 16;
    }
}

/// Where the watermark counts from at `now`. A clock that was far ahead is not waited for: what ran
/// has its record, and does not run again.
pub fn settled(watermark: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    if watermark > now + CLOCK_DIFFERENCE {
        now
    } else {
        watermark
    }
}

#[cfg(test)]
mod tests;
