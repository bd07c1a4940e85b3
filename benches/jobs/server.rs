//! A server of the API on a thread of its own. It has its answers ready, so that the program is what is measured.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, Response, StatusCode, header},
    routing::{get, post},
};
use futures::stream;
use serde_json::{Value, json};

use super::{
    Result,
    pieces::{self, BLOCK, Piece, Rows},
    rate::{Rate, Verdict},
};

/// The server; its thread ends with the process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rows: Rows,
    /// Ids with the number of their rows.
    websites: HashMap<String, usize>,
    rate: Option<Mutex<Rate>>,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Server {
    /// A server of these rows and websites; with a rate it limits queries, not lists.
    pub(crate) fn start(
        rows: Rows,
        websites: HashMap<String, usize>,
        rate: Option<Rate>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            rows,
            websites,
            rate: rate.map(Mutex::new),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let router = Router::new()
            .route(
                "/health",
                get(|| async { r#"{"success":true,"status":"ok"}"# }),
            )
            .route("/v1/query/websites", get(list_websites))
            .route("/v1/query/types", get(list_types))
            .route("/v1/query", post(query))
            .with_state(Arc::clone(&shared));
        let (sender, receiver) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
                // Who waits for the address has gone only when the process ends
                let _ = sender.send(listener.local_addr()?);
                let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                    let _ = stream.set_nodelay(true);
                });
                axum::serve(listener, router).await
            })
        });
        let address = receiver.recv()?;
        Ok(Self { address, shared })
    }

    /// Makes rows before a run needs them.
    pub(crate) fn prepare(&self, rows: usize, is_packed: bool) {
        self.shared.rows.prepare(rows, is_packed);
    }

    /// Queries answered, and queries refused with 429.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.shared.answered), read(&self.shared.refused))
    }
}

type Answer = Response<Body>;

async fn list_websites(State(shared): State<Arc<Shared>>) -> Answer {
    let mut ids: Vec<&String> = shared.websites.keys().collect();
    ids.sort();
    let website = |id: &&String| json!({ "id": id, "name": id, "domain": format!("{id}.test") });
    let websites: Vec<Value> = ids.iter().map(website).collect();
    let total = websites.len();
    said(
        StatusCode::OK,
        &json!({ "success": true, "websites": websites, "total": total }),
    )
}

async fn list_types(State(shared): State<Arc<Shared>>) -> Answer {
    let name = shared.rows.shape.name();
    let config = json!({ "allowedFilters": [], "customizable": true, "defaultLimit": 100 });
    said(
        StatusCode::OK,
        &json!({ "success": true, "types": [name], "configs": { name: config } }),
    )
}

async fn query(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let verdict = shared.rate.as_ref().map(|rate| {
        let mut rate = rate.lock().expect("nothing panics while it counts");
        (rate.ask(Instant::now()), rate.limit)
    });
    let mut answer = match verdict {
        Some((verdict, _)) if !verdict.is_allowed => refusal(verdict),
        _ => shared
            .answer(&parameters, &headers, &body)
            .unwrap_or_else(|why| {
                said(
                    StatusCode::BAD_REQUEST,
                    &json!({ "success": false, "error": why, "code": "BAD_REQUEST" }),
                )
            }),
    };
    let is_refused = answer.status() == StatusCode::TOO_MANY_REQUESTS;
    let count = if is_refused {
        &shared.refused
    } else {
        &shared.answered
    };
    count.fetch_add(1, Ordering::Relaxed);
    if let Some((verdict, limit)) = verdict {
        let headers = answer.headers_mut();
        headers.insert("x-ratelimit-limit", limit.into());
        headers.insert("x-ratelimit-remaining", verdict.remaining.into());
        headers.insert("x-ratelimit-reset", reset_at(verdict).into());
    }
    answer
}

