//! Days and instants as the API spells them.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Days since 1970-01-01 of `2026-11-16`; `None` of anything else.
pub(super) fn to_days(text: &str) -> Option<i32> {
    let (days, rest) = leading_day(text.as_bytes())?;
    rest.is_empty().then_some(())?;
    i32::try_from(days).ok()
}

/// Microseconds since 1970 in UTC. The API writes instants without a zone, meaning UTC.
pub(super) fn to_micros(text: &str) -> Option<i64> {
    plain_micros(text.as_bytes()).or_else(|| odd_micros(text))
}

/// `2026-11-16 10:00:00`, with a `T`, a fraction or a `Z`: all but a few of the API's instants.
fn plain_micros(text: &[u8]) -> Option<i64> {
    let (days, rest) = leading_day(text)?;
    let rest = rest.strip_suffix(b"Z").unwrap_or(rest);
    let [
        b' ' | b'T',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
        fraction @ ..,
    ] = rest
    else {
        return None;
    };
    let (hour, minute, second) = (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let mut value = 0;
            for place in 0..6 {
                value = value * 10 + digits.get(place).map_or(Some(0), |d| digit(*d))?;
            }
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            value
        }
        _ => return None,
    };
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// Instants with an offset, days as their midnight, and what hourly link series have.
fn odd_micros(text: &str) -> Option<i64> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    let plain = text.strip_suffix('Z').unwrap_or(text).replacen('T', " ", 1);
    // Hourly link series have the month's name where the minutes belong (measured)
    let at = NaiveDateTime::parse_from_str(&plain, "%Y-%m-%d %H:%B:%M").ok();
    let day = || plain.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    Some(at.or_else(day)?.and_utc().timestamp_micros())
}

/// The day that a text starts with, in days since 1970, and what follows it.
fn leading_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, rest @ ..] = text else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let (month, day) = (two(*m1, *m2)?, two(*d1, *d2)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    Some((days_from_civil(year, month, day), rest))
}

/// Source: <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>, for years from 0.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_spelling_of_an_instant_is_the_same_one() {
        for text in [
            "2026-11-16 10:00:00",
            "2026-11-16 10:00:00.000",
            "2026-11-16T10:00:00Z",
            "2026-11-16T10:00:00.000000000Z",
            "2026-11-16T12:00:00+02:00",
            "2026-11-16 10:November:00",
        ] {
            assert_eq!(to_micros(text), Some(1_794_823_200_000_000), "{text}");
        }
        assert_eq!(to_micros("2026-11-16"), Some(1_794_787_200_000_000));
        for text in [
            "",
            "2026-02-30 10:00:00",
            "2026-11-16 24:00:00",
            "2026-11-16 10:00",
            "2026-11-16 10:00:00.x",
            "16.11.2026",
        ] {
            assert_eq!(to_micros(text), None, "{text}");
        }
        assert_eq!(to_days("2026-11-16 10:00:00"), None);
    }

    proptest! {
        #[test]
        fn the_quick_way_agrees_with_chrono(micros in -62_135_596_800_000_000_i64..253_402_300_799_999_999) {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(to_micros(&at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()), Some(micros));
            let day = at.date_naive();
            let days = i32::try_from((day - NaiveDate::default()).num_days()).unwrap();
            prop_assert_eq!(to_days(&day.to_string()), Some(days));
        }
    }
}
