//! Random queries against an independent calculation over the raw events.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};

use super::Server;

const DOCS: &str = "website_id=web_acme_docs";
const DIMENSIONS: [(&str, &str, &str); 5] = [
    ("pages", "path", "path"),
    ("traffic", "referrer", "source"),
    ("countries", "country", "country"),
    ("browser_name", "browser_name", "name"),
    ("device_types", "device_type", "name"),
];

/// A page view with what is known of its session.
struct View {
    session: String,
    visitor: String,
    day: String,
    words: BTreeMap<&'static str, String>,
}

/// All page views, out of the list of sessions.
async fn views(server: &Server, days: &Value) -> Vec<View> {
    let sessions = server.rows_of(DOCS, "session_list", days.clone()).await;
    let mut views = Vec::new();
    for session in sessions {
        let text = |key: &str| session[key].as_str().unwrap().to_owned();
        for event in session["events"].as_array().unwrap() {
            if event[2] != "screen_view" {
                continue;
            }
            let mut words: BTreeMap<&str, String> = BTreeMap::new();
            words.insert("path", event[3].as_str().unwrap().to_owned());
            for column in ["referrer", "country", "browser_name", "device_type"] {
                words.insert(column, text(column));
            }
            views.push(View {
                session: text("session_id"),
                visitor: text("visitor_id"),
                day: event[1].as_str().unwrap()[..10].to_owned(),
                words,
            });
        }
    }
    views
}

/// A filter, as the API takes it and as a question to a view.
fn filter(rng: &mut Rng, views: &[View]) -> (Value, impl Fn(&View) -> bool + use<>) {
    let (_, column, _) = DIMENSIONS[rng.usize(..DIMENSIONS.len())];
    let mut word = || views[rng.usize(..views.len())].words[column].clone();
    let (one, other) = (word(), word());
    let part = one[..=rng.usize(..one.len())].to_owned();
    let ops = [
        "eq",
        "ne",
        "contains",
        "not_contains",
        "starts_with",
        "in",
        "not_in",
    ];
    let op = ops[rng.usize(..ops.len())];
    let value = match op {
        "in" | "not_in" => json!([one, other]),
        "eq" | "ne" => json!(one),
        _ => json!(part),
    };
    let keep = move |view: &View| {
        let word = &view.words[column];
        match op {
            "eq" => *word == one,
            "ne" => *word != one,
            "contains" => word.contains(&part),
            "not_contains" => !word.contains(&part),
            "starts_with" => word.starts_with(&part),
            "in" => *word == one || *word == other,
            _ => *word != one && *word != other,
        }
    };
    (json!({ "field": column, "op": op, "value": value }), keep)
}

#[tokio::test]
async fn random_queries_equal_a_calculation_over_the_raw_events() {
    let server = Server::new().await;
    let days = json!({ "startDate": "2026-11-09", "endDate": "2026-11-13" });
    let all = views(&server, &days).await;
    assert!(all.len() > 1_000);
    let mut rng = Rng::with_seed(7);
    for _ in 0..40 {
        let (mut filters, mut keeps) = (Vec::new(), Vec::new());
        for _ in 0..rng.usize(..3) {
            let (filter, keep) = filter(&mut rng, &all);
            filters.push(filter);
            keeps.push(keep);
        }
        let kept: Vec<&View> = all.iter().filter(|v| keeps.iter().all(|k| k(v))).collect();
        let mut query = days.clone();
        query["filters"] = json!(filters);

        let (parameter, column, label) = DIMENSIONS[rng.usize(..DIMENSIONS.len())];
        let mut expected: BTreeMap<&str, (i64, BTreeSet<&str>)> = BTreeMap::new();
        for view in &kept {
            let group = expected.entry(&view.words[column]).or_default();
            group.0 += 1;
            group.1.insert(&view.visitor);
        }
        let rows = server.rows_of(DOCS, parameter, query.clone()).await;
        assert_eq!(rows.len(), expected.len(), "{parameter} {query}");
        for row in &rows {
            let (views, visitors) = &expected[row[label].as_str().unwrap()];
            assert_eq!(row["pageviews"], *views, "{parameter} {query}");
            assert_eq!(row["visitors"], visitors.len(), "{parameter} {query}");
        }
        assert!(rows.is_sorted_by_key(|row| -row["pageviews"].as_i64().unwrap()));

        query["granularity"] = json!("daily");
        let rows = server.rows_of(DOCS, "summary", query.clone()).await;
        let dates: BTreeSet<&str> = kept.iter().map(|view| view.day.as_str()).collect();
        assert_eq!(rows.len(), dates.len(), "{query}");
        for row in rows {
            let day = row["date"].as_str().unwrap();
            let kept: Vec<&&View> = kept.iter().filter(|view| view.day == day).collect();
            let mut sessions: BTreeMap<&str, usize> = BTreeMap::new();
            for view in &kept {
                *sessions.entry(&view.session).or_default() += 1;
            }
            let visitors: BTreeSet<&str> = kept.iter().map(|v| v.visitor.as_str()).collect();
            let bounced = sessions.values().filter(|views| **views == 1).count();
            let rate = 100.0 * bounced as f64 / sessions.len() as f64;
            assert_eq!(row["pageviews"], kept.len(), "{query}");
            assert_eq!(row["visitors"], visitors.len(), "{query}");
            assert_eq!(row["sessions"], sessions.len(), "{query}");
            assert!(
                (row["bounce_rate"].as_f64().unwrap() - rate).abs() < 0.006,
                "{query}"
            );
        }
    }
}
