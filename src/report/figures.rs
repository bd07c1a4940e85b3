//! The figures of a report: leading numbers, days, and the top of a list.

use chrono::NaiveDate;
use serde_json::{Value, json};
use url::Url;

use super::{
    change::{Change, Kind},
    lang::Lang,
    rows::{Named, number},
    scene::Scene,
    words::say,
};

/// The numbers that a report leads with: metric, kind, and whether more of it is good.
const KPIS: [(&str, Kind, Option<bool>); 5] = [
    ("visitors", Kind::Count, Some(true)),
    ("pageviews", Kind::Count, Some(true)),
    ("bounce_rate", Kind::Rate, Some(false)),
    ("session_duration", Kind::Duration, None),
    ("sessions", Kind::Count, Some(true)),
];

/// The leading numbers, as far as the answer holds them.
pub(super) fn kpis(lang: Lang, query: &Value) -> Value {
    let (now, before) = (&query["current"], &query["previous"]);
    let kpi = |(name, kind, more_is_good): &(&str, Kind, Option<bool>)| {
        let value = number(&now[*name])?;
        let change = Change::between(lang, Some(value), number(&before[*name]), *kind);
        let good = change.is_good(*more_is_good);
        // Where down is good the arrow alone would mislead
        let verdict = match (good, more_is_good) {
            (Some(true), Some(false)) => say(lang, "better", &[]),
            (Some(false), Some(false)) => say(lang, "worse", &[]),
            _ => String::new(),
        };
        Some(json!({
            "name": name, "label": label(lang, name, query), "value": kind.show(lang, value),
            "short": if *kind == Kind::Count { lang.figure(value) } else { kind.show(lang, value) },
            "change": change.to_value(), "good": good, "verdict": verdict,
        }))
    };
    KPIS.iter().filter_map(kpi).collect()
}

/// A metric's name; a duration says what it is of all sessions, where the server does.
fn label(lang: Lang, name: &str, query: &Value) -> String {
    let told = ["median_session_duration", "avg_session_duration"].into_iter();
    let mut told = told.filter(|key| {
        name == "session_duration"
            && query["rows"][0].get(name).is_none()
            && query["rows"][0].get(*key).is_some()
    });
    say(lang, told.next().unwrap_or(name), &[])
}

/// Visitors a day where the answer has them, else page views.
pub(super) fn daily_metric(query: &Value) -> &'static str {
    if holds(query, "visitors") {
        "visitors"
    } else {
        "pageviews"
    }
}

/// Whether a day of the answer has a metric.
pub(super) fn holds(query: &Value, metric: &str) -> bool {
    let mut days = query["daily"].as_array().into_iter().flatten();
    days.any(|day| !day[metric].is_null())
}

/// One entry a day: `{date, label, short, value, before, share}`, the share in percent of the largest.
pub(super) fn days(lang: Lang, query: &Value, by: &str) -> Value {
    let list = |key: &str| -> Vec<&Value> { query[key].as_array().into_iter().flatten().collect() };
    let (days, before) = (list("daily"), list("previous_daily"));
    let value = |day: &&Value| number(&day[by]).unwrap_or_default();
    let most = days.iter().map(value).fold(1.0, f64::max);
    // Windows are compared day for day, so the lists are as long; a shorter one (a month) ends early
    let entry = |(at, day): (usize, &&Value)| {
        let date: Option<NaiveDate> = day["date"].as_str().and_then(|d| d.parse().ok());
        let named = |format: &str| {
            date.and_then(|d| lang.date(d, format).ok())
                .unwrap_or_default()
        };
        let dot = if lang == Lang::De { "." } else { "" };
        json!({
            "date": day["date"], "label": named(&format!("%a %-d{dot} %b")), "short": named(&format!("%a %-d{dot}")), "weekday": named("%a"), "number": named(&format!("%-d{dot}")),
            "value": value(day), "before": before.get(at).map(value), "share": (value(day) / most * 100.0).round(),
        })
    };
    days.iter().enumerate().map(entry).collect()
}

/// The largest rows: `{name, value, share, part, before, change, is_new, url}`; `share` in percent of
/// the largest, `part` in percent of `total`, where that is known.
pub(super) fn top(scene: &Scene, query: &Value, count: usize, total: Option<f64>) -> Value {
    let (rows, has_before) = scene.names().joined(query);
    let most = rows.first().and_then(|row| row.now).unwrap_or(1.0).max(1.0);
    let entry = |row: &Named| {
        let now = row.now?;
        let before = has_before.then(|| row.before.unwrap_or_default());
        let part = total
            .filter(|total| *total > 0.0)
            .map(|total| (now / total * 100.0).min(100.0));
        Some(json!({
            "name": row.name, "value": now, "share": (now / most * 100.0).round(), "part": part,
            "before": before, "change": Change::between(scene.lang, Some(now), before, Kind::Count).to_value(),
            "is_new": has_before && row.before.is_none(), "url": url_of(&scene.domain, &row.name),
        }))
    };
    rows.iter().take(count).filter_map(entry).collect()
}

