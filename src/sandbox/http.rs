//! The addresses of the API: keys, limits, envelopes.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    catalog, custom,
    data::Data,
    faults::{self, Faults},
    keys::{self, Key, Scope},
    limits::{Budget, Left, Limits},
    options::{FaultKind, Generation},
    place::{FOREIGN, Place, SITES, link, site},
    query,
    refusal::{Refusal, request_id},
    track,
};

/// What the handlers share.
pub(super) struct App {
    pub(super) data: Data,
    pub(super) faults: Faults,
    limits: Limits,
}

pub(super) type Words = Query<HashMap<String, String>>;

pub(super) fn router(data: Data) -> Router {
    let faults = Faults::new(data.options.fault_seed);
    let app = Arc::new(App {
        data,
        faults,
        limits: Limits::default(),
    });
    Router::new()
        .route("/v1/query/websites", get(websites))
        .route("/v1/query/types", get(catalog::types))
        .route("/v1/query", post(run))
        .route("/v1/query/custom", post(run_custom))
        .route("/", post(track::one))
        .route("/batch", post(track::batch))
        .route("/track", post(track::track))
        .layer(middleware::from_fn_with_state(app.clone(), faults::around))
        .route("/health", get(health))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .with_state(app)
}

async fn nothing(State(app): State<Arc<App>>) -> Refusal {
    match app.generation() {
        Generation::Seed => {
            Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here")
        }
        Generation::Server2026_02 => {
            Refusal::opaque(StatusCode::INTERNAL_SERVER_ERROR, "NOT_FOUND")
        }
    }
}

async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    let up = !app
        .faults
        .happens(&app.data.options, FaultKind::DatabaseDown);
    Json(match app.generation() {
        Generation::Seed => json!({
            "clickhouse": up, "database": true, "redis": true, "success": up, "version": "1.0.0"
        }),
        Generation::Server2026_02 => json!({ "status": "ok" }),
    })
}

impl App {
    pub(super) fn generation(&self) -> Generation {
        self.data.options.generation
    }

    /// The key of a request, which must have one of these scopes.
    fn authorize(&self, headers: &HeaderMap, scopes: &[Scope]) -> Result<&'static Key, Refusal> {
        let unauthorized = |code, message| {
            let (code, message) = match self.generation() {
                Generation::Seed => (code, message),
                // There every key that will not do is no key
                Generation::Server2026_02 => ("AUTH_REQUIRED", "Authentication required"),
            };
            Refusal::new(StatusCode::UNAUTHORIZED, code, message)
        };
        let text = key_text(headers)
            .ok_or_else(|| unauthorized("AUTH_REQUIRED", "Authentication required"))?;
        let key = keys::find(text).filter(|key| !key.revoked);
        let key =
            key.ok_or_else(|| unauthorized("INVALID_API_KEY", "API key invalid or revoked"))?;
        if scopes.iter().any(|scope| key.may(*scope)) {
            return Ok(key);
        }
        let scope = scopes.first().map_or("", |scope| scope.name());
        Err(match self.generation() {
            Generation::Seed => Refusal::new(
                StatusCode::FORBIDDEN,
                "INSUFFICIENT_SCOPE",
                format!("API key lacks the scope {scope}"),
            ),
            Generation::Server2026_02 => unauthorized("AUTH_REQUIRED", "Authentication required"),
        })
    }

    fn spend(&self, key: &Key, budget: Budget) -> Result<Option<Left>, Refusal> {
        let (options, now) = (&self.data.options, self.data.now());
        self.limits.take(options, key.text, budget, now)
    }

    /// What a request is about, which its key must see.
    fn place(&self, key: &Key, words: &HashMap<String, String>) -> Result<Place, Refusal> {
        let denied = |what: &str| {
            let message = format!("Access denied to this {what}");
            Refusal::new(StatusCode::FORBIDDEN, "ACCESS_DENIED", message)
        };
        let (id, what, place, code) = match (words.get("website_id"), words.get("link_id")) {
            (Some(id), _) => (
                id,
                "website",
                site(id).map(Place::Site),
                "WEBSITE_NOT_FOUND",
            ),
            (_, Some(id)) => (id, "link", link(id).map(Place::Link), "LINK_NOT_FOUND"),
            _ => {
                let message = "website_id is required";
                return Err(Refusal::bad("MISSING_WEBSITE_ID", message));
            }
        };
        let foreign = FOREIGN.contains(&id.as_str());
        match place {
            Some(place) if key.sees(id) => Ok(place),
            None if !foreign && self.generation() == Generation::Seed => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                code,
                format!("No {what} has the id {id}"),
            )),
            _ => Err(denied(what)),
        }
    }

    /// The JSON of a body.
    fn body(&self, headers: &HeaderMap, bytes: &Bytes) -> Result<Value, Refusal> {
        let generation = self.generation();
        let kind = headers.get("content-type").and_then(|v| v.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
            let message = "The content type must be application/json";
            return Err(Refusal::shape(generation, "content-type", message));
        }
        let body: Value = serde_json::from_slice(bytes).map_err(|error| match generation {
            Generation::Seed => Refusal::invalid("body", format!("The body is no JSON: {error}")),
            Generation::Server2026_02 => Refusal::opaque(StatusCode::BAD_REQUEST, "PARSE"),
        })?;
        if body.is_object() || body.is_array() {
            Ok(body)
        } else {
            Err(Refusal::shape(
                generation,
                "body",
                "The body must be an object or a list",
            ))
        }
    }
}

