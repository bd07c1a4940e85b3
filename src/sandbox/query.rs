//! `POST /v1/query`: one query or several, each of parameters.

use axum::http::StatusCode;
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::{
    check::{check, part_id},
    http::App,
    options::{FaultKind, Generation},
    part::Common,
    place::Place,
    refusal::{Refusal, request_id},
};

/// Answers a body: an object, or a list of them.
pub(super) async fn answer(
    app: &App,
    place: Place,
    zone: Option<&str>,
    body: &Value,
) -> Result<Value, Refusal> {
    let id = request_id();
    let Value::Array(items) = body else {
        let mut whole = json!({ "success": true, "requestId": id });
        extend(&mut whole, one(app, place, zone, body).await?);
        return Ok(whole);
    };
    let mut results = Vec::new();
    for item in items {
        match one(app, place, zone, item).await {
            Ok(result) => results.push(result),
            // There only this item fails
            Err(refusal) if refusal.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                let parameters = item["parameters"].as_array().into_iter().flatten();
                let parts =
                    parameters.map(|parameter| failed(part_id(parameter), refusal.message()));
                let parts: Vec<Value> = parts.collect();
                results.push(
                    json!({ "queryId": item["id"].as_str().unwrap_or_default(), "data": parts }),
                );
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(json!({ "success": true, "requestId": id, "batch": true, "results": results }))
}

fn extend(whole: &mut Value, with: Value) {
    if let (Value::Object(whole), Value::Object(with)) = (whole, with) {
        whole.extend(with);
    }
}

fn failed(id: &str, error: &str) -> Value {
    json!({ "parameter": id, "success": false, "data": [], "error": error })
}

/// One query.
async fn one(app: &App, place: Place, zone: Option<&str>, item: &Value) -> Result<Value, Refusal> {
    let generation = app.data.options.generation;
    let (parameters, kinds) = check(generation, item)?;
    let (limit, page) = (item["limit"].as_i64(), item["page"].as_i64());
    let common = Common {
        app,
        place,
        generation,
        item,
        zone: zone.map_or(Ok(Tz::UTC), |name| {
            name.parse()
                .map_err(|_| format!("Cannot load time zone {name}"))
        }),
        limit: limit.unwrap_or(100),
        page: page.unwrap_or(1),
    };
    let faults = |kind| app.faults.happens(&app.data.options, kind);
    let down = faults(FaultKind::DatabaseDown);
    if down && generation == Generation::Seed {
        return Err(Refusal::database());
    }
    let mut parts: Vec<Value> = Vec::new();
    for (parameter, kind) in parameters.iter().zip(kinds) {
        let id = part_id(parameter);
        let rows = if down {
            Err("ECONNREFUSED".to_owned())
        } else {
            common.rows(parameter, kind).await?
        };
        let part = match rows {
            Ok(rows) => json!({ "parameter": id, "success": true, "data": rows }),
            Err(error) => failed(id, &error),
        };
        // Of two with the same id, both get the last one's rows
        let same = parts.iter().position(|old| old["parameter"] == *id);
        if let Some(old) = same {
            if generation == Generation::Seed {
                parts.remove(old);
            } else {
                parts[old] = part.clone();
            }
        }
        parts.push(part);
    }
    if generation == Generation::Server2026_02 {
        parts.sort_by_key(|part| part["success"] == false);
    }
    if faults(FaultKind::PartFailure) {
        app.faults.fail_one(&mut parts);
    }
    if faults(FaultKind::Reorder) {
        app.faults.shuffle(&mut parts);
    }
    let meta = json!({
        "parameters": parameters, "total_parameters": parameters.len(), "page": common.page, "limit": common.limit,
        "filters_applied": item["filters"].as_array().map_or(0, Vec::len),
    });
    Ok(json!({ "queryId": item["id"].as_str().unwrap_or_default(), "data": parts, "meta": meta }))
}
