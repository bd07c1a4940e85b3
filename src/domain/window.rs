//! The calendar days that a run reports on. The window is the identity of files and mails.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;

use super::preset::Preset;

/// How the server counts days (`api.days`). Never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerDays {
    /// The server filters by whole UTC days, whatever zone it is told: all known servers.
    #[default]
    Utc,
    /// The server takes instants with an offset, so days are those of the job's zone.
    Local,
}

/// What a job says about its window, before a tick is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSpec {
    /// A preset, resolved at the tick.
    Preset(Preset),
    /// Fixed days, both inclusive.
    Fixed {
        /// The first day.
        start: NaiveDate,
        /// The last day, not before `start`.
        end: NaiveDate,
    },
}

/// Days from `start` to `end`, both inclusive, of the zone `timezone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first day.
    pub start: NaiveDate,
    /// The last day, not before `start`.
    pub end: NaiveDate,
    /// The zone whose days these are: UTC where the server counts UTC days.
    pub timezone: Tz,
}

impl WindowSpec {
    /// The window of a run that is due at `tick`, in days of `zone`, or of UTC where the server
    /// counts UTC days. Depends on the tick alone, never on when the run really starts.
    pub fn resolve(self, tick: DateTime<Utc>, days: ServerDays, zone: Tz) -> Window {
        let timezone = match days {
            ServerDays::Utc => Tz::UTC,
            ServerDays::Local => zone,
        };
        let (start, end) = match self {
            Self::Fixed { start, end } => (start, end),
            Self::Preset(preset) => preset.resolve(tick.with_timezone(&timezone).date_naive()),
        };
        Window {
            start,
            end,
            timezone,
        }
    }
}

impl Window {
    /// From the first day to the last of several windows; `None` of none.
    pub fn span(windows: impl IntoIterator<Item = Self>) -> Option<Self> {
        windows.into_iter().reduce(|all, window| Self {
            start: all.start.min(window.start),
            end: all.end.max(window.end),
            ..all
        })
    }

    /// How many days, at least 1.
    pub fn days(&self) -> u64 {
        u64::try_from((self.end - self.start).num_days() + 1).unwrap_or(1)
    }

    /// Each day as a window of its own, oldest first.
    pub fn each_day(&self) -> impl Iterator<Item = Self> + use<> {
        let window = *self;
        (0..self.days()).map(move |n| {
            let day = window.start + Days::new(n);
            Self {
                start: day,
                end: day,
                ..window
            }
        })
    }

    /// The window of the same length that ends the day before this one starts.
    #[must_use]
    pub fn previous(&self) -> Self {
        Self {
            start: self.start - Days::new(self.days()),
            end: self.start - Days::new(1),
            ..*self
        }
    }

    /// The same days of the year before; 29 February becomes 28 February.
    #[must_use]
    pub fn same_last_year(&self) -> Self {
        Self {
            start: self.start - Months::new(12),
            end: self.end - Months::new(12),
            ..*self
        }
    }

    /// Whether the window was over at `instant`: a window that contains the tick's own day is not.
    pub fn is_over_at(&self, instant: DateTime<Utc>) -> bool {
        instant.with_timezone(&self.timezone).date_naive() > self.end
    }

    /// The first and the last second of the window with their UTC offsets, as a server with
    /// `api.days: local` takes them (`2026-03-29T00:00:00+01:00`, `2026-03-29T23:59:59+02:00`).
    pub fn to_api_instants(&self) -> (String, String) {
        let last =
            day_start(self.end + Days::new(1), self.timezone) - chrono::TimeDelta::seconds(1);
        let text = |at: DateTime<Tz>| at.to_rfc3339_opts(SecondsFormat::Secs, false);
        (text(day_start(self.start, self.timezone)), text(last))
    }

    /// The days in words: "Mon 16 – Sun 22 Nov 2026", with month and year where they differ.
    pub fn label(&self) -> String {
        let (start, end) = (self.start, self.end);
        if start == end {
            return start.format("%a %-d %b %Y").to_string();
        }
        let left = if start.year() != end.year() {
            "%a %-d %b %Y"
        } else if start.month() != end.month() {
            "%a %-d %b"
        } else {
            "%a %-d"
        };
        format!("{} – {}", start.format(left), end.format("%a %-d %b %Y"))
    }
}

