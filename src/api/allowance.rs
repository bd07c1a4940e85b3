//! What an answer's headers say of the rate limit.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderMap;

use super::answer;

/// The longest time to a reset that is believed: an hour, rounded up by whoever counts in minutes.
const LONGEST: Duration = Duration::from_secs(3_660);

/// The highest limit that is believed: what the settings can ask for in ten minutes.
const MOST: usize = 100_000;

/// How old a `Date` may be when it is read: it is cut to the second, and was on its way.
const DATE_AGE: TimeDelta = TimeDelta::seconds(2);

/// What the server allows, as one answer says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Requests in a window, from 1 to 100 000.
    pub(super) limit: usize,
    /// How many of them were left once the request was counted.
    pub(super) remaining: usize,
    /// How long until the server's reset. More than nothing; up to a second too long, as servers
    /// round it up.
    pub(super) reset_in: Duration,
}

impl Allowance {
    /// Reads `X-RateLimit-Limit`, `-Remaining` and `-Reset`; `None` where one is missing or absurd.
    ///
    /// The reset is a time of day. Where the answer has a `Date` that disagrees with our clock, the
    /// server's own clock counts.
    pub(super) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Self> {
        let word = |name: &str| headers.get(name)?.to_str().ok();
        let number = |name: &str| word(name)?.parse::<usize>().ok();
        let limit = number("x-ratelimit-limit").filter(|limit| (1..=MOST).contains(limit))?;
        let remaining = number("x-ratelimit-remaining").filter(|left| *left <= limit)?;
        let reset = word("x-ratelimit-reset")?;
        let date = word("date").and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        let there = date.map(|date| now.clamp(date.to_utc(), date.to_utc() + DATE_AGE));
        let reset_in = [there, Some(now)]
            .into_iter()
            .flatten()
            .filter_map(|now| answer::reset_in(reset, now))
            .find(|wait| !wait.is_zero() && *wait <= LONGEST)?;
        Some(Self {
            limit,
            remaining,
            reset_in,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Option<Allowance> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Allowance::read(&map, "2026-11-23T07:04:36Z".parse().unwrap())
    }

    fn with_reset(reset: &'static str) -> Option<Duration> {
        let headers = [
            ("x-ratelimit-limit", "50"),
            ("x-ratelimit-remaining", "7"),
            ("x-ratelimit-reset", reset),
        ];
        Some(read(&headers)?.reset_in)
    }

    #[test]
    fn a_reset_is_read_in_seconds_in_milliseconds_and_as_a_time_to_go() {
        let expected = Some(Duration::from_secs(9));
        assert_eq!(with_reset("1795417485"), expected);
        assert_eq!(with_reset("1795417485000"), expected);
        assert_eq!(with_reset("9"), expected);
    }

    #[test]
    fn what_is_missing_or_absurd_says_nothing() {
        assert_eq!(read(&[]), None);
        for (limit, remaining, reset) in [
            ("0", "0", "9"),
            ("4000000000", "0", "9"),
            ("50", "51", "9"),
            ("50", "-1", "9"),
            ("many", "7", "9"),
            ("50", "7", "soon"),
            // Past, and in a day
            ("50", "7", "1795417476"),
            ("50", "7", "1795503876"),
        ] {
            let headers = [
                ("x-ratelimit-limit", limit),
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset", reset),
            ];
            assert_eq!(read(&headers), None, "{limit} {remaining} {reset}");
        }
    }

    #[test]
    fn the_clock_of_the_server_counts_where_ours_is_wrong() {
        let headers = |date| {
            [
                ("x-ratelimit-limit", "50"),
                ("x-ratelimit-remaining", "7"),
                ("x-ratelimit-reset", "1795417776"),
                ("date", date),
            ]
        };
        let reset_in = |date| read(&headers(date)).unwrap().reset_in.as_secs();
        assert_eq!(reset_in("Mon, 23 Nov 2026 07:09:28 GMT"), 8);
        // A sandbox that plays another day says its real one: then the reset fits our clock only
        assert_eq!(reset_in("Sat, 12 Dec 2026 12:00:00 GMT"), 300);
    }
}
