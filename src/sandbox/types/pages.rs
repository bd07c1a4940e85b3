//! Pages.

use super::{Type, share, top};

pub(super) fn types() -> Vec<Type> {
    vec![
        Type::new("pages", top("path", "path"))
            .columns("path:string, pageviews:int, visitors:int"),
        Type::new("top_pages", share("path")),
        Type::new("entry_pages", edge("at, id")),
        Type::new("exit_pages", edge("at DESC, id DESC")),
        Type::new(
            "page_time_analysis",
            "WITH times AS (SELECT path AS name, session, visitor, time_on_page,
             ROW_NUMBER() OVER (PARTITION BY path ORDER BY time_on_page) AS rn, COUNT(*) OVER (PARTITION BY path) AS n
             FROM events WHERE {v} AND time_on_page IS NOT NULL)
             SELECT name, COUNT(DISTINCT session) AS sessions_with_time, COUNT(DISTINCT visitor) AS visitors,
             AVG(CASE WHEN rn IN ((n + 1) / 2, (n + 2) / 2) THEN time_on_page END) AS median_time_on_page,
             ROUND(100.0 * COUNT(DISTINCT session) / SUM(COUNT(DISTINCT session)) OVER (), 2) AS percentage
             FROM times GROUP BY name ORDER BY sessions_with_time DESC, name {p}",
        ),
        Type::new(
            "page_scroll_performance",
            "SELECT path AS name, ROUND(AVG(scroll_depth), 2) AS avg_scroll_depth, COUNT(DISTINCT visitor) AS visitors,
             COUNT(DISTINCT session) AS sessions, COUNT(*) AS pageviews FROM events WHERE {v} AND scroll_depth IS NOT NULL
             GROUP BY path ORDER BY visitors DESC, path {p}",
        ),
    ]
}

/// The first or last page of each session.
fn edge(order: &str) -> String {
    format!(
        "SELECT name, pageviews, visitors, ROUND(100.0 * visitors / SUM(visitors) OVER (), 2) AS percentage
         FROM (SELECT path AS name, COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors
         FROM (SELECT path, visitor, ROW_NUMBER() OVER (PARTITION BY session ORDER BY {order}) AS rn FROM events WHERE {{v}})
         WHERE rn = 1 GROUP BY 1) ORDER BY pageviews DESC, name {{p}}"
    )
}
