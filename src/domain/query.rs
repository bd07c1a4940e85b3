//! One named data set of a job: a parameter with its filters, granularity and window.

use std::collections::BTreeMap;

use super::{custom::Custom, window::WindowSpec};

/// One query = one data set = one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Its name in paths and templates; the parameter's unless the job says otherwise.
    pub name: String,
    /// What is asked for.
    pub source: Source,
    /// Short links, by id, where it is about links: asked once a window, not once a website.
    pub links: Vec<String>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// Rows a day or an hour, for types that have it; `None`: one set a window.
    pub granularity: Option<Granularity>,
    /// How many rows.
    pub limit: Limit,
    /// Its own window; `None`: the job's.
    pub window: Option<WindowSpec>,
    /// Types that the job pins, by column.
    pub columns: BTreeMap<String, ColumnType>,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A query type, as the job spells it.
    Parameter(String),
    /// Aggregates over a table.
    Custom(Custom),
}

impl Query {
    /// The query type, or the custom query's table, as the job spells it.
    pub fn source_name(&self) -> &str {
        match &self.source {
            Source::Parameter(name) => name,
            Source::Custom(custom) => &custom.table,
        }
    }
}

/// One filter of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The column, in the API's spelling.
    pub field: String,
    /// The comparison.
    pub op: Operator,
    /// One value, or a list for `in` and `not_in`: strings and numbers only.
    pub value: serde_json::Value,
}

/// Comparisons of the query API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its name in the API")]
pub enum Operator {
    Eq,
    Ne,
    Contains,
    NotContains,
    StartsWith,
    In,
    NotIn,
}

impl Operator {
    /// Its name in the API and in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Contains => "contains",
            Self::NotContains => "not_contains",
            Self::StartsWith => "starts_with",
            Self::In => "in",
            Self::NotIn => "not_in",
        }
    }
}

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// At most 30 days at once.
    Hourly,
    /// One row a day.
    Daily,
}

impl Granularity {
    /// Its name in the API and in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }
}

/// How many rows of an answer are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Every page.
    All,
    /// The first so many, at least 1.
    Rows(u32),
}

/// The type of a column in a table and in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// 64-bit signed integer (`int64`).
    Int64,
    /// 64-bit float (`float64`): the type of a number of which nothing else is known.
    Float64,
    /// UTF-8 text (`string`).
    String,
    /// `true` or `false` (`boolean`).
    Boolean,
    /// A calendar day (`date`).
    Date,
    /// An instant, microseconds since the epoch in UTC (`timestamp`).
    Timestamp,
    /// A nested value as JSON text (`json`).
    Json,
    /// The events of a session (`session_events`): a list of structs of `id`, `time`, `name`, `path`
    /// and `properties`, the last as JSON text. JSON text in CSV.
    SessionEvents,
}

impl ColumnType {
    /// All types with their names in YAML.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Int64, "int64"),
        (Self::Float64, "float64"),
        (Self::String, "string"),
        (Self::Boolean, "boolean"),
        (Self::Date, "date"),
        (Self::Timestamp, "timestamp"),
        (Self::Json, "json"),
        (Self::SessionEvents, "session_events"),
    ];

    /// Whether its values are arrays or objects.
    pub fn is_nested(self) -> bool {
        matches!(self, Self::Json | Self::SessionEvents)
    }

    /// Its name in YAML and in manifests.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(t, _)| *t == self)
            .map_or("", |(_, n)| n)
    }

    /// The type of that name, or `None`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(t, _)| *t)
    }
}
