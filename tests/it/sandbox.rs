//! The sandbox, asked over its socket: it agrees with itself, and answers as the API document says.

mod custom;
mod faults;
mod february;
mod random;
mod refusals;
mod rows;
mod tracking;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use databuddy_jobs::sandbox::{Generation, Sandbox, SandboxOptions, start};
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
        "website_id=web_acme_docs"
    }
}
