//! Columns that are the same in every row of a file: what its path does not carry.

use crate::{
    domain::{
        job::{Export, Format, Per},
        target::Target,
    },
    plan::Step,
    table::{Constant, ConstantValue, ShapedColumn},
};

/// The column that says of which query rows are.
pub(super) fn query_column(step: &Step) -> Constant {
    Constant {
        name: "query",
        value: ConstantValue::Text(step.query.clone()),
    }
}

/// Columns for what the path does not carry as `key=value`, which is how readers find it.
pub(super) fn constants(
    export: &Export,
    step: &Step,
    columns: &[ShapedColumn],
) -> Result<Vec<Constant>, String> {
    if export.format == Format::Delta {
        // The table's partitions carry all of them
        return Ok(Vec::new());
    }
    let path = export.path_template(&step.target);
    let path: String = path.split_whitespace().collect();
    for column in columns {
        // DuckDB takes names that differ in case for the same
        let key = format!("{}=", column.name);
        let has_key = |segment: &str| {
            let start = segment.get(..key.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(&key))
        };
        if path.split('/').any(has_key) {
            return Err(format!(
                "query `{}`: the column `{}` of its rows and `{key}` of the path would be one column to readers: name it otherwise in `path`",
                step.query, column.name
            ));
        }
    }
    let carries = |value: &str| path.contains(&format!("={{{{{value}}}}}"));
    let mut constants = Vec::new();
    let mut add = |name: &'static str, value: ConstantValue| {
        if columns.iter().all(|column| column.name != name) {
            constants.push(Constant { name, value });
        }
    };
    if !path.contains("{{query}}") {
        let query = query_column(step);
        add(query.name, query.value);
    }
    match &step.target {
        Target::Website(id) if !carries("website.id") => {
            add("website_id", ConstantValue::Text(id.clone()));
        }
        Target::Link(id) if !carries("link.id") => {
            add("link_id", ConstantValue::Text(id.clone()));
        }
        _ => {}
    }
    let (start, end) = (step.window.start, step.window.end);
    match export.per {
        Per::Day if !(carries("date") || carries("start") || carries("end")) => {
            add("day", ConstantValue::Day(start));
        }
        Per::Day => {}
        Per::Window => {
            if !(carries("start") || carries("date")) {
                add("window_start", ConstantValue::Day(start));
            }
            if !carries("end") {
                add("window_end", ConstantValue::Day(end));
            }
        }
    }
    Ok(constants)
}
