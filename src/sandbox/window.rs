//! Days, presets and the hours and days that rows are counted by.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{OffsetComponents, Tz};

/// The instants that a query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: DateTime<Utc>,
    /// Exclusive.
    pub(super) until: DateTime<Utc>,
    /// The first day as the request names it.
    pub(super) first_day: NaiveDate,
}

/// All presets.
pub(super) const PRESETS: [&str; 11] = [
    "today",
    "yesterday",
    "last_7d",
    "last_14d",
    "last_30d",
    "last_90d",
    "this_week",
    "last_week",
    "this_month",
    "last_month",
    "this_year",
];

/// The first and the last day of a preset; `None` of an unknown one.
pub(super) fn preset(name: &str, today: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
    let back = |days: u64| today - Days::new(days);
    let sunday = back(u64::from(today.weekday().num_days_from_sunday()));
    let month = today - Days::new(u64::from(today.day0()));
    Some(match name {
        "today" => (today, today),
        "yesterday" => (back(1), back(1)),
        "last_7d" => (back(6), today),
        "last_14d" => (back(13), today),
        "last_30d" => (back(29), today),
        "last_90d" => (back(89), today),
        "this_week" => (sunday, today),
        "last_week" => (sunday - Days::new(7), sunday - Days::new(1)),
        "this_month" => (month, today),
        "last_month" => (month - Months::new(1), month - Days::new(1)),
        "this_year" => (today - Days::new(u64::from(today.ordinal0())), today),
        _ => return None,
    })
}

impl Window {
    /// Whole days of a zone, both inclusive.
    pub(super) fn days(first: NaiveDate, last: NaiveDate, zone: Tz) -> Self {
        Self {
            from: midnight(first, zone),
            until: midnight(last + Days::new(1), zone),
            first_day: first,
        }
    }

    /// From a day or instant to a day or instant, both inclusive; `None`: one of them is neither.
    /// Days are days of UTC.
    pub(super) fn parse(start: &str, end: &str) -> Option<Self> {
        let day = |text: &str| text.parse::<NaiveDate>().ok();
        let from = match day(start) {
            Some(day) => midnight(day, Tz::UTC),
            None => start.parse().ok()?,
        };
        let until = if let Some(day) = day(end) {
            midnight(day.checked_add_days(Days::new(1))?, Tz::UTC)
        } else {
            // The second that it names is inside
            let at: DateTime<Utc> = end.parse().ok()?;
            at.checked_add_signed(TimeDelta::seconds(1))?
        };
        let first_day = start.get(..10)?.parse().ok()?;
        Some(Self {
            from,
            until,
            first_day,
        })
    }

    /// The part of it that lies between two instants.
    pub(super) fn within(self, (first, end): (DateTime<Utc>, DateTime<Utc>)) -> Self {
        let from = self.from.clamp(first, end);
        Self {
            from,
            until: self.until.clamp(from, end),
            ..self
        }
    }

    /// Days from its start to its end, of which one may be an hour longer or shorter.
    pub(super) fn days_long(self) -> i64 {
        (self.until - self.from - TimeDelta::hours(2)).num_days() + 1
    }
}

/// The first instant of a day in a zone.
fn midnight(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    // Where clocks skip midnight, the day begins when they stop skipping
    (0..=96)
        .find_map(|quarter| {
            let local = midnight + TimeDelta::minutes(15 * quarter);
            zone.from_local_datetime(&local).earliest()
        })
        .map_or_else(|| midnight.and_utc(), |at| at.with_timezone(&Utc))
}

/// SQL that gives the day, or the hour, of the column `at` in a zone. It holds constants only.
pub(super) fn bucket(window: Window, zone: Tz, hourly: bool) -> String {
    let offset = |at: DateTime<Utc>| {
        let offset = zone.offset_from_utc_datetime(&at.naive_utc());
        (offset.base_utc_offset() + offset.dst_offset()).num_seconds()
    };
    let mut cases = String::new();
    let (mut at, mut current) = (window.from, offset(window.from));
    while at < window.until {
        let next = (at + TimeDelta::days(1)).min(window.until);
        if offset(next) != current {
            let (mut low, mut high) = (at, next);
            while high - low > TimeDelta::seconds(1) {
                let middle = low + TimeDelta::seconds((high - low).num_seconds() / 2);
                if offset(middle) == current {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            let change = high.format("%Y-%m-%d %H:%M:%S");
            let _ = write!(cases, " WHEN at < '{change}' THEN '{current} seconds'");
            current = offset(next);
        }
        at = next;
    }
    let (format, length, rest) = if hourly {
        ("%Y-%m-%d %H:00:00", 13, " || ':00:00'")
    } else {
        ("%Y-%m-%d", 10, "")
    };
    if cases.is_empty() && current == 0 {
        format!("(substr(at, 1, {length}){rest})")
    } else if cases.is_empty() {
        format!("strftime('{format}', at, '{current} seconds')")
    } else {
        format!("strftime('{format}', at, CASE{cases} ELSE '{current} seconds' END)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn weeks_begin_on_sunday_and_the_current_one_ends_today() {
        let monday = day("2026-11-23");
        assert_eq!(
            preset("this_week", monday),
            Some((day("2026-11-22"), monday))
        );
        let last = (day("2026-11-15"), day("2026-11-21"));
        assert_eq!(preset("last_week", monday), Some(last));
        assert_eq!(
            preset("last_month", day("2026-03-31")),
            Some((day("2026-02-01"), day("2026-02-28")))
        );
        assert!(PRESETS.iter().all(|name| preset(name, monday).is_some()));
    }

    #[test]
    fn a_change_of_the_clock_is_a_case_of_the_bucket() {
        let zone = Tz::Europe__Berlin;
        let window = Window::days(day("2026-10-25"), day("2026-10-25"), zone);
        assert_eq!((window.until - window.from).num_hours(), 25);
        let sql = bucket(window, zone, false);
        assert!(
            sql.contains("at < '2026-10-25 01:00:00' THEN '7200 seconds' ELSE '3600 seconds'"),
            "{sql}"
        );
    }
}
