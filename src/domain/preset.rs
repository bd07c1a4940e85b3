//! Named windows relative to a tick: the API's eleven and ours of whole days.

use chrono::{Datelike, Days, Months, NaiveDate};

/// A named window. The server would resolve its own presets against its own clock, so this program
/// resolves all of them itself, at the tick, and always sends explicit dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// The tick's own day, which is not over.
    Today,
    /// The day before the tick's.
    Yesterday,
    /// Seven days including today.
    Last7d,
    /// Fourteen days including today.
    Last14d,
    /// Thirty days including today.
    Last30d,
    /// Ninety days including today.
    Last90d,
    /// From Sunday until today.
    ThisWeek,
    /// Sunday to Saturday before this week.
    LastWeek,
    /// From the first of the month until today.
    ThisMonth,
    /// The whole month before.
    LastMonth,
    /// From 1 January until today.
    ThisYear,
    /// Seven whole days, ending yesterday.
    Last7FullDays,
    /// Fourteen whole days, ending yesterday.
    Last14FullDays,
    /// Twenty-eight whole days, ending yesterday.
    Last28FullDays,
    /// Thirty whole days, ending yesterday.
    Last30FullDays,
    /// Monday to Sunday before this week.
    LastIsoWeek,
    /// From Monday until today.
    ThisIsoWeek,
}

impl Preset {
    /// All presets with their names, in the order of the contract.
    pub const ALL: [(Self, &'static str); 17] = [
        (Self::Today, "today"),
        (Self::Yesterday, "yesterday"),
        (Self::Last7d, "last_7d"),
        (Self::Last14d, "last_14d"),
        (Self::Last30d, "last_30d"),
        (Self::Last90d, "last_90d"),
        (Self::ThisWeek, "this_week"),
        (Self::LastWeek, "last_week"),
        (Self::ThisMonth, "this_month"),
        (Self::LastMonth, "last_month"),
        (Self::ThisYear, "this_year"),
        (Self::Last7FullDays, "last_7_full_days"),
        (Self::Last14FullDays, "last_14_full_days"),
        (Self::Last28FullDays, "last_28_full_days"),
        (Self::Last30FullDays, "last_30_full_days"),
        (Self::LastIsoWeek, "last_iso_week"),
        (Self::ThisIsoWeek, "this_iso_week"),
    ];

    /// The preset of that name, or `None`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(p, _)| *p)
    }

    /// Its name in YAML.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(p, _)| *p == self)
            .map_or("", |(_, n)| n)
    }

    /// First and last day of the window, both inclusive, seen from `today`.
    pub fn resolve(self, today: NaiveDate) -> (NaiveDate, NaiveDate) {
        let back = |days: u64| today - Days::new(days);
        let sunday = back(u64::from(today.weekday().num_days_from_sunday()));
        let monday = back(u64::from(today.weekday().num_days_from_monday()));
        let first_of_month = today - Days::new(u64::from(today.day0()));
        match self {
            Self::Today => (today, today),
            Self::Yesterday => (back(1), back(1)),
            Self::Last7d => (back(6), today),
            Self::Last14d => (back(13), today),
            Self::Last30d => (back(29), today),
            Self::Last90d => (back(89), today),
            Self::ThisWeek => (sunday, today),
            Self::LastWeek => (sunday - Days::new(7), sunday - Days::new(1)),
            Self::ThisMonth => (first_of_month, today),
            Self::LastMonth => (
                first_of_month - Months::new(1),
                first_of_month - Days::new(1),
            ),
            Self::ThisYear => (today - Days::new(u64::from(today.ordinal0())), today),
            Self::Last7FullDays => (back(7), back(1)),
            Self::Last14FullDays => (back(14), back(1)),
            Self::Last28FullDays => (back(28), back(1)),
            Self::Last30FullDays => (back(30), back(1)),
            Self::LastIsoWeek => (monday - Days::new(7), monday - Days::new(1)),
            Self::ThisIsoWeek => (monday, today),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn every_preset_resolves_as_the_contract_says() {
        // 2026-11-23 is a Monday
        let expected = [
            ("today", "2026-11-23", "2026-11-23"),
            ("yesterday", "2026-11-22", "2026-11-22"),
            ("last_7d", "2026-11-17", "2026-11-23"),
            ("last_14d", "2026-11-10", "2026-11-23"),
            ("last_30d", "2026-10-25", "2026-11-23"),
            ("last_90d", "2026-08-26", "2026-11-23"),
            ("this_week", "2026-11-22", "2026-11-23"),
            ("last_week", "2026-11-15", "2026-11-21"),
            ("this_month", "2026-11-01", "2026-11-23"),
            ("last_month", "2026-10-01", "2026-10-31"),
            ("this_year", "2026-01-01", "2026-11-23"),
            ("last_7_full_days", "2026-11-16", "2026-11-22"),
            ("last_14_full_days", "2026-11-09", "2026-11-22"),
            ("last_28_full_days", "2026-10-26", "2026-11-22"),
            ("last_30_full_days", "2026-10-24", "2026-11-22"),
            ("last_iso_week", "2026-11-16", "2026-11-22"),
            ("this_iso_week", "2026-11-23", "2026-11-23"),
        ];
        for (name, start, end) in expected {
            let preset = Preset::parse(name).unwrap();
            assert_eq!(preset.name(), name);
            let resolved = preset.resolve(day("2026-11-23"));
            assert_eq!(resolved, (day(start), day(end)), "{name}");
        }
        assert_eq!(expected.len(), Preset::ALL.len());
    }

    #[test]
    fn last_month_of_january_is_december_of_the_year_before() {
        let window = Preset::LastMonth.resolve(day("2024-01-31"));
        assert_eq!(window, (day("2023-12-01"), day("2023-12-31")));
    }

    #[test]
    fn last_month_of_march_ends_on_a_leap_day() {
        let window = Preset::LastMonth.resolve(day("2024-03-31"));
        assert_eq!(window, (day("2024-02-01"), day("2024-02-29")));
    }
}
