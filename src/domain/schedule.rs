//! When a job is due: a cron expression in a time zone, and the ticks that follow from it.
//!
//! croner says which wall times the expression means; where the clocks jump, the job's own policy says
//! what becomes of them. The zone's course is walked here rather than left to croner, so that the
//! policy is the same for every expression (croner treats `30 2 * * *` and `30 1,2 * * *` differently).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use super::{
    course::{Jump, next_jump, offset_at, twice},
    expression::{Expression, parse},
};

/// How far a jump of the clocks is looked for: more than the longest (a day, across the date line).
const REACH: TimeDelta = TimeDelta::hours(26);

/// A cron expression in a time zone, and what the job wants of ticks that are in any way special.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// As the job spells it: 5 fields, or 6 with seconds first, or a macro such as `@daily`.
    pub cron: String,
    /// The same, read.
    parsed: Expression,
    /// The zone in which the fields are read; default UTC.
    pub timezone: Tz,
    /// What becomes of ticks that were missed.
    pub rules: Rules,
}

/// What a job wants of ticks that are missed, early, or fall where the clocks jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Ticks missed while nothing ran; default the latest.
    pub catch_up: CatchUp,
    /// The most missed ticks that are caught up, the newest; default 100.
    pub catch_up_limit: u32,
    /// A tick due while the job still runs; default skip.
    pub overlap: Overlap,
    /// A time that the clocks leave out; default shift.
    pub gap: Gap,
    /// A time that the clocks show twice; default first.
    pub fold: Fold,
    /// The longest delay of a start, in whole seconds; the tick itself stays. Default 0.
    pub jitter: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            catch_up: CatchUp::Latest,
            catch_up_limit: 100,
            overlap: Overlap::Skip,
            gap: Gap::Shift,
            fold: Fold::First,
            jitter: Duration::ZERO,
        }
    }
}

/// What becomes of ticks that were missed while nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// Nothing.
    None,
    /// The newest runs, unless a newer tick is due anyway.
    Latest,
    /// They run, oldest first.
    All,
}

/// What becomes of a tick that is due while the job still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is recorded as skipped.
    Skip,
    /// It waits.
    Queue,
}

/// What becomes of a time of day that the clocks leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It is moved to the first instant after the gap.
    Shift,
    /// It is left out too.
    Skip,
}

/// What becomes of a time of day that the clocks show twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// It counts the first time.
    First,
    /// It counts both times.
    Both,
}

/// An instant at which a schedule is due (not the instant at which the program woke).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tick(pub DateTime<Utc>);

/// What is special about a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// The clocks leave its own time out: it was moved to the first instant after the gap.
    Shifted,
    /// The clocks show its time twice, and this is the first.
    FirstOfTwo,
    /// The clocks show its time twice, and this is the second.
    SecondOfTwo,
}

impl Schedule {
    /// Reads a cron expression, with the default rules.
    ///
    /// # Errors
    /// In words: what is wrong with the expression, or that it is never due.
    pub fn parse(cron: &str, timezone: Tz) -> Result<Self, String> {
        let parsed = Expression::of(cron)?;
        if !parsed.is_ever_due() {
            return Err(format!("`{cron}` is never due: no such day exists"));
        }
        Ok(Self {
            cron: cron.to_owned(),
            parsed,
            timezone,
            rules: Rules::default(),
        })
    }

    /// The same with these rules.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// The first tick after `instant`, or `None` if there is none in the calendar.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<Tick> {
        let (zone, parsed) = (self.timezone, &self.parsed);
        let second = TimeDelta::seconds(1);
        let mut from = instant.with_nanosecond(0)? + second;
        let mut jump = next_jump(zone, from - second, second);
        loop {
            if let Some(jump) = jump.take().filter(|jump| self.is_moved_to(parsed, jump)) {
                return Some(Tick(jump.at));
            }
            let offset = offset_at(from, zone);
            let wall = parsed.wall_from((from + offset).naive_utc())?;
            let at = wall.and_utc() - offset;
            match next_jump(zone, from, REACH) {
                // Far away: nothing lies before it, and the clocks may jump on the way
                None if at > from + REACH => from = at - REACH,
                Some(next) if at >= next.at => {
                    from = next.at;
                    jump = Some(next);
                }
                _ if self.counts(parsed, wall, at) => return Some(Tick(at)),
                _ => from = at + second,
            }
        }
    }

    /// What is special about one of its ticks.
    pub fn remark(&self, tick: Tick) -> Option<Remark> {
        let wall = (tick.0 + offset_at(tick.0, self.timezone)).naive_utc();
        if self.parsed.wall_from(wall) != Some(wall) {
            return Some(Remark::Shifted);
        }
        let (first, _) = twice(wall, self.timezone)?;
        Some(if first == tick.0 {
            Remark::FirstOfTwo
        } else {
            Remark::SecondOfTwo
        })
    }

    /// A wall time after `from` and before `to` that the clocks left out, where its tick was left out
    /// too.
    pub fn left_out(&self, from: Tick, to: Tick) -> Option<NaiveDateTime> {
        let parsed = &self.parsed;
        if !parsed.has_hours() || self.rules.gap == Gap::Shift {
            return None;
        }
        let mut at = from.0;
        while at < to.0 {
            let Some(jump) = next_jump(self.timezone, at, REACH) else {
                at += REACH;
                continue;
            };
            let wall = parsed.wall_from(jump.wall_before)?;
            if jump.is_gap() && jump.at <= to.0 && wall < jump.wall_after {
                return Some(wall);
            }
            at = jump.at;
        }
        None
    }

    /// How long after the tick its run starts: the same for the same job and tick, from nothing to
    /// `jitter`.
    pub fn delay(&self, job: &str, tick: Tick) -> TimeDelta {
        let longest = self.rules.jitter.as_secs();
        let text = format!("{job} {}", tick.0.timestamp());
        let random = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        let seconds = random % longest.saturating_add(1);
        TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
    }

    /// What makes its ticks: a change of it is a new schedule, whose earlier ticks nobody has missed.
    pub fn fingerprint(&self) -> String {
        let Rules { gap, fold, .. } = self.rules;
        format!("{} {} {gap:?} {fold:?}", self.timezone.name(), self.cron)
    }

    /// The expression in words, in English.
    pub fn describe(&self) -> String {
        let parsed = parse(&self.cron).expect("it was parsed when the schedule was made");
        parsed.describe()
    }

    /// Whether a time that this jump leaves out is moved to its end.
    fn is_moved_to(&self, parsed: &Expression, jump: &Jump) -> bool {
        let is_in_gap = |wall| wall < jump.wall_after;
        parsed.has_hours()
            && self.rules.gap == Gap::Shift
            && jump.is_gap()
            && parsed.wall_from(jump.wall_before).is_some_and(is_in_gap)
    }

    /// Whether a time that is met twice counts this time.
    fn counts(&self, parsed: &Expression, wall: NaiveDateTime, at: DateTime<Utc>) -> bool {
        !parsed.has_hours()
            || self.rules.fold == Fold::Both
            || twice(wall, self.timezone).is_none_or(|(first, _)| first == at)
    }
}

impl Tick {
    /// With the offset of `zone`: `2026-11-23T02:00:00+01:00`.
    pub fn to_rfc3339_in(self, zone: Tz) -> String {
        self.0
            .with_timezone(&zone)
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, false)
    }
}