/// The first instant of a day in a zone. Where clocks jump over midnight, the day starts at the
/// end of the gap; where midnight happens twice, at the first.
pub fn day_start(day: NaiveDate, zone: Tz) -> DateTime<Tz> {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    if let Some(at) = zone.from_local_datetime(&midnight).earliest() {
        return at;
    }
    // In a gap: the zone's transition lies within the day before; a binary search over UTC finds it
    let mut before = Utc.from_utc_datetime(&(midnight - chrono::TimeDelta::hours(36)));
    let mut after = Utc.from_utc_datetime(&(midnight + chrono::TimeDelta::hours(36)));
    while after - before > chrono::TimeDelta::seconds(1) {
        let middle = before + (after - before) / 2;
        if middle.with_timezone(&zone).naive_local() < midnight {
            before = middle;
        } else {
            after = middle;
        }
    }
    let at = after.with_timezone(&zone);
    at - chrono::TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(start: &str, end: &str) -> Window {
        Window {
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            timezone: Tz::UTC,
        }
    }

    #[test]
    fn labels_say_month_and_year_once() {
        let label = |start, end| window(start, end).label();
        assert_eq!(
            label("2026-11-16", "2026-11-22"),
            "Mon 16 – Sun 22 Nov 2026"
        );
        assert_eq!(
            label("2026-10-26", "2026-11-01"),
            "Mon 26 Oct – Sun 1 Nov 2026"
        );
        assert_eq!(
            label("2026-12-28", "2027-01-03"),
            "Mon 28 Dec 2026 – Sun 3 Jan 2027"
        );
        assert_eq!(label("2026-11-22", "2026-11-22"), "Sun 22 Nov 2026");
    }

    #[test]
    fn local_instants_carry_the_offset_of_each_edge() {
        let berlin = Window {
            timezone: Tz::Europe__Berlin,
            ..window("2026-03-29", "2026-03-29")
        };
        let (start, end) = berlin.to_api_instants();
        assert_eq!(start, "2026-03-29T00:00:00+01:00");
        assert_eq!(end, "2026-03-29T23:59:59+02:00");
    }

    #[test]
    fn a_day_without_midnight_starts_at_the_end_of_the_gap() {
        // Beirut skips 2021-03-28 00:00 to 01:00
        let start = day_start("2021-03-28".parse().unwrap(), Tz::Asia__Beirut);
        assert_eq!(start.to_rfc3339(), "2021-03-28T01:00:00+03:00");
    }

    #[test]
    fn utc_days_ignore_the_zone_of_the_job() {
        let tick = "2026-11-23T23:30:00Z".parse().unwrap();
        let spec = WindowSpec::Preset(Preset::Yesterday);
        let utc = spec.resolve(tick, ServerDays::Utc, Tz::Asia__Tokyo);
        assert_eq!(utc, window("2026-11-22", "2026-11-22"));
        let local = spec.resolve(tick, ServerDays::Local, Tz::Asia__Tokyo);
        assert_eq!(local.start.to_string(), "2026-11-23");
        assert_eq!(local.timezone, Tz::Asia__Tokyo);
    }

    proptest! {
        #[test]
        fn days_of_every_zone_join_without_gap_or_overlap(
            zone in 0..chrono_tz::TZ_VARIANTS.len(),
            day in 0_u64..25_000,
        ) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let epoch = NaiveDate::from_ymd_opt(1980, 1, 1).unwrap();
            let day = epoch + Days::new(day);
            let start = day_start(day, zone);
            let next = day_start(day + Days::new(1), zone);
            prop_assert!(next >= start, "{zone} {day}: {start} {next}");
            // The second before a day starts is never that day
            let before = start - chrono::TimeDelta::seconds(1);
            prop_assert!(before.date_naive() < day, "{zone} {day}: {before}");
            // A zone that skips a whole day (Samoa, 2011) gives an empty one
            if next > start {
                prop_assert_eq!(start.date_naive(), day);
            }
        }

        #[test]
        fn a_late_run_reports_the_days_of_its_tick(
            zone in 0..chrono_tz::TZ_VARIANTS.len(),
            tick in 946_684_800_i64..1_893_456_000,
            preset in 0..Preset::ALL.len(),
        ) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let tick = Utc.timestamp_opt(tick, 0).unwrap();
            let spec = WindowSpec::Preset(Preset::ALL[preset].0);
            for days in [ServerDays::Utc, ServerDays::Local] {
                let window = spec.resolve(tick, days, zone);
                prop_assert!(window.start <= window.end);
                prop_assert_eq!(window.each_day().count() as u64, window.days());
                prop_assert_eq!(window.previous().days(), window.days());
                prop_assert_eq!(window.previous().end + Days::new(1), window.start);
                let contains_today = !window.is_over_at(tick);
                let today = tick.with_timezone(&window.timezone).date_naive();
                prop_assert_eq!(contains_today, window.end >= today);
            }
        }
    }
}
