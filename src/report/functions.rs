//! What templates can call: `change`, `kpis`, `days`, `top` and `headline`.

use std::cmp::Ordering;

use chrono::NaiveDate;
use serde_json::{Value, json};
use tera::{Kwargs, State, Tera, TeraResult};

use super::filters::{duration, num};

/// Below this many in both windows a percentage says nothing.
const FEW: f64 = 30.0;

/// The numbers that a report leads with: metric, label, kind, and whether more of it is good.
const KPIS: [(&str, &str, Kind, Option<bool>); 5] = [
    ("visitors", "Visitors", Kind::Count, Some(true)),
    ("pageviews", "Page views", Kind::Count, Some(true)),
    ("sessions", "Sessions", Kind::Count, Some(true)),
    ("bounce_rate", "Bounce rate", Kind::Rate, Some(false)),
    ("session_duration", "Session duration", Kind::Duration, None),
];

/// Columns that name a row, the best first.
const NAMES: [&str; 12] = [
    "path",
    "source",
    "referrer",
    "country_name",
    "country",
    "city",
    "device_type",
    "browser_name",
    "os_name",
    "href",
    "message",
    "name",
];

/// Columns that say how much of a row there is, the best first.
const AMOUNTS: [&str; 7] = [
    "visitors",
    "pageviews",
    "clicks",
    "total_clicks",
    "total_events",
    "sessions",
    "count",
];

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Count,
    /// Percent, 0 to 100: it changes in points.
    Rate,
    /// Seconds.
    Duration,
}

pub(super) fn register(tera: &mut Tera) {
    register_one(tera, "change", |args| {
        let kind = match args["kind"].as_str() {
            Some("rate") => Kind::Rate,
            Some("duration") => Kind::Duration,
            _ => Kind::Count,
        };
        change(args["now"].as_f64(), args["before"].as_f64(), kind)
    });
    register_one(tera, "kpis", |args| kpis(&args["query"]));
    register_one(tera, "headline", |args| headline(&args["query"]));
    register_one(tera, "days", |args| {
        days(&args["query"], args["by"].as_str().unwrap_or("pageviews"))
    });
    register_one(tera, "top", |args| {
        let count = args["count"].as_u64().unwrap_or(5);
        top(&args["query"], usize::try_from(count).unwrap_or(usize::MAX))
    });
}

fn register_one(
    tera: &mut Tera,
    name: &'static str,
    call: impl Fn(&Value) -> Value + Send + Sync + 'static,
) {
    tera.register_function(
        name,
        move |kwargs: Kwargs, _: &State<'_>| -> TeraResult<tera::Value> {
            let args: Value = kwargs.deserialize()?;
            Ok(tera::Value::from_serializable(&call(&args)))
        },
    );
}

/// A change: `{text, words, direction, difference, percent}`. `percent` is null where it says
/// nothing: from zero, of rates, and of small numbers. Without a number before, all is empty.
fn change(now: Option<f64>, before: Option<f64>, kind: Kind) -> Value {
    let (Some(now), Some(before)) = (now, before) else {
        return json!({ "text": "", "words": "", "direction": "unknown", "difference": null, "percent": null });
    };
    let difference = now - before;
    let (arrow, direction) = match difference.partial_cmp(&0.0) {
        Some(Ordering::Greater) => ("▲ ", "up"),
        Some(Ordering::Less) => ("▼ ", "down"),
        _ => ("", "same"),
    };
    let size = difference.abs();
    let says_much = kind == Kind::Count && before > 0.0 && (now >= FEW || before >= FEW);
    let percent = says_much.then(|| difference / before * 100.0);
    let words = match (kind, direction) {
        (_, "same") => "no change".to_owned(),
        (Kind::Rate, _) => format!("{direction} {size:.1} points"),
        (Kind::Duration, _) => format!("{direction} {}", duration(size)),
        (Kind::Count, _) if before == 0.0 => format!("new: {} from none", num(now)),
        (Kind::Count, _) => match percent {
            Some(percent) => format!("{direction} {} ({})", num(size), signed(percent)),
            None => format!("{direction} {}", num(size)),
        },
    };
    json!({
        "text": format!("{arrow}{words}"), "words": words, "direction": direction,
        "difference": difference, "percent": percent,
    })
}

