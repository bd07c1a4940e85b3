//! What is wrong with a query, whatever its parameters are.

use serde_json::Value;

use super::{
    filter::OPERATORS,
    options::Generation,
    refusal::Refusal,
    types::{self, Type},
    window::PRESETS,
};

fn name_of(parameter: &Value) -> &str {
    let name = parameter.as_str().or(parameter["name"].as_str());
    name.unwrap_or_default()
}

/// The name of a parameter's part in the answer.
pub(super) fn part_id(parameter: &Value) -> &str {
    parameter["id"].as_str().unwrap_or(name_of(parameter))
}

/// The parameters of a query and their types.
pub(super) fn check(
    generation: Generation,
    item: &Value,
) -> Result<(&Vec<Value>, Vec<&'static Type>), Refusal> {
    let refuse = |(field, message): (&str, String)| Refusal::shape(generation, field, message);
    let parameters = shape(generation, item).map_err(refuse)?;
    words(item, parameters).map_err(refuse)?;
    let mut kinds = Vec::new();
    let mut wrong: Vec<(String, String)> = Vec::new();
    for (i, parameter) in parameters.iter().enumerate() {
        let name = name_of(parameter);
        if let Some(kind) = types::find(name, generation) {
            kinds.push(kind);
        } else {
            let field = format!("parameters[{i}]");
            wrong.push((field, format!("Unknown query type: {name}")));
        }
    }
    let unknown = !wrong.is_empty();
    wrong.extend(values(generation, item, parameters));
    match wrong.is_empty() {
        true => Ok((parameters, kinds)),
        false if unknown && generation == Generation::Seed => {
            Err(Refusal::details(wrong).with_code("INVALID_QUERY_TYPE"))
        }
        false => Err(Refusal::details(wrong)),
    }
}

/// The parameters, where each member has the JSON type that it must have; else the member that
/// has not, and what it must be.
fn shape(generation: Generation, item: &Value) -> Result<&Vec<Value>, (&'static str, String)> {
    let seed = generation == Generation::Seed;
    let right =
        |field: &str, right: fn(&Value) -> bool| item[field].is_null() || right(&item[field]);
    for field in ["startDate", "endDate", "preset", "granularity", "id"] {
        if !right(field, Value::is_string) {
            return Err((field, format!("{field} must be a string")));
        }
    }
    for field in ["limit", "page"] {
        let number = if seed {
            Value::is_i64
        } else {
            Value::is_number
        };
        if !right(field, number) {
            return Err((field, format!("{field} must be a whole number")));
        }
    }
    if !right("filters", Value::is_array) {
        return Err(("filters", "filters must be a list".to_owned()));
    }
    let filters = item["filters"].as_array();
    if !seed && !filters.into_iter().flatten().all(is_filter) {
        return Err(("filters", "a filter needs field, op and value".to_owned()));
    }
    let named = |p: &Value| p.is_string() || p["name"].is_string();
    let parameters = item["parameters"].as_array();
    let parameters = parameters.filter(|list| list.iter().all(named));
    let message = "parameters must be a list of names or objects";
    parameters.ok_or_else(|| ("parameters", message.to_owned()))
}

/// Whether a filter has the shape that the February server asks for.
fn is_filter(filter: &Value) -> bool {
    let op = filter["op"].as_str().unwrap_or_default();
    let value = &filter["value"];
    let plain = value.is_string() || value.is_number() || value.is_array();
    filter["field"].is_string() && OPERATORS.contains(&op) && plain
}

/// Whether preset and granularities are words of the API.
fn words(item: &Value, parameters: &[Value]) -> Result<(), (&'static str, String)> {
    if let Some(name) = item["preset"].as_str()
        && !PRESETS.contains(&name)
    {
        let message = format!("Unknown preset '{name}'; one of {}", PRESETS.join(", "));
        return Err(("preset", message));
    }
    let own = parameters.iter().map(|parameter| &parameter["granularity"]);
    for word in own.chain([&item["granularity"]]) {
        let known = matches!(word.as_str(), Some("hourly" | "hour" | "daily" | "day"));
        if !word.is_null() && !known {
            let message = format!("Unknown granularity {word}; one of hourly, daily");
            return Err(("granularity", message));
        }
    }
    Ok(())
}

/// What is missing, and the numbers out of their range.
fn values(generation: Generation, item: &Value, parameters: &[Value]) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut add = |field: &str, message: &str| wrong.push((field.to_owned(), message.to_owned()));
    if parameters.is_empty() {
        add("parameters", "At least one parameter is required");
    }
    // The seed takes the dates of each parameter for the query's
    let dated = |field: &str| {
        let own = parameters.iter().all(|p| p[field].is_string());
        generation == Generation::Seed && !parameters.is_empty() && own
    };
    for (field, own) in [("startDate", "start_date"), ("endDate", "end_date")] {
        if item[field].is_null() && item["preset"].is_null() && !dated(own) {
            add(field, &format!("Either {field} or preset is required"));
        }
    }
    let number = |field: &str| item[field].as_f64().unwrap_or(1.0);
    if number("limit") < 1.0 {
        add("limit", "Limit must be at least 1");
    }
    if number("limit") > 10_000.0 {
        add("limit", "Limit cannot exceed 10000");
    }
    if number("page") < 1.0 {
        add("page", "Page must be at least 1");
    }
    wrong
}
