//! What a server would get wrong without an error, found before it is asked.
//!
//! Source of what is known of a type: the measured table, and the lists of the live catalogue.

use super::PlanProblem;
use crate::domain::{
    catalog::{Catalog, Filtering, MeasuredType, is_global_filter, measured},
    custom::{Custom, server_table},
    personal::is_personal,
    query::{Granularity, Query, Source},
};

/// Problems of a query that is answered by the server's type `parameter`.
pub(super) fn check_type(
    query: &Query,
    parameter: &str,
    granularity: Option<Granularity>,
    catalog: &Catalog,
) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    let name = || query.name.clone();
    let measured = measured(parameter);
    if let Some(granularity) = granularity
        && measured.is_some_and(|known| !has_rows_of(known, granularity))
    {
        problems.push(PlanProblem::NoGranularity {
            query: name(),
            parameter: parameter.to_owned(),
            granularity: granularity.name(),
        });
    }
    for filter in &query.filters {
        let (query, field) = (name(), filter.field.clone());
        let parameter = parameter.to_owned();
        match effect(&field, &parameter, measured, catalog) {
            Filtering::Ignored => problems.push(PlanProblem::FilterIgnored {
                query,
                field,
                parameter,
            }),
            Filtering::Fails => problems.push(PlanProblem::FilterFails {
                query,
                field,
                parameter,
            }),
            Filtering::Applies | Filtering::Unknown => {}
        }
    }
    problems
}

/// Hours only where they were measured; days where the rows carry a date.
fn has_rows_of(known: &MeasuredType, granularity: Granularity) -> bool {
    match granularity {
        Granularity::Hourly => known.has_hours,
        Granularity::Daily => known.columns.iter().any(|(column, _)| *column == "date"),
    }
}

/// What the server does with a filter on `field` of the type. Servers skip fields that are neither
/// global nor in the type's own list, and still count them in `filters_applied`.
fn effect(
    field: &str,
    parameter: &str,
    measured: Option<&MeasuredType>,
    catalog: &Catalog,
) -> Filtering {
    let listed = catalog
        .types
        .get(parameter)
        .and_then(|t| t.allowed_filters.as_ref());
    let is_listed = listed.is_some_and(|fields| fields.iter().any(|f| f == field));
    match measured.map(|known| known.filters) {
        Some(Filtering::Ignored) => Filtering::Ignored,
        Some(Filtering::Fails) if field == "country" => Filtering::Fails,
        _ if is_listed || listed.is_none() || is_global_filter(field) => Filtering::Applies,
        _ => Filtering::Ignored,
    }
}

/// The server's name of the table, and problems of a custom query.
pub(super) fn check_custom(
    query: &Query,
    custom: &Custom,
    catalog: &Catalog,
) -> Result<String, PlanProblem> {
    let is_seed = catalog.is_seed();
    let Some(table) = server_table(&custom.table, is_seed) else {
        return Err(PlanProblem::UnknownTable {
            query: query.name.clone(),
            table: custom.table.clone(),
        });
    };
    match custom.hidden_column().filter(|_| !is_seed) {
        None => Ok(table.to_owned()),
        Some((column, select)) => Err(PlanProblem::HiddenColumn {
            query: query.name.clone(),
            column: column.to_owned(),
            select: if select.alias.contains(column) {
                select.alias.clone()
            } else {
                select.field.clone()
            },
        }),
    }
}

/// Columns of a query that name people, as far as they are known before it is asked.
pub(super) fn check_personal(
    query: &Query,
    parameter: &str,
    catalog: &Catalog,
) -> Option<PlanProblem> {
    let mut columns: Vec<&str> = match &query.source {
        Source::Custom(custom) => {
            let groups = custom.group_by.iter().map(String::as_str);
            let selects = custom.selects.iter().map(|select| select.alias.as_str());
            groups.chain(selects).collect()
        }
        Source::Parameter(_) => {
            let known = measured(parameter).map_or(&[][..], |known| &known.columns);
            let listed = catalog.types.get(parameter).map_or(&[][..], |t| &t.columns);
            let known = known.iter().map(|(name, _)| *name);
            known
                .chain(listed.iter().map(|(name, _)| name.as_str()))
                .collect()
        }
    };
    columns.retain(|column| is_personal(column));
    columns.sort_unstable();
    columns.dedup();
    (!columns.is_empty()).then(|| PlanProblem::Personal {
        query: query.name.clone(),
        columns: columns.join(", "),
    })
}

/// Types of links answer zeros for a website, and types of websites nothing for a link (measured).
pub(super) fn check_target(query: &Query, parameter: &str) -> Option<PlanProblem> {
    let what = match (parameter.starts_with("link_"), query.links.is_empty()) {
        (true, true) => "a type of links needs `link`: asked of a website it answers zeros",
        (false, false) => {
            "only types of links (`link_…`) can be asked of a `link`: others answer nothing"
        }
        _ => return None,
    };
    Some(PlanProblem::WrongTarget {
        query: query.name.clone(),
        what,
    })
}