impl Shared {
    fn answer(
        &self,
        parameters: &HashMap<String, String>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> std::result::Result<Answer, &'static str> {
        let website = parameters
            .get("website_id")
            .ok_or("website_id is required")?;
        let total = *self.websites.get(website).ok_or("no such website")?;
        let body: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
        let mut out = vec![text(r#"{"success":true,"#)];
        if let Some(asks) = body.as_array() {
            out.push(text(r#""batch":true,"results":["#));
            for (index, ask) in asks.iter().enumerate() {
                out.push(text(if index > 0 { ",{" } else { "{" }));
                self.result(ask, total, &mut out)?;
                out.push(text("}"));
            }
            out.push(text("]}"));
        } else {
            self.result(&body, total, &mut out)?;
            out.push(text("}"));
        }
        let accepted = headers.get(header::ACCEPT_ENCODING);
        let is_packed =
            accepted.is_some_and(|value| value.as_bytes().windows(4).any(|w| w == b"gzip"));
        Ok(sent(out, is_packed))
    }

    /// What one request object is answered, without the braces around it.
    fn result<'a>(
        &'a self,
        ask: &Value,
        total: usize,
        out: &mut Vec<Piece<'a>>,
    ) -> std::result::Result<(), &'static str> {
        let number = |key: &str, default: usize| {
            let given = ask[key].as_u64();
            given.map_or(Some(default), |n| usize::try_from(n).ok())
        };
        let limit = number("limit", 100).filter(|n| (1..=BLOCK).contains(n));
        let limit = limit.ok_or("limit lies between 1 and 10000")?;
        let page = number("page", 1)
            .filter(|n| *n > 0)
            .ok_or("page is at least 1")?;
        let parts = ask["parameters"]
            .as_array()
            .ok_or("parameters are required")?;
        out.push(Piece::Text(format!(
            r#""queryId":{},"data":["#,
            json!(ask["id"].as_str())
        )));
        for (index, part) in parts.iter().enumerate() {
            let name = part.as_str().or(part["name"].as_str());
            if name != Some(self.rows.shape.name()) {
                return Err("no such parameter");
            }
            let (comma, id) = (
                if index > 0 { "," } else { "" },
                json!(part["id"].as_str().or(name)),
            );
            out.push(Piece::Text(format!(
                r#"{comma}{{"parameter":{id},"success":true,"data":["#
            )));
            let (from, to) = ((page - 1).saturating_mul(limit), page.saturating_mul(limit));
            self.rows.pieces(from.min(total), to.min(total), out);
            out.push(text("]}"));
        }
        let parts = parts.len();
        out.push(Piece::Text(format!(
            r#"],"meta":{{"total_parameters":{parts},"page":{page},"limit":{limit},"filters_applied":0}}"#
        )));
        Ok(())
    }
}

fn text(text: &str) -> Piece<'static> {
    Piece::Text(text.to_owned())
}

fn sent(pieces: Vec<Piece<'_>>, is_packed: bool) -> Answer {
    let pieces = if is_packed {
        pieces::packed(pieces)
    } else {
        pieces::plain(pieces)
    };
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let ready = pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
    let mut answer = Response::new(Body::from_stream(stream::iter(ready)));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_LENGTH, length.into());
    if is_packed {
        headers.insert(
            header::CONTENT_ENCODING,
            header::HeaderValue::from_static("gzip"),
        );
    }
    answer
}

fn said(status: StatusCode, body: &Value) -> Answer {
    let mut answer = sent(vec![Piece::Text(body.to_string())], false);
    *answer.status_mut() = status;
    answer
}

fn refusal(verdict: Verdict) -> Answer {
    let body = json!({
        "success": false, "error": "Rate limit exceeded. Please try again later.",
        "code": "RATE_LIMIT_EXCEEDED", "remaining": 0,
        "retryAfter": verdict.reset_in.as_secs_f64().ceil(),
    });
    said(StatusCode::TOO_MANY_REQUESTS, &body)
}

/// Unix seconds, rounded up.
fn reset_at(verdict: Verdict) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a server tells the machine's time"
    )]
    let now = SystemTime::now();
    let at = now.duration_since(UNIX_EPOCH).unwrap_or_default() + verdict.reset_in;
    at.as_secs() + u64::from(at.subsec_nanos() > 0)
}
