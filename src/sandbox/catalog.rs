//! `GET /v1/query/types`: what can be asked.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
};
use serde_json::{Map, Value, json};

use super::{
    http::App,
    refusal::request_id,
    types::{self, Span, Type},
    window::PRESETS,
};

pub(super) async fn types(
    State(app): State<Arc<App>>,
    Query(words): Query<HashMap<String, String>>,
) -> Json<Value> {
    let listed: Vec<&Type> = types::listed(app.generation()).collect();
    let names: Vec<&str> = listed.iter().map(|kind| kind.name).collect();
    let with_meta = words.get("include_meta").is_some_and(|word| word == "true");
    let configs: Map<String, Value> = listed
        .iter()
        .map(|kind| (kind.name.to_owned(), config(kind, with_meta)))
        .collect();
    Json(json!({
        "success": true, "requestId": request_id(), "types": names, "configs": configs, "presets": PRESETS
    }))
}

fn config(kind: &Type, with_meta: bool) -> Value {
    let fields: Vec<&str> = kind.fields().map(|(name, _)| name).collect();
    let mut config = json!({ "allowedFilters": fields, "customizable": true, "defaultLimit": 100 });
    if with_meta {
        let title = kind.name.replace('_', " ");
        let output: Vec<Value> = kind
            .output()
            .map(|(name, kind)| json!({ "name": name, "type": kind, "label": name.replace('_', " ") }))
            .collect();
        let dated = kind.span == Span::Dated;
        let granularity: &[&str] = if dated || kind.dated.is_some() || kind.sql.contains("{date}") {
            &["hour", "day"]
        } else {
            &[]
        };
        let shown = if dated { "timeseries" } else { "table" };
        config["meta"] = json!({
            "title": title, "description": title, "output_fields": output, "supports_granularity": granularity,
            "default_visualization": shown, "version": "1.0",
        });
    }
    config
}
