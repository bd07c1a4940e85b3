//! What is known of a table's columns before its first row.

use std::collections::BTreeMap;

use crate::domain::{
    catalog::{Catalog, measured, measured_kinds},
    custom::{Aggregate, Custom},
    query::{ColumnType, Granularity},
};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The server's name of it.
    pub name: String,
    /// Its type; `None`: the first value that is not null decides.
    pub kind: Option<ColumnType>,
}

/// What is known of a table before its first row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Columns that every answer has, in this order.
    pub columns: Vec<Column>,
    /// Types of columns that an answer may have.
    pub kinds: BTreeMap<String, ColumnType>,
}

/// The columns of a query type: measured order first, then what the server lists, then pins. The
/// type is the pin's, else the measured one, else the server's. Hourly rows have instants as `date`.
pub fn known_columns(
    parameter: &str,
    catalog: &Catalog,
    pins: &BTreeMap<String, ColumnType>,
    granularity: Option<Granularity>,
) -> Known {
    let hourly = |kind: ColumnType| match kind {
        ColumnType::Date if granularity == Some(Granularity::Hourly) => ColumnType::Timestamp,
        kind => kind,
    };
    let mut kinds: BTreeMap<String, ColumnType> = measured_kinds(parameter)
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), hourly(kind)))
        .collect();
    kinds.extend(pins.iter().map(|(name, kind)| (name.clone(), *kind)));
    let mut columns: Vec<Column> = Vec::new();
    let mut add = |name: &str, kind: Option<ColumnType>| match columns
        .iter_mut()
        .find(|column| column.name == name)
    {
        Some(column) => column.kind = column.kind.or(kind),
        None => columns.push(Column {
            name: name.to_owned(),
            kind,
        }),
    };
    for (name, kind) in measured(parameter).map_or(&[][..], |m| &m.columns) {
        add(name, *kind);
    }
    for (name, kind) in catalog.types.get(parameter).map_or(&[][..], |t| &t.columns) {
        add(name, *kind);
    }
    for (name, kind) in pins {
        add(name, Some(*kind));
    }
    for column in &mut columns {
        column.kind = kinds.get(&column.name).copied().or(column.kind.map(hourly));
    }
    Known { columns, kinds }
}

/// The columns of a custom query: those of the group, then its selects. Counts are whole.
pub fn known_custom_columns(custom: &Custom, pins: &BTreeMap<String, ColumnType>) -> Known {
    let kind = |name: &str, known: Option<ColumnType>| Column {
        name: name.to_owned(),
        kind: pins.get(name).copied().or(known),
    };
    let groups = custom.group_by.iter().map(|name| kind(name, None));
    let selects = custom.selects.iter().map(|select| {
        let known = match select.aggregate {
            Aggregate::Count | Aggregate::Uniq => Some(ColumnType::Int64),
            Aggregate::Avg | Aggregate::Sum => Some(ColumnType::Float64),
            // Of instants too
            Aggregate::Max | Aggregate::Min => None,
        };
        kind(&select.alias, known)
    });
    Known {
        columns: groups.chain(selects).collect(),
        kinds: pins.clone(),
    }
}
