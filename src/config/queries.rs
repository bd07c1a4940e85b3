//! Queries: query types and custom queries, with what is known of them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    check::{nearest, suggest},
    finding::Finding,
    query_keys::{CustomKeys, FilterKeys, LimitKeys, LinkKeys, LongQuery, QueryKeys},
    spans::{At, escape},
    together::{Notes, window_spec},
};
use crate::domain::{
    catalog::{Knowledge, knowledge_of, known_names},
    custom::{Aggregate, Custom, CustomFilter, Select, known_tables},
    query::{Filter, Granularity, Limit, Operator, Query, Source},
    window::WindowSpec,
};

/// The most days of hourly rows that the server takes. Source: `databuddy-api.md`, trap 9.
const MAX_HOURLY_DAYS: i64 = 30;

/// The job's queries; their names are unique.
pub(super) fn queries(
    keys: Vec<QueryKeys>,
    window: Option<WindowSpec>,
    notes: &mut Notes,
) -> Vec<Query> {
    let mut queries: Vec<Query> = Vec::new();
    for (place, keys) in keys.into_iter().enumerate() {
        let pointer = format!("/queries/{place}");
        let (long, is_short) = match keys {
            QueryKeys::Long(long) => (*long, false),
            QueryKeys::Short(parameter) => (LongQuery::of(parameter), true),
        };
        let named_at = match &long.name {
            Some(_) => format!("{pointer}/name"),
            None => pointer.clone(),
        };
        let Some(query) = to_query(&pointer, is_short, long, window, notes) else {
            continue;
        };
        if queries.iter().any(|other| other.name == query.name) {
            let message = format!("two queries are called `{}`", query.name);
            let hint = "give one of them another `name`".to_owned();
            notes.wrong(&named_at, message, hint);
        }
        queries.push(query);
    }
    queries
}

fn to_query(
    pointer: &str,
    is_short: bool,
    mut keys: LongQuery,
    job_window: Option<WindowSpec>,
    notes: &mut Notes,
) -> Option<Query> {
    let window = window_spec(pointer, keys.preset.as_ref(), keys.window.as_ref(), notes);
    let granularity = keys
        .granularity
        .map(super::key_words::GranularityName::value);
    check_hours(pointer, granularity, window.or(job_window), notes);
    let links = match keys.link.take() {
        None => Vec::new(),
        Some(LinkKeys::One(link)) => vec![link],
        Some(LinkKeys::List(links)) => links,
    };
    let (source, known) = match (keys.parameter.take(), keys.custom.take()) {
        (Some(parameter), None) => {
            let at = if is_short {
                pointer.to_owned()
            } else {
                format!("{pointer}/parameter")
            };
            let known = check_parameter(&at, &parameter.0, &links, notes);
            (Source::Parameter(parameter.0), known)
        }
        (None, Some(custom)) => {
            check_keys_beside_custom(pointer, &keys, &links, notes);
            let custom = to_custom(&format!("{pointer}/custom"), custom, notes);
            let known = knowledge_of_custom(&custom);
            (Source::Custom(custom), Some(Arc::new(known)))
        }
        (Some(_), Some(_)) => {
            let hint = "remove one of the two".to_owned();
            notes.wrong(
                &format!("{pointer}/custom"),
                "`parameter` and `custom` exclude each other",
                hint,
            );
            return None;
        }
        (None, None) => {
            let hint = Some("add `parameter: pages`".to_owned());
            let message = "this query lacks `parameter` or `custom`: what does it ask for?";
            notes
                .findings
                .push(Finding::at(pointer, At::Head, message, hint));
            return None;
        }
    };
    let mut query = Query {
        name: String::new(),
        source,
        links,
        filters: Vec::new(),
        granularity,
        limit: match keys.limit {
            None | Some(LimitKeys::All(_)) => Limit::All,
            Some(LimitKeys::Rows(rows)) => Limit::Rows(rows),
        },
        window,
        columns: BTreeMap::new(),
    };
    let parameter = query.source_name().to_owned();
    for (place, keys) in keys.filters.into_iter().enumerate() {
        let pointer = format!("{pointer}/filters/{place}");
        let filter = to_filter(&pointer, keys, &parameter, known.as_deref(), notes);
        query.filters.push(filter);
    }
    for (column, kind) in keys.columns {
        check_column(pointer, &column, &parameter, known.as_deref(), notes);
        query.columns.insert(column, kind.value());
    }
    query.name = keys.name.map_or(parameter, |name| name.0);
    Some(query)
}

fn check_hours(
    pointer: &str,
    granularity: Option<Granularity>,
    window: Option<WindowSpec>,
    notes: &mut Notes,
) {
    if let (Some(Granularity::Hourly), Some(WindowSpec::Fixed { start, end })) =
        (granularity, window)
        && (end - start).num_days() >= MAX_HOURLY_DAYS
    {
        let message = format!("hourly rows are limited to {MAX_HOURLY_DAYS} days at once");
        let hint = "use daily, or fewer days".to_owned();
        notes.wrong(&format!("{pointer}/granularity"), message, hint);
    }
}

/// What is known of a query type. One that nobody knows is a warning: servers have others.
fn check_parameter(
    at: &str,
    parameter: &str,
    links: &[String],
    notes: &mut Notes,
) -> Option<Arc<Knowledge>> {
    let is_of_links = parameter.starts_with("link_");
    if is_of_links && links.is_empty() {
        let message =
            format!("`{parameter}` is about short links: asked of a website it answers zeros");
        notes.wrong(at, message, "add `link: ID`".to_owned());
    }
    let known = knowledge_of(parameter);
    if !is_of_links && !links.is_empty() && known.is_some() {
        let message =
            format!("`{parameter}` is about websites: asked of a link it answers nothing");
        notes.wrong(
            at,
            message,
            "remove `link`, or use a type of links (`link_…`)".to_owned(),
        );
    }
    if known.is_none() {
        let names: Vec<&str> = known_names().collect();
        let hint = nearest(parameter, names.into_iter());
        let hint = hint.map(|name| format!("did you mean `{name}`?"));
        let message = format!(
            "this program does not know the query type `{parameter}`; the server is asked when the job runs"
        );
        notes.warnings.push(Finding::value(at, message, hint));
    }
    known
}

