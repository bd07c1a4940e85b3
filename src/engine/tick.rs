//! The tick that a run by hand is for.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::domain::{job::Job, schedule::Tick, window::day_start};

/// What `--at` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// That day's first scheduled tick, or its start without a schedule, in the job's zone.
    Day(NaiveDate),
    /// An instant.
    Instant(DateTime<Utc>),
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self::Day(day));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|at| Self::Instant(at.with_timezone(&Utc)))
            .map_err(|_| {
                format!("`{text}` is neither a date (2026-11-23) nor an instant with an offset (2026-11-23T02:00:00+01:00)")
            })
    }
}

/// The tick of a run by hand.
///
/// # Errors
/// In words: the instant lies in the future, or the day has no tick.
pub fn resolve_at(at: Option<At>, job: &Job, now: DateTime<Utc>) -> Result<Tick, String> {
    let tick = match at {
        None => now,
        Some(At::Instant(at)) => at,
        Some(At::Day(day)) => first_tick_of(day, job)?,
    };
    if tick > now {
        return Err(format!(
            "the tick {} of `{}` lies in the future: its window is not over",
            tick.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            job.name
        ));
    }
    Ok(Tick(tick))
}

fn first_tick_of(day: NaiveDate, job: &Job) -> Result<DateTime<Utc>, String> {
    let zone = job.schedule.as_ref().map_or(job.timezone, |s| s.timezone);
    let start = day_start(day, zone).with_timezone(&Utc);
    let Some(schedule) = &job.schedule else {
        return Ok(start);
    };
    let tick = schedule
        .next_after(start - TimeDelta::seconds(1))
        .filter(|tick| tick.0.with_timezone(&zone).date_naive() == day);
    tick.map(|t| t.0).ok_or_else(|| {
        format!(
            "`{}` has no tick on {day} (`{}`, {zone}): give an instant to --at instead",
            job.name, schedule.cron
        )
    })
}
