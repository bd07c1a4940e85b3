//! The seventeen traps of the API (`databuddy-api.md`, measured), each ending in the right number or in
//! a clear error. What a plan refuses beforehand is tested in `src/plan/tests.rs`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use databuddy_jobs::{
    api::{ApiError, Client, ClientOptions, Kind, PartError, RefusedEvent, Tracking},
    clock::Clock,
    domain::{
        catalog::{Catalog, QueryType},
        event::TrackedEvent,
        request::{Ask, CustomAsk, Item, Part, Request},
        target::Target,
    },
    secret::Secret,
    table::{TableBuilder, known_columns},
};
use serde_json::{Map, Value, json};

use crate::{
    pages::{ReadRows, read},
    replay::fixture,
    server::{self, Answer},
    workspace::TestWorkspace,
};

fn client(url: &str) -> Client {
    let options = ClientOptions {
        url: url.parse().unwrap(),
        key: Some(Secret::new("dbdy_x")),
        bearer: false,
        requests_per_minute: 6000,
        custom_per_minute: 6000,
        max_in_flight: 8,
        gzip: true,
        user_agent: "databuddy-jobs/test".to_owned(),
    };
    let clock = Clock::fixed("2026-11-23T07:04:36Z".parse().unwrap());
    Client::new(options, clock).with_backoff(Duration::from_millis(1))
}

