//! The addresses of the API: keys, envelopes, errors.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::{Value, json};

use super::{
    KEY,
    data::{Data, SITES, Site},
    query::{Ask, filter},
    types::{FILTERS, Shape, TYPES, find},
};

type Words = Query<HashMap<String, String>>;

/// An error answer.
struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let id = format!("req_{:016x}", fastrand::u64(..));
        let body = json!({ "success": false, "error": self.2, "code": self.1, "requestId": id });
        (self.0, [("x-request-id", id)], Json(body)).into_response()
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message.into())
}

pub(super) fn router(data: Arc<Data>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/v1/query/websites", get(websites))
        .route("/v1/query/types", get(types))
        .route("/v1/query", post(query))
        .with_state(data)
}

async fn health() -> Json<Value> {
    Json(
        json!({ "clickhouse": true, "database": true, "redis": true, "success": true, "version": "1.0.0" }),
    )
}

fn authorize(headers: &HeaderMap) -> Result<(), Refusal> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let bearer = header("authorization").and_then(|v| v.strip_prefix("Bearer "));
    match header("x-api-key").or(bearer) {
        Some(KEY) => Ok(()),
        Some(_) => Err(Refusal(
            StatusCode::UNAUTHORIZED,
            "INVALID_API_KEY",
            "API key invalid or revoked".to_owned(),
        )),
        None => Err(Refusal(
            StatusCode::UNAUTHORIZED,
            "AUTH_REQUIRED",
            "Authentication required".to_owned(),
        )),
    }
}

async fn websites(headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    authorize(&headers)?;
    let sites: Vec<Value> = SITES
        .iter()
        .map(|s| json!({ "id": s.id, "name": s.name, "domain": s.domain }))
        .collect();
    Ok(Json(
        json!({ "success": true, "total": sites.len(), "websites": sites }),
    ))
}

async fn types() -> Json<Value> {
    let names: Vec<&str> = TYPES.iter().map(|t| t.name).collect();
    let configs: serde_json::Map<String, Value> = TYPES
        .iter()
        .map(|t| {
            let fields: Vec<Value> = columns(t.shape).into_iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
            let config = json!({ "allowedFilters": FILTERS, "defaultLimit": 100, "customizable": true, "meta": { "title": t.name, "output_fields": fields } });
            (t.name.to_owned(), config)
        })
        .collect();
    Json(json!({ "success": true, "types": names, "configs": configs }))
}

fn columns(shape: Shape) -> Vec<(&'static str, &'static str)> {
    match shape {
        Shape::Top { label, .. } => vec![
            (label, "string"),
            ("pageviews", "number"),
            ("visitors", "number"),
        ],
        Shape::Summary { visitors, duration } => vec![
            ("pageviews", "number"),
            (visitors, "number"),
            ("sessions", "number"),
            ("bounce_rate", "number"),
            (duration, "number"),
        ],
        Shape::Series => vec![
            ("date", "date"),
            ("pageviews", "number"),
            ("visitors", "number"),
            ("sessions", "number"),
            ("bounce_rate", "number"),
            ("median_session_duration", "number"),
        ],
    }
}

async fn query(
    State(data): State<Arc<Data>>,
    Query(words): Words,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    authorize(&headers)?;
    let id = words.get("website_id").ok_or_else(|| {
        Refusal(
            StatusCode::BAD_REQUEST,
            "MISSING_WEBSITE_ID",
            "website_id is required".to_owned(),
        )
    })?;
    let site = SITES.iter().find(|s| s.id == id);
    let site = site.ok_or_else(|| {
        Refusal(
            StatusCode::NOT_FOUND,
            "WEBSITE_NOT_FOUND",
            format!("Website {id} not found"),
        )
    })?;
    let request = format!("req_{:016x}", fastrand::u64(..));
    let Value::Array(items) = &body else {
        let (parts, meta) = answer(&data, site, &body).await?;
        return Ok(Json(
            json!({ "success": true, "requestId": request, "queryId": body["id"].as_str().unwrap_or_default(), "data": parts, "meta": meta }),
        ));
    };
    let mut results = Vec::new();
    for item in items {
        let (parts, meta) = answer(&data, site, item).await?;
        results.push(json!({ "queryId": item["id"].as_str().unwrap_or_default(), "data": parts, "meta": meta }));
    }
    Ok(Json(
        json!({ "success": true, "requestId": request, "batch": true, "results": results }),
    ))
}

