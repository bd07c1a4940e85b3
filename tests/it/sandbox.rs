//! The sandbox, asked over its socket: it agrees with itself, and answers as the API document says.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use databuddy_jobs::sandbox::{Fault, Generation, Sandbox, SandboxOptions, start};
use serde_json::{Value, json};

const NOW: &str = "2026-11-23T07:04:36Z";
const SHOP: &str = "website_id=web_acme_shop";

/// A sandbox of its own, and a client.
struct Server {
    sandbox: Sandbox,
    http: reqwest::Client,
    state: Arc<tempfile::TempDir>,
}

/// An answer: status, headers, body.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Server {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let state = Arc::new(tempfile::tempdir().unwrap());
        Self::over(state, NOW, change).await
    }

    async fn over(
        state: Arc<tempfile::TempDir>,
        now: &str,
        change: impl FnOnce(&mut SandboxOptions),
    ) -> Self {
        let now: DateTime<Utc> = now.parse().unwrap();
        let mut options = SandboxOptions {
            state_dir: state.path().to_owned(),
            now: Arc::new(move || now),
            requests_per_minute: 0,
            custom_requests_per_minute: 0,
            ..SandboxOptions::default()
        };
        change(&mut options);
        Self {
            sandbox: start(options).await.unwrap(),
            http: reqwest::Client::new(),
            state,
        }
    }

    async fn server_2026_02() -> Self {
        Self::with(|options| options.generation = Generation::Server2026_02).await
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox.url());
        self.http.request(method.parse().unwrap(), url)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer {
            status,
            headers,
            body,
        }
    }

    async fn get(&self, path: &str, key: &str) -> Answer {
        self.send(self.request("GET", path).header("x-api-key", key))
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let key = self.sandbox.key();
        self.send(
            self.request("POST", path)
                .header("x-api-key", key)
                .json(body),
        )
        .await
    }

    async fn query(&self, place: &str, body: &Value) -> Answer {
        self.post(&format!("/v1/query?{place}"), body).await
    }

    /// The rows of a part, with the other keys of its request.
    async fn rows_of(&self, place: &str, parameter: &str, rest: Value) -> Vec<Value> {
        let mut body = json!({ "parameters": [parameter], "limit": 10_000 });
        if rest["startDate"].is_null() && rest["preset"].is_null() {
            body["startDate"] = json!("2026-11-10");
            body["endDate"] = json!("2026-11-16");
        }
        for (key, value) in rest.as_object().unwrap() {
            body[key] = value.clone();
        }
        let answer = self.query(place, &body).await;
        assert_eq!(answer.status, 200, "{parameter}: {}", answer.body);
        let part = &answer.body["data"][0];
        assert_eq!(part["success"], true, "{part}");
        part["data"].as_array().unwrap().clone()
    }

    async fn rows(&self, parameter: &str, rest: Value) -> Vec<Value> {
        self.rows_of(SHOP, parameter, rest).await
    }

    async fn custom(&self, query: Value) -> Vec<Value> {
        let body = json!({
            "query": query, "startDate": "2026-11-10", "endDate": "2026-11-16", "limit": 10_000
        });
        let answer = self.post(&format!("/v1/query/custom?{SHOP}"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"].as_array().unwrap().clone()
    }
}

fn sum(rows: &[Value], column: &str) -> i64 {
    rows.iter().map(|row| row[column].as_i64().unwrap()).sum()
}

fn nothing() -> Value {
    json!({})
}

const SEED_TYPES: [&str; 15] = [
    "summary",
    "pages",
    "traffic",
    "browser_name",
    "os_name",
    "device_types",
    "countries",
    "cities",
    "errors",
    "performance",
    "sessions",
    "custom_events",
    "profiles",
    "outbound_links",
    "engagement",
];
const SEED_LINK_TYPES: [&str; 6] = [
    "link_total_clicks",
    "link_clicks_by_day",
    "link_top_referrers",
    "link_top_countries",
    "link_top_devices",
    "link_top_browsers",
];

/// The columns that the catalogue lists for each type.
async fn listed(server: &Server) -> Vec<(String, Vec<String>)> {
    let types = server
        .get("/v1/query/types?include_meta=true", "")
        .await
        .body;
    let names = types["types"].as_array().unwrap().iter();
    names
        .map(|name| {
            let name = name.as_str().unwrap();
            let fields = types["configs"][name]["meta"]["output_fields"].as_array();
            let fields = fields.unwrap().iter();
            let fields = fields.map(|field| field["name"].as_str().unwrap().to_owned());
            (name.to_owned(), fields.collect())
        })
        .collect()
}

fn place_of(name: &str) -> &'static str {
    if name.starts_with("link_") {
        "link_id=link_launch"
    } else {
        SHOP
    }
}

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
                let mut columns: Vec<&String> = columns.iter().collect();
                if name == "engagement" {
                    columns.retain(|column| *column != "date");
                }
                assert_eq!(first, columns, "{name}");
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
    type Keep<'a> = &'a dyn Fn(&str) -> bool;
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

