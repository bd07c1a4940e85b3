//! The tables of custom queries: where their rows are, and the fields that may be named.

use super::options::Generation;

/// A table.
#[derive(Debug)]
pub(super) struct CustomTable {
    name: &'static str,
    generation: Option<Generation>,
    /// SQL that has its rows, with the columns `website_id` and `at`.
    pub(super) source: &'static str,
    /// Fields beyond those of every visit, and their columns.
    fields: &'static [(&'static str, &'static str)],
}

/// Fields of every table, and their columns.
const FIELDS: [(&str, &str); 22] = [
    ("anonymous_id", "visitor"),
    ("visitor_id", "visitor"),
    ("session_id", "session"),
    ("time", "at"),
    ("timestamp", "at"),
    ("path", "path"),
    ("referrer", "referrer"),
    ("country", "country"),
    ("region", "region"),
    ("city", "city"),
    ("language", "language"),
    ("timezone", "timezone"),
    ("device_type", "device_type"),
    ("screen_resolution", "screen_resolution"),
    ("browser_name", "browser_name"),
    ("browser_version", "browser_version"),
    ("os_name", "os_name"),
    ("os_version", "os_version"),
    ("utm_source", "utm_source"),
    ("utm_medium", "utm_medium"),
    ("utm_campaign", "utm_campaign"),
    ("website_id", "website_id"),
];

const EVENT_FIELDS: &[(&str, &str)] = &[
    ("id", "id"),
    ("event_type", "kind"),
    ("event_name", "name"),
    ("name", "name"),
    ("load_time", "load_time"),
    ("ttfb", "ttfb"),
    ("dom_ready_time", "dom_ready_time"),
    ("render_time", "render_time"),
    ("time_on_page", "time_on_page"),
    ("scroll_depth", "scroll_depth"),
    ("interaction_count", "interaction_count"),
    ("properties", "properties"),
];
const ERROR_FIELDS: &[(&str, &str)] = &[
    ("message", "message"),
    ("error_type", "error_type"),
    ("filename", "filename"),
    ("lineno", "lineno"),
    ("colno", "colno"),
    ("stack", "stack"),
];
const VITAL_FIELDS: &[(&str, &str)] = &[
    ("metric_name", "metric_name"),
    ("metric_value", "metric_value"),
];

const SESSIONS: &str = "(SELECT website_id, MIN(at) AS at, MAX(at) AS last_visit, visitor, session, path, referrer, country, region,
    city, language, timezone, device_type, screen_resolution, browser_name, browser_version, os_name, os_version, utm_source,
    utm_medium, utm_campaign, MAX(seconds) AS seconds, SUM(kind = 'view') AS page_views, COUNT(*) AS total_events,
    COUNT(DISTINCT path) AS unique_pages, SUM(kind = 'view') = 1 AS is_bounce
    FROM events WHERE website_id = ?1 AND at >= ?2 AND at < ?3 AND session IS NOT NULL GROUP BY session)";
const PROFILES: &str = "(SELECT website_id, MIN(at) AS at, MAX(at) AS last_visit, visitor, session, path, referrer, country, region,
    city, language, timezone, device_type, screen_resolution, browser_name, browser_version, os_name, os_version, utm_source,
    utm_medium, utm_campaign, SUM(kind = 'view') AS page_views, COUNT(*) AS total_events,
    COUNT(DISTINCT path) AS unique_pages, COUNT(DISTINCT session) AS session_count
    FROM events WHERE website_id = ?1 AND at >= ?2 AND at < ?3 AND visitor IS NOT NULL GROUP BY visitor)";

const TABLES: [CustomTable; 9] = [
    CustomTable {
        name: "events",
        generation: None,
        source: "events",
        fields: EVENT_FIELDS,
    },
    CustomTable {
        name: "sessions",
        generation: Some(Generation::Seed),
        source: SESSIONS,
        fields: &[
            ("first_visit", "at"),
            ("last_visit", "last_visit"),
            ("duration", "seconds"),
            ("page_views", "page_views"),
            ("total_events", "total_events"),
            ("unique_pages", "unique_pages"),
            ("is_bounce", "is_bounce"),
        ],
    },
    CustomTable {
        name: "profiles",
        generation: Some(Generation::Seed),
        source: PROFILES,
        fields: &[
            ("first_visit", "at"),
            ("last_visit", "last_visit"),
            ("session_count", "session_count"),
            ("page_views", "page_views"),
            ("total_events", "total_events"),
            ("unique_pages", "unique_pages"),
        ],
    },
    CustomTable {
        name: "errors",
        generation: Some(Generation::Seed),
        source: "errors",
        fields: ERROR_FIELDS,
    },
    CustomTable {
        name: "performance",
        generation: Some(Generation::Seed),
        source: "vitals",
        fields: VITAL_FIELDS,
    },
    CustomTable {
        name: "error_spans",
        generation: Some(Generation::Server2026_02),
        source: "errors",
        fields: ERROR_FIELDS,
    },
    CustomTable {
        name: "web_vitals_spans",
        generation: Some(Generation::Server2026_02),
        source: "vitals",
        fields: VITAL_FIELDS,
    },
    CustomTable {
        name: "custom_event_spans",
        generation: Some(Generation::Server2026_02),
        source: "(SELECT * FROM events WHERE kind = 'custom')",
        fields: EVENT_FIELDS,
    },
    CustomTable {
        name: "outgoing_links",
        generation: Some(Generation::Server2026_02),
        source: "outbound",
        fields: &[("href", "href"), ("text", "text")],
    },
];

fn of(generation: Generation) -> impl Iterator<Item = &'static CustomTable> {
    TABLES
        .iter()
        .filter(move |table| table.generation.is_none_or(|own| own == generation))
}

/// The names of a generation's tables.
pub(super) fn names(generation: Generation) -> impl Iterator<Item = &'static str> {
    of(generation).map(|table| table.name)
}

/// The table of that name.
pub(super) fn find(name: &str, generation: Generation) -> Option<&'static CustomTable> {
    of(generation).find(|table| table.name == name)
}

impl CustomTable {
    /// The column of a field.
    pub(super) fn column(
        &self,
        field: &str,
        generation: Generation,
    ) -> Result<&'static str, String> {
        let known = FIELDS.iter().chain(self.fields);
        let found = known.clone().find(|(name, _)| *name == field);
        if field == "country" && generation == Generation::Server2026_02 {
            return Ok("country_stored");
        }
        found.map(|(_, column)| *column).ok_or_else(|| {
            let names: Vec<&str> = known.map(|(name, _)| *name).collect();
            format!(
                "Unknown field '{field}' of {}; one of {}",
                self.name,
                names.join(", ")
            )
        })
    }
}
