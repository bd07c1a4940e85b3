//! The health of a website: errors and web vitals, said only where they changed or are bad.

use serde_json::{Value, json};

use super::{
    change::{Change, Kind},
    lang::Lang,
    rows::number,
    words::say,
};

/// From here on a 75th percentile needs work, and from there on it is poor: <https://web.dev/articles/vitals>.
/// Milliseconds, but for CLS.
const VITALS: [(&str, f64, f64); 5] = [
    ("LCP", 2500.0, 4000.0),
    ("INP", 200.0, 500.0),
    ("CLS", 0.1, 0.25),
    ("FCP", 1800.0, 3000.0),
    ("TTFB", 800.0, 1800.0),
];

/// A change of less, in parts of the number before, is no news.
const LEAST_SHARE: f64 = 0.2;

/// One entry a thing to know: `{label, value, change, verdict, good}`.
pub(super) fn health(lang: Lang, errors: &Value, vitals: &Value) -> Value {
    let vitals = vitals["rows"].as_array().into_iter().flatten();
    of_errors(lang, errors)
        .into_iter()
        .chain(vitals.filter_map(|row| of_vital(lang, row)))
        .collect()
}

fn of_errors(lang: Lang, query: &Value) -> Option<Value> {
    let count = |rows: &Value| {
        ["totalErrors", "total_errors", "errors", "count"]
            .iter()
            .find_map(|key| number(&rows[0][*key]))
    };
    let (now, before) = (count(&query["rows"])?, count(&query["previous_rows"]));
    let is_news = before.is_none_or(|before| (now - before).abs() > before * LEAST_SHARE);
    if !is_news || (now == 0.0 && before.is_none_or(|before| before == 0.0)) {
        return None;
    }
    let change = Change::between(lang, Some(now), before, Kind::Count);
    Some(json!({
        "label": say(lang, "errors", &[]), "value": lang.num(now), "verdict": "",
        "good": change.is_good(Some(false)), "change": change.to_value(),
    }))
}

fn of_vital(lang: Lang, row: &Value) -> Option<Value> {
    let name = row["metric_name"].as_str()?;
    let (_, fair, poor) = VITALS.iter().find(|(vital, ..)| *vital == name)?;
    let value = number(&row["p75"]).filter(|value| value > fair)?;
    let verdict = if value > *poor { "poor" } else { "needs_work" };
    let shown = match name {
        "CLS" => lang.decimal(value, 2),
        _ if value >= 1000.0 => format!("{}\u{a0}s", lang.decimal(value / 1000.0, 1)),
        _ => format!("{}\u{a0}ms", lang.num(value)),
    };
    Some(json!({
        "label": format!("{name} (p75)"), "value": shown, "verdict": say(lang, verdict, &[]),
        "good": false, "change": Change::between(lang, None, None, Kind::Count).to_value(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &Value) -> Vec<&str> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["label"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn only_what_is_bad_or_changed_is_said() {
        let errors = |now: u32, before: u32| json!({ "rows": [{ "totalErrors": now }], "previous_rows": [{ "totalErrors": before }] });
        let vitals = json!({ "rows": [
            { "metric_name": "LCP", "p75": 4100.4 }, { "metric_name": "CLS", "p75": 0.05 },
            { "metric_name": "INP", "p75": "221" }, { "metric_name": "FPS", "p75": 50 },
        ] });
        let found = health(Lang::En, &errors(300, 100), &vitals);
        assert_eq!(
            labels(&found),
            ["JavaScript errors", "LCP (p75)", "INP (p75)"]
        );
        assert_eq!(found[0]["change"]["text"], "▲ up 200 (+200%)");
        assert_eq!(
            (&found[1]["value"], &found[1]["verdict"]),
            (&json!("4.1\u{a0}s"), &json!("poor"))
        );
        assert_eq!(found[2]["verdict"], "needs work");
        assert_eq!(health(Lang::En, &errors(101, 100), &Value::Null), json!([]));
        assert_eq!(health(Lang::En, &errors(0, 0), &Value::Null), json!([]));
        assert_eq!(
            labels(&health(Lang::En, &errors(0, 9), &Value::Null)),
            ["JavaScript errors"]
        );
    }
}