/// Keys of query types that mean nothing for custom queries.
fn check_keys_beside_custom(pointer: &str, keys: &LongQuery, links: &[String], notes: &mut Notes) {
    let beside = [
        ("filters", !keys.filters.is_empty(), "put it below `custom`"),
        (
            "granularity",
            keys.granularity.is_some(),
            "remove it; an export `per: day` asks day by day",
        ),
        (
            "link",
            !links.is_empty(),
            "remove it: custom queries are about websites",
        ),
    ];
    for (key, is_there, hint) in beside {
        if is_there {
            let message = format!("`{key}` does not apply to a custom query");
            let at = format!("{pointer}/{key}");
            notes
                .findings
                .push(Finding::at(&at, At::Key, message, Some(hint.to_owned())));
        }
    }
}

fn to_custom(pointer: &str, keys: CustomKeys, notes: &mut Notes) -> Custom {
    if !known_tables().any(|table| table == keys.table) {
        let message = format!(
            "this program does not know the table `{}`; the server is asked when the job runs",
            keys.table
        );
        let hint = suggest(&keys.table, known_tables());
        notes.warnings.push(Finding::value(
            &format!("{pointer}/table"),
            message,
            Some(hint),
        ));
    }
    let mut selects: Vec<Select> = Vec::new();
    for (place, select) in keys.selects.into_iter().enumerate() {
        let at = format!("{pointer}/selects/{place}");
        let aggregate = select.aggregate.value();
        if select.field == "*" && aggregate != Aggregate::Count {
            let message = format!("`*` can be counted, not be given to `{}`", aggregate.name());
            notes.wrong(&format!("{at}/field"), message, "name a column".to_owned());
        }
        let alias = select.alias.unwrap_or_else(|| match select.field.as_str() {
            "*" => aggregate.name().to_owned(),
            field => format!("{}_{field}", aggregate.name()),
        });
        if selects.iter().any(|other| other.alias == alias) || keys.group_by.contains(&alias) {
            let message = format!("two columns of the answer are called `{alias}`");
            notes.wrong(&at, message, "give one of them another `alias`".to_owned());
        }
        selects.push(Select {
            field: select.field,
            aggregate,
            alias,
        });
    }
    let mut filters = Vec::new();
    for (place, filter) in keys.filters.into_iter().enumerate() {
        let operator = filter.op.value();
        let at = format!("{pointer}/filters/{place}/value");
        check_value(&at, operator, &filter.value, notes);
        filters.push(CustomFilter {
            field: filter.field,
            operator,
            value: filter.value,
        });
    }
    Custom {
        table: keys.table,
        selects,
        filters,
        group_by: keys.group_by,
    }
}

fn knowledge_of_custom(custom: &Custom) -> Knowledge {
    let columns = custom
        .group_by
        .iter()
        .chain(custom.selects.iter().map(|s| &s.alias));
    Knowledge {
        filter_fields: std::collections::BTreeSet::new(),
        columns: columns.cloned().collect(),
    }
}

fn to_filter(
    pointer: &str,
    keys: FilterKeys,
    parameter: &str,
    known: Option<&Knowledge>,
    notes: &mut Notes,
) -> Filter {
    let op = keys.op.value();
    check_value(&format!("{pointer}/value"), op.name(), &keys.value, notes);
    if let Some(known) = known
        && !known.filter_fields.contains(keys.field.as_str())
    {
        let fields = known.filter_fields.iter().map(String::as_str);
        let message = format!(
            "`{}` is no filter field of `{parameter}`: the server would ignore it and count everything",
            keys.field
        );
        let hint = suggest(&keys.field, fields);
        notes.wrong(&format!("{pointer}/field"), message, hint);
    }
    Filter {
        field: keys.field,
        op,
        value: keys.value,
    }
}

/// A list where the operator takes one, a single value where it does not.
fn check_value(at: &str, operator: &str, value: &Value, notes: &mut Notes) {
    let wants_list = [Operator::In.name(), Operator::NotIn.name()].contains(&operator);
    match value {
        Value::Array(_) if !wants_list => {
            let other = if operator.starts_with('n') {
                "not_in"
            } else {
                "in"
            };
            let hint = format!("write `op: {other}` for a list");
            notes.wrong(at, format!("`{operator}` takes one value"), hint);
        }
        Value::Array(list) if list.is_empty() => {
            let hint = "remove the filter, or name values".to_owned();
            notes.wrong(at, "an empty list matches nothing", hint);
        }
        Value::Array(_) => {}
        _ if wants_list => {
            notes.wrong(
                at,
                format!("`{operator}` takes a list"),
                "write [one, two]".to_owned(),
            );
        }
        _ => {}
    }
}

fn check_column(
    pointer: &str,
    column: &str,
    parameter: &str,
    known: Option<&Knowledge>,
    notes: &mut Notes,
) {
    let Some(known) = known.filter(|known| !known.columns.contains(column)) else {
        return;
    };
    let at = format!("{pointer}/columns/{}", escape(column));
    let message = format!("`{parameter}` has no column `{column}`");
    let hint = suggest(column, known.columns.iter().map(String::as_str));
    notes
        .findings
        .push(Finding::at(&at, At::Key, message, Some(hint)));
}
