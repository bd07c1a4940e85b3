//! The query types that a server says it has, and the measured knowledge of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex},
};

use super::query::{ColumnType, Granularity};

/// The query types of a server (`GET /v1/query/types`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// By name.
    pub types: BTreeMap<String, QueryType>,
}

/// What a server says of one query type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryType {
    /// Filter fields beyond the global ones; `None` where the server does not say.
    pub allowed_filters: Option<Vec<String>>,
    /// Columns in the server's order, where it lists them; types only where it is sure of them.
    pub columns: Vec<(String, Option<ColumnType>)>,
}

/// The seed's names, the type of the February 2026 server that answers them, and the type that
/// holds their dated rows. Source: `databuddy-api.md`, trap 1 (measured).
const SEED_NAMES: [(&str, &str, Option<&str>); 10] = [
    ("summary", "summary_metrics", Some("events_by_date")),
    ("pages", "top_pages", None),
    ("traffic", "traffic_sources", None),
    ("countries", "country", None),
    ("cities", "city", None),
    ("errors", "recent_errors", Some("error_trends")),
    (
        "performance",
        "performance_overview",
        Some("performance_time_series"),
    ),
    ("sessions", "session_list", Some("sessions_time_series")),
    ("profiles", "profile_list", None),
    ("engagement", "interaction_summary", None),
];

impl Catalog {
    /// Whether the server speaks the names of the seed document: servers since February 2026 do not.
    pub fn is_seed(&self) -> bool {
        self.types.contains_key("summary")
    }

    /// The server's name of `parameter`, asked for with `granularity`: itself where the server
    /// lists it, else the translation of a seed name; `None` where the server has neither.
    pub fn server_type(&self, parameter: &str, granularity: Option<Granularity>) -> Option<&str> {
        if let Some((name, _)) = self.types.get_key_value(parameter) {
            return Some(name);
        }
        let (_, whole, dated) = SEED_NAMES.iter().find(|(seed, _, _)| *seed == parameter)?;
        let wanted = if granularity.is_some() {
            dated.unwrap_or(whole)
        } else {
            whole
        };
        self.types
            .get_key_value(wanted)
            .map(|(name, _)| name.as_str())
    }
}

/// What was measured of one query type of the February 2026 server.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredType {
    /// Columns in the order of the answer; `None` where only null was seen.
    pub columns: Vec<(&'static str, Option<ColumnType>)>,
    /// Whether `limit` is honoured as asked (not ignored, nor applied before rows are folded).
    pub honours_limit: bool,
    /// Whether `page` is honoured.
    pub honours_page: bool,
    /// Whether `granularity: hourly` gives rows an hour.
    pub has_hours: bool,
    /// What a filter does to it, as measured with one on `country`.
    pub filters: Filtering,
}

/// What a filter does to a query type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtering {
    /// It applies.
    Applies,
    /// It is skipped in silence: everything is counted.
    Ignored,
    /// A filter on `country` fails with an SQL error; others were not all measured.
    Fails,
    /// The type fails anyway.
    Unknown,
}

/// The measured type of that name, or `None`.
pub fn measured(name: &str) -> Option<&'static MeasuredType> {
    MEASURED.get(name)
}

/// All measured types, by name.
pub fn measured_types() -> impl Iterator<Item = (&'static str, &'static MeasuredType)> {
    MEASURED.iter().map(|(name, known)| (*name, known))
}

/// Names of the seed, the type that answers each, and the one that holds its dated rows.
pub fn seed_names() -> impl Iterator<Item = (&'static str, &'static str, Option<&'static str>)> {
    SEED_NAMES.iter().copied()
}

/// Every query type that the seed or the measured table has.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    let seed = SEED_NAMES.iter().map(|(seed, _, _)| *seed);
    seed.chain(MEASURED.keys().copied())
}

/// What can be said of a query type without asking a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knowledge {
    /// Fields that a filter may name; others are skipped by servers, in silence.
    pub filter_fields: BTreeSet<String>,
    /// Columns of its rows.
    pub columns: BTreeSet<String>,
}

