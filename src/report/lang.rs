//! How a language writes numbers, durations and days.

use chrono::{Datelike, NaiveDate};

/// A language of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    #[default]
    En,
    De,
    Fr,
}

/// Their tags, in the order of the columns of `words.rs`.
pub const LANGUAGES: [&str; 3] = ["en", "de", "fr"];

const WEEKDAYS: [[&str; 7]; 3] = [
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"],
    ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."],
];

const LONG_WEEKDAYS: [[&str; 7]; 3] = [
    [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ],
    [
        "Montag",
        "Dienstag",
        "Mittwoch",
        "Donnerstag",
        "Freitag",
        "Samstag",
        "Sonntag",
    ],
    [
        "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche",
    ],
];

const MONTHS: [[&str; 12]; 3] = [
    [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ],
    [
        "Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.",
        "Dez.",
    ],
    [
        "janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.",
        "déc.",
    ],
];

const LONG_MONTHS: [[&str; 12]; 3] = [
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
];

impl Lang {
    /// Of a tag: `de`, and `de-AT` alike.
    ///
    /// # Errors
    /// There are no words of it.
    pub fn of(tag: &str) -> Result<Self, String> {
        match tag.split(['-', '_']).next().unwrap_or_default() {
            "en" => Ok(Self::En),
            "de" => Ok(Self::De),
            "fr" => Ok(Self::Fr),
            _ => Err(format!(
                "there are no words in the language `{tag}`: use one of {}",
                LANGUAGES.join(", ")
            )),
        }
    }

