//! Error answers: the code, the details, and how long to wait, in each spelling of the server.

use std::{fmt::Write as _, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::ApiError;

/// The longest message that is kept: part errors can carry kilobytes of SQL (measured).
const MAX_MESSAGE: usize = 300;

/// The longest wait that a server may ask for.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Reads an error answer.
pub(super) fn refusal(
    status: u16,
    headers: &HeaderMap,
    text: &str,
    now: DateTime<Utc>,
) -> ApiError {
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    // The tracking API says `message` where the query API says `error`
    let said = [word("error"), word("message")]
        .into_iter()
        .find(|text| !text.is_empty());
    let mut message = said.map_or_else(|| "the answer says no more".to_owned(), |text| cut(&text));
    for detail in body["details"].as_array().into_iter().flatten().take(5) {
        if let Some(said) = detail["message"].as_str().filter(|said| *said != message) {
            write!(message, "; {}", cut(said)).expect("writing to a string cannot fail");
        }
        if let Some(suggestion) = detail["suggestion"].as_str() {
            write!(message, " ({})", cut(suggestion)).expect("writing to a string cannot fail");
        }
    }
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(id) = body["requestId"].as_str().or(header("x-request-id")) {
        write!(message, " [request {}]", cut(id)).expect("writing to a string cannot fail");
    }
    ApiError::Refused {
        status,
        code: word("code"),
        message,
        retry_after: retry_after(&header, &body, now).map(|wait| wait.min(MAX_WAIT)),
    }
}

/// How long to wait for the next window of requests, where the headers say it.
pub(super) fn wait_in(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    retry_after(&header, &Value::Null, now).map(|wait| wait.min(MAX_WAIT))
}

/// `Retry-After` in seconds, `retryAfter` in seconds, `reset` as ISO or milliseconds,
/// `X-RateLimit-Reset` in Unix seconds or milliseconds.
fn retry_after<'h>(
    header: &impl Fn(&str) -> Option<&'h str>,
    body: &Value,
    now: DateTime<Utc>,
) -> Option<Duration> {
    if let Some(text) = header("retry-after") {
        if let Some(seconds) = text.parse::<f64>().ok().filter(|s| *s >= 0.0) {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        // RFC 9110 allows a date too
        if let Ok(at) = DateTime::parse_from_rfc2822(text) {
            return Some((at.with_timezone(&Utc) - now).to_std().unwrap_or_default());
        }
    }
    if let Some(seconds) = body["retryAfter"].as_f64().filter(|s| *s >= 0.0) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = |at: i64| {
        let wait = at.saturating_sub(now.timestamp_millis()).max(0);
        Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
    };
    match &body["reset"] {
        Value::String(text) => until(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()),
        Value::Number(number) => until(to_millis(number.as_i64()?)),
        _ => reset_in(header("x-ratelimit-reset")?, now),
    }
}

/// How long until an `X-RateLimit-Reset`, in Unix seconds or milliseconds, or in seconds to go.
pub(super) fn reset_in(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let number: i64 = text.parse().ok()?;
    let wait = if number < SMALLEST_UNIX {
        number.saturating_mul(1000)
    } else {
        to_millis(number).saturating_sub(now.timestamp_millis())
    };
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// A reset below this is no Unix time (it would lie before 2001), but seconds from now.
const SMALLEST_UNIX: i64 = 1_000_000_000;

/// A Unix time in seconds or milliseconds: seconds reach 100 000 000 000 in the year 5138.
fn to_millis(unix: i64) -> i64 {
    if unix < 100_000_000_000 {
        unix * 1000
    } else {
        unix
    }
}

/// A message without control characters and SQL, of bounded length.
pub(super) fn cut(message: &str) -> String {
    let sql = message
        .find(" in scope SELECT")
        .or_else(|| message.find("SELECT "));
    let clean: String = message[..sql.unwrap_or(message.len())]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_MESSAGE)
        .collect();
    let clean = clean.trim();
    if clean.is_empty() {
        "the server gave no reason".to_owned()
    } else {
        clean.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(headers: &[(&'static str, &'static str)], body: &str) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let now = "2026-11-23T07:04:36Z".parse().unwrap();
        match refusal(429, &map, body, now) {
            ApiError::Refused { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_reset_gives_the_same_wait() {
        let expected = Some(Duration::from_secs(84));
        assert_eq!(wait(&[("retry-after", "84")], "{}"), expected);
        assert_eq!(wait(&[], r#"{"retryAfter":84}"#), expected);
        assert_eq!(
            wait(&[], r#"{"reset":"2026-11-23T07:06:00.000Z"}"#),
            expected
        );
        assert_eq!(wait(&[], r#"{"reset":1795417560000}"#), expected);
        assert_eq!(wait(&[("x-ratelimit-reset", "1795417560")], "{}"), expected);
        assert_eq!(
            wait(&[("x-ratelimit-reset", "1795417560000")], "{}"),
            expected
        );
        assert_eq!(
            wait(&[("retry-after", "Mon, 23 Nov 2026 07:06:00 GMT")], "{}"),
            expected
        );
        assert_eq!(wait(&[("retry-after", "84.0")], "{}"), expected);
        assert_eq!(wait(&[("x-ratelimit-reset", "84")], "{}"), expected);
        assert_eq!(wait(&[], "not json"), None);
    }

    #[test]
    fn sql_never_reaches_a_message() {
        let text = cut("Unknown identifier `is_bounce` in scope SELECT secret FROM x");
        assert_eq!(text, "Unknown identifier `is_bounce`");
    }
}
