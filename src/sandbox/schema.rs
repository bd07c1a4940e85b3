//! The tables of the sandbox and the columns that generated rows fill.

use std::fmt::Write;

/// Columns that every table of a website begins with.
macro_rules! visit_columns {
    () => {
        "website_id, at, visitor, session, path, referrer, country, country_name, country_stored, region, city, \
         language, timezone, device_type, screen_resolution, browser_name, browser_version, os_name, os_version, \
         utm_source, utm_medium, utm_campaign"
    };
}

/// A table and its columns in the order of generated rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static str,
}

pub(super) const EVENTS: Table = Table {
    name: "events",
    columns: concat!(
        visit_columns!(),
        ", id, kind, name, seconds, load_time, ttfb, dom_ready_time, render_time, time_on_page, scroll_depth, \
         interaction_count, properties"
    ),
};
pub(super) const ERRORS: Table = Table {
    name: "errors",
    columns: concat!(
        visit_columns!(),
        ", message, error_type, filename, lineno, colno, stack"
    ),
};
pub(super) const VITALS: Table = Table {
    name: "vitals",
    columns: concat!(visit_columns!(), ", metric_name, metric_value"),
};
pub(super) const OUTBOUND: Table = Table {
    name: "outbound",
    columns: concat!(visit_columns!(), ", href, text"),
};
pub(super) const CLICKS: Table = Table {
    name: "clicks",
    columns: "link_id, at, visitor, referrer, country, country_name, country_stored, region, city, device_type, browser_name",
};

/// What each connection does first; the tables are made by the first one.
pub(super) const PRAGMAS: &str =
    "PRAGMA busy_timeout=15000; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;";

/// Statements that make the tables.
pub(super) fn statements() -> String {
    let mut sql = String::new();
    for table in [EVENTS, ERRORS, VITALS, OUTBOUND, CLICKS] {
        let Table { name, columns } = table;
        let owner = if name == CLICKS.name {
            "link_id"
        } else {
            "website_id"
        };
        let columns: Vec<String> = columns.split(", ").map(declaration).collect();
        let columns = columns.join(", ");
        let _ = write!(
            sql,
            "CREATE TABLE IF NOT EXISTS {name} ({columns}); CREATE INDEX IF NOT EXISTS {name}_at ON {name} ({owner}, at);"
        );
    }
    sql.push_str(
        "CREATE TABLE IF NOT EXISTS tracked (website_id TEXT NOT NULL, event_id TEXT NOT NULL, PRIMARY KEY (website_id, event_id));
         CREATE TABLE IF NOT EXISTS generated_days (place TEXT NOT NULL, day TEXT NOT NULL, PRIMARY KEY (place, day));",
    );
    sql
}

/// Whether a column holds numbers.
pub(super) fn is_number(column: &str) -> bool {
    matches!(
        column,
        "seconds"
            | "load_time"
            | "ttfb"
            | "dom_ready_time"
            | "render_time"
            | "time_on_page"
            | "scroll_depth"
            | "interaction_count"
            | "lineno"
            | "colno"
            | "metric_value"
            | "page_views"
            | "unique_pages"
            | "session_count"
            | "total_events"
            | "is_bounce"
    )
}

fn declaration(column: &str) -> String {
    let kind = match column {
        "metric_value" => "REAL",
        _ if is_number(column) => "BIGINT",
        _ => "TEXT",
    };
    format!("{column} {kind}")
}
