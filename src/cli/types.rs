//! `types`: the query types of the server, and what this program knows of one.

use serde_json::{Value, json};

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{Api, settings},
};
use crate::{
    clock::Clock,
    domain::{
        catalog::{Catalog, Filtering, knowledge_of, measured, measured_kinds},
        query::{ColumnType, Granularity},
    },
    engine::EngineError,
};

pub(super) async fn types(
    name: Option<&str>,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (root, settings) = settings(global)?;
    let api = Api::start(global, &root, &settings, clock).await?;
    let catalog = api.client.catalog().await.map_err(EngineError::from);
    api.stop().await;
    let catalog = catalog?;
    let Some(name) = name else {
        return Ok(list(&catalog, global.json));
    };
    let document = describe(name, &catalog)?;
    if global.json {
        return Ok(print::json(&document));
    }
    show(&document);
    Ok(Exit::Done)
}

fn list(catalog: &Catalog, as_json: bool) -> Exit {
    if as_json {
        let types: Vec<&String> = catalog.types.keys().collect();
        return print::json(&json!({ "types": types, "speaks_seed_names": catalog.is_seed() }));
    }
    for name in catalog.types.keys() {
        print::line(name);
    }
    print::note(format!(
        "{} types; `types NAME` shows what is known of one",
        catalog.types.len()
    ));
    Exit::Done
}

/// What the server and the measured table say of a type, under the server's name of it.
fn describe(name: &str, catalog: &Catalog) -> Result<Value, CliError> {
    let server_name = catalog.server_type(name, None);
    let dated = catalog.server_type(name, Some(Granularity::Daily));
    let Some(server_name) = server_name.or_else(|| measured(name).map(|_| name)) else {
        return Err(CliError::Argument(format!(
            "neither this server nor this program knows the query type `{name}`; `types` lists them"
        )));
    };
    let known = measured(server_name);
    let listed = catalog.types.get(server_name);
    let kind = |kind: Option<ColumnType>| kind.map(ColumnType::name);
    let kinds = measured_kinds(name);
    let mut columns: Vec<(String, Option<&str>)> = Vec::new();
    for (column, of) in known.map_or(&[][..], |k| &k.columns) {
        columns.push(((*column).to_owned(), kind(*of)));
    }
    for (column, of) in listed.map_or(&[][..], |l| &l.columns) {
        if !columns.iter().any(|(name, _)| name == column) {
            columns.push((
                column.clone(),
                kind(of.or(kinds.get(column.as_str()).copied())),
            ));
        }
    }
    let filters = listed.and_then(|l| l.allowed_filters.clone());
    Ok(json!({
        "name": name,
        "server_name": server_name,
        "server_name_with_granularity": dated,
        "is_listed": listed.is_some(),
        "columns": columns.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect::<Vec<_>>(),
        "filter_fields": filters.or_else(|| knowledge_of(name).map(|k| k.filter_fields.iter().cloned().collect())),
        "measured": known.map(|k| json!({
            "limit": k.honours_limit, "page": k.honours_page, "hourly": k.has_hours,
            "filters": match k.filters {
                Filtering::Applies => "apply",
                Filtering::Ignored => "ignored",
                Filtering::Fails => "fail on country",
                Filtering::Unknown => "unknown",
            },
        })),
    }))
}

fn show(document: &Value) {
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    print::line(text("name"));
    if document["server_name"] != document["name"] {
        print::line(format!(
            "  called      {} by this server",
            text("server_name")
        ));
    }
    let dated = text("server_name_with_granularity");
    if !dated.is_empty() && dated != text("server_name") {
        print::line(format!("  dated rows  {dated}, with `granularity`"));
    }
    if document["is_listed"] == false {
        print::line("  this server does not list it");
    }
    let fields: Vec<&str> = document["filter_fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    print::line(format!(
        "  filters     {}",
        if fields.is_empty() {
            "none known".to_owned()
        } else {
            fields.join(" ")
        }
    ));
    if let Value::Object(measured) = &document["measured"] {
        let yes = |key: &str, no: &'static str| {
            if measured[key] == true {
                "honoured"
            } else {
                no
            }
        };
        print::line(format!(
            "  measured    limit {}, page {}, hourly rows {}, filters {}",
            yes(
                "limit",
                "not honoured: 10,000 rows are asked for and cut here"
            ),
            yes(
                "page",
                "not honoured: a result of exactly 10,000 rows is an error"
            ),
            if measured["hourly"] == true {
                "yes"
            } else {
                "no"
            },
            measured["filters"].as_str().unwrap_or_default(),
        ));
    } else {
        print::line("  measured    nothing: not under this name");
    }
    print::line("  columns");
    for column in document["columns"].as_array().into_iter().flatten() {
        let kind = column["type"].as_str().unwrap_or("by its first value");
        print::line(format!(
            "    {:<28} {kind}",
            column["name"].as_str().unwrap_or_default()
        ));
    }
}
