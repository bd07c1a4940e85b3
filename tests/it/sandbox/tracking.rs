//! Events that are sent.

use serde_json::{Value, json};

use super::Server;

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
