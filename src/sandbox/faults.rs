//! Faults on demand.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::header::CONTENT_LENGTH,
    middleware::Next,
    response::{IntoResponse, Response},
};
use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    http::App,
    limits,
    options::{FaultKind, SandboxOptions},
};

/// Decides what goes wrong.
#[derive(Debug)]
pub(super) struct Faults {
    rng: Mutex<Rng>,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Mutex::new(Rng::with_seed(seed)),
        }
    }

    /// Whether that fault happens now.
    pub(super) fn happens(&self, options: &SandboxOptions, kind: FaultKind) -> bool {
        let chance = |f: &&super::Fault| f.kind == kind && f.probability > 0.0;
        let Some(fault) = options.faults.iter().find(chance) else {
            return false;
        };
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.f64() < fault.probability
    }

    /// Makes one of the parts fail.
    pub(super) fn fail_one(&self, parts: &mut [Value]) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = rng.choice(parts) {
            let name = part["parameter"].take();
            *part =
                json!({ "parameter": name, "success": false, "data": [], "error": "ECONNREFUSED" });
        }
    }

    pub(super) fn shuffle(&self, parts: &mut [Value]) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.shuffle(parts);
    }
}

/// Faults of the connection, around every request.
pub(super) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let options = &app.data.options;
    let happens = |kind| app.faults.happens(options, kind);
    if happens(FaultKind::Slow) {
        tokio::time::sleep(options.fault_delay).await;
    }
    if happens(FaultKind::RateLimit) {
        let wait = i64::from(options.fault_retry_after_secs);
        let reset = app.data.now().timestamp() + wait;
        let limit = options.requests_per_minute;
        return limits::refusal(options.generation, limit, reset, wait).into_response();
    }
    // What was asked is done in either case; the client cannot know
    let (truncate, drop) = (
        happens(FaultKind::Truncate),
        happens(FaultKind::DropConnection),
    );
    let response = next.run(request).await;
    if !truncate && !drop {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = whole.slice(..whole.len() / 2);
    let body = if drop { broken(half) } else { Body::from(half) };
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, body)
}

/// A body whose connection breaks after these bytes.
fn broken(start: Bytes) -> Body {
    let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Body::from_stream(futures::stream::iter([Ok(start), Err(error)]))
}
