//! A cron expression as croner reads it, in the form in which thousands of jobs keep theirs.
//!
//! What croner keeps of an expression takes six kilobytes and a tenth of a millisecond, most of both
//! for its years. Jobs have many different times of the day and few different days: the times are kept
//! as bits, and the days, which croner looks for, are read once for all expressions that share them.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};

/// Wall times: on each of its days each of its times.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// A bit for each value of the field.
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: Arc<Days>,
}

/// What croner calls nicknames.
const MACROS: [(&str, &str); 6] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@daily", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

thread_local! {
    /// A job's expression is read twice in a row, when its key is checked and when the job is made; and
    /// of many jobs with one expression each is read after the other.
    static LAST: RefCell<Option<(String, Expression)>> = const { RefCell::new(None) };
}

impl Expression {
    /// # Errors
    /// In words: what is wrong with it.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        let is_same = |(last, _): &&(String, Self)| last == text;
        let last = LAST.with_borrow(|last| last.as_ref().filter(is_same).map(|(_, e)| e.clone()));
        if let Some(last) = last {
            return Ok(last);
        }
        let read = Self::read(text)?;
        LAST.set(Some((text.to_owned(), read.clone())));
        Ok(read)
    }

    fn read(text: &str) -> Result<Self, String> {
        let is_it = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(text.trim());
        let plain = MACROS.iter().find(is_it).map_or(text, |(_, plain)| plain);
        let mut fields: Vec<&str> = plain.split_whitespace().collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        if fields.len() == 6 {
            fields.push("*");
        }
        let [second, minute, hour, day, month, weekday, year] = fields.as_slice() else {
            return Err(parse(text).expect_err("croner wants five to seven fields"));
        };
        // One year in place of five thousand, which alone take most of the time
        let all = format!("{second} {minute} {hour} {day} {month} {weekday} 2000");
        let pattern = parse(&all)?.pattern;
        let bits = |values: Vec<u16>| values.into_iter().fold(0, |bits, value| bits | 1 << value);
        Ok(Self {
            seconds: bits(pattern.seconds.values()),
            minutes: bits(pattern.minutes.values()),
            hours: bits(pattern.hours.values()),
            days: Days::of(format!("0 0 0 {day} {month} {weekday} {year}"))?,
        })
    }

    /// Whether it means times of the day. One of every hour follows the clocks as they go: nothing of
    /// it is moved, and an hour that happens twice is two hours.
    pub(super) fn has_hours(&self) -> bool {
        self.hours.count_ones() < 24
    }

    /// `0 0 31 2 *` can be read and is never due.
    pub(super) fn is_ever_due(&self) -> bool {
        self.days.are_any && self.time_from(NaiveTime::MIN).is_some()
    }

    /// The first wall time from `wall`, a whole second, on. Clocks do not jump here: it is read as UTC.
    pub(super) fn wall_from(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut day = self.days.from(wall.date())?;
        if day == wall.date() {
            if let Some(time) = self.time_from(wall.time()) {
                return Some(day.and_time(time));
            }
            day = self.days.from(day.succ_opt()?)?;
        }
        Some(day.and_time(self.time_from(NaiveTime::MIN)?))
    }

    /// The first time of any of its days from `time` on.
    fn time_from(&self, time: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let is_hour = next(self.hours, hour) == Some(hour);
        let is_minute = is_hour && next(self.minutes, minute) == Some(minute);
        let in_minute = next(self.seconds, second).filter(|_| is_minute);
        let in_hour = next(self.minutes, minute + 1).filter(|_| is_hour);
        let (hour, minute, second) = match (in_minute, in_hour) {
            (Some(second), _) => (hour, minute, second),
            (None, Some(minute)) => (hour, minute, next(self.seconds, 0)?),
            (None, None) => {
                let hour = next(self.hours, if is_hour { hour + 1 } else { hour })?;
                (hour, next(self.minutes, 0)?, next(self.seconds, 0)?)
            }
        };
        NaiveTime::from_hms_opt(hour, minute, second)
    }
}

/// The first value from `from` on whose bit is set.
fn next(bits: u64, from: u32) -> Option<u32> {
    let left = bits >> from;
    (left != 0).then(|| from + left.trailing_zeros())
}

/// The days of an expression: croner is due at midnight of each.
struct Days {
    cron: Cron,
    are_any: bool,
    /// Every day, as of most expressions: croner, which counts through all years at each question, need
    /// not be asked.
    are_all: bool,
}

impl fmt::Debug for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cron.pattern)
    }
}

/// Years that croner knows, but for the last.
const YEARS: std::ops::Range<i32> = 1..5000;

/// So many are known by their text; then the table begins anew.
const KNOWN: usize = 1_024;

static DAYS: Mutex<Option<HashMap<String, Arc<Days>>>> = Mutex::new(None);