/// The parts of one item. Two of the same id collapse into the last one, as they do there.
async fn answer(data: &Data, site: &Site, item: &Value) -> Result<(Vec<Value>, Value), Refusal> {
    let parameters = item["parameters"]
        .as_array()
        .filter(|list| !list.is_empty());
    let parameters =
        parameters.ok_or_else(|| invalid("parameters must be a list of at least one"))?;
    let mut parts: Vec<Value> = Vec::new();
    for parameter in parameters {
        let name = parameter
            .as_str()
            .or(parameter["name"].as_str())
            .unwrap_or_default();
        let ask = ask(data, item, parameter, name)?;
        let failed = |e: sqlx::Error| {
            Refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "DATABASE_ERROR",
                e.to_string(),
            )
        };
        let day = |text: &str| {
            text[..10]
                .parse::<NaiveDate>()
                .map_err(|e| invalid(e.to_string()))
        };
        data.generate(site, day(&ask.from)?, day(&ask.to)?)
            .await
            .map_err(failed)?;
        let id = parameter["id"].as_str().unwrap_or(name);
        let rows = ask.rows(data, site).await.map_err(failed)?;
        parts.retain(|part| part["parameter"] != id);
        parts.push(json!({ "parameter": id, "success": true, "data": rows }));
    }
    let meta = json!({ "total_parameters": parameters.len(), "filters_applied": item["filters"].as_array().map_or(0, Vec::len) });
    Ok((parts, meta))
}

fn ask(data: &Data, item: &Value, parameter: &Value, name: &str) -> Result<Ask, Refusal> {
    let kind = find(name).ok_or_else(|| invalid(format!("Unknown query type: {name}")))?;
    let word = |own: &str, of_all: &str| parameter[own].as_str().or(item[of_all].as_str());
    let start = word("start_date", "startDate").ok_or_else(|| invalid("startDate is required"))?;
    let end = word("end_date", "endDate").ok_or_else(|| invalid("endDate is required"))?;
    let (first, now) = data.visible();
    let from = instant(start, NaiveTime::MIN)?.max(first);
    let to = instant(end, NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default())?.min(now);
    let bucket = match (word("granularity", "granularity"), kind.shape) {
        (None | Some("daily" | "day"), Shape::Series) | (Some("daily" | "day"), _) => 10,
        (Some("hourly" | "hour"), _) => 13,
        (None, _) => 0,
        (Some(other), _) => return Err(invalid(format!("Unknown granularity: {other}"))),
    };
    let number = |key: &str, default: i64| {
        if item[key].is_null() {
            Some(default)
        } else {
            item[key].as_i64()
        }
    };
    let limit = number("limit", 100).filter(|n| (1..=10_000).contains(n));
    let limit = limit.ok_or_else(|| invalid("limit must lie between 1 and 10000"))?;
    let page = number("page", 1)
        .filter(|n| *n >= 1)
        .ok_or_else(|| invalid("page must be at least 1"))?;
    let filters = item["filters"].as_array().into_iter().flatten().map(filter);
    let text = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    Ok(Ask {
        kind,
        from: text(from),
        to: text(to),
        bucket,
        filters: filters.collect::<Result<_, _>>().map_err(invalid)?,
        limit,
        offset: limit * (page - 1),
    })
}

/// A plain day of UTC, padded to `time`; or an instant with an offset as it is.
fn instant(text: &str, time: NaiveTime) -> Result<DateTime<Utc>, Refusal> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(time).and_utc());
    }
    let at = DateTime::parse_from_rfc3339(text);
    at.map(|at| at.with_timezone(&Utc)).map_err(|_| {
        Refusal(
            StatusCode::BAD_REQUEST,
            "INVALID_DATE_RANGE",
            format!("Invalid date: {text}"),
        )
    })
}