/// Filter fields of every query type. Source: `buildWhereClauseFromFilters` of the late 2026 server.
const GLOBAL_FILTERS: [&str; 14] = [
    "path",
    "query_string",
    "country",
    "region",
    "city",
    "timezone",
    "language",
    "device_type",
    "browser_name",
    "os_name",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
];

/// Whether every query type can be filtered by this field.
pub fn is_global_filter(field: &str) -> bool {
    GLOBAL_FILTERS.contains(&field)
}

/// Columns under which servers of the seed's generation may give the rows of the seed's names.
/// Source: the seed document shows some, its successors the rest.
const SEED_COLUMNS: [&str; 20] = [
    "date",
    "path",
    "pageviews",
    "visitors",
    "sessions",
    "bounce_rate",
    "session_duration",
    "avg_session_duration",
    "name",
    "referrer",
    "source",
    "country",
    "region",
    "city",
    "percentage",
    "message",
    "count",
    "users",
    "visitor_id",
    "session_id",
];

/// What is known of a query type of the seed or of the measured table; `None` of any other. Put
/// together once a type: thousands of jobs ask for the same few.
pub fn knowledge_of(parameter: &str) -> Option<Arc<Knowledge>> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Knowledge>>> = Mutex::new(BTreeMap::new());
    let lock = || KNOWN.lock().expect("nothing panics while it is held");
    if let Some(known) = lock().get(parameter) {
        return Some(Arc::clone(known));
    }
    let known = Arc::new(gather(parameter)?);
    lock().insert(parameter.to_owned(), Arc::clone(&known));
    Some(known)
}

fn gather(parameter: &str) -> Option<Knowledge> {
    let seed = SEED_NAMES.iter().find(|(name, _, _)| *name == parameter);
    let mut names: Vec<&str> = Vec::new();
    let mut columns: BTreeSet<&str> = BTreeSet::new();
    if let Some((_, whole, dated)) = seed {
        names.push(whole);
        names.extend(dated);
        columns.extend(SEED_COLUMNS);
    } else {
        names.push(MEASURED.get_key_value(parameter)?.0);
    }
    let mut filter_fields = BTreeSet::from(GLOBAL_FILTERS);
    for name in names {
        filter_fields.extend(FILTERS.get(name).into_iter().flatten());
        let measured = MEASURED.get(name);
        columns.extend(measured.iter().flat_map(|m| &m.columns).map(|(c, _)| *c));
    }
    let texts = |set: BTreeSet<&str>| set.into_iter().map(str::to_owned).collect();
    Some(Knowledge {
        filter_fields: texts(filter_fields),
        columns: texts(columns),
    })
}

/// Types of columns as measured, for rows that a server gives under a name of the seed: a column
/// has the same type whichever generation answers.
pub fn measured_kinds(parameter: &str) -> BTreeMap<&'static str, ColumnType> {
    let seed = SEED_NAMES.iter().find(|(name, _, _)| *name == parameter);
    let (whole, dated) = seed.map_or((parameter, None), |(_, whole, dated)| (*whole, *dated));
    let types = [Some(whole), dated].into_iter().flatten();
    let columns = types
        .filter_map(|name| MEASURED.get(name))
        .flat_map(|m| &m.columns);
    let mut kinds = BTreeMap::new();
    for (column, kind) in columns {
        if let Some(kind) = kind {
            kinds.entry(*column).or_insert(*kind);
        }
    }
    kinds
}

/// Filter fields beyond the global ones, by query type.
static FILTERS: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    include_str!("measured_filters.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once('\t'))
        .flat_map(|(types, fields)| {
            let fields: Vec<&str> = fields.split(' ').collect();
            types.split(' ').map(move |name| (name, fields.clone()))
        })
        .collect()
});

static MEASURED: LazyLock<BTreeMap<&'static str, MeasuredType>> = LazyLock::new(|| {
    include_str!("measured_types.tsv")
        .lines()
        .skip(1)
        .filter_map(measured_line)
        .collect()
});

/// Types whose rows are folded after the limit: fewer come than were asked for, and `percentage` is of
/// the rows returned. Source: `databuddy-api.md`, trap 7 (measured).
const FOLDED: [&str; 4] = ["country", "region", "city", "device_types"];

/// Whether rows of a type are folded after the limit: fewer than were asked for may not be all.
pub fn is_folded(parameter: &str) -> bool {
    FOLDED.contains(&parameter)
}