impl Days {
    fn of(text: String) -> Result<Arc<Self>, String> {
        let lock = || DAYS.lock().expect("nothing panics while it is held");
        if let Some(days) = lock().as_ref().and_then(|known| known.get(&text)) {
            return Ok(Arc::clone(days));
        }
        let cron = parse(&text)?;
        let is_every = |field: &str| matches!(field, "*" | "?");
        let mut days = Self {
            cron,
            are_any: true,
            are_all: text.split_whitespace().skip(3).all(is_every),
        };
        // Any fixed instant shows whether there are some
        let any = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        days.are_any = days.from(any.date_naive()).is_some();
        let days = Arc::new(days);
        let mut known = lock();
        let known = known.get_or_insert_default();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(text, Arc::clone(&days));
        Ok(days)
    }

    /// The first of them from `day` on.
    fn from(&self, day: NaiveDate) -> Option<NaiveDate> {
        if self.are_all && YEARS.contains(&day.year()) {
            return Some(day);
        }
        let midnight = day.and_time(NaiveTime::MIN).and_utc();
        let found = self.cron.find_next_occurrence(&midnight, true);
        found.ok().map(|found| found.date_naive())
    }
}

/// The expression as croner has it.
///
/// # Errors
/// In words: what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).build();
    parser.parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_croner(text: &str, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let next = parse(text)
            .unwrap()
            .find_next_occurrence(&wall.and_utc(), true);
        next.ok().map(|next| next.naive_utc())
    }

    fn field(values: std::ops::Range<u32>) -> impl Strategy<Value = String> {
        let (least, last) = (values.start, values.end - 1);
        prop_oneof![
            Just("*".to_owned()),
            values.clone().prop_map(|value| value.to_string()),
            prop::collection::vec(values.clone(), 1..4).prop_map(|values| {
                let values: Vec<String> = values.iter().map(u32::to_string).collect();
                values.join(",")
            }),
            (2_u32..9).prop_map(|step| format!("*/{step}")),
            values.prop_map(move |value| format!("{least}-{value}")),
            Just(format!("{last}")),
        ]
    }

    fn of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::sample::select(texts).prop_map(str::to_owned)
    }

    fn days() -> impl Strategy<Value = String> {
        let day = prop_oneof![field(1..32), of(&["L", "15W", "LW", "?"]),];
        let weekday = prop_oneof![field(0..8), of(&["MON-FRI", "5L", "1#2", "+1", "sun"]),];
        let year = prop_oneof![Just(""), Just(" *"), Just(" 2030-2040")];
        (day, field(1..13), weekday, year)
            .prop_map(|(day, month, weekday, year)| format!("{day} {month} {weekday}{year}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn it_means_what_croner_means_by_it(
            times in (field(0..60), field(0..60), field(0..24)),
            days in days(),
            second in 0_i64..400_000_000,
        ) {
            let text = format!("{} {} {} {days}", times.0, times.1, times.2);
            let mut wall = (DateTime::UNIX_EPOCH + TimeDelta::days(20_000)).naive_utc()
                + TimeDelta::seconds(second);
            let expression = Expression::of(&text).unwrap();
            for _ in 0..20 {
                let next = expression.wall_from(wall);
                prop_assert_eq!(next, by_croner(&text, wall), "{} from {}", text, wall);
                let Some(next) = next else { break };
                wall = next + TimeDelta::seconds(1);
            }
        }
    }

    #[test]
    fn macros_and_five_fields_mean_what_croner_means_by_them() {
        let texts = MACROS.iter().flat_map(|(name, plain)| [*name, plain]);
        for text in texts.chain(["@Daily ", " 30 2  * * mon", "0 0 29 2 *"]) {
            let expression = Expression::of(text).unwrap();
            let mut wall = DateTime::UNIX_EPOCH.naive_utc() + TimeDelta::seconds(77);
            for _ in 0..50 {
                let next = expression.wall_from(wall);
                assert_eq!(next, by_croner(text, wall), "{text}");
                wall = next.unwrap() + TimeDelta::seconds(1);
            }
        }
    }

    #[test]
    fn expressions_with_the_same_days_share_what_croner_keeps_of_them() {
        let of = |text| Expression::of(text).unwrap().days;
        assert!(Arc::ptr_eq(&of("7 3 1 8 TUE"), &of("*/5 8 4 1 8 TUE")));
        assert!(!Arc::ptr_eq(&of("7 3 1 8 TUE"), &of("7 3 1 8 WED")));
    }

    #[test]
    fn what_croner_refuses_is_refused_in_its_words() {
        for text in [
            "",
            "@never",
            "* * * *",
            "60 * * * *",
            "0 x * * *",
            "0 0 * * * * x",
            "1 2 3 4 5 6 7 8",
        ] {
            let error = Expression::of(text).unwrap_err();
            assert_eq!(error, parse(text).unwrap_err(), "{text}");
        }
        for text in ["0 0 31 2 *", ", 0 * * *"] {
            assert!(!Expression::of(text).unwrap().is_ever_due(), "{text}");
        }
    }
}
