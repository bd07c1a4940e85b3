//! The personality of the server of February 2026.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use super::{SHOP, Server, listed, place_of, sum};

/// The columns of each type with the JSON types that were measured.
fn measured() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sandbox/server_types.tsv");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            (fields.next().unwrap(), fields.next().unwrap())
        })
        .collect()
}

/// Whether each value of a row has the type that was measured.
fn assert_kinds(columns: &str, row: &Value) {
    for (name, seen) in columns.split(", ").filter_map(|c| c.split_once(':')) {
        let value = &row[name];
        let length = value.as_str().map(str::len);
        let right = match seen.trim_start_matches("null/").split('/').next().unwrap() {
            "int" => value.is_i64(),
            "float" => value.is_number(),
            "date" => length == Some(10),
            "datetime.ms" => length == Some(23),
            "array" => value.is_array(),
            _ => value.is_string(),
        };
        assert!(right || value.is_null(), "{name}:{seen} is {value}");
    }
}

#[tokio::test]
async fn the_february_server_lists_its_own_names_and_answers_all_of_them() {
    let server = Server::server_2026_02().await;
    let listed = listed(&server).await;
    assert_eq!(listed.len(), 144);
    let measured = measured();
    let mut failed = Vec::new();
    for (name, columns) in listed {
        let body = json!({ "parameters": [name], "startDate": "2026-11-10", "endDate": "2026-11-16", "limit": 5 });
        let answer = server.query(place_of(&name), &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let part = &answer.body["data"][0];
        if part["success"] == false {
            failed.push(name);
        } else if let Some(row) = part["data"].as_array().unwrap().first() {
            let names: Vec<&String> = row.as_object().unwrap().keys().collect();
            assert_eq!(names, columns.iter().collect::<Vec<_>>(), "{name}");
            assert_kinds(&measured[&name], row);
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
