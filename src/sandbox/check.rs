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

/// What is wrong with a query whatever its parameters are; its parameters and their types.
pub(super) fn check(
    generation: Generation,
    item: &Value,
) -> Result<(&Vec<Value>, Vec<&'static Type>), Refusal> {
    let seed = generation == Generation::Seed;
    let shape = |field: &str, message: &str| Refusal::shape(generation, field, message);
    let optional =
        |field: &str, right: fn(&Value) -> bool| item[field].is_null() || right(&item[field]);
    let parameters = item["parameters"].as_array();
    let parameters =
        parameters.filter(|list| list.iter().all(|p| p.is_string() || p["name"].is_string()));
    let parameters = parameters.ok_or_else(|| {
        shape(
            "parameters",
            "parameters must be a list of names or objects",
        )
    })?;
    for field in ["startDate", "endDate", "preset", "granularity", "id"] {
        if !optional(field, Value::is_string) {
            return Err(shape(field, &format!("{field} must be a string")));
        }
    }
    for field in ["limit", "page"] {
        if !optional(
            field,
            if seed {
                Value::is_i64
            } else {
                Value::is_number
            },
        ) {
            return Err(shape(field, &format!("{field} must be a whole number")));
        }
    }
    if !optional("filters", Value::is_array) {
        return Err(shape("filters", "filters must be a list"));
    }
    if !seed
        && !item["filters"]
            .as_array()
            .into_iter()
            .flatten()
            .all(is_filter)
    {
        return Err(shape("filters", "a filter needs field, op and value"));
    }
    if let Some(name) = item["preset"].as_str()
        && !PRESETS.contains(&name)
    {
        let message = format!("Unknown preset '{name}'; one of {}", PRESETS.join(", "));
        return Err(shape("preset", &message));
    }
    let own = parameters.iter().map(|p| &p["granularity"]);
    for word in own.chain([&item["granularity"]]) {
        if !matches!(
            word.as_str(),
            None | Some("hourly" | "hour" | "daily" | "day")
        ) {
            let message = format!("Unknown granularity {word}; one of hourly, daily");
            return Err(shape("granularity", &message));
        }
    }
    let mut wrong: Vec<(String, String)> = Vec::new();
    if parameters.is_empty() {
        wrong.push((
            "parameters".to_owned(),
            "At least one parameter is required".to_owned(),
        ));
    }
    let mut kinds = Vec::new();
    let mut unknown = false;
    for (i, parameter) in parameters.iter().enumerate() {
        let name = name_of(parameter);
        if let Some(kind) = types::find(name, generation) {
            kinds.push(kind);
        } else {
            unknown = true;
            wrong.push((
                format!("parameters[{i}]"),
                format!("Unknown query type: {name}"),
            ));
        }
    }
    // The seed takes the dates of each parameter for the query's
    let dated = |field: &str| {
        let own = parameters.iter().all(|p| p[field].is_string());
        seed && !parameters.is_empty() && own
    };
    for (field, own) in [("startDate", "start_date"), ("endDate", "end_date")] {
        if item[field].is_null() && item["preset"].is_null() && !dated(own) {
            wrong.push((
                field.to_owned(),
                format!("Either {field} or preset is required"),
            ));
        }
    }
    let number = |field: &str, default: f64| item[field].as_f64().unwrap_or(default);
    if number("limit", 1.0) < 1.0 {
        wrong.push(("limit".to_owned(), "Limit must be at least 1".to_owned()));
    }
    if number("limit", 1.0) > 10_000.0 {
        wrong.push(("limit".to_owned(), "Limit cannot exceed 10000".to_owned()));
    }
    if number("page", 1.0) < 1.0 {
        wrong.push(("page".to_owned(), "Page must be at least 1".to_owned()));
    }
    match wrong.is_empty() {
        true => Ok((parameters, kinds)),
        false if unknown && seed => Err(Refusal::details(wrong).with_code("INVALID_QUERY_TYPE")),
        false => Err(Refusal::details(wrong)),
    }
}

/// Whether a filter has the shape that the February server asks for.
fn is_filter(filter: &Value) -> bool {
    let op = filter["op"].as_str().unwrap_or_default();
    let value = &filter["value"];
    let plain = value.is_string() || value.is_number() || value.is_array();
    filter["field"].is_string() && OPERATORS.contains(&op) && plain
}