#[tokio::test]
async fn each_mistake_has_its_status_and_code() {
    let server = Server::new().await;
    let good = json!({ "parameters": ["summary"], "preset": "today" });
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let filter = |filter: Value| with("filters", json!([filter]));
    let dates = |start: &str, end: &str| json!({ "parameters": ["summary"], "startDate": start, "endDate": end });
    let cases = [
        ("", good.clone(), 400, "MISSING_WEBSITE_ID"),
        (
            "website_id=web_nope",
            good.clone(),
            404,
            "WEBSITE_NOT_FOUND",
        ),
        ("link_id=link_nope", good.clone(), 404, "LINK_NOT_FOUND"),
        (
            "website_id=web_other_corp",
            good.clone(),
            403,
            "ACCESS_DENIED",
        ),
        (
            "link_id=link_launch",
            good.clone(),
            400,
            "MISSING_WEBSITE_ID",
        ),
        (
            SHOP,
            with("parameters", json!(["summary", "sumary"])),
            400,
            "INVALID_QUERY_TYPE",
        ),
        (SHOP, with("parameters", json!([])), 400, "VALIDATION_ERROR"),
        (
            SHOP,
            with("parameters", json!("summary")),
            400,
            "VALIDATION_ERROR",
        ),
        (
            SHOP,
            with("preset", json!("last_7days")),
            400,
            "VALIDATION_ERROR",
        ),
        (SHOP, with("limit", json!(0)), 400, "VALIDATION_ERROR"),
        (SHOP, with("limit", json!(10_001)), 400, "VALIDATION_ERROR"),
        (SHOP, with("page", json!(0)), 400, "VALIDATION_ERROR"),
        (
            SHOP,
            with("granularity", json!("weekly")),
            400,
            "VALIDATION_ERROR",
        ),
        (
            SHOP,
            filter(json!({ "field": "nope", "op": "eq", "value": "x" })),
            400,
            "VALIDATION_ERROR",
        ),
        (
            SHOP,
            filter(json!({ "field": "path", "op": "like", "value": "x" })),
            400,
            "VALIDATION_ERROR",
        ),
        (
            SHOP,
            filter(json!({ "field": "path", "op": "in", "value": [] })),
            400,
            "VALIDATION_ERROR",
        ),
        (
            SHOP,
            dates("2026-02-30", "2026-03-01"),
            400,
            "INVALID_DATE_RANGE",
        ),
        (
            SHOP,
            dates("2026-11-16", "2026-11-10"),
            400,
            "INVALID_DATE_RANGE",
        ),
        (
            SHOP,
            json!({ "parameters": ["summary"], "startDate": "2026-11-16" }),
            400,
            "VALIDATION_ERROR",
        ),
        (
            "website_id=web_acme_shop&timezone=Mars/X",
            good.clone(),
            400,
            "VALIDATION_ERROR",
        ),
    ];
    for (place, body, status, code) in cases {
        let answer = server.query(place, &body).await;
        assert_eq!(answer.status, status, "{place} {body}: {}", answer.body);
        assert_eq!(answer.body["code"], code, "{place} {body}: {}", answer.body);
        assert_eq!(answer.body["success"], false);
        assert_eq!(
            answer.headers["x-request-id"],
            *answer.body["requestId"]
                .as_str()
                .unwrap()
                .trim_start_matches("x")
        );
    }
    let mut hourly = dates("2026-10-01", "2026-11-01");
    hourly["granularity"] = json!("hourly");
    let answer = server.query(SHOP, &hourly).await;
    assert_eq!(answer.body["code"], "INVALID_DATE_RANGE");
    let missing = server.get("/v1/nothing", "").await;
    assert_eq!(
        (missing.status, &missing.body["code"]),
        (404, &json!("NOT_FOUND"))
    );
}

