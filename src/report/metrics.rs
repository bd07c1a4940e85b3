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

/// The metrics of a window from its rows: those of the one row that covers it. Of several dated rows
/// only page views are summed; uniques and rates are then absent, because they cannot be summed. No
/// row at all is a window without visits: counts are 0, rates absent.
pub fn metrics(rows: &[Value]) -> Map<String, Value> {
    match rows {
        [] => [("visitors", 0), ("pageviews", 0), ("sessions", 0)]
            .map(|(name, zero)| (name.to_owned(), json!(zero)))
            .into_iter()
            .collect(),
        [row] => standard(row),
        rows => {
            let views: Option<f64> = rows
                .iter()
                .map(|row| standard(row)["pageviews"].as_f64())
                .sum();
            views
                .map(|v| ("pageviews".to_owned(), json!(v)))
                .into_iter()
                .collect()
        }
    }
}

/// One row a day from `start` to `end` under standard names; days without data are zeros.
pub fn daily(rows: &[Value], start: NaiveDate, end: NaiveDate) -> Vec<Value> {
    let by_day: BTreeMap<String, Map<String, Value>> = rows
        .iter()
        .filter_map(|row| Some((row["date"].as_str()?.get(..10)?.to_owned(), standard(row))))
        .collect();
    let days = (0..)
        .map(|n| start + Days::new(n))
        .take_while(|day| *day <= end);
    days.map(|day| {
        let mut row = by_day
            .get(&day.to_string())
            .cloned()
            .unwrap_or_else(|| metrics(&[]));
        row.insert("date".to_owned(), json!(day.to_string()));
        Value::Object(row)
    })
    .collect()
}

fn standard(row: &Value) -> Map<String, Value> {
    let number = |name: &&str| match &row[*name] {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let found = NAMES.iter().filter_map(|(standard, names)| {
        Some((
            (*standard).to_owned(),
            json!(names.iter().find_map(number)?),
        ))
    });
    found.collect()
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
        assert_eq!(sum["pageviews"], json!(18.0));
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
    }
}
