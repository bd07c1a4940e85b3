//! Event tracking ("basket"): single events, batches, and the newer `/track`.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use chrono::DateTime;
use serde_json::{Value, json};

use super::{
    http::{App, Words, key_text},
    keys::{self, Key, Scope},
    options::Generation,
    place::{SITES, Site, site},
    rows::instant,
};

/// The most events that a batch may have.
const BATCH: usize = 100;
/// The longest name of an event of the seed, and of the newer address.
const NAME: usize = 128;
const NEW_NAME: usize = 256;
const EVENT_ID: usize = 512;
const PROPERTIES: usize = 32 * 1024;

/// A refusal of this service.
pub(super) struct Refused(StatusCode, Value);

type Answer = Result<Json<Value>, Refused>;

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

fn refused(status: StatusCode, message: &str) -> Refused {
    Refused(status, json!({ "status": "error", "message": message }))
}

fn bad(message: &str) -> Refused {
    refused(StatusCode::BAD_REQUEST, message)
}

/// The website of `client_id`; a key is not needed, but one that is shown must be good.
fn client(words: &Words, headers: &HeaderMap) -> Result<&'static Site, Refused> {
    let id = words.get("client_id").or(words.get("website_id"));
    let id = id.ok_or_else(|| bad("client_id is required"))?;
    let site = site(id).ok_or_else(|| refused(StatusCode::NOT_FOUND, "Website not found"))?;
    if let Some(key) = shown_key(headers)? {
        writes(key)?;
        sees(key, site)?;
    }
    Ok(site)
}

fn shown_key(headers: &HeaderMap) -> Result<Option<&'static Key>, Refused> {
    let Some(text) = key_text(headers) else {
        return Ok(None);
    };
    let key = keys::find(text).filter(|key| !key.revoked);
    let key = key.ok_or_else(|| refused(StatusCode::UNAUTHORIZED, "Invalid API key"))?;
    Ok(Some(key))
}

fn writes(key: &Key) -> Result<(), Refused> {
    if key.may(Scope::TrackEvents) || key.may(Scope::WriteData) {
        return Ok(());
    }
    let message = "API key missing track:events scope";
    Err(refused(StatusCode::FORBIDDEN, message))
}

fn sees(key: &Key, site: &Site) -> Result<(), Refused> {
    if key.sees(site.id) {
        return Ok(());
    }
    let message = "Access denied to this website";
    Err(refused(StatusCode::FORBIDDEN, message))
}

/// Whether the February server turns a request away as a robot's.
fn ignored(app: &App, headers: &HeaderMap) -> bool {
    app.generation() == Generation::Server2026_02 && !headers.contains_key("user-agent")
}

fn parsed(bytes: &Bytes) -> Result<Value, Refused> {
    serde_json::from_slice(bytes).map_err(|_| bad("Bad Request"))
}

/// `POST /?client_id=…`
pub(super) async fn one(
    State(app): State<Arc<App>>,
    words: Words,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let site = client(&words, &headers)?;
    if ignored(&app, &headers) {
        return Ok(Json(json!({ "status": "ignored" })));
    }
    let item = parsed(&bytes)?;
    let (id, row) =
        event(&app, site, &item).map_err(|body| Refused(StatusCode::BAD_REQUEST, body))?;
    keep(&app, &[(id.clone(), row)]).await?;
    Ok(Json(
        json!({ "status": "success", "type": item["type"], "eventId": id }),
    ))
}

/// `POST /batch?client_id=…`: refused events stand in the results of a success.
pub(super) async fn batch(
    State(app): State<Arc<App>>,
    words: Words,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let site = client(&words, &headers)?;
    if ignored(&app, &headers) {
        return Ok(Json(json!({ "status": "ignored" })));
    }
    let body = parsed(&bytes)?;
    let items = body.as_array();
    let items = items.ok_or_else(|| bad("Batch endpoint expects array of events"))?;
    if items.len() > BATCH {
        return Err(bad("Batch too large: at most 100 events"));
    }
    let mut events = Vec::new();
    let mut results = Vec::new();
    for item in items {
        results.push(match event(&app, site, item) {
            Ok((id, row)) => {
                events.push((id.clone(), row));
                json!({ "status": "success", "type": item["type"], "eventId": id })
            }
            Err(error) => error,
        });
    }
    keep(&app, &events).await?;
    let processed = results.len();
    let mut body =
        json!({ "status": "success", "batch": true, "processed": processed, "results": results });
    if app.generation() == Generation::Server2026_02 {
        body["batched"] = json!({ "track": events.len(), "outgoing_link": 0 });
    }
    Ok(Json(body))
}