    /// Its tag.
    pub fn tag(self) -> &'static str {
        LANGUAGES[self as usize]
    }

    /// Between groups of three digits, and before decimals.
    fn separators(self) -> (char, char) {
        match self {
            Self::En => (',', '.'),
            Self::De => ('.', ','),
            // A space that breaks no line; the narrow one is a box in old mail programs
            Self::Fr => ('\u{a0}', ','),
        }
    }

    /// A whole number with thousands separated: `1,219`, `1.219`, `1 219`.
    pub(super) fn num(self, value: f64) -> String {
        self.decimal(value, 0)
    }

    /// A number with so many decimals.
    pub(super) fn decimal(self, value: f64, decimals: usize) -> String {
        let (group, point) = self.separators();
        let digits = format!("{:.decimals$}", value.abs());
        let (whole, rest) = digits.split_once('.').unwrap_or((&digits, ""));
        let mut text = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push(group);
            }
            text.push(digit);
        }
        if !rest.is_empty() {
            text.push(point);
            text.push_str(rest);
        }
        let is_zero = digits.chars().all(|c| c == '0' || c == '.');
        if value < 0.0 && !is_zero {
            format!("−{text}")
        } else {
            text
        }
    }

    /// A whole number in full as long as people read it digit by digit, and short beyond.
    pub(super) fn figure(self, value: f64) -> String {
        if value.abs() < 1e8 {
            self.num(value)
        } else {
            self.compact(value)
        }
    }

    /// A number where there is little room: `12.3k`, `4M`, `1.2bn`.
    pub(super) fn compact(self, value: f64) -> String {
        let (size, unit) = match value.abs() {
            n if n < 9_999.5 => {
                let decimals = usize::from(n.fract() > 0.05 && n < 10.0);
                return self.decimal(value, decimals);
            }
            n if n < 999_500.0 => (1e3, "k"),
            n if n < 999_500_000.0 => (1e6, "M"),
            n if n < 999_500_000_000.0 => (1e9, "bn"),
            _ => (1e12, "tn"),
        };
        let part = value / size;
        let decimals = usize::from(part < 99.5 && (part * 10.0).round() % 10.0 != 0.0);
        format!("{}{unit}", self.decimal(part, decimals))
    }

    /// Percent, 0 to 100, with so many decimals: `37.6%`, `37,6 %`.
    pub(super) fn percent(self, value: f64, decimals: usize) -> String {
        let number = self.decimal(value, decimals);
        match self {
            Self::En => format!("{number}%"),
            Self::De | Self::Fr => format!("{number}\u{a0}%"),
        }
    }

    /// Seconds: `48 s`, `1 m 20 s`, `1 h 2 m`.
    pub(super) fn duration(self, seconds: f64) -> String {
        let minute = if self == Self::En { "m" } else { "min" };
        let whole = seconds.round().max(0.0);
        let (hours, minutes) = ((whole / 3600.0).floor(), (whole / 60.0).floor());
        if whole < 60.0 {
            format!("{whole} s")
        } else if whole < 3600.0 {
            format!("{minutes} {minute} {} s", whole % 60.0)
        } else {
            format!("{} h {} {minute}", self.num(hours), minutes % 60.0)
        }
    }

    /// A day in a format of strftime, its names in this language.
    ///
    /// # Errors
    /// The format is none.
    pub(super) fn date(self, day: NaiveDate, format: &str) -> Result<String, String> {
        use std::fmt::Write as _;
        let (weekday, month) = (
            day.weekday().num_days_from_monday() as usize,
            day.month0() as usize,
        );
        let lang = self as usize;
        let named = format
            .replace("%a", WEEKDAYS[lang][weekday])
            .replace("%A", LONG_WEEKDAYS[lang][weekday])
            .replace("%b", MONTHS[lang][month])
            .replace("%B", LONG_MONTHS[lang][month]);
        let mut text = String::new();
        write!(text, "{}", day.format(&named))
            .map_err(|_| format!("`{format}` is no date format"))?;
        Ok(text)
    }

    /// The usual format of a day.
    pub(super) fn day_format(self) -> &'static str {
        match self {
            Self::En | Self::Fr => "%-d %b %Y",
            Self::De => "%-d. %b %Y",
        }
    }

    /// Both ends of a window: `Mon 16 – Sun 22 Nov 2026`.
    pub(super) fn span(self, start: NaiveDate, end: NaiveDate) -> String {
        let dot = if self == Self::De { "." } else { "" };
        let day = |day, more: &str| {
            self.date(day, &format!("%a %-d{dot}{more}"))
                .expect("the format is ours")
        };
        let last = day(end, " %b %Y");
        if start == end {
            return last;
        }
        let more = if start.year() != end.year() {
            " %b %Y"
        } else if start.month() != end.month() {
            " %b"
        } else {
            ""
        };
        format!("{} – {last}", day(start, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(Lang::En.num(1_234_567.0), "1,234,567");
        assert_eq!(Lang::De.num(1_234_567.0), "1.234.567");
        assert_eq!(Lang::Fr.num(1219.0), "1\u{a0}219");
        assert_eq!(Lang::En.num(0.0), "0");
        assert_eq!(Lang::En.num(-0.4), "0");
        assert_eq!(Lang::En.num(-1219.0), "−1,219");
        assert_eq!(Lang::De.percent(37.64, 1), "37,6\u{a0}%");
        assert_eq!(Lang::En.duration(48.4), "48 s");
        assert_eq!(Lang::En.duration(80.0), "1 m 20 s");
        assert_eq!(Lang::De.duration(3725.0), "1 h 2 min");
    }

    #[test]
    fn where_there_is_little_room_numbers_are_short() {
        let short = |value| Lang::En.compact(value);
        assert_eq!(short(9_999.0), "9,999");
        assert_eq!(short(12_345.0), "12.3k");
        assert_eq!(short(999_600.0), "1M");
        assert_eq!(short(1_260_000.0), "1.3M");
        assert_eq!(short(4_000_000_000.0), "4bn");
        assert_eq!(short(1e12), "1tn");
        assert_eq!(short(0.5), "0.5");
        assert_eq!(Lang::En.figure(99_999_999.0), "99,999,999");
        assert_eq!(Lang::En.figure(4_294_967_296.0), "4.3bn");
    }

    #[test]
    fn days_have_the_names_of_their_language() {
        assert_eq!(
            Lang::En.date(day("2026-11-03"), "%a %-d %b").unwrap(),
            "Tue 3 Nov"
        );
        assert_eq!(
            Lang::De.date(day("2026-03-03"), "%A, %-d. %B").unwrap(),
            "Dienstag, 3. März"
        );
        assert!(Lang::En.date(day("2026-11-03"), "%Q").is_err());
        let span = |lang: Lang, from: &str, to: &str| lang.span(day(from), day(to));
        assert_eq!(
            span(Lang::En, "2026-11-16", "2026-11-22"),
            "Mon 16 – Sun 22 Nov 2026"
        );
        assert_eq!(
            span(Lang::De, "2026-11-30", "2026-12-06"),
            "Mo 30. Nov. – So 6. Dez. 2026"
        );
        assert_eq!(
            span(Lang::Fr, "2026-12-28", "2027-01-03"),
            "lun. 28 déc. 2026 – dim. 3 janv. 2027"
        );
        assert_eq!(
            span(Lang::En, "2026-11-16", "2026-11-16"),
            "Mon 16 Nov 2026"
        );
    }

    #[test]
    fn a_language_without_words_is_refused_with_those_that_have_some() {
        assert_eq!(Lang::of("de-AT"), Ok(Lang::De));
        assert!(Lang::of("tlh").unwrap_err().contains("en, de, fr"));
    }
}
