//! Custom events and outbound links.

use super::{Span, Type};

const EVENT_FIELDS: &[(&str, &str)] = &[("event_name", "name")];
const LINK_FIELDS: &[(&str, &str)] = &[("href", "href"), ("text", "text")];

/// Each property of each event.
const PROPERTIES: &str =
    "SELECT name, each.key AS property_key, CAST(each.value AS TEXT) AS property_value
    FROM events, json_each(events.properties) AS each WHERE {w} AND kind = 'custom'";

pub(super) fn types() -> Vec<Type> {
    let mut types: Vec<Type> = custom()
        .into_iter()
        .map(|t| t.filters(EVENT_FIELDS))
        .collect();
    types.extend(outbound().map(|t| t.filters(LINK_FIELDS)));
    types
}

fn custom() -> Vec<Type> {
    let ranked = format!(
        "WITH values_of AS (SELECT name AS event_name, property_key, property_value, COUNT(*) AS count
         FROM ({PROPERTIES}) GROUP BY 1, 2, 3),
         ranked AS (SELECT *, SUM(count) OVER k AS total, COUNT(*) OVER k AS cardinality,
         ROW_NUMBER() OVER (PARTITION BY event_name, property_key ORDER BY count DESC, property_value) AS rank
         FROM values_of WINDOW k AS (PARTITION BY event_name, property_key))
         SELECT event_name, property_key, property_value, count, total, ROUND(100.0 * count / total, 2) AS percentage"
    );
    vec![
        Type::new(
            "custom_events",
            "SELECT name, total_events, unique_users, unique_sessions, last_occurrence, first_occurrence,
             events_with_properties, ROUND(100.0 * total_events / SUM(total_events) OVER (), 2) AS percentage
             FROM (SELECT name, COUNT(*) AS total_events, COUNT(DISTINCT visitor) AS unique_users,
             COUNT(DISTINCT session) AS unique_sessions, MAX(at) AS last_occurrence, MIN(at) AS first_occurrence,
             SUM(properties IS NOT NULL AND properties <> '{}') AS events_with_properties
             FROM events WHERE {w} AND kind = 'custom' GROUP BY 1) ORDER BY total_events DESC, name {p}",
        ),
        Type::new(
            "custom_event_properties",
            format!("SELECT *, COUNT(*) AS count FROM ({PROPERTIES}) GROUP BY 1, 2, 3 ORDER BY count DESC, 1, 2, 3 {{p}}"),
        ),
        Type::new(
            "custom_events_by_path",
            "SELECT path AS name, COUNT(*) AS total_events, COUNT(DISTINCT name) AS unique_event_types,
             COUNT(DISTINCT visitor) AS unique_users FROM events WHERE {w} AND kind = 'custom' AND path IS NOT NULL
             GROUP BY path ORDER BY total_events DESC, 1 {p}",
        ),
        Type::new(
            "custom_events_trends",
            "SELECT {date} COUNT(*) AS total_events, COUNT(DISTINCT name) AS unique_event_types,
             COUNT(DISTINCT visitor) AS unique_users, COUNT(DISTINCT session) AS unique_sessions,
             COUNT(DISTINCT path) AS unique_pages
             FROM (SELECT {b} AS bucket, name, visitor, session, path FROM events WHERE {w} AND kind = 'custom')
             GROUP BY bucket ORDER BY bucket {p}",
        )
        .span(Span::Dated),
        Type::new(
            "custom_events_summary",
            "SELECT COUNT(*) AS total_events, COUNT(DISTINCT name) AS unique_event_types,
             COUNT(DISTINCT visitor) AS unique_users, COUNT(DISTINCT session) AS unique_sessions,
             COUNT(DISTINCT path) AS unique_pages FROM events WHERE {w} AND kind = 'custom'",
        ),
        Type::new(
            "custom_events_property_cardinality",
            format!(
                "SELECT name AS event_name, property_key, COUNT(DISTINCT property_value) AS unique_values,
                 COUNT(*) AS occurrences FROM ({PROPERTIES}) GROUP BY 1, 2 ORDER BY occurrences DESC, 1, 2 {{p}}"
            ),
        ),
        Type::new(
            "custom_events_recent",
            "SELECT name AS event_name, NULL AS namespace, path, NULL AS source, COALESCE(properties, '{}') AS properties,
             visitor AS anonymous_id, session AS session_id, at AS timestamp
             FROM events WHERE {w} AND kind = 'custom' ORDER BY at DESC, id {p}",
        ),
        Type::new(
            "custom_events_property_top_values",
            format!("{ranked}, rank FROM ranked ORDER BY event_name, property_key, rank {{p}}"),
        ),
        Type::new(
            "custom_events_property_distribution",
            format!("{ranked}, cardinality FROM ranked WHERE cardinality <= 10 ORDER BY event_name, property_key, rank {{p}}"),
        ),
    ]
}

fn outbound() -> [Type; 2] {
    [
        Type::new(
            "outbound_links",
            "SELECT href, text, total_clicks, unique_users, unique_sessions,
             ROUND(100.0 * total_clicks / SUM(total_clicks) OVER (), 2) AS percentage, last_clicked
             FROM (SELECT href, text, COUNT(*) AS total_clicks, COUNT(DISTINCT visitor) AS unique_users,
             COUNT(DISTINCT session) AS unique_sessions, MAX(at) AS last_clicked FROM outbound WHERE {w} GROUP BY 1, 2)
             ORDER BY total_clicks DESC, href, text {p}",
        ),
        Type::new(
            "outbound_domains",
            "SELECT domain, total_clicks, unique_users, unique_links,
             ROUND(100.0 * total_clicks / SUM(total_clicks) OVER (), 2) AS percentage
             FROM (SELECT domain, COUNT(*) AS total_clicks, COUNT(DISTINCT visitor) AS unique_users,
             COUNT(DISTINCT href) AS unique_links FROM (SELECT visitor, href,
             substr(substr(href, 9), 1, instr(substr(href, 9) || '/', '/') - 1) AS domain FROM outbound WHERE {w}) GROUP BY 1)
             ORDER BY total_clicks DESC, domain {p}",
        ),
    ]
}
