//! Custom queries: aggregates over a table of the API, instead of a query type.

use serde_json::{Value, json};

/// A custom query.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    /// `events`, `sessions`, `profiles`, `errors` or `performance`; or a server's own name.
    pub table: String,
    /// 1 to 10 columns.
    pub selects: Vec<Select>,
    /// At most 20; all must hold.
    pub filters: Vec<CustomFilter>,
    /// At most 5 columns.
    pub group_by: Vec<String>,
}

/// A column of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// A column of the table, or `*` with [`Aggregate::Count`].
    pub field: String,
    /// How its values become one.
    pub aggregate: Aggregate,
    /// The column's name in the answer.
    pub alias: String,
}

/// A filter of a custom query.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomFilter {
    /// A column of the table.
    pub field: String,
    /// The comparison, as the API spells it.
    pub operator: &'static str,
    /// One value, or a list for `in` and `not_in`.
    pub value: Value,
}

/// How values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its name in the API")]
pub enum Aggregate {
    Count,
    Uniq,
    Sum,
    Avg,
    Max,
    Min,
}

impl Aggregate {
    /// Its name in the API and in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Uniq => "uniq",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

/// The tables of the seed document, with those of the February 2026 server that hold the same rows;
/// `None`: it has none. Source: `databuddy-api.md`, trap 13.
const TABLES: [(&str, Option<&str>); 5] = [
    ("events", Some("events")),
    ("sessions", None),
    ("profiles", None),
    ("errors", Some("error_spans")),
    ("performance", Some("web_vitals_spans")),
];

/// Tables that only the February 2026 server has under these names.
const SERVER_TABLES: [&str; 4] = [
    "error_spans",
    "web_vitals_spans",
    "custom_event_spans",
    "outgoing_links",
];

/// All tables that a job may name.
pub fn known_tables() -> impl Iterator<Item = &'static str> + Clone {
    TABLES.iter().map(|(name, _)| *name).chain(SERVER_TABLES)
}

/// The name of a table at a server of the seed's generation, or of a later one; `None` where that
/// server is known to have no such table.
pub fn server_table(table: &str, is_seed: bool) -> Option<&str> {
    match TABLES.iter().find(|(name, _)| *name == table) {
        Some((name, _)) if is_seed => Some(name),
        Some((_, server)) => *server,
        None => Some(table),
    }
}

impl Custom {
    /// The body's `query`, for the given name of the table.
    pub fn body(&self, table: &str) -> Value {
        let selects = self.selects.iter().map(
            |s| json!({ "field": s.field, "aggregate": s.aggregate.name(), "alias": s.alias }),
        );
        let mut body = json!({ "table": table, "selects": selects.collect::<Vec<_>>() });
        if !self.filters.is_empty() {
            let filters = self.filters.iter();
            let filters = filters
                .map(|f| json!({ "field": f.field, "operator": f.operator, "value": f.value }));
            body["filters"] = filters.collect();
        }
        if !self.group_by.is_empty() {
            body["groupBy"] = self.group_by.clone().into();
        }
        body
    }

    /// A column of `group_by` that the February 2026 server would leave out of the rows, with the
    /// select that hides it: one whose field or alias contains its name (trap 13, measured).
    pub fn hidden_column(&self) -> Option<(&str, &Select)> {
        self.group_by.iter().find_map(|column| {
            let hides = |s: &&Select| {
                s.field.contains(column.as_str()) || s.alias.contains(column.as_str())
            };
            Some((column.as_str(), self.selects.iter().find(hides)?))
        })
    }
}