/// Longer addresses make a mail that Gmail cuts off; browsers and proxies refuse many of them too.
const LONGEST_LINK: usize = 2000;

/// The address of a page of the website; of other names none.
fn url_of(domain: &str, path: &str) -> Option<String> {
    let is_path = path.starts_with('/') && !path.starts_with("//");
    let url = Url::parse(&format!("https://{domain}"))
        .ok()
        .filter(|_| is_path && !domain.is_empty())?;
    let plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
    // A backslash is a slash to a browser, and two of them lead to another host
    let joined = url
        .join(path)
        .ok()
        .filter(|joined| plain && joined.host() == url.host())?;
    Some(String::from(joined)).filter(|url| url.len() <= LONGEST_LINK)
}

/// The sums that have reached at least one: `{name, value, before, change}` of a list of events.
pub(super) fn events(scene: &Scene, query: &Value, count: usize) -> Value {
    let listed = top(scene, query, count, None);
    let filled = listed
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["value"].as_f64() > Some(0.0));
    filled.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kpis_show_what_the_answer_holds_and_know_good_from_bad() {
        let query = json!({
            "rows": [{ "median_session_duration": 80 }],
            "current": { "pageviews": 90, "bounce_rate": 40.0, "session_duration": 80 },
            "previous": { "pageviews": 60, "bounce_rate": 35.0 },
        });
        let kpis = kpis(Lang::En, &query);
        let names: Vec<_> = kpis
            .as_array()
            .unwrap()
            .iter()
            .map(|k| k["label"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["Page views", "Bounce rate", "Median session"]);
        assert_eq!(
            (&kpis[0]["good"], &kpis[0]["verdict"]),
            (&json!(true), &json!(""))
        );
        assert_eq!(
            (&kpis[1]["value"], &kpis[1]["verdict"]),
            (&json!("40.0%"), &json!("worse"))
        );
        assert_eq!(kpis[2]["change"]["text"], "");
    }

    #[test]
    fn days_stand_beside_those_before() {
        let query = json!({
            "daily": [{ "date": "2026-11-16", "pageviews": 8 }, { "date": "2026-11-17", "pageviews": 2 }],
            "previous_daily": [{ "date": "2026-11-09", "pageviews": 5 }],
        });
        assert_eq!(daily_metric(&query), "pageviews");
        let days = days(Lang::En, &query, "pageviews");
        assert_eq!(
            (&days[0]["label"], &days[0]["before"]),
            (&json!("Mon 16 Nov"), &json!(5.0))
        );
        assert_eq!(
            (&days[1]["share"], &days[1]["before"]),
            (&json!(25.0), &Value::Null)
        );
    }

    #[test]
    fn the_top_is_ordered_by_amount_whatever_the_server_calls_its_columns() {
        let scene = Scene::new(
            Lang::En,
            &json!({ "domain": "acme.test" }),
            &Value::Null,
            &Value::Null,
        );
        let query = json!({
            "rows": [
                { "name": "/b c", "pageviews": 3, "visitors": "2" },
                { "name": "", "pageviews": 1, "visitors": 1 },
                { "name": "/a", "pageviews": 9, "visitors": 8 },
            ],
            "previous_rows": [{ "name": "/a", "visitors": 4 }],
        });
        let top = top(&scene, &query, 3, Some(16.0));
        let names: Vec<_> = top
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["/a", "/b c", "(none)"]);
        assert_eq!(
            (&top[1]["share"], &top[0]["part"]),
            (&json!(25.0), &json!(50.0))
        );
        assert_eq!(
            (&top[0]["change"]["short"], &top[1]["change"]["short"]),
            (&json!("+4"), &json!("new"))
        );
        assert_eq!(
            (&top[1]["url"], &top[2]["url"]),
            (&json!("https://acme.test/b%20c"), &Value::Null)
        );
    }

    #[test]
    fn only_paths_of_the_website_are_links() {
        assert_eq!(url_of("acme.test", "//evil.test/x"), None);
        assert_eq!(url_of("acme.test/x?", "/a"), None);
        assert_eq!(url_of("acme.test", "javascript:alert(1)"), None);
        assert_eq!(url_of("acme.test", "/\\evil.test/x"), None);
        assert_eq!(
            url_of("acme.test", "/a?b=\"><script>").unwrap(),
            "https://acme.test/a?b=%22%3E%3Cscript%3E"
        );
    }
}