#[tokio::test]
async fn keys_may_do_what_their_scopes_say() {
    let server = Server::new().await;
    let keys = server.sandbox.keys();
    let body = json!({ "parameters": ["summary"], "preset": "today" });
    let query = async |key: &str, place: &str| {
        let request = server.request("POST", &format!("/v1/query?{place}"));
        server.send(request.bearer_auth(key).json(&body)).await
    };
    let cases = [
        (keys.full, "web_acme_shop", 200, Value::Null),
        (keys.query_only, "web_acme_shop", 200, Value::Null),
        (
            keys.events_only,
            "web_acme_shop",
            403,
            json!("INSUFFICIENT_SCOPE"),
        ),
        (keys.revoked, "web_acme_shop", 401, json!("INVALID_API_KEY")),
        ("dbdy_nope", "web_acme_shop", 401, json!("INVALID_API_KEY")),
        (keys.one_site, "web_acme_shop", 200, Value::Null),
        (keys.one_site, "web_acme_docs", 403, json!("ACCESS_DENIED")),
    ];
    for (key, site, status, code) in cases {
        let answer = query(key, &format!("website_id={site}")).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (status, &code),
            "{key}"
        );
    }
    let none = server
        .send(server.request("GET", "/v1/query/websites"))
        .await;
    assert_eq!(
        (none.status, &none.body["code"]),
        (401, &json!("AUTH_REQUIRED"))
    );
    let answer = server.get("/v1/query/websites", keys.query_only).await;
    assert_eq!(answer.body["code"], "INSUFFICIENT_SCOPE");
    let answer = server.get("/v1/query/websites", keys.full).await;
    assert_eq!(answer.body["total"], 3);
    let answer = server.get("/v1/query/websites", keys.one_site).await;
    assert_eq!(answer.body["websites"][0]["id"], "web_acme_shop");
    assert_eq!(answer.body["total"], 1);
    // Neither needs a key
    let health = server.send(server.request("GET", "/health")).await.body;
    assert_eq!(
        health,
        json!({ "clickhouse": true, "database": true, "redis": true, "success": true, "version": "1.0.0" })
    );
    let types = server
        .send(server.request("GET", "/v1/query/types"))
        .await
        .body;
    assert!(types["configs"]["pages"]["meta"].is_null());
    assert_eq!(types["presets"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn a_key_beyond_its_budget_is_told_when_to_come_back() {
    let server = Server::with(|options| {
        options.requests_per_minute = 3;
        options.custom_requests_per_minute = 1;
    })
    .await;
    let body = json!({ "parameters": ["summary"], "preset": "today" });
    for left in ["2", "1", "0"] {
        let answer = server.query(SHOP, &body).await;
        assert_eq!(answer.headers["x-ratelimit-remaining"], left);
    }
    let answer = server.query(SHOP, &body).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (429, &json!("RATE_LIMITED"))
    );
    // Now is 36 seconds into its minute
    assert_eq!(answer.headers["retry-after"], "24");
    assert_eq!(answer.headers["x-ratelimit-limit"], "3");
    assert_eq!(answer.headers["x-ratelimit-remaining"], "0");
    assert_eq!(answer.headers["x-ratelimit-reset"], "1795417500");
    let select = json!({ "field": "*", "aggregate": "count" });
    let custom = json!({
        "query": { "table": "events", "selects": [select] }, "startDate": "2026-11-23", "endDate": "2026-11-23"
    });
    let path = format!("/v1/query/custom?{SHOP}");
    assert_eq!(server.post(&path, &custom).await.status, 200);
    assert_eq!(server.post(&path, &custom).await.status, 429);
    // Another key has a budget of its own
    let other = server.sandbox.keys().one_site;
    assert_eq!(server.get("/v1/query/websites", other).await.status, 200);
}

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

#[tokio::test]
async fn events_that_were_sent_show_up_once() {
    let server = Server::new().await;
    let event = |name: &str, id: &str| {
        json!({ "type": "custom", "name": name, "eventId": id, "anonymousId": "anon_test", "sessionId": "sess_test",
                "timestamp": 1_795_000_000_000_i64, "properties": { "value": 99.99, "currency": "USD" } })
    };
    let basket = "client_id=web_acme_docs";
    let before = server
        .rows_of(
            "website_id=web_acme_docs",
            "summary",
            json!({ "preset": "last_7d" }),
        )
        .await;
    let answer = server
        .post(&format!("/?{basket}"), &event("zebra", "e1"))
        .await;
    assert_eq!(
        answer.body,
        json!({ "status": "success", "type": "custom", "eventId": "e1" })
    );
    let unknown = json!({ "type": "zzz", "name": "x" });
    let nameless = json!({ "type": "custom", "name": "" });
    let batch = json!([event("zebra", "e1"), event("zebra", "e2"), unknown, nameless, { "type": "custom", "name": "now" }]);
    let answer = server.post(&format!("/batch?{basket}"), &batch).await;
    assert_eq!((answer.status, &answer.body["processed"]), (200, &json!(5)));
    let states = answer.body["results"].as_array().unwrap().iter();
    let states: Vec<&Value> = states.map(|result| &result["status"]).collect();
    assert_eq!(states, ["success", "success", "error", "error", "success"]);
    let tracked = json!([{ "name": "zebra", "eventId": "e2" }, { "name": "zebra", "eventId": "e3", "timestamp": 1_795_000_000_000_i64 }]);
    let answer = server
        .post("/track?website_id=web_acme_docs", &tracked)
        .await;
    assert_eq!(
        answer.body,
        json!({ "status": "success", "type": "custom_event", "count": 2 })
    );

    let seen = json!({ "preset": "last_30d" });
    let rows = server
        .rows_of("website_id=web_acme_docs", "custom_events", seen.clone())
        .await;
    let of =
        |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["total_events"].clone();
    assert_eq!(of("zebra"), 3);
    assert_eq!(of("now"), 1);
    let body = json!({
        "query": { "table": "events", "selects": [{ "field": "*", "aggregate": "count", "alias": "n" }],
                   "filters": [{ "field": "event_name", "operator": "eq", "value": "zebra" }] },
        "startDate": "2026-11-18", "endDate": "2026-11-18",
    });
    let answer = server
        .post("/v1/query/custom?website_id=web_acme_docs", &body)
        .await;
    assert_eq!(answer.body["data"], json!([{ "n": 3 }]));
    let after = server
        .rows_of(
            "website_id=web_acme_docs",
            "summary",
            json!({ "preset": "last_7d" }),
        )
        .await;
    assert_eq!(before, after, "custom events are no page views");
}

#[tokio::test]
async fn event_tracking_asks_for_a_website_and_a_key_that_may() {
    let server = Server::new().await;
    let event = json!({ "type": "custom", "name": "x" });
    let keys = server.sandbox.keys();
    let track = async |path: &str, key: Option<&str>, body: &Value| {
        let mut request = server.request("POST", path).json(body);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        server.send(request).await.status
    };
    assert_eq!(track("/?client_id=web_acme_docs", None, &event).await, 200);
    assert_eq!(track("/?client_id=nope", None, &event).await, 404);
    assert_eq!(track("/", None, &event).await, 400);
    assert_eq!(
        track("/?client_id=web_acme_docs", Some(keys.query_only), &event).await,
        403
    );
    assert_eq!(track("/track", None, &event).await, 401);
    assert_eq!(track("/track", Some(keys.events_only), &event).await, 200);
    assert_eq!(track("/track", Some(keys.revoked), &event).await, 401);
    assert_eq!(
        track("/track", Some(keys.events_only), &json!([event, {}])).await,
        400
    );
    assert_eq!(
        track("/batch?client_id=web_acme_docs", None, &event).await,
        400
    );
    let many = Value::Array(vec![event; 101]);
    assert_eq!(
        track("/batch?client_id=web_acme_docs", None, &many).await,
        400
    );
}

#[tokio::test]
async fn the_february_server_lists_its_own_names_and_answers_all_of_them() {
    let server = Server::server_2026_02().await;
    let listed = listed(&server).await;
    assert_eq!(listed.len(), 144);
    let mut failed = Vec::new();
    for (name, columns) in listed {
        let body = json!({ "parameters": [name], "startDate": "2026-11-10", "endDate": "2026-11-16", "limit": 5 });
        let answer = server.query(place_of(&name), &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let part = &answer.body["data"][0];
        if part["success"] == false {
            failed.push(name);
        } else if let Some(row) = part["data"].as_array().unwrap().first() {
            let row: Vec<&String> = row.as_object().unwrap().keys().collect();
            assert_eq!(row, columns.iter().collect::<Vec<_>>(), "{name}");
        }
    }
    assert_eq!(failed.len(), 9, "{failed:?}");
}

#[tokio::test]
async fn the_february_server_has_its_errors() {
    let server = Server::server_2026_02().await;
    let good = json!({ "parameters": ["summary_metrics"], "startDate": "2026-11-10", "endDate": "2026-11-16" });
    let mut seed = good.clone();
    seed["parameters"] = json!(["summary_metrics", "summary"]);
    let mut shape = good.clone();
    shape["preset"] = json!("last_7days");
    let mut hourly = good.clone();
    hourly["startDate"] = json!("2026-09-10");
    hourly["granularity"] = json!("hourly");
    let cases = [
        (SHOP, &seed, 400, "VALIDATION_ERROR"),
        (SHOP, &shape, 422, "VALIDATION"),
        (SHOP, &hourly, 500, "UNKNOWN"),
        ("website_id=web_nope", &good, 403, "ACCESS_DENIED"),
    ];
    for (place, body, status, code) in cases {
        let answer = server.query(place, body).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (status, &json!(code)),
            "{}",
            answer.body
        );
    }
    let keys = server.sandbox.keys();
    for key in [keys.revoked, "dbdy_nope", keys.events_only] {
        let answer = server.get("/v1/query/websites", key).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (401, &json!("AUTH_REQUIRED"))
        );
    }
    let answer = server.get("/v1/nothing", "").await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (500, &json!("NOT_FOUND"))
    );
    assert_eq!(
        server.get("/health", "").await.body,
        json!({ "status": "ok" })
    );
    // In a batch only the item fails
    let answer = server.query(SHOP, &json!([hourly, good])).await;
    assert_eq!(answer.body["results"][0]["data"][0]["success"], false);
    assert_eq!(answer.body["results"][1]["data"][0]["success"], true);
}