/// A recorded answer as it was.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is one of the answers that a closure gives"
)]
fn recorded(name: &str) -> Answer {
    let response = fixture(&format!("{name}.json"))["response"].take();
    let status = response["status"].as_u64().unwrap();
    let names = [
        "retry-after",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    let headers = names.iter().filter_map(|name| {
        Some(format!(
            "{name}: {}\r\n",
            response["headers"][name].as_str()?
        ))
    });
    let body = match &response["body"] {
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    Some((u16::try_from(status).unwrap(), headers.collect(), body))
}

/// A server that gives this answer always.
fn always(name: &'static str) -> Client {
    client(&server::serve(move |_| recorded(name)))
}

/// Parts whose ids are their names, so that recorded answers fit them.
fn request(names: &[&str], limit: u32) -> Request {
    let part = |name: &&str| Part {
        id: (*name).to_owned(),
        parameter: (*name).to_owned(),
        granularity: None,
        days: None,
        honours_page: None,
        wanted: None,
    };
    let item = Item {
        id: "q0".to_owned(),
        start: "2026-11-10".to_owned(),
        end: "2026-11-16".to_owned(),
        filters: Vec::new(),
        limit,
        page: 1,
        parts: names.iter().map(part).collect(),
    };
    Request {
        target: Target::Website("web_acme_shop_0001".to_owned()),
        path: "/v1/query?website_id=web_acme_shop_0001".to_owned(),
        ask: Ask::Items(vec![item]),
    }
}

fn items_of(request: &mut Request) -> &mut Vec<Item> {
    match &mut request.ask {
        Ask::Items(items) => items,
        Ask::Custom(_) => unreachable!("it is made of items"),
    }
}

fn custom(group_by: &[&str]) -> Request {
    let ask = CustomAsk {
        id: "s0".to_owned(),
        query: json!({ "table": "events" }),
        start: "2026-11-10".to_owned(),
        end: "2026-11-16 23:59:59".to_owned(),
        limit: 10_000,
        wants_all: true,
        group_by: group_by.iter().map(|g| (*g).to_owned()).collect(),
    };
    Request {
        path: "/v1/query/custom?website_id=web_acme_shop_0001".to_owned(),
        ask: Ask::Custom(ask),
        ..request(&["x"], 1)
    }
}

async fn only(client: &Client, request: &Request) -> Result<ReadRows, PartError> {
    read(client, request).await.unwrap().remove(0).1
}

/// Rows as the API would send them.
fn many(from: usize, count: usize) -> Answer {
    let rows: Vec<Value> = (from..from + count)
        .map(|n| json!({ "name": format!("/{n}"), "pageviews": 1 }))
        .collect();
    server::json(
        200,
        &json!({ "success": true, "data": [{ "parameter": "top_pages", "success": true, "data": rows }] }),
    )
}

#[tokio::test]
async fn trap_01_one_unknown_name_fails_the_whole_request_with_its_name() {
    let error = always("err_unknown_plus_good")
        .query(&request(&["summary_metrics", "zzz"], 100))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("Unknown query type: zzz"),
        "{error}"
    );
    // The seed's names are translated, so that it does not come to this
    let types = ["summary_metrics", "events_by_date"].map(|n| (n.to_owned(), QueryType::default()));
    let catalog = Catalog {
        types: types.into(),
    };
    assert_eq!(
        catalog.server_type("summary", None),
        Some("summary_metrics")
    );
}

#[tokio::test]
async fn trap_02_a_database_that_is_down_inside_a_200_is_an_error_worth_a_retry() {
    let down = json!({ "success": true, "data": [{ "parameter": "top_pages", "success": false, "data": [], "error": "ECONNREFUSED" }] });
    let client = client(&server::serve(move |_| server::json(200, &down)));
    let error = only(&client, &request(&["top_pages"], 100))
        .await
        .unwrap_err();
    assert!(error.retryable && error.message == "ECONNREFUSED");
    // The same of a custom query is a 400 that asks to try again
    let error = always("outage_clickhouse_custom")
        .query(&custom(&[]))
        .await
        .unwrap_err();
    assert!(error.is_worth_an_attempt(), "{error}");
}

#[tokio::test]
async fn trap_03_two_parts_under_one_id_are_never_taken_for_one() {
    let error = only(&always("dup_strings"), &request(&["top_pages"], 2))
        .await
        .unwrap_err();
    assert!(error.message.contains("twice"), "{error:?}");
}

#[tokio::test]
async fn trap_04_parts_are_matched_by_id_where_failures_come_last() {
    let names = [
        "page_performance",
        "summary_metrics",
        "session_metrics",
        "top_pages",
    ];
    let parts = always("order_failures_last")
        .query(&request(&names, 1))
        .await
        .unwrap();
    let ids: Vec<&str> = parts.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, names);
    let ok: Vec<bool> = parts.iter().map(|(_, rows)| rows.is_ok()).collect();
    assert_eq!(ok, [false, true, false, true]);
    let page = &parts[3].1.as_ref().unwrap().0;
    let page = std::str::from_utf8(page).unwrap();
    assert!(page.contains(r#""name":"/""#), "{page}");
}

#[tokio::test]
async fn trap_05_a_type_that_ignores_pages_ends_in_an_error_and_not_for_ever() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let url = server::serve(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        many(0, 10_000)
    });
    let error = only(&client(&url), &request(&["top_pages"], 10_000))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("exactly at the limit") && !error.retryable,
        "{error:?}"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // One that is known to ignore them is not even asked again
    let mut known = request(&["top_pages"], 10_000);
    items_of(&mut known)[0].parts[0].honours_page = Some(false);
    assert!(only(&client(&url), &known).await.is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    // Who wants no more than there are has them
    items_of(&mut known)[0].parts[0].wanted = Some(10_000);
    assert_eq!(only(&client(&url), &known).await.unwrap().count, 10_000);
    // One that ignores the limit gives all at once
    let url = server::serve(|_| many(0, 10_007));
    assert_eq!(
        only(&client(&url), &request(&["top_pages"], 10_000))
            .await
            .unwrap()
            .count,
        10_007
    );
}

#[tokio::test]
async fn trap_06_pages_that_lose_ties_are_noticed_and_a_second_page_is_never_called_proven() {
    let page = |request: &server::Request| request.body["page"].as_u64().unwrap();
    let overlapping = server::serve(move |request| {
        if page(request) == 1 {
            many(0, 10_000)
        } else {
            many(9_957, 200)
        }
    });
    let error = only(&client(&overlapping), &request(&["top_pages"], 10_000))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("overlap") && error.message.contains("narrow the window"),
        "{error:?}"
    );
    let whole = server::serve(move |request| {
        if page(request) == 1 {
            many(0, 10_000)
        } else {
            many(10_000, 200)
        }
    });
    let rows = only(&client(&whole), &request(&["top_pages"], 10_000))
        .await
        .unwrap();
    assert_eq!(
        (rows.count, rows.complete),
        (10_200, databuddy_jobs::api::Complete::Unproven)
    );
}

