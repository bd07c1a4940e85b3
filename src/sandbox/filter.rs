//! Filters as SQL. Words of the user are bound, never written in.

use serde_json::Value;

use super::{data::Bound, schema::is_number};

/// A filter of a request: a known column, an operator and values.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) field: String,
    pub(super) column: &'static str,
    op: &'static str,
    values: Vec<Bound>,
}

/// Operators of query types.
pub(super) const OPERATORS: [&str; 7] = [
    "eq",
    "ne",
    "contains",
    "not_contains",
    "starts_with",
    "in",
    "not_in",
];
/// Operators that custom queries have beyond these.
pub(super) const ORDER_OPERATORS: [&str; 4] = ["gt", "lt", "gte", "lte"];

impl Filter {
    /// Reads one; `column` gives the column of a field, or nothing for an unknown one.
    pub(super) fn parse(
        value: &Value,
        operators: &[&'static str],
        column: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Self, String> {
        let field = value["field"].as_str().unwrap_or_default();
        let column =
            column(field).ok_or_else(|| format!("Filter on field '{field}' is not permitted."))?;
        let word = value["op"].as_str().or(value["operator"].as_str());
        let word = word.unwrap_or_default();
        let op = operators.iter().find(|op| **op == word);
        let op = op.ok_or_else(|| format!("Unknown operator '{word}'"))?;
        let values = match &value["value"] {
            Value::Array(list) if matches!(*op, "in" | "not_in") => list.iter().collect(),
            Value::Array(_) | Value::Null | Value::Object(_) => {
                return Err(format!("Filter on field '{field}' needs a value"));
            }
            one => vec![one],
        };
        let numeric = is_number(column) && !op.contains("contains") && *op != "starts_with";
        let values = values
            .into_iter()
            .map(|value| bound(value, numeric))
            .collect::<Option<Vec<_>>>();
        let values =
            values.ok_or_else(|| format!("Filter on field '{field}' needs a number as value"))?;
        Ok(Self {
            field: field.to_owned(),
            column,
            op,
            values,
        })
    }

    /// Its condition, beginning with ` AND`; its values join those that are bound.
    pub(super) fn condition(&self, bound: &mut Vec<Bound>) -> String {
        let column = self.column;
        let places: Vec<String> = self
            .values
            .iter()
            .map(|value| {
                bound.push(value.clone());
                format!("?{}", bound.len())
            })
            .collect();
        let first = places.first().map_or("NULL", String::as_str);
        match self.op {
            "ne" => format!(" AND {column} <> {first}"),
            "contains" => format!(" AND instr({column}, {first}) > 0"),
            "not_contains" => format!(" AND instr({column}, {first}) = 0"),
            "starts_with" => format!(" AND substr({column}, 1, length({first})) = {first}"),
            "in" => format!(" AND {column} IN ({})", places.join(", ")),
            "not_in" => format!(" AND {column} NOT IN ({})", places.join(", ")),
            "gt" => format!(" AND {column} > {first}"),
            "lt" => format!(" AND {column} < {first}"),
            "gte" => format!(" AND {column} >= {first}"),
            "lte" => format!(" AND {column} <= {first}"),
            _ => format!(" AND {column} = {first}"),
        }
    }
}

fn bound(value: &Value, numeric: bool) -> Option<Bound> {
    match value {
        Value::Number(number) if numeric => number.as_f64().map(Bound::Number),
        Value::String(text) if numeric => text.parse().ok().map(Bound::Number),
        _ if numeric => None,
        Value::String(text) => Some(Bound::Text(text.clone())),
        other => Some(Bound::Text(other.to_string())),
    }
}