#[tokio::test]
async fn the_february_server_has_its_traps() {
    let server = Server::server_2026_02().await;
    let dates = json!({ "startDate": "2026-11-10", "endDate": "2026-11-16" });
    let query = async |rest: Value| {
        let mut body = dates.clone();
        for (key, value) in rest.as_object().unwrap() {
            body[key] = value.clone();
        }
        server.query(SHOP, &body).await.body["data"]
            .as_array()
            .unwrap()
            .clone()
    };
    // Failures come last
    let parts = query(json!({ "parameters": ["page_performance", "top_pages"] })).await;
    assert_eq!(parts[0]["parameter"], "top_pages");
    assert_eq!(parts[1]["success"], false);
    // Both of the same id have the last one's rows
    let parts = query(json!({ "parameters": [{ "name": "summary_metrics", "id": "x" }, { "name": "top_pages", "id": "x" }] })).await;
    assert_eq!(parts[0], parts[1]);
    // A page that is ignored is the first one again
    let first = query(json!({ "parameters": ["error_summary"], "page": 1 })).await;
    assert_eq!(
        first,
        query(json!({ "parameters": ["error_summary"], "page": 7 })).await
    );
    // A limit that is ignored
    let parts = query(json!({ "parameters": ["events_by_date"], "limit": 2 })).await;
    assert_eq!(parts[0]["data"].as_array().unwrap().len(), 7);
    // Countries are filtered by what was stored
    let filtered = async |name: &str, value: &str| {
        let filters = json!([{ "field": "country", "op": "eq", "value": value }]);
        query(json!({ "parameters": [name], "filters": filters })).await[0].clone()
    };
    let (name, code) = (
        filtered("top_pages", "Germany").await,
        filtered("top_pages", "DE").await,
    );
    let views = |part: &Value| sum(part["data"].as_array().unwrap(), "pageviews");
    assert!(views(&name) > views(&code) && views(&code) > 0);
    assert_eq!(filtered("error_types", "Germany").await["success"], false);
    let ignored = filtered("vitals_by_country", "Germany").await;
    assert!(ignored["data"].as_array().unwrap().len() > 1);
    let country = query(json!({ "parameters": ["country"] })).await;
    let rows = country[0]["data"].as_array().unwrap();
    assert!(
        rows.iter()
            .all(|row| row["name"].as_str().unwrap().len() == 2)
    );
    // The last day of a custom query is left out
    let body = |end: &str| {
        json!({
            "query": { "table": "events", "selects": [{ "field": "path", "aggregate": "count", "alias": "n" }], "groupBy": ["path"] },
            "startDate": "2026-11-16", "endDate": end,
        })
    };
    let custom = async |end: &str| {
        let answer = server
            .post(&format!("/v1/query/custom?{SHOP}"), &body(end))
            .await;
        answer.body["data"].as_array().unwrap().clone()
    };
    assert!(custom("2026-11-16").await.is_empty());
    let rows = custom("2026-11-16 23:59:59").await;
    assert!(!rows.is_empty() && rows[0].get("path").is_none());
}

