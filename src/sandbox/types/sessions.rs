//! Sessions and visitors' profiles.

use super::{Span, Type};

const SERIES: &str = "SELECT {date} COUNT(*) AS sessions, COUNT(DISTINCT visitor) AS visitors,
    ROUND(AVG(seconds), 2) AS avg_session_duration
    FROM (SELECT {b} AS bucket, session, visitor, seconds FROM events WHERE {v} GROUP BY 1, 2, 3, 4)
    GROUP BY bucket ORDER BY bucket {p}";

/// What a session did, in order.
const EVENTS: &str =
    "json_group_array(json_array(id, at, name, path, properties) ORDER BY at, id) AS events";

fn by(column: &str) -> String {
    format!(
        "SELECT name, COUNT(*) AS sessions, COUNT(DISTINCT visitor) AS visitors, ROUND(AVG(seconds), 2) AS avg_session_duration
         FROM (SELECT {column} AS name, session, visitor, seconds FROM events WHERE {{v}} AND {column} IS NOT NULL GROUP BY 1, 2, 3, 4)
         GROUP BY name ORDER BY sessions DESC, name {{p}}"
    )
}

/// One row a visitor.
const PROFILES: &str = "SELECT visitor AS visitor_id, MIN(at) AS first_visit, MAX(at) AS last_visit,
    COUNT(DISTINCT session) AS session_count, COUNT(*) AS total_events, COUNT(DISTINCT path) AS unique_pages";

pub(super) fn types() -> Vec<Type> {
    vec![
        Type::new(
            "sessions",
            "SELECT session AS session_id, visitor AS visitor_id, MIN(at) AS first_visit, MAX(at) AS last_visit,
             MAX(seconds) AS duration, SUM(kind = 'view') AS page_views, {c} AS country, referrer, device_type, browser_name, os_name
             FROM events WHERE {w} AND session IS NOT NULL GROUP BY session ORDER BY first_visit DESC, session {p}",
        )
        .dated(SERIES)
        .columns("session_id:string, visitor_id:string, first_visit:datetime.ms, last_visit:datetime.ms, duration:int, \
                  page_views:int, country:string, referrer:string, device_type:string, browser_name:string, os_name:string"),
        Type::new(
            "session_list",
            format!(
                "SELECT session AS session_id, MIN(at) AS first_visit, MAX(at) AS last_visit, SUM(kind = 'view') AS page_views,
                 visitor AS visitor_id, {{c}} AS country, referrer, device_type, browser_name, os_name, {EVENTS},
                 country AS country_code, country_name
                 FROM events WHERE {{w}} AND session IS NOT NULL GROUP BY session ORDER BY first_visit DESC, session {{p}}"
            ),
        ),
        Type::new("sessions_time_series", SERIES).span(Span::Dated),
        Type::new(
            "session_duration_distribution",
            "SELECT CASE WHEN seconds < 30 THEN '0-30s' WHEN seconds < 60 THEN '30s-1m' WHEN seconds < 300 THEN '1m-5m' ELSE '5m-15m' END
             AS duration_range, COUNT(*) AS sessions, COUNT(DISTINCT visitor) AS visitors
             FROM (SELECT session, visitor, seconds FROM events WHERE {v} GROUP BY 1, 2, 3) GROUP BY 1 ORDER BY MIN(seconds) {p}",
        ),
        Type::new("sessions_by_device", by("device_type")),
        Type::new("sessions_by_browser", by("browser_name")),
        Type::new(
            "session_flow",
            "SELECT path AS name, COUNT(DISTINCT session) AS sessions, COUNT(DISTINCT visitor) AS visitors
             FROM events WHERE {v} GROUP BY path ORDER BY sessions DESC, path {p}",
        ),
        Type::new(
            "profiles",
            format!(
                "{PROFILES}, SUM(kind = 'view') AS page_views, {{c}} AS country, region, device_type, browser_name, os_name, referrer
                 FROM events WHERE {{w}} AND visitor IS NOT NULL GROUP BY visitor ORDER BY last_visit DESC, visitor {{p}}"
            ),
        )
        .columns("visitor_id:string, first_visit:datetime.ms, last_visit:datetime.ms, session_count:int, total_events:int, \
                  unique_pages:int, page_views:int, country:string, region:string, device_type:string, browser_name:string, \
                  os_name:string, referrer:string"),
        Type::new("profile_list", profile_list()),
    ]
}

/// One row a visitor and session; the limit counts visitors.
fn profile_list() -> String {
    format!(
        "WITH people AS ({PROFILES}, browser_name || ' on ' || os_name AS user_agent, {{c}} AS country, region, device_type,
         browser_name, os_name, referrer
         FROM events WHERE {{w}} AND visitor IS NOT NULL GROUP BY visitor ORDER BY last_visit DESC, visitor {{p}})
         SELECT * FROM people JOIN (SELECT visitor AS visitor_id, session AS session_id, MIN(at) AS session_start, MAX(at) AS session_end,
         MAX(seconds) AS duration, SUM(kind = 'view') AS page_views, COUNT(DISTINCT path) AS session_unique_pages,
         browser_name || ' on ' || os_name AS session_user_agent, {{c}} AS session_country, region AS session_region,
         device_type AS session_device_type, browser_name AS session_browser_name, os_name AS session_os_name,
         referrer AS session_referrer, {EVENTS}
         FROM events WHERE {{w}} AND session IS NOT NULL GROUP BY session) AS s USING (visitor_id)
         ORDER BY last_visit DESC, visitor_id, session_start DESC, session_id"
    )
}
