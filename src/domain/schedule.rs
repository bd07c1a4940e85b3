//! When a job is due: a cron expression in a time zone, and the ticks that follow from it.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};

/// A cron expression in a time zone.
///
/// Where clocks jump forward over a tick, it is moved to the first instant after the gap; where an
/// hour happens twice, a tick at a fixed time runs at its first occurrence only.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// As the job spells it: 5 fields, or 6 with seconds first, or a macro such as `@daily`.
    pub cron: String,
    /// The zone in which the fields are read; default UTC.
    pub timezone: Tz,
    parsed: Cron,
}

/// An instant at which a schedule is due (not the instant at which the program woke).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tick(pub DateTime<Utc>);

impl Schedule {
    /// Reads a cron expression.
    ///
    /// # Errors
    /// In words: what is wrong with the expression, or that it is never due.
    pub fn parse(cron: &str, timezone: Tz) -> Result<Self, String> {
        let parsed = CronParser::builder()
            .seconds(Seconds::Optional)
            .build()
            .parse(cron)
            .map_err(|error| error.to_string())?;
        let schedule = Self {
            cron: cron.to_owned(),
            timezone,
            parsed,
        };
        // `0 0 31 2 *` parses and is never due: any fixed instant shows it
        match schedule.next_after(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)) {
            Some(_) => Ok(schedule),
            None => Err(format!("`{cron}` is never due: no such day exists")),
        }
    }

    /// The first tick after `instant`, or `None` if there is none in the calendar.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<Tick> {
        let local = instant.with_timezone(&self.timezone);
        let next = self.parsed.find_next_occurrence(&local, false).ok()?;
        Some(Tick(next.with_timezone(&Utc)))
    }

    /// The expression in words, in English.
    pub fn describe(&self) -> String {
        self.parsed.describe()
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