/// `POST /track`: custom events without a type; one bad event refuses all.
pub(super) async fn track(
    State(app): State<Arc<App>>,
    words: Words,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let key = shown_key(&headers)?;
    let named = words.get("website_id").map(|id| site(id));
    let site = match (key, named) {
        (_, Some(None)) => return Err(refused(StatusCode::NOT_FOUND, "Website not found")),
        (None, Some(Some(site))) => site,
        (Some(key), named) => {
            writes(key)?;
            // Without a website an event belongs to the first one that the key sees
            let first = SITES.iter().find(|site| key.sees(site.id));
            let site = named.flatten().or(first).unwrap_or(&SITES[0]);
            sees(key, site)?;
            site
        }
        (None, None) => {
            let message = "API key or website_id required";
            return Err(refused(StatusCode::UNAUTHORIZED, message));
        }
    };
    let body = parsed(&bytes)?;
    let items = body
        .as_array()
        .map_or(std::slice::from_ref(&body), Vec::as_slice);
    let mut events = Vec::new();
    for item in items {
        let name = item["name"].as_str().unwrap_or_default();
        let many = item["properties"].as_object().is_some_and(|p| p.len() > 50);
        let right = (1..=NEW_NAME).contains(&name.len()) && fits(item) && !many;
        if !right {
            return Err(bad("Invalid request body"));
        }
        let site = match item["websiteId"].as_str() {
            Some(id) => self::site(id).ok_or_else(|| bad("Invalid request body"))?,
            None => site,
        };
        events.push(row(&app, site, item, "custom"));
    }
    keep(&app, &events).await?;
    Ok(Json(
        json!({ "status": "success", "type": "custom_event", "count": events.len() }),
    ))
}

async fn keep(app: &App, events: &[(String, Value)]) -> Result<(), Refused> {
    app.data.track(events).await.map_err(|error| {
        tracing::error!(%error, "the sandbox's database failed");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    })
}

fn fits(item: &Value) -> bool {
    let properties = &item["properties"];
    let properties = properties.is_null()
        || (properties.is_object() && properties.to_string().len() <= PROPERTIES);
    let id = item["eventId"].as_str().unwrap_or_default();
    properties && id.len() <= EVENT_ID
}

/// The id and row of an event with a type, or what is wrong with it.
fn event(app: &App, site: &Site, item: &Value) -> Result<(String, Value), Value> {
    let word = item["type"].as_str().unwrap_or_default();
    let wrong = |message: &str| json!({ "status": "error", "message": message, "eventType": word });
    let known = match app.generation() {
        Generation::Seed => "custom",
        Generation::Server2026_02 => "track",
    };
    if word != known {
        return Err(wrong("Unknown event type"));
    }
    let name = item["name"].as_str().unwrap_or_default();
    if !(1..=NAME).contains(&name.chars().count()) {
        return Err(wrong("name must have 1 to 128 characters"));
    }
    if !(item["timestamp"].is_null() || item["timestamp"].is_number()) {
        return Err(wrong("timestamp must be a number of milliseconds"));
    }
    if !fits(item) {
        return Err(wrong(
            "properties must be an object of at most 32 KB, eventId at most 512 long",
        ));
    }
    let kind = if name == "screen_view" {
        "view"
    } else {
        "custom"
    };
    Ok(row(app, site, item, kind))
}

/// The id and row of an event, in the order of the table's columns.
fn row(app: &App, site: &Site, item: &Value, kind: &str) -> (String, Value) {
    let text = |key: &str| item[key].as_str();
    let id =
        text("eventId").map_or_else(|| format!("evt_{:016x}", fastrand::u64(..)), str::to_owned);
    let at = match &item["timestamp"] {
        Value::Null => app.data.now(),
        // An unreadable one is the beginning of time there
        stamp => DateTime::from_timestamp_millis(milliseconds(stamp)).unwrap_or_default(),
    };
    let properties = item["properties"].as_object();
    let properties = properties.map(|p| Value::Object(p.clone()).to_string());
    let mut row = vec![
        json!(site.id),
        json!(instant(at)),
        json!(text("anonymousId")),
        json!(text("sessionId")),
        json!(text("path")),
    ];
    row.resize(22, Value::Null);
    row.extend([json!(id), json!(kind), json!(item["name"]), json!(0)]);
    row.resize(33, Value::Null);
    row.push(json!(properties));
    (id, Value::Array(row))
}

fn milliseconds(stamp: &Value) -> i64 {
    match (stamp.as_i64(), stamp.as_f64(), stamp.as_str()) {
        (Some(number), _, _) => number,
        (_, Some(number), _) => format!("{number:.0}").parse().unwrap_or(0),
        (_, _, Some(text)) => {
            DateTime::parse_from_rfc3339(text).map_or(0, |at| at.timestamp_millis())
        }
        _ => 0,
    }
}
