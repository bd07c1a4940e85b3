//! Custom queries.

use serde_json::{Value, json};

use super::{SHOP, Server, nothing};

#[tokio::test]
async fn custom_queries_agree_with_a_count_over_the_rows() {
    let server = Server::new().await;
    let pages = server.rows("pages", nothing()).await;
    let selects = json!([
        { "field": "path", "aggregate": "count", "alias": "pageviews" },
        { "field": "anonymous_id", "aggregate": "uniq", "alias": "visitors" },
    ]);
    let views = json!({ "field": "event_name", "op": "eq", "value": "screen_view" });
    let query =
        json!({ "table": "events", "selects": selects, "filters": [views], "groupBy": ["path"] });
    assert_eq!(server.custom(query).await, pages);

    let sessions = server.rows("sessions", nothing()).await;
    let count = |keep: &dyn Fn(&Value) -> bool| sessions.iter().filter(|s| keep(s)).count();
    let durations: Vec<i64> = sessions
        .iter()
        .map(|s| s["duration"].as_i64().unwrap())
        .collect();
    let all = json!([
        { "field": "*", "aggregate": "count", "alias": "n" },
        { "field": "visitor_id", "aggregate": "uniq", "alias": "people" },
        { "field": "duration", "aggregate": "sum", "alias": "total" },
        { "field": "duration", "aggregate": "max" },
        { "field": "duration", "aggregate": "min" },
        { "field": "duration", "aggregate": "avg" },
    ]);
    let row = &server
        .custom(json!({ "table": "sessions", "selects": all }))
        .await[0];
    assert_eq!(row["n"], sessions.len());
    assert_eq!(row["total"], durations.iter().sum::<i64>());
    assert_eq!(row["max_duration"], *durations.iter().max().unwrap());
    assert_eq!(row["min_duration"], 0);
    assert_eq!(
        row["avg_duration"],
        durations.iter().sum::<i64>() as f64 / durations.len() as f64
    );
    for (op, keep) in [
        ("gt", &(|d: i64| d > 60) as &dyn Fn(i64) -> bool),
        ("gte", &|d| d >= 60),
        ("lt", &|d| d < 60),
        ("lte", &|d| d <= 60),
    ] {
        let filters = json!([
            { "field": "duration", "operator": op, "value": 60 },
            { "field": "country", "operator": "ne", "value": "US" },
        ]);
        let selects = json!([{ "field": "*", "aggregate": "count", "alias": "n" }]);
        let query = json!({ "table": "sessions", "selects": selects, "filters": filters });
        let expected = count(&|s| keep(s["duration"].as_i64().unwrap()) && s["country"] != "US");
        assert_eq!(server.custom(query).await[0]["n"], expected, "{op}");
    }
    for (table, name) in [("profiles", "profiles"), ("errors", "recent_errors")] {
        let selects = json!([{ "field": "*", "aggregate": "count", "alias": "n" }]);
        let rows = server.rows(name, nothing()).await.len();
        let query = json!({ "table": table, "selects": selects });
        assert_eq!(server.custom(query).await[0]["n"], rows, "{table}");
    }
    let selects = json!([{ "field": "metric_value", "aggregate": "avg", "alias": "mean" }]);
    let query = json!({ "table": "performance", "selects": selects, "groupBy": ["metric_name"] });
    let overview = server.rows("vitals_overview", nothing()).await;
    for row in server.custom(query).await {
        let same = overview
            .iter()
            .find(|o| o["metric_name"] == row["metric_name"])
            .unwrap();
        assert_eq!(row["mean"], same["avg_value"]);
    }
}

#[tokio::test]
async fn custom_queries_refuse_what_they_do_not_know() {
    let server = Server::new().await;
    let count = json!({ "field": "*", "aggregate": "count" });
    let cases = [
        json!({ "table": "secrets", "selects": [count] }),
        json!({ "table": "events", "selects": [] }),
        json!({ "table": "events", "selects": vec![count.clone(); 11] }),
        json!({ "table": "events", "selects": [count, count] }),
        json!({ "table": "events", "selects": [{ "field": "*", "aggregate": "sum" }] }),
        json!({ "table": "events", "selects": [{ "field": "ip", "aggregate": "uniq" }] }),
        json!({ "table": "events", "selects": [{ "field": "path", "aggregate": "median" }] }),
        json!({ "table": "events", "selects": [{ "field": "*", "aggregate": "count", "alias": "n; drop" }] }),
        json!({ "table": "events", "selects": [count], "groupBy": ["nope"] }),
        json!({ "table": "events", "selects": [count], "groupBy": ["path", "city", "region", "country", "referrer", "language"] }),
        json!({ "table": "events", "selects": [count], "filters": [{ "field": "load_time", "operator": "gt", "value": "abc" }] }),
    ];
    for query in cases {
        let body = json!({ "query": query, "startDate": "2026-11-10", "endDate": "2026-11-16" });
        let answer = server
            .post(&format!("/v1/query/custom?{SHOP}"), &body)
            .await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("VALIDATION_ERROR")),
            "{body}: {}",
            answer.body
        );
    }
}
