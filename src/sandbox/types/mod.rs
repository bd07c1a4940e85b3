//! The query types: what each answers, as SQL over the rows, under the seed's names and under those
//! of the server of February 2026.
//!
//! Words in braces are replaced when a type is asked: `{w}` by the condition on place, time and
//! filters, `{v}` by the same for page views, `{range}` by the one without filters, `{b}` by the day
//! or hour of a row (nothing without a granularity), `{date}` by that as a column, `{first}` by the
//! first day, `{c}` by the column of countries as that server stores them, `{p}` by limit and offset.

mod errors;
mod events;
mod links;
mod pages;
mod performance;
mod sessions;
mod totals;
mod visitors;

use std::sync::LazyLock;

use super::options::Generation;

/// A query type.
#[derive(Debug, Clone)]
pub(super) struct Type {
    pub(super) name: &'static str,
    /// Asked with `link_id` rather than `website_id`.
    pub(super) of_link: bool,
    /// Its SQL; empty: the sandbox has no such data.
    pub(super) sql: String,
    /// Its SQL with a granularity, where that is another one.
    pub(super) dated: Option<String>,
    /// Its SQL in the generation of February 2026, where that is another one.
    pub(super) server_sql: Option<String>,
    pub(super) span: Span,
    /// Its columns, `name:type` as in `server_types.tsv`.
    pub(super) columns: &'static str,
    /// Filter fields beyond the general ones.
    pub(super) filters: &'static [(&'static str, &'static str)],
    /// What was measured of it on that server; `None`: a name of the seed.
    pub(super) measured: Option<Measured>,
}

/// Which rows a type is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// The days asked for, in one row set; in days or hours where a granularity is given.
    Asked,
    /// The days asked for, always in days or hours.
    Dated,
    /// The server's current day.
    Today,
    /// The last five minutes.
    Now,
}

/// A line of `server_types.tsv`.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "columns of a table")]
pub(super) struct Measured {
    pub(super) fails: bool,
    pub(super) limit: bool,
    pub(super) page: &'static str,
    pub(super) hourly: bool,
    pub(super) shifts: bool,
    /// `ok`, `ignored` or `ERROR`.
    pub(super) filter: &'static str,
    pub(super) empty_row: bool,
}

/// Fields that filters may name in every type of a website, and their columns.
pub(super) const FILTERS: [(&str, &str); 16] = [
    ("path", "path"),
    ("referrer", "referrer"),
    ("country", "{c}"),
    ("region", "region"),
    ("city", "city"),
    ("device_type", "device_type"),
    ("browser_name", "browser_name"),
    ("browser", "browser_name"), // so the seed's example of `not_in`
    ("os_name", "os_name"),
    ("timezone", "timezone"),
    ("language", "language"),
    ("utm_source", "utm_source"),
    ("utm_medium", "utm_medium"),
    ("utm_campaign", "utm_campaign"),
    ("anonymous_id", "visitor"),
    ("session_id", "session"),
];
/// Those of a link.
pub(super) const LINK_FILTERS: [(&str, &str); 6] = [
    ("referrer", "referrer"),
    ("country", "{c}"),
    ("region", "region"),
    ("city", "city"),
    ("device_type", "device_type"),
    ("browser_name", "browser_name"),
];

impl Type {
    fn new(name: &'static str, sql: impl Into<String>) -> Self {
        Self {
            name,
            of_link: name.starts_with("link_"),
            sql: sql.into(),
            dated: None,
            server_sql: None,
            span: Span::Asked,
            columns: "",
            filters: &[],
            measured: None,
        }
    }

    fn dated(self, sql: impl Into<String>) -> Self {
        Self {
            dated: Some(sql.into()),
            ..self
        }
    }

    fn span(self, span: Span) -> Self {
        Self { span, ..self }
    }

    fn columns(self, columns: &'static str) -> Self {
        Self { columns, ..self }
    }

    fn filters(self, filters: &'static [(&'static str, &'static str)]) -> Self {
        Self { filters, ..self }
    }

    /// The fields that filters may name, with their columns.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let general: &[_] = if self.of_link {
            &LINK_FILTERS
        } else {
            &FILTERS
        };
        general.iter().chain(self.filters).copied()
    }

    /// Its columns with their types.
    pub(super) fn output(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.columns
            .split(", ")
            .filter_map(|column| column.split_once(':'))
            .map(|(name, seen)| (name, output_type(seen)))
    }
}

/// The word of the catalogue for JSON types as seen.
fn output_type(seen: &str) -> &'static str {
    let kinds: Vec<&str> = seen.split('/').filter(|kind| *kind != "null").collect();
    match kinds.first() {
        Some(&"int" | &"float") => "number",
        Some(&"date") => "date",
        Some(&"datetime.ms") => "datetime",
        Some(&"array" | &"object") => "json",
        _ => "string",
    }
}

static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let mut types = totals::types();
    types.extend(pages::types());
    types.extend(visitors::types());
    types.extend(errors::types());
    types.extend(performance::types());
    types.extend(sessions::types());
    types.extend(events::types());
    types.extend(links::types());
    for line in include_str!("../server_types.tsv").lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, columns, _, limit, page, hourly, shifts, filter, empty] = fields.as_slice()
        else {
            continue;
        };
        let place = types.iter().position(|t| t.name == name);
        let place = place.unwrap_or_else(|| {
            types.push(Type::new(name, ""));
            types.len() - 1
        });
        types[place].columns = if limit == "–" && page == "–" {
            ""
        } else {
            columns
        };
        types[place].measured = Some(Measured {
            fails: columns.starts_with("always fails"),
            limit: limit != "ignored",
            page,
            hourly: hourly == "hour rows",
            shifts: shifts == "shifts buckets",
            filter,
            empty_row: empty == "row of 0/null",
        });
    }
    types
});

/// The types that a server of that generation lists.
pub(super) fn listed(generation: Generation) -> impl Iterator<Item = &'static Type> {
    TYPES.iter().filter(move |kind| match generation {
        Generation::Seed => !kind.sql.is_empty(),
        Generation::Server2026_02 => kind.measured.is_some(),
    })
}

/// The type of that name.
pub(super) fn find(name: &str, generation: Generation) -> Option<&'static Type> {
    listed(generation).find(|kind| kind.name == name)
}

/// One row a value of `column`, called `label`; further columns of the answer follow `extra`.
fn top(column: &str, label: &str) -> String {
    format!(
        "SELECT {column} AS {label}, COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors
         FROM events WHERE {{v}} AND {column} IS NOT NULL GROUP BY 1 ORDER BY pageviews DESC, 1 {{p}}"
    )
}

/// The same with each value's share of the visitors.
fn share(column: &str) -> String {
    format!(
        "SELECT name, pageviews, visitors, ROUND(100.0 * visitors / SUM(visitors) OVER (), 2) AS percentage
         FROM (SELECT {column} AS name, COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors
         FROM events WHERE {{v}} AND {column} IS NOT NULL GROUP BY 1) ORDER BY pageviews DESC, name {{p}}"
    )
}
