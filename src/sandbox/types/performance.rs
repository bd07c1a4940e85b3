//! Load times and web vitals.

use super::{Span, Type};

const TIMES: &str = "AVG(load_time) AS avg_load_time, AVG(CASE WHEN rn IN ((n + 1) / 2, (n + 2) / 2) THEN load_time END) AS p50_load_time";
const REST: &str = "AVG(ttfb) AS avg_ttfb, AVG(dom_ready_time) AS avg_dom_ready_time, AVG(render_time) AS avg_render_time";

/// Views with the rank of their load time among those of `label`.
fn ranked(label: &str) -> String {
    format!(
        "(SELECT *, ROW_NUMBER() OVER (PARTITION BY label ORDER BY load_time) AS rn, COUNT(*) OVER (PARTITION BY label) AS n
         FROM (SELECT {label} AS label, * FROM events WHERE {{v}} AND load_time IS NOT NULL))"
    )
}

fn by(label: &str, extra: &str) -> String {
    let ranked = ranked(label);
    format!(
        "SELECT label AS name, COUNT(DISTINCT visitor) AS visitors, {TIMES}, {REST}, COUNT(*) AS pageviews {extra}
         FROM {ranked} WHERE label IS NOT NULL GROUP BY label ORDER BY pageviews DESC, label {{p}}"
    )
}

fn series(columns: &str) -> String {
    let ranked = ranked("{b}");
    format!(
        "SELECT {{date}} {columns} COUNT(*) AS pageviews FROM (SELECT label AS bucket, * FROM {ranked})
         GROUP BY bucket ORDER BY bucket {{p}}"
    )
}

const BY_COUNTRY: &str = ", country AS country_code, country_name,
    ROUND(100.0 * COUNT(DISTINCT visitor) / SUM(COUNT(DISTINCT visitor)) OVER (), 2) AS percentage";

/// Vitals with the rank of their value among those of `label` and their metric.
fn vitals(label: &str) -> String {
    format!(
        "(SELECT *, ROW_NUMBER() OVER (PARTITION BY label, m ORDER BY x) AS rn, COUNT(*) OVER (PARTITION BY label, m) AS n
         FROM (SELECT {label} AS label, metric_name AS m, metric_value AS x, * FROM vitals WHERE {{w}}))"
    )
}

fn average(metric: &str) -> String {
    let name = metric.to_lowercase();
    format!("AVG(CASE WHEN m = '{metric}' THEN x END) AS avg_{name}")
}

fn median(metric: &str) -> String {
    let name = metric.to_lowercase();
    format!("MAX(CASE WHEN m = '{metric}' AND rn = (n + 1) / 2 THEN x END) AS p50_{name}")
}

fn both(metrics: &[&str]) -> String {
    let each = metrics
        .iter()
        .map(|m| format!("{}, {}", average(m), median(m)));
    each.collect::<Vec<_>>().join(", ")
}

fn vitals_by(label: &str, extra: &str) -> String {
    let (vitals, both) = (vitals(label), both(&["FCP", "LCP", "CLS"]));
    let (inp, ttfb) = (average("INP"), average("TTFB"));
    format!(
        "SELECT label AS name, COUNT(DISTINCT visitor) AS visitors, {both}, {inp}, {ttfb}, COUNT(*) AS measurements {extra}
         FROM {vitals} WHERE label IS NOT NULL GROUP BY label ORDER BY measurements DESC, label {{p}}"
    )
}

fn medians_by(label: &str, extra: &str) -> String {
    let vitals = vitals(label);
    let medians = ["LCP", "FCP", "CLS", "INP", "TTFB"].map(median).join(", ");
    format!(
        "SELECT label AS name, COUNT(DISTINCT visitor) AS visitors, {medians}, COUNT(*) AS samples {extra}
         FROM {vitals} WHERE label IS NOT NULL GROUP BY label ORDER BY samples DESC, label {{p}}"
    )
}

/// Percentiles of each metric, by the columns that `label` is made of.
fn percentiles(label: &str, columns: &str, extra: &str) -> String {
    let vitals = vitals(label);
    let each = [50, 75, 90, 95, 99];
    let each = each.map(|p| format!("MAX(CASE WHEN rn = ({p} * n + 99) / 100 THEN x END) AS p{p}"));
    let each = each.join(", ");
    format!(
        "SELECT {columns} m AS metric_name, {each}, {extra} COUNT(*) AS samples
         FROM (SELECT label AS bucket, * FROM {vitals}) GROUP BY bucket, m ORDER BY bucket, m {{p}}"
    )
}

pub(super) fn types() -> Vec<Type> {
    let dated = |name, sql: String| Type::new(name, sql).span(Span::Dated);
    let overview =
        "SELECT AVG(load_time) AS avg_load_time, AVG(dom_ready_time) AS avg_dom_ready_time,
        AVG(render_time) AS avg_render_time FROM events WHERE {v}";
    let vitals_series = format!(
        "SELECT {{date}} {}, COUNT(*) AS measurements FROM (SELECT label AS bucket, * FROM {}) GROUP BY bucket ORDER BY bucket {{p}}",
        both(&["FCP", "LCP", "CLS", "INP", "TTFB"]),
        vitals("{b}")
    );
    let of = |column: &str| {
        format!("(SELECT AVG(metric_value) FROM vitals WHERE {{w}} AND metric_name = '{column}')")
    };
    let performance = format!(
        "SELECT {TIMES}, {REST}, {} AS avg_fcp, {} AS avg_lcp, {} AS avg_cls, {} AS avg_inp, COUNT(*) AS pageviews
         FROM {} HAVING COUNT(*) > 0",
        of("FCP"),
        of("LCP"),
        of("CLS"),
        of("INP"),
        ranked("''")
    );
    let times = format!("{TIMES}, {REST},");
    vec![
        Type::new("performance", performance)
            .dated(series(&times))
            .columns("avg_load_time:float, p50_load_time:float, avg_ttfb:float, avg_dom_ready_time:float, avg_render_time:float, \
                      avg_fcp:float, avg_lcp:float, avg_cls:float, avg_inp:float, pageviews:int"),
        Type::new("performance_overview", overview),
        Type::new("slow_pages", by("path", "")),
        Type::new("performance_by_browser", by("browser_name", "")),
        Type::new("performance_by_country", by("{c}", BY_COUNTRY)),
        Type::new("performance_by_os", by("os_name", "")),
        Type::new("performance_by_region", by("region", "")),
        dated("performance_time_series", series(&times)),
        dated("load_time_performance", series(&format!("{TIMES},"))),
        Type::new("web_vitals_by_page", vitals_by("path", "")),
        Type::new("web_vitals_by_browser", vitals_by("browser_name", "")),
        Type::new("web_vitals_by_country", vitals_by("{c}", BY_COUNTRY)),
        Type::new("web_vitals_by_os", vitals_by("os_name", "")),
        Type::new("web_vitals_by_region", vitals_by("region", BY_COUNTRY)),
        dated("web_vitals_time_series", vitals_series),
        Type::new("vitals_overview", percentiles("''", "", "AVG(x) AS avg_value,")),
        dated("vitals_time_series", percentiles("{b}", "{date}", "")),
        Type::new("vitals_by_page", percentiles("path", "bucket AS page,", "")),
        Type::new("vitals_by_country", medians_by("{c}", BY_COUNTRY)),
        Type::new("vitals_by_browser", medians_by("browser_name", "")),
        Type::new("vitals_by_region", medians_by("region", BY_COUNTRY)),
        Type::new("vitals_by_city", medians_by("city", BY_COUNTRY)),
    ]
}
