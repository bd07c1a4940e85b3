//! Where visitors come from and what they use.

use super::{Type, share, top};

pub(super) fn types() -> Vec<Type> {
    let mut types = vec![
        Type::new("traffic", top("referrer", "source"))
            .columns("source:string, pageviews:int, visitors:int"),
        Type::new("traffic_sources", top("referrer", "source")),
        Type::new(
            "top_referrers",
            "SELECT CASE referrer WHEN 'direct' THEN 'Direct' ELSE referrer END AS name, pageviews, visitors,
             ROUND(100.0 * visitors / SUM(visitors) OVER (), 2) AS percentage, referrer,
             CASE referrer WHEN 'direct' THEN '' ELSE referrer END AS domain
             FROM (SELECT referrer, COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors FROM events WHERE {v}
             AND referrer IS NOT NULL GROUP BY 1) ORDER BY pageviews DESC, referrer {p}",
        ),
        Type::new("countries", top("{c}", "country"))
            .columns("country:string, pageviews:int, visitors:int"),
        Type::new(
            "cities",
            "SELECT city, {c} AS country, COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors FROM events
             WHERE {v} AND city IS NOT NULL GROUP BY 1, 2 ORDER BY pageviews DESC, 1, 2 {p}",
        )
        .columns("city:string, country:string, pageviews:int, visitors:int"),
        country(),
        region("region"),
        region("city"),
        Type::new("os_versions", top("os_name || ' ' || os_version", "name")),
        Type::new("screen_resolutions", top("screen_resolution", "name")),
        Type::new(
            "browser_versions",
            "SELECT browser_name, browser_version, pageviews, visitors,
             ROUND(100.0 * visitors / SUM(visitors) OVER (), 2) AS percentage
             FROM (SELECT browser_name, browser_version, COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors
             FROM events WHERE {v} AND browser_name IS NOT NULL GROUP BY 1, 2) ORDER BY pageviews DESC, 1, 2 {p}",
        ),
        Type::new(
            "browsers_grouped",
            "SELECT browser_name || ' ' || browser_version AS name, browser_name, browser_version, COUNT(*) AS pageviews,
             COUNT(DISTINCT visitor) AS visitors, COUNT(DISTINCT session) AS sessions FROM events
             WHERE {v} AND browser_name IS NOT NULL GROUP BY 2, 3 ORDER BY pageviews DESC, 1 {p}",
        ),
        Type::new(
            "viewport_patterns",
            "SELECT viewport_size, visitors, sessions, ROUND(100.0 * visitors / SUM(visitors) OVER (), 2) AS percentage
             FROM (SELECT screen_resolution AS viewport_size, COUNT(DISTINCT visitor) AS visitors,
             COUNT(DISTINCT session) AS sessions FROM events WHERE {v} AND screen_resolution IS NOT NULL GROUP BY 1)
             ORDER BY visitors DESC, 1 {p}",
        ),
    ];
    let shares = [
        ("browser_name", "browser_name"),
        ("os_name", "os_name"),
        ("device_types", "device_type"),
        ("browsers", "browser_name"),
        ("operating_systems", "os_name"),
        ("screen_resolution", "screen_resolution"),
        ("timezone", "timezone"),
        ("language", "language"),
        ("utm_sources", "utm_source"),
        ("utm_mediums", "utm_medium"),
        ("utm_campaigns", "utm_campaign"),
    ];
    types.extend(shares.map(|(name, column)| Type::new(name, share(column))));
    types
}

fn country() -> Type {
    let whole = "SELECT name, pageviews, visitors, ROUND(100.0 * visitors / SUM(visitors) OVER (), 2) AS percentage,
        name AS country_code, country_name FROM (SELECT country AS name, country_name, COUNT(*) AS pageviews,
        COUNT(DISTINCT visitor) AS visitors FROM events WHERE {v} AND country IS NOT NULL GROUP BY 1)
        ORDER BY pageviews DESC, name {p}";
    // Both spellings of a country are folded after the limit, and shares are those of the rows left
    let folded = "SELECT name, SUM(pageviews) AS pageviews, SUM(visitors) AS visitors,
        ROUND(100.0 * SUM(visitors) / SUM(SUM(visitors)) OVER (), 2) AS percentage, name AS country_code, country_name
        FROM (SELECT country AS name, country_stored, country_name, COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors
        FROM events WHERE {v} AND country IS NOT NULL GROUP BY 1, 2 ORDER BY 4 DESC {p}) GROUP BY 1 ORDER BY 3 DESC, 1";
    Type {
        server_sql: Some(folded.to_owned()),
        ..Type::new("country", whole)
    }
}

fn region(column: &'static str) -> Type {
    let whole = format!(
        "SELECT name, country, pageviews, visitors, ROUND(100.0 * visitors / SUM(visitors) OVER (), 2) AS percentage,
         country AS country_code, country_name FROM (SELECT {column} AS name, country, country_name, COUNT(*) AS pageviews,
         COUNT(DISTINCT visitor) AS visitors FROM events WHERE {{v}} AND {column} IS NOT NULL GROUP BY 1, 2)
         ORDER BY pageviews DESC, name, country {{p}}"
    );
    let folded = format!(
        "SELECT name, country, SUM(pageviews) AS pageviews, SUM(visitors) AS visitors,
         ROUND(100.0 * SUM(visitors) / SUM(SUM(visitors)) OVER (), 2) AS percentage, country AS country_code, country_name
         FROM (SELECT {column} AS name, country, country_stored, country_name, COUNT(*) AS pageviews,
         COUNT(DISTINCT visitor) AS visitors FROM events WHERE {{v}} AND {column} IS NOT NULL GROUP BY 1, 2, 3
         ORDER BY 5 DESC {{p}}) GROUP BY 1, 2 ORDER BY 4 DESC, 1, 2"
    );
    Type {
        server_sql: Some(folded),
        ..Type::new(column, whole)
    }
}
