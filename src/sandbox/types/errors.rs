//! Errors of the websites' scripts.

use super::{Span, Type};

const FIELDS: &[(&str, &str)] = &[("message", "message"), ("error_type", "error_type")];
const TRENDS: &str = "SELECT {date} COUNT(*) AS errors, COUNT(DISTINCT visitor) AS users
    FROM (SELECT {b} AS bucket, visitor FROM errors WHERE {w}) GROUP BY bucket ORDER BY bucket {p}";

pub(super) fn types() -> Vec<Type> {
    let types = [
        Type::new(
            "errors",
            "SELECT message, error_type, COUNT(*) AS count, COUNT(DISTINCT visitor) AS users, MAX(at) AS last_seen
             FROM errors WHERE {w} GROUP BY 1, 2 ORDER BY count DESC, 1, 2 {p}",
        )
        .dated(TRENDS)
        .columns("message:string, error_type:string, count:int, users:int, last_seen:datetime.ms"),
        Type::new(
            "recent_errors",
            "SELECT message, stack, path, visitor AS anonymous_id, session AS session_id, at AS timestamp, filename, lineno,
             colno, error_type, browser_name, browser_version, os_name, os_version, device_type, {c} AS country, region,
             country AS country_code, country_name FROM errors WHERE {w} ORDER BY at DESC, session {p}",
        ),
        Type::new(
            "error_types",
            "SELECT message AS name, COUNT(*) AS count, COUNT(DISTINCT visitor) AS users, MAX(at) AS last_seen
             FROM errors WHERE {w} GROUP BY 1 ORDER BY count DESC, 1 {p}",
        ),
        Type::new("error_trends", TRENDS).span(Span::Dated),
        Type::new(
            "errors_by_page",
            "SELECT path AS name, COUNT(*) AS errors, COUNT(DISTINCT visitor) AS users
             FROM errors WHERE {w} GROUP BY 1 ORDER BY errors DESC, 1 {p}",
        ),
        Type::new(
            "error_frequency",
            "SELECT {date} COUNT(*) AS count FROM (SELECT {b} AS bucket FROM errors WHERE {w})
             GROUP BY bucket ORDER BY bucket {p}",
        )
        .span(Span::Dated),
        Type::new(
            "error_summary",
            "SELECT COUNT(*) AS totalErrors, COUNT(DISTINCT error_type) AS uniqueErrorTypes,
             COUNT(DISTINCT visitor) AS affectedUsers, COUNT(DISTINCT session) AS affectedSessions,
             ROUND(100.0 * COUNT(DISTINCT session) / (SELECT NULLIF(COUNT(DISTINCT session), 0) FROM events WHERE {range}), 2)
             AS errorRate FROM errors WHERE {w}",
        ),
        Type::new(
            "error_chart_data",
            "SELECT {date} COUNT(*) AS totalErrors, COUNT(DISTINCT visitor) AS affectedUsers
             FROM (SELECT {b} AS bucket, visitor FROM errors WHERE {w}) GROUP BY bucket ORDER BY bucket {p}",
        )
        .span(Span::Dated),
        Type::new(
            "errors_by_type",
            "SELECT error_type AS name, COUNT(*) AS count, COUNT(DISTINCT visitor) AS users, COUNT(DISTINCT session) AS sessions
             FROM errors WHERE {w} GROUP BY 1 ORDER BY count DESC, 1 {p}",
        ),
    ];
    types.map(|kind| kind.filters(FIELDS)).into()
}
