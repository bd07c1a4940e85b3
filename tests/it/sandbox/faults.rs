//! Faults on demand.

use databuddy_jobs::sandbox::{Fault, Generation, SandboxOptions};
use serde_json::json;

use super::{SHOP, Server};

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
        options.generation = Generation::Server2026_02;
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

#[tokio::test]
async fn an_event_whose_answer_was_lost_counts_once_when_it_is_sent_again() {
    let server = faulty("drop-connection", |_| {}).await;
    let event = json!({ "type": "custom", "name": "zebra", "eventId": "e1" });
    let request = server
        .request("POST", "/?client_id=web_acme_tiny")
        .json(&event);
    let lost = match request.send().await {
        Ok(response) => response.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(lost);
    let server = Server::over(server.state.clone(), super::NOW, |_| {}).await;
    let answer = server.post("/?client_id=web_acme_tiny", &event).await;
    assert_eq!(answer.body["status"], "success");
    let filters = json!([{ "field": "event_name", "op": "eq", "value": "zebra" }]);
    let rest = json!({ "preset": "today", "filters": filters });
    let tiny = "website_id=web_acme_tiny";
    let rows = server.rows_of(tiny, "custom_events", rest).await;
    assert_eq!(rows[0]["total_events"], 1);
}
