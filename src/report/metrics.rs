//! Metrics under standard names, whatever the server's generation calls them.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use serde_json::{Map, Value, json};

/// Standard names with the server's names of each generation, the best first.
const NAMES: [(&str, &[&str]); 5] = [
    ("visitors", &["visitors", "unique_visitors"]),
    ("pageviews", &["pageviews", "page_views"]),
    ("sessions", &["sessions"]),
    ("bounce_rate", &["bounce_rate"]),
    (
        "session_duration",
        &[
            "session_duration",
            "median_session_duration",
            "avg_session_duration",
        ],
    ),
];

/// The standard names.
pub(super) const STANDARD: [&str; 5] = [NAMES[0].0, NAMES[1].0, NAMES[2].0, NAMES[3].0, NAMES[4].0];

/// The names that count something.
const COUNTS: [&str; 3] = ["visitors", "pageviews", "sessions"];

/// The metrics of a window from all of its rows: those of the one row that covers it. Of several
/// rows only page views are summed; uniques and rates are then absent, because they cannot be summed.
/// No row at all is a window without visits: counts are 0, rates absent.
pub fn metrics(rows: &[Value]) -> Map<String, Value> {
    match rows {
        [] => zeros(),
        [row] => standard(row),
        rows => {
            let views: Option<f64> = rows
                .iter()
                .map(|row| standard(row).get("pageviews").and_then(Value::as_f64))
                .sum();
            views
                .map(|v| ("pageviews".to_owned(), to_value(v)))
                .into_iter()
                .collect()
        }
    }
}

/// Whether nobody came: no row, or only such as count nothing.
pub fn is_empty(rows: &[Value]) -> bool {
    rows.iter().all(|row| {
        let metrics = standard(row);
        let counts = COUNTS
            .iter()
            .filter_map(|name| metrics.get(*name)?.as_f64());
        let counts: Vec<f64> = counts.collect();
        !counts.is_empty() && counts.iter().all(|count| *count == 0.0)
    })
}

/// One row a day from `start` to `end` under standard names. Days without data are zeros, of the
/// names that the other days have.
pub fn daily(rows: &[Value], start: NaiveDate, end: NaiveDate) -> Vec<Value> {
    let by_day: BTreeMap<String, Map<String, Value>> = rows
        .iter()
        .filter_map(|row| Some((row["date"].as_str()?.get(..10)?.to_owned(), standard(row))))
        .collect();
    let mut nothing = zeros();
    if !by_day.is_empty() {
        nothing.retain(|name, _| by_day.values().any(|day| day.contains_key(name)));
    }
    let days = (0..)
        .map(|n| start + Days::new(n))
        .take_while(|day| *day <= end);
    days.map(|day| {
        let mut row = by_day
            .get(&day.to_string())
            .cloned()
            .unwrap_or_else(|| nothing.clone());
        row.insert("date".to_owned(), json!(day.to_string()));
        Value::Object(row)
    })
    .collect()
}

fn zeros() -> Map<String, Value> {
    COUNTS
        .map(|name| (name.to_owned(), json!(0)))
        .into_iter()
        .collect()
}

fn standard(row: &Value) -> Map<String, Value> {
    let number = |name: &&str| match &row[*name] {
        Value::Number(number) => number.as_f64(),
        // A word that counts as a number for Rust (`nan`) is none here
        Value::String(text) => text.parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    };
    let found = NAMES.iter().filter_map(|(standard, names)| {
        let number = names.iter().find_map(number)?;
        Some(((*standard).to_owned(), to_value(number)))
    });
    found.collect()
}

/// A whole number without a point.
fn to_value(number: f64) -> Value {
    // Beyond this, numbers with a point skip whole ones
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < LARGEST {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole and small enough"
        )]
        return json!(number as i64);
    }
    json!(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_gives_the_same_names() {
        let seed = json!({ "date": "2026-11-16", "visitors": 5, "pageviews": 9, "session_duration": 48.5 });
        let server =
            json!({ "unique_visitors": "5", "pageviews": 9, "median_session_duration": 48.5 });
        assert_eq!(metrics(&[seed]), metrics(&[server]));
    }

    #[test]
    fn uniques_are_never_summed() {
        let row = json!({ "date": "2026-11-16", "visitors": 5, "pageviews": 9, "sessions": 6 });
        let sum = metrics(&[row.clone(), row]);
        assert_eq!(sum["pageviews"], 18);
        assert!(!sum.contains_key("visitors") && !sum.contains_key("sessions"));
    }

    #[test]
    fn days_without_data_are_zeros() {
        let rows = [json!({ "date": "2026-11-17", "visitors": 5, "pageviews": 9 })];
        let day = |text: &str| text.parse().unwrap();
        let days = daily(&rows, day("2026-11-16"), day("2026-11-18"));
        let visitors: Vec<_> = days
            .iter()
            .map(|d| d["visitors"].as_f64().unwrap())
            .collect();
        assert_eq!(visitors, [0.0, 5.0, 0.0]);
        assert_eq!(days[0]["date"], "2026-11-16");
        // What no day holds is not there on empty days either
        assert!(days[0].get("sessions").is_none());
        let none = daily(&[], day("2026-11-16"), day("2026-11-16"));
        assert_eq!(none[0]["sessions"], 0);
    }

    #[test]
    fn what_the_answer_does_not_hold_is_absent() {
        let words =
            json!({ "visitors": "nan", "pageviews": null, "sessions": "-", "bounce_rate": "inf" });
        assert!(metrics(&[words]).is_empty());
        // One row without page views: the sum would lack it
        let rows = [json!({ "pageviews": 3 }), json!({ "name": "/x" })];
        assert!(metrics(&rows).is_empty());
    }

    #[test]
    fn a_row_of_zeros_is_as_empty_as_no_row() {
        assert!(is_empty(&[]));
        assert!(is_empty(&[
            json!({ "unique_visitors": 0, "pageviews": "0", "bounce_rate": 0 })
        ]));
        assert!(!is_empty(&[
            json!({ "unique_visitors": 0, "pageviews": 1 })
        ]));
        // Rows that count nothing known are something all the same
        assert!(!is_empty(&[json!({ "message": "boom" })]));
    }
}
