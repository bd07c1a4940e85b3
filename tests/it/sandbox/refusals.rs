//! Mistakes, keys and budgets.

use serde_json::{Value, json};

use super::{SHOP, Server};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of mistakes")]
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
        let id = answer.body["requestId"].as_str().unwrap();
        assert_eq!(answer.headers["x-request-id"], id);
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