/// `+14%`, `−8%`, `<1%` of either sign.
fn signed(percent: f64) -> String {
    let sign = if percent < 0.0 { "−" } else { "+" };
    match percent.abs() {
        size if size < 1.0 => format!("{sign}<1%"),
        size => format!("{sign}{size:.0}%"),
    }
}

/// The numbers that a report leads with, as far as the answer holds them.
fn kpis(query: &Value) -> Value {
    let (now, before) = (&query["current"], &query["previous"]);
    let kpi = |(name, label, kind, more_is_good): &(&str, &str, Kind, Option<bool>)| {
        let value = now[*name].as_f64()?;
        let change = change(Some(value), before[*name].as_f64(), *kind);
        let good = match (change["direction"].as_str(), more_is_good) {
            (Some("up"), Some(good)) => Some(*good),
            (Some("down"), Some(good)) => Some(!good),
            _ => None,
        };
        let shown = match kind {
            Kind::Count => num(value),
            Kind::Rate => format!("{value:.1}%"),
            Kind::Duration => duration(value),
        };
        Some(
            json!({ "name": name, "label": label, "value": shown, "change": change, "good": good }),
        )
    };
    KPIS.iter().filter_map(kpi).collect()
}

/// One sentence: the first number and how it changed.
fn headline(query: &Value) -> Value {
    let (now, before) = (&query["current"], &query["previous"]);
    let named = [("visitors", "visitor"), ("pageviews", "page view")];
    let found = named
        .iter()
        .find_map(|(name, word)| Some((*name, *word, now[*name].as_f64()?)));
    let Some((name, word, value)) = found else {
        return json!("");
    };
    if value == 0.0 {
        return json!(format!("No {word}s in these days."));
    }
    let plural = if num(value) == "1" { "" } else { "s" };
    let change = change(Some(value), before[name].as_f64(), Kind::Count);
    let tail = match (change["direction"].as_str(), change["words"].as_str()) {
        (Some("unknown") | None, _) | (_, None) => String::new(),
        (Some("same"), _) => ", as many as in the window before".to_owned(),
        (_, Some(_)) if before[name].as_f64() == Some(0.0) => {
            ", from none in the window before".to_owned()
        }
        (_, Some(words)) => format!(", {words} on the window before"),
    };
    json!(format!("{} {word}{plural}{tail}.", num(value)))
}

/// One entry a day: `{date, label, value, share}`, the share in percent of the largest.
fn days(query: &Value, by: &str) -> Value {
    let days: Vec<&Value> = query["daily"].as_array().into_iter().flatten().collect();
    let value = |day: &&Value| day[by].as_f64().unwrap_or_default();
    let most = days.iter().map(value).fold(1.0, f64::max);
    let entry = |day: &&Value| {
        let date = day["date"]
            .as_str()
            .and_then(|d| d.parse::<NaiveDate>().ok());
        let label = date
            .map(|d| d.format("%a %-d %b").to_string())
            .unwrap_or_default();
        json!({ "date": day["date"], "label": label, "value": value(day), "share": (value(day) / most * 100.0).round() })
    };
    days.iter().map(entry).collect()
}

