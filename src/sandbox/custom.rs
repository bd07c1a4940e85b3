//! `POST /v1/query/custom`: selects, filters and groups over five tables.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    custom_tables::{CustomTable, find},
    data::{Bound, bounds},
    filter::{Filter, OPERATORS, ORDER_OPERATORS},
    http::App,
    options::{FaultKind, Generation},
    place::{Place, Site},
    refusal::{Refusal, request_id},
    schema::is_number,
    window::Window,
};

const AGGREGATES: [&str; 6] = ["count", "uniq", "sum", "avg", "max", "min"];

/// One value of the answer: the SQL of it and its name.
struct Select {
    sql: String,
    alias: String,
    field: String,
}

/// Answers a body.
pub(super) async fn answer(app: &App, site: &'static Site, body: &Value) -> Result<Value, Refusal> {
    let generation = app.data.options.generation;
    if app
        .faults
        .happens(&app.data.options, FaultKind::DatabaseDown)
    {
        return Err(match generation {
            Generation::Seed => Refusal::database(),
            Generation::Server2026_02 => failed(),
        });
    }
    let query = &body["query"];
    let table = table(generation, query)?;
    let selects =
        selects(query, table, generation).map_err(|e| refuse(generation, "query.selects", e))?;
    let groups =
        groups(query, table, generation).map_err(|e| refuse(generation, "query.groupBy", e))?;
    let filters =
        filters(query, table, generation).map_err(|e| refuse(generation, "query.filters", e))?;
    let limit = limit(generation, body)?;
    let window = window(generation, body)?.within(app.data.visible());
    app.data
        .generate(Place::Site(site), window.from, window.until)
        .await?;

    let mut bound = vec![Bound::Text(site.id.to_owned())];
    bound.extend(bounds(window.from, window.until));
    let conditions: Vec<String> = filters.iter().map(|f| f.condition(&mut bound)).collect();
    let columns: Vec<String> = groups
        .iter()
        .map(|(_, column)| (*column).to_owned())
        .chain(selects.iter().map(|select| select.sql.clone()))
        .collect();
    let numbered: Vec<String> = (1..=groups.len()).map(|i| i.to_string()).collect();
    let grouped = if groups.is_empty() {
        String::new()
    } else {
        let by = numbered.join(", ");
        format!("GROUP BY {by} ORDER BY {} DESC, {by}", groups.len() + 1)
    };
    let named: Vec<String> = (0..columns.len())
        .map(|i| format!("{} AS c{i}", columns[i]))
        .collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE website_id = ?1 AND at >= ?2 AND at < ?3{} {grouped} LIMIT {limit}",
        named.join(", "),
        table.source,
        conditions.concat(),
    );
    let rows = app.data.rows(sql, &bound).await?;
    // On that server a group's column vanishes when its name occurs in a select
    let vanishes = |name: &str| {
        let used = |s: &Select| s.field.contains(name) || s.alias.contains(name);
        generation == Generation::Server2026_02 && selects.iter().any(used)
    };
    let names = groups
        .iter()
        .map(|(name, _)| (!vanishes(name)).then_some(name.as_str()));
    let names: Vec<Option<&str>> = names
        .chain(selects.iter().map(|select| Some(select.alias.as_str())))
        .collect();
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            let values = row.into_iter().map(|(_, value)| value);
            let named = names.iter().zip(values);
            let named = named.filter_map(|(name, value)| Some(((*name)?.to_owned(), value)));
            Value::Object(named.collect::<Map<_, _>>())
        })
        .collect();
    let meta = json!({ "rowCount": rows.len(), "executionTime": 1 });
    Ok(json!({ "success": true, "data": rows, "meta": meta, "requestId": request_id() }))
}

fn failed() -> Refusal {
    let message = "Query execution failed. Please try again or contact support.";
    Refusal::bad("QUERY_ERROR", message)
}

/// What is wrong, said or not.
fn refuse(generation: Generation, field: &str, message: String) -> Refusal {
    match generation {
        Generation::Seed => Refusal::invalid(field, message),
        Generation::Server2026_02 => {
            let message = "Invalid query configuration. Please check your query parameters.";
            Refusal::bad("QUERY_ERROR", message)
        }
    }
}

fn table(generation: Generation, query: &Value) -> Result<&'static CustomTable, Refusal> {
    if !query.is_object() || !query["table"].is_string() || !query["selects"].is_array() {
        return Err(Refusal::shape(
            generation,
            "query",
            "query needs a table and selects",
        ));
    }
    let known = |select: &Value| {
        let aggregate = select["aggregate"].as_str();
        aggregate.is_some_and(|aggregate| AGGREGATES.contains(&aggregate))
    };
    if generation == Generation::Server2026_02
        && !query["selects"].as_array().into_iter().flatten().all(known)
    {
        return Err(Refusal::shape(
            generation,
            "query.selects",
            "unknown aggregate",
        ));
    }
    let name = query["table"].as_str().unwrap_or_default();
    find(name, generation).ok_or_else(|| {
        let known: Vec<&str> = super::custom_tables::names(generation).collect();
        let message = format!("Invalid table '{name}'. Valid tables: {}", known.join(", "));
        refuse(generation, "query.table", message)
    })
}