#[test]
fn trap_07_rows_that_are_folded_after_the_limit_are_asked_for_in_full_and_cut_here() {
    let url = server::serve(|request| match request.path.split('?').next().unwrap() {
        "/v1/query/types" => server::json(
            200,
            &json!({ "success": true, "types": ["country"], "configs": {} }),
        ),
        "/v1/query/websites" => recorded_websites(),
        _ => {
            let name = if request.body["limit"] == 10_000 {
                "limit_10000"
            } else {
                "type_country"
            };
            let mut body = fixture(&format!("{name}.json"))["response"]["body"].take();
            body["data"][0]["parameter"] = request.body["parameters"][0]["id"].clone();
            server::json(200, &body)
        }
    });
    let workspace = TestWorkspace::with_examples();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    let job = "window: { start: 2026-11-10, end: 2026-11-16 }\nwebsites: [web_acme_shop_0001]\nqueries: [{ parameter: countries, limit: 3 }]\nexports: [{ format: csv, to: out, per: window, path: '{{ query }}/{{ start }}' }]\n";
    workspace.write("jobs/top.yaml", job);
    let (code, document) = workspace.json(&["run", "top"]);
    assert_eq!(code, 0, "{document:#}");
    let csv =
        std::fs::read_to_string(workspace.path().join("out/countries/2026-11-10.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 4, "{csv}");
    // 36.77 % of all, not 64.75 % of the three
    assert!(lines[1].contains(",US,2728,1003,36.77"), "{csv}");
}

fn recorded_websites() -> Answer {
    server::json(200, &fixture("websites_ok.json")["response"]["body"])
}

#[tokio::test]
async fn trap_08_a_refused_key_and_a_foreign_website_say_what_to_check() {
    let error = always("websites_badkey").websites().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Auth);
    assert!(
        error
            .to_string()
            .contains("without the scope read:data looks the same"),
        "{error}"
    );
    let error = always("auth_query_other")
        .query(&request(&["summary_metrics"], 100))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(
        error.to_string().contains("or it does not exist"),
        "{error}"
    );
}

#[tokio::test]
async fn trap_09_errors_without_a_request_id_and_with_odd_codes_are_read() {
    let error = always("err_gran_bad")
        .query(&request(&["events_by_date"], 100))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("422 VALIDATION"), "{error}");
    assert_eq!(error.kind(), Kind::Invalid);
    // A 500 is tried again, and then fails as unavailable
    let client = always("outage_postgres_query");
    let error = client
        .query(&request(&["summary_metrics"], 100))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(client.counts().retries, 4);
    // In a batch only the item fails that has the mistake
    let body = fixture("batch_one_failing_sql.json")["response"]["body"].take();
    let url = server::serve(move |_| server::json(200, &body));
    let mut batch = request(&["session_metrics"], 100);
    let Ask::Items(mut second) = request(&["summary_metrics"], 100).ask else {
        unreachable!()
    };
    second[0].id = "q2".to_owned();
    let Ask::Items(items) = &mut batch.ask else {
        unreachable!()
    };
    items.extend(second);
    let parts = self::client(&url).query(&batch).await.unwrap();
    assert!(parts[0].1.is_err() && parts[1].1.is_ok());
}

#[test]
fn trap_10_whole_utc_days_are_asked_for_without_a_zone_that_would_relabel_them() {
    let workspace = TestWorkspace::with_examples();
    let (_, plan) = workspace.json(&["plan", "nightly-export", "--sandbox", "--at", "2026-03-30"]);
    let plan = &plan["plans"][0];
    assert_eq!(
        plan["window"],
        json!({ "start": "2026-03-29", "end": "2026-03-29", "timezone": "UTC" })
    );
    for request in plan["requests"].as_array().unwrap() {
        assert!(
            !request["path"].as_str().unwrap().contains("timezone"),
            "{request}"
        );
        assert_eq!(request["body"]["startDate"], "2026-03-29");
    }
}

