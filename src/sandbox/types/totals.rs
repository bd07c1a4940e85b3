//! Totals of a website: one row, or one a day or hour.

use super::{Span, Type};

/// Sessions, ranked by their length among those of their day or hour.
const SESSIONS: &str = "SELECT *, ROW_NUMBER() OVER (PARTITION BY bucket, views > 0 ORDER BY seconds) AS rn,
    COUNT(*) OVER (PARTITION BY bucket, views > 0) AS n
    FROM (SELECT {b} AS bucket, session, visitor, seconds, SUM(kind = 'view') AS views, COUNT(*) AS every
    FROM events WHERE {w} GROUP BY 1, 2, 3, 4)";
const MEDIAN: &str =
    "ROUND(AVG(CASE WHEN views > 0 AND rn IN ((n + 1) / 2, (n + 2) / 2) THEN seconds END), 2)";
const MEAN: &str = "ROUND(AVG(CASE WHEN views > 0 THEN seconds END), 2)";

fn totals(date: &str, visitors: &str, duration: &str, extra: &str) -> String {
    format!(
        "SELECT {date} SUM(views) AS pageviews, COUNT(DISTINCT CASE WHEN views > 0 THEN visitor END) AS {visitors},
         SUM(views > 0) AS sessions,
         COALESCE(ROUND(100.0 * SUM(views = 1) / SUM(views > 0), 2), 0.0) AS bounce_rate, {duration} {extra}
         FROM ({SESSIONS}) GROUP BY bucket HAVING SUM(views) > 0 ORDER BY bucket {{p}}"
    )
}

pub(super) fn types() -> Vec<Type> {
    let median = format!("{MEDIAN} AS median_session_duration");
    let mean = format!("{MEAN} AS session_duration");
    let by_date = totals(
        "{date}",
        "visitors",
        &median,
        ", ROUND(1.0 * SUM(views) / SUM(views > 0), 2) AS pages_per_session",
    );
    vec![
        Type::new(
            "summary",
            totals("'{first}' AS date,", "visitors", &mean, ""),
        )
        .dated(totals("{date}", "visitors", &mean, ""))
        .columns("date:date, pageviews:int, visitors:int, sessions:int, bounce_rate:float, session_duration:float"),
        Type::new(
            "summary_metrics",
            totals("{date}", "unique_visitors", &median, ", SUM(every) AS total_events"),
        ),
        Type::new("events_by_date", by_date).span(Span::Dated),
        Type::new(
            "today_metrics",
            "SELECT COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors, COUNT(DISTINCT session) AS sessions
             FROM events WHERE {v}",
        )
        .span(Span::Today),
        Type::new(
            "active_stats",
            "SELECT COUNT(DISTINCT visitor) AS active_users, COUNT(DISTINCT session) AS active_sessions
             FROM events WHERE {v}",
        )
        .span(Span::Now),
        Type::new("engagement", engagement(""))
            .dated(engagement("{date}"))
            .columns("avg_interactions:float, interactive_sessions:int, interaction_rate:float, \
                      total_sessions:int, avg_scroll_depth:float, avg_time_on_page:float, bounce_rate:float"),
        Type::new(
            "interaction_summary",
            "SELECT ROUND(AVG(interactions), 2) AS avg_interactions, COALESCE(SUM(interactions > 0), 0) AS interactive_sessions,
             ROUND(100.0 * SUM(interactions > 0) / COUNT(*), 2) AS interaction_rate, COUNT(*) AS total_sessions
             FROM (SELECT session, SUM(interaction_count) AS interactions FROM events WHERE {v} GROUP BY session)",
        ),
        Type::new(
            "scroll_depth_summary",
            "SELECT ROUND(AVG(scroll_depth), 2) AS avg_scroll_depth, COUNT(DISTINCT session) AS total_sessions,
             COUNT(DISTINCT visitor) AS visitors FROM events WHERE {v}",
        ),
        Type::new("retention_rate", RETENTION).span(Span::Dated),
        Type::new("retention_cohorts", COHORTS),
    ]
}

fn engagement(date: &str) -> String {
    format!(
        "SELECT {date} ROUND(AVG(interactions), 2) AS avg_interactions, SUM(interactions > 0) AS interactive_sessions,
         ROUND(100.0 * SUM(interactions > 0) / COUNT(*), 2) AS interaction_rate, COUNT(*) AS total_sessions,
         ROUND(AVG(scroll), 2) AS avg_scroll_depth, ROUND(AVG(time_on_page), 2) AS avg_time_on_page,
         ROUND(100.0 * SUM(views = 1) / COUNT(*), 2) AS bounce_rate
         FROM (SELECT {{b}} AS bucket, session, SUM(interaction_count) AS interactions, MAX(scroll_depth) AS scroll,
         AVG(time_on_page) AS time_on_page, COUNT(*) AS views FROM events WHERE {{v}} GROUP BY 1, 2)
         GROUP BY bucket ORDER BY bucket {{p}}"
    )
}

/// A visitor is new on the first of the days asked for.
const RETENTION: &str = "SELECT {date} SUM(bucket = first) AS new_users, SUM(bucket > first) AS returning_users,
    ROUND(100.0 * SUM(bucket > first) / COUNT(*), 2) AS retention_rate
    FROM (SELECT bucket, MIN(bucket) OVER (PARTITION BY visitor) AS first
    FROM (SELECT DISTINCT {b} AS bucket, visitor FROM events WHERE {v})) GROUP BY bucket ORDER BY bucket {p}";

/// Visitors by the Sunday of their first week, and how many came back in the weeks after it.
const COHORTS: &str = "WITH days AS (SELECT DISTINCT visitor, substr(at, 1, 10) AS day FROM events WHERE {v}),
    firsts AS (SELECT visitor, day, MIN(day) OVER (PARTITION BY visitor) AS first FROM days),
    cohorts AS (SELECT visitor, day, date(first, '-' || strftime('%w', first) || ' days') AS cohort FROM firsts),
    weeks AS (SELECT DISTINCT visitor, cohort, CAST((julianday(day) - julianday(cohort)) / 7 AS INTEGER) AS week FROM cohorts)
    SELECT cohort, SUM(week = 0) AS users, ROUND(100.0 * SUM(week = 0) / SUM(week = 0), 2) AS week_0_retention,
    ROUND(100.0 * SUM(week = 1) / SUM(week = 0), 2) AS week_1_retention,
    ROUND(100.0 * SUM(week = 2) / SUM(week = 0), 2) AS week_2_retention,
    ROUND(100.0 * SUM(week = 3) / SUM(week = 0), 2) AS week_3_retention,
    ROUND(100.0 * SUM(week = 4) / SUM(week = 0), 2) AS week_4_retention,
    ROUND(100.0 * SUM(week = 5) / SUM(week = 0), 2) AS week_5_retention
    FROM weeks GROUP BY cohort ORDER BY cohort DESC {p}";