fn selects(
    query: &Value,
    table: &CustomTable,
    generation: Generation,
) -> Result<Vec<Select>, String> {
    let list = query["selects"].as_array().map_or(&[][..], Vec::as_slice);
    if !(1..=10).contains(&list.len()) {
        return Err("selects must be 1 to 10".to_owned());
    }
    let mut aliases = BTreeSet::new();
    list.iter()
        .map(|select| {
            let select = self::select(select, table, generation)?;
            if !aliases.insert(select.alias.clone()) {
                return Err(format!("The alias '{}' is used twice", select.alias));
            }
            Ok(select)
        })
        .collect()
}

fn select(select: &Value, table: &CustomTable, generation: Generation) -> Result<Select, String> {
    let field = select["field"].as_str().unwrap_or_default();
    let aggregate = select["aggregate"].as_str().unwrap_or_default();
    if !AGGREGATES.contains(&aggregate) {
        let known = AGGREGATES.join(", ");
        return Err(format!("Unknown aggregate '{aggregate}'; one of {known}"));
    }
    let column = match field {
        "*" if aggregate == "count" => "*",
        "*" => return Err(format!("'*' can be counted only, not {aggregate}")),
        field => table.column(field, generation)?,
    };
    if matches!(aggregate, "sum" | "avg") && !is_number(column) {
        return Err(format!(
            "'{field}' holds no numbers: {aggregate} needs some"
        ));
    }
    let sql = match aggregate {
        "uniq" => format!("COUNT(DISTINCT {column})"),
        // The sum of nothing is 0, as ClickHouse has it
        "sum" => format!("COALESCE(SUM({column}), 0)"),
        other => format!("{}({column})", other.to_uppercase()),
    };
    let default = if field == "*" {
        aggregate.to_owned()
    } else {
        format!("{aggregate}_{field}")
    };
    let alias = select["alias"].as_str().unwrap_or(&default).to_owned();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fine = (1..=64).contains(&alias.len())
        && alias.chars().all(word)
        && !alias.starts_with(|c: char| c.is_ascii_digit());
    if !fine {
        return Err(format!("The alias '{alias}' is no name"));
    }
    Ok(Select {
        sql,
        alias,
        field: field.to_owned(),
    })
}

fn groups(
    query: &Value,
    table: &CustomTable,
    generation: Generation,
) -> Result<Vec<(String, &'static str)>, String> {
    let list = query["groupBy"].as_array().map_or(&[][..], Vec::as_slice);
    if list.len() > 5 {
        return Err("groupBy takes at most 5 fields".to_owned());
    }
    list.iter()
        .map(|field| {
            let field = field.as_str().unwrap_or_default();
            Ok((field.to_owned(), table.column(field, generation)?))
        })
        .collect()
}

fn filters(
    query: &Value,
    table: &CustomTable,
    generation: Generation,
) -> Result<Vec<Filter>, String> {
    let list = query["filters"].as_array().map_or(&[][..], Vec::as_slice);
    if list.len() > 20 {
        return Err("filters are at most 20".to_owned());
    }
    let operators: Vec<&'static str> = OPERATORS.into_iter().chain(ORDER_OPERATORS).collect();
    list.iter()
        .map(|filter| {
            Filter::parse(filter, &operators, |field| {
                table.column(field, generation).ok()
            })
        })
        .collect()
}

fn limit(generation: Generation, body: &Value) -> Result<i64, Refusal> {
    let limit = &body["limit"];
    let number = if limit.is_null() {
        Some(1_000)
    } else {
        limit.as_i64()
    };
    match (generation, number) {
        (_, Some(n)) if (1..=10_000).contains(&n) => Ok(n),
        (Generation::Server2026_02, Some(n)) if n > 10_000 => Ok(10_000),
        (Generation::Server2026_02, _) => Err(failed()),
        (Generation::Seed, _) => Err(Refusal::invalid(
            "limit",
            "limit must lie between 1 and 10000",
        )),
    }
}

fn window(generation: Generation, body: &Value) -> Result<Window, Refusal> {
    let (Some(start), Some(end)) = (body["startDate"].as_str(), body["endDate"].as_str()) else {
        return Err(Refusal::shape(
            generation,
            "startDate",
            "startDate and endDate are required",
        ));
    };
    if generation == Generation::Server2026_02 {
        // A day is its first instant there, so the last one is left out
        let window = instant(start)
            .zip(instant(end))
            .map(|(from, until)| Window {
                from,
                until: until.max(from),
                first_day: from.date_naive(),
            });
        return window.ok_or_else(failed);
    }
    let window = Window::parse(start, end).filter(|window| window.until > window.from);
    window.ok_or_else(|| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_DATE_RANGE",
            format!("Invalid dates: {start} to {end}"),
        )
    })
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    let day = text.parse::<NaiveDate>().ok();
    let day = day.map(|day| day.and_time(NaiveTime::MIN));
    let time = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
    day.or_else(time).map(|at| at.and_utc())
}