/// The key that a request shows.
pub(super) fn key_text(headers: &HeaderMap) -> Option<&str> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let bearer = header("authorization").and_then(|v| v.strip_prefix("Bearer "));
    header("x-api-key").or(bearer)
}

/// An answer with what is left of the budget.
fn told(body: Value, left: Option<Left>) -> Response {
    let mut response = Json(body).into_response();
    if let Some(left) = left {
        let values = [
            ("x-ratelimit-limit", i64::from(left.limit)),
            ("x-ratelimit-remaining", i64::from(left.remaining)),
            ("x-ratelimit-reset", left.reset),
        ];
        for (name, value) in values {
            response.headers_mut().insert(name, value.into());
        }
    }
    response
}

async fn websites(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scopes: &[Scope] = match app.generation() {
        Generation::Seed => &[Scope::ReadWebsites],
        Generation::Server2026_02 => &[Scope::ReadData, Scope::ReadWebsites],
    };
    let key = app.authorize(&headers, scopes)?;
    let left = app.spend(key, Budget::Standard)?;
    let sites = SITES.iter().filter(|site| key.sees(site.id));
    let sites: Vec<Value> = sites
        .map(|s| json!({ "id": s.id, "name": s.name, "domain": s.domain, "isPublic": false }))
        .collect();
    let id = request_id();
    let body = json!({ "success": true, "requestId": id, "websites": sites, "total": sites.len() });
    Ok(told(body, left))
}

async fn run(
    State(app): State<Arc<App>>,
    Query(words): Words,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refusal> {
    let key = app.authorize(&headers, &[Scope::ReadData])?;
    let left = app.spend(key, Budget::Standard)?;
    let body = app.body(&headers, &bytes)?;
    let place = app.place(key, &words)?;
    let zone = words.get("timezone").map(String::as_str);
    Ok(told(query::answer(&app, place, zone, &body).await?, left))
}

async fn run_custom(
    State(app): State<Arc<App>>,
    Query(words): Words,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refusal> {
    let key = app.authorize(&headers, &[Scope::ReadData])?;
    let left = app.spend(key, Budget::Custom)?;
    let body = app.body(&headers, &bytes)?;
    let Place::Site(site) = app.place(key, &words)? else {
        let message = "website_id is required";
        return Err(Refusal::bad("MISSING_WEBSITE_ID", message));
    };
    Ok(told(custom::answer(&app, site, &body).await?, left))
}