#[test]
fn trap_11_every_spelling_of_an_instant_is_the_same_instant() {
    let known = known_columns(
        "link_clicks_by_day",
        &Catalog::default(),
        &std::collections::BTreeMap::new(),
        Some(databuddy_jobs::domain::query::Granularity::Hourly),
    );
    let mut table = TableBuilder::new("clicks", known);
    let spellings = [
        "2026-11-16 10:November:00",
        "2026-11-16 10:00:00",
        "2026-11-16 10:00:00.000",
        "2026-11-16T10:00:00Z",
        "2026-11-16T10:00:00.000Z",
        "2026-11-16T12:00:00+02:00",
    ];
    let rows: Vec<Value> = spellings
        .iter()
        .map(|at| json!({ "date": at, "clicks": 1 }))
        .collect();
    let batch = table.read_page(json!(rows).to_string().as_bytes()).unwrap();
    let dates = batch.column_by_name("date").unwrap();
    let shown: Vec<String> = (0..spellings.len())
        .map(|row| arrow::util::display::array_value_to_string(dates, row).unwrap())
        .collect();
    assert!(shown.iter().all(|at| *at == shown[0]), "{shown:?}");
    assert!(shown[0].starts_with("2026-11-16T10:00:00"), "{shown:?}");
}

#[tokio::test]
async fn trap_12_a_part_error_with_kilobytes_of_sql_is_cut_before_it_is_shown() {
    let parts = always("order_failures_last")
        .query(&request(&["page_performance", "session_metrics"], 1))
        .await
        .unwrap();
    for (_, result) in parts {
        let message = result.unwrap_err().message;
        assert!(
            message.len() <= 300 && !message.contains("SELECT") && !message.contains("web_acme"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn trap_13_a_group_column_that_vanished_is_an_error_and_so_is_a_full_answer() {
    let error = only(
        &always("custom_groupby_field_in_select"),
        &custom(&["country"]),
    )
    .await
    .unwrap_err();
    assert!(error.message.contains("lack `country`"), "{error:?}");
    let rows = only(
        &always("custom_groupby_two"),
        &custom(&["country", "browser_name"]),
    )
    .await
    .unwrap();
    assert_eq!(rows.count, 5);
    let full: Vec<Value> = (0..10_000).map(|n| json!({ "n": n })).collect();
    let url = server::serve(move |_| server::json(200, &json!({ "success": true, "data": full })));
    let error = only(&client(&url), &custom(&[])).await.unwrap_err();
    assert!(error.message.contains("exactly at the limit"), "{error:?}");
    // The recorded answers show why the last day needs its time of the day
    let count = |name: &str| {
        fixture(name)["response"]["body"]["data"][0]["n"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(count("custom_enddate_is_midnight_lastday.json"), 0);
    assert_eq!(count("custom_enddate_next_day.json"), 1945);
}

#[test]
fn trap_14_a_column_of_whole_and_broken_numbers_is_one_type_and_one_hour_may_come_twice() {
    let known = known_columns(
        "events_by_date",
        &Catalog::default(),
        &std::collections::BTreeMap::new(),
        Some(databuddy_jobs::domain::query::Granularity::Hourly),
    );
    let mut table = TableBuilder::new("hours", known);
    let page = json!([
        { "date": "2026-11-01 01:00:00", "pageviews": 9, "bounce_rate": 14 },
        { "date": "2026-11-01 01:00:00", "pageviews": 3, "bounce_rate": 7.43 },
    ]);
    let batch = table.read_page(page.to_string().as_bytes()).unwrap();
    assert_eq!(batch.num_rows(), 2);
    let schema = batch.schema();
    assert_eq!(
        schema
            .field_with_name("bounce_rate")
            .unwrap()
            .data_type()
            .to_string(),
        "Float64"
    );
    assert_eq!(
        schema
            .field_with_name("pageviews")
            .unwrap()
            .data_type()
            .to_string(),
        "Int64"
    );
    let recorded =
        fixture("tz_dst_hourly_utc.json")["response"]["body"]["data"][0]["data"].to_string();
    let mut table = TableBuilder::new(
        "hours",
        known_columns(
            "events_by_date",
            &Catalog::default(),
            &std::collections::BTreeMap::new(),
            Some(databuddy_jobs::domain::query::Granularity::Hourly),
        ),
    );
    let batch = table.read_page(recorded.as_bytes()).unwrap();
    assert!(batch.num_rows() >= 20);
}

#[tokio::test]
async fn trap_15_a_connection_that_the_server_closed_while_idle_is_tried_again_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (closed, is_closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for turn in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let (_, _, body) = many(0, 3).unwrap();
            // Kept alive by its headers, and closed all the same
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            if turn == 0 {
                // The second request is written into this connection, which then breaks
                let mut one = [0; 1];
                let _ = stream.read(&mut one);
                drop(stream);
                let _ = closed.send(());
            }
        }
    });
    let client = client(&url);
    assert_eq!(
        only(&client, &request(&["top_pages"], 100))
            .await
            .unwrap()
            .count,
        3
    );
    assert_eq!(
        only(&client, &request(&["top_pages"], 100))
            .await
            .unwrap()
            .count,
        3
    );
    is_closed.recv().unwrap();
    assert_eq!((client.counts().requests, client.counts().retries), (2, 1));
}

#[tokio::test]
async fn trap_16_totals_of_different_types_are_taken_as_they_are() {
    // Visitors of the days add up to more than those of the week: nothing is summed or compared
    let sum: i64 = fixture("type_events_by_date.json")["response"]["body"]["data"][0]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["visitors"].as_i64().unwrap())
        .sum();
    let of_the_week = &fixture("type_summary_metrics.json")["response"]["body"]["data"][0]["data"];
    assert!(sum > of_the_week[0]["unique_visitors"].as_i64().unwrap());
    let days = fixture("type_events_by_date.json")["response"]["body"]["data"][0]["data"].take();
    let metrics = databuddy_jobs::report::metrics(days.as_array().unwrap());
    assert!(!metrics.contains_key("visitors") && metrics["pageviews"].as_f64().unwrap() > 0.0);
}

fn event(name: &str) -> TrackedEvent {
    TrackedEvent {
        name: name.to_owned(),
        event_id: format!("id-{name}"),
        anonymous_id: None,
        session_id: None,
        timestamp_ms: Some(1_795_417_097_289),
        properties: Map::new(),
    }
}

#[tokio::test]
async fn trap_17_refused_items_inside_a_200_are_found_and_robots_are_told_so() {
    let refused = |answer: Result<Vec<RefusedEvent>, ApiError>| -> Vec<(usize, String)> {
        answer
            .unwrap()
            .into_iter()
            .map(|r| (r.place, r.reason))
            .collect()
    };
    let two = [event("event1"), event("event2")];
    let all = refused(
        always("basket_batch_docs_custom")
            .track("w", &two, Tracking::Seed)
            .await,
    );
    assert_eq!(
        all,
        [
            (0, "Unknown event type".to_owned()),
            (1, "Unknown event type".to_owned())
        ]
    );
    let three = [event("a"), event("b"), event("c")];
    let one = refused(
        always("basket_batch_track")
            .track("w", &three, Tracking::Seed)
            .await,
    );
    assert_eq!(one, [(2, "Unknown event type".to_owned())]);
    let ignored = refused(
        always("basket_root_no_ua")
            .track("w", &three[..1], Tracking::Seed)
            .await,
    );
    assert_eq!(ignored, [(0, "ignored".to_owned())]);
}

#[tokio::test]
async fn trap_17_one_bad_event_of_an_array_is_found_by_halving() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let url = server::serve(move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(request.headers.iter().any(|(name, _)| name == "user-agent"));
        if request.body.to_string().contains("bad") {
            server::json(
                400,
                &json!({ "status": "error", "message": "Invalid request body" }),
            )
        } else {
            server::json(
                200,
                &json!({ "status": "success", "type": "custom_event", "count": 1 }),
            )
        }
    });
    let events: Vec<TrackedEvent> = (0..100)
        .map(|n| event(if n == 37 { "bad" } else { "good" }))
        .collect();
    let refused = client(&url)
        .track("w", &events, Tracking::Track)
        .await
        .unwrap();
    assert_eq!(
        refused,
        [RefusedEvent {
            place: 37,
            reason: "Invalid request body".to_owned()
        }]
    );
    assert!(asked.load(Ordering::Relaxed) <= 15);
}
