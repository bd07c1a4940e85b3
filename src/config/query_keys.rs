//! The keys of a query, and of which websites it asks for; see [`super::job_keys`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    job_keys::DaysKeys,
    key_words::{
        AggregateName, ColumnTypeName, CustomOperatorName, Example, GranularityName, OperatorName,
        PresetName, WebsitePattern, Word,
    },
};

/// A filter; all filters of a query must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterKeys {
    /// The column, as the API spells it.
    #[schemars(example = &"path")]
    pub(super) field: String,
    /// The comparison.
    #[serde(alias = "operator")]
    #[schemars(example = &"starts_with", extend("x-alias" = "operator"))]
    pub(super) op: OperatorName,
    /// Text or a number; a list for `in` and `not_in`.
    #[schemars(with = "FilterValue", example = &"/blog")]
    pub(super) value: serde_json::Value,
}

/// The schema of a filter's value.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "read by schemars alone")]
enum FilterValue {
    Text(String),
    Number(f64),
    List(Vec<FilterScalar>),
}

/// The schema of one value of a filter's list.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "read by schemars alone")]
enum FilterScalar {
    Text(String),
    Number(f64),
}

/// Which websites a job asks for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum WebsitesKeys {
    /// Every website that the key may read.
    All(AllWord),
    /// Ids or domains.
    List(Vec<WebsitePattern>),
    /// Ids or domains, without others.
    Lists(WebsiteLists),
}

impl Default for WebsitesKeys {
    fn default() -> Self {
        Self::All(AllWord::All)
    }
}

impl serde::Serialize for WebsitesKeys {
    /// For the schema's `default` alone.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("all")
    }
}

/// Ids or domains, without others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebsiteLists {
    /// Patterns of ids or domains.
    #[schemars(extend("x-default" = "all"), example = &["*.example.com"])]
    pub(super) include: Option<Vec<WebsitePattern>>,
    /// Patterns taken away again.
    #[serde(default)]
    #[schemars(example = &["staging.example.com"])]
    pub(super) exclude: Vec<WebsitePattern>,
}

/// The word `all`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AllWord {
    All,
}

/// How many rows.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum LimitKeys {
    /// Every page.
    All(AllWord),
    /// The first so many.
    Rows(#[schemars(range(min = 1))] u32),
}

/// A query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum QueryKeys {
    /// The name of a query type.
    Short(Word),
    /// With filters, granularity, limit or a window of its own.
    Long(Box<LongQuery>),
}

/// One query in full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LongQuery {
    /// Its name in paths and templates.
    #[schemars(extend("x-default" = "the parameter"), example = &"blog")]
    pub(super) name: Option<Word>,
    /// The query type; the names of the January 2026 API always work. Or `custom`.
    #[schemars(extend("x-default" = "this or `custom` is required"), example = &"pages")]
    pub(super) parameter: Option<Word>,
    /// Aggregates over a table of the API; or `parameter`.
    pub(super) custom: Option<CustomKeys>,
    /// A short link, or a list of them, for types of links (`link_…`); asked once a window.
    #[schemars(example = &"link_123")]
    pub(super) link: Option<LinkKeys>,
    /// All must hold.
    #[serde(default)]
    pub(super) filters: Vec<FilterKeys>,
    /// Rows an hour (at most 30 days) or a day.
    #[schemars(extend("x-default" = "one set for the window"), example = &"daily")]
    pub(super) granularity: Option<GranularityName>,
    /// `all`: every page; or the first so many rows.
    #[schemars(extend("x-default" = "`all`"), example = 100)]
    pub(super) limit: Option<LimitKeys>,
    /// Days of its own; or `window`.
    #[schemars(extend("x-default" = "the job's"), example = &"last_7d")]
    pub(super) preset: Option<PresetName>,
    /// Fixed days of its own; or `preset`.
    #[schemars(example = Example(r#"{"start":"2026-01-01","end":"2026-01-31"}"#))]
    pub(super) window: Option<DaysKeys>,
    /// Pins the types of columns.
    #[serde(default)]
    #[schemars(example = Example(r#"{"pageviews":"int64"}"#))]
    pub(super) columns: BTreeMap<String, ColumnTypeName>,
}

impl LongQuery {
    /// The short form in full.
    pub(super) fn of(parameter: Word) -> Self {
        Self {
            name: None,
            parameter: Some(parameter),
            custom: None,
            link: None,
            filters: Vec::new(),
            granularity: None,
            limit: None,
            preset: None,
            window: None,
            columns: BTreeMap::new(),
        }
    }
}

/// A short link, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum LinkKeys {
    /// Its id.
    One(String),
    /// Their ids.
    List(#[schemars(length(min = 1))] Vec<String>),
}

/// A custom query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomKeys {
    /// `events`, `sessions`, `profiles`, `errors` or `performance`; or a table that the server names otherwise.
    #[schemars(example = &"events")]
    pub(super) table: String,
    /// The columns of the answer.
    #[schemars(length(min = 1, max = 10), example = Example(r#"[{"field":"*","aggregate":"count","alias":"views"}]"#))]
    pub(super) selects: Vec<SelectKeys>,
    /// All must hold.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub(super) filters: Vec<CustomFilterKeys>,
    /// One row for each combination of their values.
    #[serde(default, alias = "groupBy")]
    #[schemars(length(max = 5), extend("x-alias" = "groupBy"), example = &["path"])]
    pub(super) group_by: Vec<String>,
}

/// A column of a custom query's answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SelectKeys {
    /// A column of the table, or `*` with `count`.
    #[schemars(example = &"*")]
    pub(super) field: String,
    /// How its values become one.
    #[schemars(example = &"count")]
    pub(super) aggregate: AggregateName,
    /// Its name in the answer; it should not contain the name of a column of `group_by`.
    #[schemars(extend("x-default" = "`AGGREGATE_FIELD`"), example = &"views")]
    pub(super) alias: Option<String>,
}

/// A filter of a custom query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomFilterKeys {
    /// A column of the table.
    #[schemars(example = &"country")]
    pub(super) field: String,
    /// The comparison.
    #[serde(alias = "operator")]
    #[schemars(example = &"gte", extend("x-alias" = "operator"))]
    pub(super) op: CustomOperatorName,
    /// Text or a number; a list for `in` and `not_in`.
    #[schemars(with = "FilterValue", example = 1000)]
    pub(super) value: serde_json::Value,
}