/// `type<TAB>columns<TAB>rows<TAB>limit<TAB>page…`, columns as `name:type, name:type`.
fn measured_line(line: &'static str) -> Option<(&'static str, MeasuredType)> {
    let mut fields = line.split('\t');
    let (name, columns) = (fields.next()?, fields.next()?);
    let (_rows, limit, page) = (fields.next()?, fields.next()?, fields.next()?);
    let (hourly, _timezone, country) = (fields.next()?, fields.next()?, fields.next()?);
    let columns = columns
        .split(", ")
        .filter_map(|column| column.split_once(':'))
        .map(|(column, seen)| (column, measured_column(column, seen)))
        .collect();
    Some((
        name,
        MeasuredType {
            columns,
            honours_limit: limit == "ok" && !FOLDED.contains(&name),
            honours_page: page.starts_with("ok"),
            has_hours: hourly == "hour rows",
            filters: match country {
                "ok" => Filtering::Applies,
                "ignored" => Filtering::Ignored,
                "ERROR" => Filtering::Fails,
                _ => Filtering::Unknown,
            },
        },
    ))
}

/// The column type of JSON types as seen (`float/int`, `null/string`, `datetime.ms`). A type seen
/// as integer only is an integer; a number ever seen with a fraction is a float.
fn measured_column(column: &str, seen: &str) -> Option<ColumnType> {
    let kinds: Vec<&str> = seen.split('/').filter(|kind| *kind != "null").collect();
    let has = |kind: &str| kinds.contains(&kind);
    if kinds.is_empty() {
        None
    } else if has("array") || has("object") {
        Some(ColumnType::Json)
    } else if has("string") {
        Some(ColumnType::String)
    } else if has("float") || (has("int") && is_fractional(column)) {
        Some(ColumnType::Float64)
    } else if has("int") {
        Some(ColumnType::Int64)
    } else if has("date") {
        Some(ColumnType::Date)
    } else if kinds.iter().any(|kind| kind.starts_with("datetime")) {
        Some(ColumnType::Timestamp)
    } else if has("bool") {
        Some(ColumnType::Boolean)
    } else {
        None
    }
}

/// Shares, rates, means and quantiles are fractional even where a measurement saw whole numbers.
fn is_fractional(column: &str) -> bool {
    const WORDS: [&str; 9] = [
        "percentage",
        "rate",
        "ratio",
        "avg",
        "median",
        "p50",
        "p75",
        "p90",
        "p99",
    ];
    column.split('_').any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(names: &[&str]) -> Catalog {
        let types = names
            .iter()
            .map(|n| ((*n).to_owned(), QueryType::default()));
        Catalog {
            types: types.collect(),
        }
    }

    #[test]
    fn the_seed_names_are_translated_where_the_server_lacks_them() {
        let server = catalog(&["summary_metrics", "events_by_date", "top_pages"]);
        assert_eq!(server.server_type("summary", None), Some("summary_metrics"));
        let daily = Some(Granularity::Daily);
        assert_eq!(server.server_type("summary", daily), Some("events_by_date"));
        assert_eq!(server.server_type("pages", daily), Some("top_pages"));
        assert_eq!(server.server_type("countries", None), None);
    }

    #[test]
    fn a_name_that_the_server_lists_is_never_translated() {
        let server = catalog(&["summary", "summary_metrics", "events_by_date"]);
        assert_eq!(server.server_type("summary", None), Some("summary"));
    }

    #[test]
    fn all_measured_types_are_read() {
        assert_eq!(measured_types().count(), 144);
        let pages = measured("top_pages").unwrap();
        assert!(pages.honours_limit && pages.honours_page);
        assert_eq!(pages.columns[0], ("name", Some(ColumnType::String)));
        assert_eq!(pages.columns[1], ("pageviews", Some(ColumnType::Int64)));
        assert_eq!(pages.columns[3], ("percentage", Some(ColumnType::Float64)));
        let terms = measured("utm_terms").unwrap();
        assert_eq!(terms.columns[3], ("percentage", Some(ColumnType::Float64)));
        assert!(!measured("device_types").unwrap().honours_limit);
    }
}