/// The largest rows: `{name, value, share}`, the share in percent of the largest. Of several
/// columns that could name a row or say its amount, the first that the answer has is taken.
fn top(query: &Value, count: usize) -> Value {
    let rows: Vec<&Value> = query["rows"].as_array().into_iter().flatten().collect();
    let name = |row: &&Value| {
        let mut names = NAMES.iter().filter_map(|name| row[*name].as_str());
        names
            .find(|name| !name.is_empty())
            .unwrap_or("(none)")
            .to_owned()
    };
    let value = |row: &&Value| {
        let number = |name: &&str| match &row[*name] {
            Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        };
        AMOUNTS.iter().find_map(number).unwrap_or_default()
    };
    let mut rows: Vec<(String, f64)> = rows.iter().map(|row| (name(row), value(row))).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let most = rows.first().map_or(1.0, |(_, value)| value.max(1.0));
    rows.iter()
        .take(count)
        .map(|(name, value)| json!({ "name": name, "value": value, "share": (value / most * 100.0).round() }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(now: f64, before: f64, kind: Kind) -> String {
        change(Some(now), Some(before), kind)["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_change_says_direction_size_and_share_where_it_means_something() {
        assert_eq!(text(1219.0, 1069.0, Kind::Count), "▲ up 150 (+14%)");
        assert_eq!(text(920.0, 1000.0, Kind::Count), "▼ down 80 (−8%)");
        assert_eq!(text(1001.0, 1000.0, Kind::Count), "▲ up 1 (+<1%)");
        assert_eq!(text(10.0, 20.0, Kind::Count), "▼ down 10");
        assert_eq!(text(5.0, 0.0, Kind::Count), "▲ new: 5 from none");
        assert_eq!(text(7.5, 9.0, Kind::Rate), "▼ down 1.5 points");
        assert_eq!(text(80.0, 20.0, Kind::Duration), "▲ up 1 m 0 s");
        assert_eq!(text(3.0, 3.0, Kind::Count), "no change");
        assert_eq!(change(Some(3.0), None, Kind::Count)["text"], "");
    }

    #[test]
    fn kpis_show_what_the_answer_holds_and_know_good_from_bad() {
        let query = json!({
            "current": { "pageviews": 90, "bounce_rate": 40.0 },
            "previous": { "pageviews": 60, "bounce_rate": 35.0 },
        });
        let kpis = kpis(&query);
        let kpis = kpis.as_array().unwrap();
        assert_eq!(kpis.len(), 2);
        assert_eq!(
            (&kpis[0]["label"], &kpis[0]["good"]),
            (&json!("Page views"), &json!(true))
        );
        assert_eq!(
            (&kpis[1]["value"], &kpis[1]["good"]),
            (&json!("40.0%"), &json!(false))
        );
    }

    #[test]
    fn the_headline_is_a_sentence_in_every_case() {
        let of = |now: Value, before: Value| {
            headline(&json!({ "current": now, "previous": before }))
                .as_str()
                .unwrap()
                .to_owned()
        };
        let visitors = |n: u32| json!({ "visitors": n });
        assert_eq!(
            of(visitors(1219), visitors(1069)),
            "1,219 visitors, up 150 (+14%) on the window before."
        );
        assert_eq!(
            of(visitors(5), visitors(0)),
            "5 visitors, from none in the window before."
        );
        assert_eq!(
            of(visitors(1), visitors(1)),
            "1 visitor, as many as in the window before."
        );
        assert_eq!(of(visitors(0), visitors(3)), "No visitors in these days.");
        assert_eq!(of(visitors(7), json!(null)), "7 visitors.");
        assert_eq!(of(json!({ "pageviews": 7 }), json!(null)), "7 page views.");
    }

    #[test]
    fn the_top_is_ordered_by_amount_whatever_the_server_calls_its_columns() {
        let rows = json!({ "rows": [
            { "name": "/b", "pageviews": 3, "visitors": "2" },
            { "name": "", "pageviews": 1, "visitors": 1 },
            { "name": "/a", "pageviews": 9, "visitors": 8 },
        ] });
        let top = top(&rows, 3);
        let names: Vec<_> = top
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["/a", "/b", "(none)"]);
        assert_eq!(top[1]["share"], 25.0);
    }
}
