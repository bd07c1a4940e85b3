//! Clicks on short links.

use super::{Span, Type};

fn top(column: &str, columns: &str) -> String {
    format!(
        "SELECT {columns} FROM clicks WHERE {{w}} AND {column} IS NOT NULL GROUP BY {column} ORDER BY clicks DESC, 1 {{p}}"
    )
}

fn series(value: &str) -> String {
    format!(
        "SELECT {{date}} {value} FROM (SELECT {{b}} AS bucket, * FROM clicks WHERE {{w}})
         GROUP BY bucket ORDER BY bucket {{p}}"
    )
}

fn place(column: &str) -> String {
    format!(
        "SELECT {column} AS name, {{c}} AS country, COUNT(*) AS clicks, country AS country_code, country_name
         FROM clicks WHERE {{w}} AND {column} IS NOT NULL GROUP BY 1, 2 ORDER BY clicks DESC, 1, 2 {{p}}"
    )
}

pub(super) fn types() -> Vec<Type> {
    let dated = |name, value: &str| Type::new(name, series(value)).span(Span::Dated);
    vec![
        Type::new(
            "link_total_clicks",
            "SELECT COUNT(*) AS total FROM clicks WHERE {w}",
        ),
        dated("link_clicks_by_day", "COUNT(*) AS clicks"),
        dated("link_referrers_by_day", "COUNT(DISTINCT referrer) AS value"),
        dated("link_countries_by_day", "COUNT(DISTINCT country) AS value"),
        Type::new(
            "link_top_referrers",
            top(
                "referrer",
                "CASE referrer WHEN 'direct' THEN 'Direct' ELSE referrer END AS name, referrer, COUNT(*) AS clicks,
                 CASE referrer WHEN 'direct' THEN '' ELSE referrer END AS domain",
            ),
        ),
        Type::new(
            "link_top_countries",
            top(
                "{c}",
                "{c} AS name, {c} AS country, COUNT(*) AS clicks, country AS country_code, country_name",
            ),
        ),
        Type::new("link_top_regions", place("region")),
        Type::new("link_top_cities", place("city")),
        Type::new(
            "link_top_devices",
            top("device_type", "device_type AS name, COUNT(*) AS clicks"),
        ),
        Type::new(
            "link_top_browsers",
            top("browser_name", "browser_name AS name, COUNT(*) AS clicks"),
        ),
    ]
}
