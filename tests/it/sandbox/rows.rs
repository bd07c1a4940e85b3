//! Rows: every type, days, filters, pages, presets.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{NOW, SEED_LINK_TYPES, SEED_TYPES, SHOP, Server, listed, nothing, place_of, sum};

#[tokio::test]
async fn every_listed_type_answers_rows_with_the_columns_that_the_catalogue_lists() {
    let server = Server::new().await;
    let listed = listed(&server).await;
    for name in SEED_TYPES.iter().chain(&SEED_LINK_TYPES) {
        assert!(listed.iter().any(|(listed, _)| listed == name), "{name}");
    }
    for (name, columns) in listed {
        for granularity in [Value::Null, json!("daily"), json!("hourly")] {
            let rest = json!({ "granularity": granularity, "limit": 10 });
            let rows = server.rows_of(place_of(&name), &name, rest).await;
            assert!(!rows.is_empty(), "{name} {granularity}");
            let first: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
            let dated = SEED_TYPES.contains(&name.as_str()) && !granularity.is_null();
            if !dated && name != "summary_metrics" {
                assert_eq!(first, columns.iter().collect::<Vec<_>>(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_days_rows_are_the_same_whatever_the_present_instant_is() {
    let day = json!({ "startDate": "2026-11-10", "endDate": "2026-11-10" });
    let one = Server::new().await;
    let later = Arc::new(tempfile::tempdir().unwrap());
    let other = Server::over(later, "2027-01-30T23:00:00Z", |_| {}).await;
    let another = Server::with(|options| options.seed = 2).await;
    for name in [
        "summary",
        "session_list",
        "recent_errors",
        "vitals_overview",
        "outbound_links",
    ] {
        let rows = one.rows(name, day.clone()).await;
        assert_eq!(rows, other.rows(name, day.clone()).await, "{name}");
        assert_ne!(rows, another.rows(name, day.clone()).await, "{name}");
    }
    let link = "link_id=link_newsletter";
    let rows = one.rows_of(link, "link_top_cities", day.clone()).await;
    assert_eq!(rows, other.rows_of(link, "link_top_cities", day).await);
}

#[tokio::test]
async fn rows_later_than_now_do_not_show_and_a_later_now_shows_more() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let day = json!({ "startDate": "2026-11-23", "endDate": "2026-11-23" });
    let morning = Server::over(state.clone(), NOW, |_| {}).await;
    let rows = morning.rows("session_list", day.clone()).await;
    assert!(!rows.is_empty());
    for row in &rows {
        assert!(
            row["last_visit"].as_str().unwrap() <= "2026-11-23 07:04:36",
            "{row}"
        );
    }
    let evening = Server::over(state, "2026-11-23T20:00:00Z", |_| {}).await;
    assert!(evening.rows("session_list", day.clone()).await.len() > rows.len());
    // 120 days back there are rows, and none before
    let first = json!({ "startDate": "2026-07-26", "endDate": "2026-07-26" });
    assert_eq!(morning.rows("summary", first).await.len(), 1);
    let before = json!({ "startDate": "2026-07-20", "endDate": "2026-07-25" });
    assert_eq!(morning.rows("summary", before).await.len(), 0);
    assert!(morning.state.path().join("api-2-1.db").is_file());
}

#[tokio::test]
async fn daily_and_hourly_rows_add_up_to_the_totals() {
    let server = Server::new().await;
    let total = sum(&server.rows("summary", nothing()).await, "pageviews");
    assert!(total > 3_000, "{total}");
    for (name, granularity, rows) in [
        ("summary", "daily", 7),
        ("summary", "hourly", 7 * 24),
        ("events_by_date", "daily", 7),
    ] {
        let dated = server
            .rows(name, json!({ "granularity": granularity }))
            .await;
        assert_eq!(sum(&dated, "pageviews"), total, "{name} {granularity}");
        assert!(
            dated.len() <= rows && dated.len() > rows / 2,
            "{name} {granularity}"
        );
        assert!(dated.is_sorted_by_key(|row| row["date"].as_str().unwrap().to_owned()));
    }
    for name in [
        "pages",
        "traffic",
        "countries",
        "cities",
        "browser_name",
        "os_name",
        "device_types",
        "region",
    ] {
        let rows = server.rows(name, nothing()).await;
        assert_eq!(sum(&rows, "pageviews"), total, "{name}");
    }
    let sessions = server.rows("sessions", nothing()).await;
    assert_eq!(sum(&sessions, "page_views"), total);
    let summary = &server.rows("summary", nothing()).await[0];
    assert_eq!(summary["sessions"], sessions.len());
    assert_eq!(
        summary["visitors"],
        server.rows("profiles", nothing()).await.len()
    );
    let bounced = sessions.iter().filter(|s| s["page_views"] == 1).count();
    let rate = (bounced as f64 / sessions.len() as f64 * 10_000.0).round() / 100.0;
    assert_eq!(summary["bounce_rate"], rate);

    let errors = sum(&server.rows("errors", nothing()).await, "count");
    let dated = server
        .rows("errors", json!({ "granularity": "daily" }))
        .await;
    assert_eq!(sum(&dated, "errors"), errors);
    let link = "link_id=link_launch";
    let clicks = server.rows_of(link, "link_total_clicks", nothing()).await[0]["total"].clone();
    for name in [
        "link_clicks_by_day",
        "link_top_referrers",
        "link_top_countries",
        "link_top_devices",
        "link_top_browsers",
    ] {
        let rows = server.rows_of(link, name, nothing()).await;
        assert_eq!(sum(&rows, "clicks"), clicks, "{name}");
    }
}

/// Whether a page stays.
type Keep<'a> = &'a dyn Fn(&str) -> bool;

#[tokio::test]
async fn filters_agree_with_the_unfiltered_rows() {
    let server = Server::new().await;
    let pages = server.rows("pages", nothing()).await;
    let expected = |keep: &dyn Fn(&str) -> bool| {
        let kept = pages
            .iter()
            .filter(|row| keep(row["path"].as_str().unwrap()));
        kept.map(|row| row["pageviews"].as_i64().unwrap())
            .sum::<i64>()
    };
    let cases: [(&str, Value, Keep<'_>); 7] = [
        ("eq", json!("/docs"), &|path| path == "/docs"),
        ("ne", json!("/docs"), &|path| path != "/docs"),
        ("contains", json!("blog/"), &|path| path.contains("blog/")),
        ("not_contains", json!("blog/"), &|path| {
            !path.contains("blog/")
        }),
        ("starts_with", json!("/docs"), &|path| {
            path.starts_with("/docs")
        }),
        ("in", json!(["/", "/cart"]), &|path| {
            ["/", "/cart"].contains(&path)
        }),
        ("not_in", json!(["/", "/cart"]), &|path| {
            !["/", "/cart"].contains(&path)
        }),
    ];
    for (op, value, keep) in cases {
        let filters = json!([{ "field": "path", "op": op, "value": value }]);
        let rows = server.rows("pages", json!({ "filters": filters })).await;
        assert!(!rows.is_empty(), "{op}");
        assert_eq!(sum(&rows, "pageviews"), expected(keep), "{op}");
        let summary = server.rows("summary", json!({ "filters": filters })).await;
        assert_eq!(sum(&summary, "pageviews"), expected(keep), "{op}");
    }
    // A word of the user never becomes SQL
    let filters = json!([{ "field": "path", "op": "eq", "value": "' OR 1=1 --" }]);
    assert!(
        server
            .rows("pages", json!({ "filters": filters }))
            .await
            .is_empty()
    );
    let filters = json!([{ "field": "country", "op": "in", "value": ["US", "CA"] }]);
    let rows = server
        .rows("countries", json!({ "filters": filters }))
        .await;
    assert_eq!(rows.len(), 2);
    let link = "link_id=link_launch";
    let rows = server
        .rows_of(link, "link_top_countries", json!({ "filters": filters }))
        .await;
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn pages_of_a_limit_are_the_unlimited_rows_in_order() {
    let server = Server::new().await;
    for (name, size) in [
        ("pages", 5),
        ("sessions", 700),
        ("custom_events", 4),
        ("profiles", 900),
        ("recent_errors", 30),
        ("country", 3),
    ] {
        let whole = server.rows(name, nothing()).await;
        let mut walked = Vec::new();
        for page in 1.. {
            let rows = server
                .rows(name, json!({ "limit": size, "page": page }))
                .await;
            walked.extend(rows.iter().cloned());
            if rows.len() < size {
                break;
            }
        }
        assert_eq!(walked, whole, "{name}");
    }
    let body = json!({ "parameters": ["sessions"], "preset": "last_7d" });
    let answer = server.query(SHOP, &body).await;
    assert_eq!(
        answer.body["data"][0]["data"].as_array().unwrap().len(),
        100
    );
}

#[tokio::test]
async fn presets_are_the_explicit_days_they_stand_for() {
    let server = Server::new().await;
    // Now is a Monday
    let cases = [
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
    ];
    for (preset, start, end) in cases {
        let tiny = "website_id=web_acme_tiny";
        let by_preset = server
            .rows_of(
                tiny,
                "summary",
                json!({ "preset": preset, "granularity": "daily" }),
            )
            .await;
        let dates = json!({ "startDate": start, "endDate": end, "granularity": "daily" });
        let by_dates = server.rows_of(tiny, "summary", dates).await;
        assert!(!by_preset.is_empty(), "{preset}");
        assert_eq!(by_preset, by_dates, "{preset}");
    }
}

#[tokio::test]
async fn a_preset_counts_days_of_the_zone_and_explicit_days_are_only_relabelled() {
    let server = Server::new().await;
    let tokyo = format!("{SHOP}&timezone=Asia/Tokyo");
    let preset = json!({ "preset": "yesterday" });
    let rows = server.rows_of(&tokyo, "events_by_date", preset).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["date"], "2026-11-22");
    // The same hours as instants
    let instants =
        json!({ "startDate": "2026-11-22T00:00:00+09:00", "endDate": "2026-11-22T23:59:59+09:00" });
    let same = server.rows("summary", instants).await;
    assert_eq!(same[0]["pageviews"], rows[0]["pageviews"]);
    let plain = json!({ "startDate": "2026-11-15", "endDate": "2026-11-16" });
    let rows = server
        .rows_of(&tokyo, "events_by_date", plain.clone())
        .await;
    let dates: Vec<&Value> = rows.iter().map(|row| &row["date"]).collect();
    assert_eq!(dates, ["2026-11-15", "2026-11-16", "2026-11-17"]);
    let utc = server.rows("events_by_date", plain).await;
    assert_eq!(sum(&rows, "pageviews"), sum(&utc, "pageviews"));
}

#[tokio::test]
async fn parameters_have_dates_and_ids_of_their_own_and_a_batch_holds_several_queries() {
    let server = Server::new().await;
    let body = json!({
        "id": "both", "startDate": "2026-11-10", "endDate": "2026-11-16",
        "parameters": [
            "summary",
            { "name": "summary", "id": "before", "start_date": "2026-11-03", "end_date": "2026-11-09" },
            { "name": "summary", "id": "hours", "granularity": "hourly" },
        ],
    });
    let answer = server.query(SHOP, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["queryId"], "both");
    let part = |i: usize| answer.body["data"][i].clone();
    assert_eq!(part(0)["data"][0]["date"], "2026-11-10");
    assert_eq!(part(1)["parameter"], "before");
    assert_eq!(part(1)["data"][0]["date"], "2026-11-03");
    assert!(
        part(2)["data"][0]["date"]
            .as_str()
            .unwrap()
            .ends_with(":00:00")
    );

    let batch = json!([{ "id": "a", "parameters": ["pages"], "preset": "today" }, body]);
    let answer = server.query(SHOP, &batch).await;
    assert_eq!(answer.body["batch"], true);
    let results = answer.body["results"].as_array().unwrap();
    assert_eq!(results[0]["queryId"], "a");
    assert_eq!(results[1]["data"][0], part(0));
    let own = json!({ "parameters": [{ "name": "summary", "start_date": "2026-11-03", "end_date": "2026-11-09" }] });
    assert_eq!(
        server.query(SHOP, &own).await.body["data"][0]["data"],
        part(1)["data"]
    );
}