async fn faulty(fault: &str, change: impl FnOnce(&mut SandboxOptions)) -> Server {
    let faults = vec![fault.parse::<Fault>().unwrap()];
    Server::with(|options| {
        options.faults = faults;
        options.fault_retry_after_secs = 3;
        options.fault_delay = std::time::Duration::ZERO;
        change(options);
    })
    .await
}

#[tokio::test]
async fn each_fault_happens_on_demand() {
    let body = json!({ "parameters": ["summary", "pages", "traffic", "cities"], "preset": "last_7d", "limit": 5 });
    let server = faulty("rate-limit", |_| {}).await;
    let answer = server.query(SHOP, &body).await;
    assert_eq!(
        (answer.status, &answer.headers["retry-after"]),
        (429, &"3".parse().unwrap())
    );

    let server = faulty("part-failure", |_| {}).await;
    let parts = server.query(SHOP, &body).await.body["data"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(
        parts.iter().filter(|part| part["success"] == false).count(),
        1
    );

    let server = faulty("reorder", |_| {}).await;
    let mut orders = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let body = server.query(SHOP, &body).await.body;
        let parts = body["data"].as_array().unwrap().iter();
        orders.insert(
            parts
                .map(|part| part["parameter"].to_string())
                .collect::<String>(),
        );
    }
    assert!(orders.len() > 1);

    let server = faulty("truncate", |_| {}).await;
    assert!(server.query(SHOP, &body).await.body.is_string());

    let server = faulty("slow", |_| {}).await;
    assert_eq!(server.query(SHOP, &body).await.status, 200);

    let server = faulty("repeat-page", |_| {}).await;
    let page = async |page: u32| {
        server
            .rows("pages", json!({ "limit": 3, "page": page }))
            .await
    };
    assert_eq!(page(1).await, page(2).await);

    let server = faulty("drop-connection", |_| {}).await;
    let request = server
        .request("POST", &format!("/v1/query?{SHOP}"))
        .json(&body);
    let broken = match request.send().await {
        Ok(response) => response.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(broken);

    let server = faulty("database-down", |_| {}).await;
    let answer = server.query(SHOP, &body).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (500, &json!("DATABASE_ERROR"))
    );
    let server = faulty("database-down", |options| {
        options.generation = Generation::Server2026_02
    })
    .await;
    let body = json!({ "parameters": ["summary_metrics"], "preset": "today" });
    let answer = server.query(SHOP, &body).await;
    assert_eq!(answer.body["data"][0]["error"], "ECONNREFUSED");
}

#[tokio::test]
async fn the_same_fault_seed_gives_the_same_faults() {
    let body = json!({ "parameters": ["summary"], "preset": "today" });
    let mut runs = Vec::new();
    for _ in 0..2 {
        let server = faulty("rate-limit=0.5", |_| {}).await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(server.query(SHOP, &body).await.status);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&200) && runs[0].contains(&429));
    assert!("sometimes=0.5".parse::<Fault>().is_err());
    assert!("slow=2".parse::<Fault>().is_err());
}
