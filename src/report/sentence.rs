//! The sentences of a report: its headline and its subject. Rules make them, no model.

use serde_json::Value;

use super::{
    change::{Change, FEW, Kind, signed},
    filters::{cut, isolate},
    moved::driver,
    rows::number,
    scene::Scene,
    words::say,
};

/// Below this many, and few before, a week is quiet.
const QUIET: f64 = 10.0;

/// Letters of a source in a sentence, as in the list of what moved.
const LONGEST_SOURCE: usize = 48;

/// The number that a report leads with: visitors, or page views where the answer holds no visitors.
#[derive(Debug)]
struct Lead<'a> {
    metric: &'a str,
    now: f64,
    before: Option<f64>,
}

impl<'a> Lead<'a> {
    fn of(query: &'a Value) -> Option<Self> {
        let found = ["visitors", "pageviews"].into_iter();
        let mut found =
            found.filter_map(|metric| Some((metric, number(&query["current"][metric])?)));
        let (metric, now) = found.next()?;
        Some(Self {
            metric,
            now,
            before: number(&query["previous"][metric]),
        })
    }

    fn count(&self, scene: &Scene) -> String {
        let n = scene.lang.num(self.now);
        let one = if n == "1" { "_one" } else { "" };
        say(
            scene.lang,
            &format!("count_{}{one}", self.metric),
            &[("n", &n)],
        )
    }

    fn change(&self, scene: &Scene) -> Change {
        Change::between(scene.lang, Some(self.now), self.before, Kind::Count)
    }

    fn is_quiet(&self) -> bool {
        self.now < QUIET && self.before.is_none_or(|before| before < FEW)
    }
}

/// One sentence: the number, how it changed, and what it owes that to where one source explains half.
pub(super) fn headline(scene: &Scene, query: &Value, sources: &Value) -> String {
    let lang = scene.lang;
    if !query["failed"].is_null() {
        return say(lang, "headline_failed", &[]);
    }
    let Some(lead) = Lead::of(query) else {
        return String::new();
    };
    if lead.now == 0.0 {
        return match lead.before {
            Some(before) if before > 0.0 => {
                say(lang, "headline_zero_after", &[("n", &lang.num(before))])
            }
            _ => say(lang, "headline_zero", &[]),
        };
    }
    let change = lead.change(scene);
    let driver = change
        .difference
        .filter(|_| change.percent.is_some())
        .and_then(|difference| driver(sources, scene.names(), difference));
    let key = match (change.direction, &driver) {
        ("unknown", _) if scene.previous.is_some() => "headline_first",
        ("unknown", _) => "headline_plain",
        ("same", _) => "headline_same",
        _ if lead.before == Some(0.0) => "headline_from_none",
        ("up", Some(_)) => "headline_gain",
        (_, Some(_)) => "headline_loss",
        _ => "headline",
    };
    let driver = driver.map(|moved| isolate(&cut(&moved.row.name, LONGEST_SOURCE)));
    let driver = driver.unwrap_or_default();
    say(
        lang,
        key,
        &[
            ("count", &lead.count(scene)),
            ("change", &change.words),
            ("before", &scene.before()),
            ("driver", &driver),
        ],
    )
}

/// The website, its number and the direction; the days are the preheader's.
pub(super) fn subject(scene: &Scene, site: &str, query: &Value) -> String {
    let lang = scene.lang;
    let label = scene.span();
    let unit = if scene.is_week() { "week" } else { "days" };
    let Some(lead) = Lead::of(query).filter(|_| query["failed"].is_null()) else {
        let count = say(lang, "no_numbers", &[]);
        return say(
            lang,
            "subject_days",
            &[("site", site), ("count", &count), ("label", &label)],
        );
    };
    let count = lead.count(scene);
    let values = [
        ("site", site),
        ("count", count.as_str()),
        ("label", label.as_str()),
    ];
    if lead.is_quiet() {
        return say(lang, &format!("subject_quiet_{unit}"), &values);
    }
    let subject = say(lang, &format!("subject_{unit}"), &values);
    match direction(&lead.change(scene), scene) {
        Some(change) => format!("{subject} ({change})"),
        None => subject,
    }
}

/// The websites of a bundle, the largest first, each with its `line`: name, number and change.
pub(super) fn ranked(scene: &Scene, websites: &Value) -> Value {
    let number = |site: &Value| Lead::of(&site["q"]["summary"]).map_or(-1.0, |lead| lead.now);
    let mut sites: Vec<Value> = websites.as_array().cloned().unwrap_or_default();
    sites.sort_by(|a, b| number(b).total_cmp(&number(a)));
    for site in &mut sites {
        let line = line(scene, site);
        site["line"] = Value::String(line);
    }
    sites.into()
}

fn line(scene: &Scene, site: &Value) -> String {
    let name = isolate(site["website"]["name"].as_str().unwrap_or_default());
    let query = &site["q"]["summary"];
    let Some(lead) = Lead::of(query).filter(|_| query["failed"].is_null()) else {
        return format!("{name}: {}", say(scene.lang, "no_numbers", &[]));
    };
    let change = lead.change(scene).words;
    let comma = if change.is_empty() { "" } else { ", " };
    format!("{name}: {}{comma}{change}", lead.count(scene))
}

/// `+14%` in letters that every list of mails shows.
fn direction(change: &Change, scene: &Scene) -> Option<String> {
    let text = match (change.direction, change.percent) {
        ("unknown", _) => return None,
        ("same", _) => say(scene.lang, "no_change_short", &[]),
        (_, Some(percent)) => signed(scene.lang, percent),
        _ => change.short.clone(),
    };
    Some(text.replace('−', "-"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::lang::Lang;

    fn scene(lang: Lang, previous: &Value) -> Scene {
        let window = json!({ "start": "2026-11-16", "end": "2026-11-22" });
        Scene::new(lang, &json!({ "domain": "acme.test" }), &window, previous)
    }

    fn week(lang: Lang) -> Scene {
        scene(lang, &json!({ "start": "2026-11-09" }))
    }

    fn query(now: &Value, before: &Value) -> Value {
        json!({ "current": now, "previous": before })
    }

    fn visitors(n: u32) -> Value {
        json!({ "visitors": n })
    }

    #[test]
    fn the_headline_is_a_sentence_in_every_case() {
        let of = |now: Value, before: Value| {
            headline(&week(Lang::En), &query(&now, &before), &Value::Null)
        };
        assert_eq!(
            of(visitors(1219), visitors(1069)),
            "1,219 visitors, up 150 (+14%) on the week before."
        );
        assert_eq!(
            of(visitors(5), visitors(0)),
            "5 visitors, from none in the week before."
        );
        assert_eq!(
            of(visitors(1), visitors(1)),
            "1 visitor, as many as in the week before."
        );
        assert_eq!(
            of(visitors(0), visitors(3)),
            "No visitors in these days; there were 3 before."
        );
        assert_eq!(of(visitors(0), visitors(0)), "No visitors in these days.");
        assert_eq!(
            of(visitors(7), json!(null)),
            "7 visitors, with nothing to compare them with yet."
        );
        assert_eq!(
            of(json!({ "pageviews": 7 }), json!({ "pageviews": 5 })),
            "7 page views, up 2 on the week before."
        );
        assert_eq!(of(json!({}), json!({})), "");
        let alone = scene(Lang::En, &Value::Null);
        assert_eq!(
            headline(&alone, &query(&visitors(7), &json!({})), &Value::Null),
            "7 visitors."
        );
    }

    #[test]
    fn it_names_the_source_that_explains_half_of_the_change() {
        let sources = json!({
            "rows": [{ "source": "https://news.ycombinator.com", "visitors": 140 }, { "source": "https://", "visitors": 500 }],
            "previous_rows": [{ "source": "https://", "visitors": 490 }],
        });
        let of = |lang, now, before| {
            headline(
                &week(lang),
                &query(&visitors(now), &visitors(before)),
                &sources,
            )
        };
        assert_eq!(
            of(Lang::En, 1219, 1069),
            "1,219 visitors, up 150 (+14%) on the week before; most of it from news.ycombinator.com."
        );
        assert_eq!(
            of(Lang::De, 1219, 1069),
            "1.219 Besucher, plus 150 (+14\u{a0}%) gegenüber der Woche davor; das meiste davon über news.ycombinator.com."
        );
        assert_eq!(
            of(Lang::En, 900, 1069),
            "900 visitors, down 169 (−16%) on the week before."
        );
    }

    #[test]
    fn a_long_source_leaves_the_sentence_readable() {
        let host = format!("{}.example.com", "very-long-".repeat(30));
        let sources = json!({
            "rows": [{ "source": format!("https://{host}"), "visitors": 140 }],
            "previous_rows": [{ "source": "https://", "visitors": 490 }],
        });
        let query = query(&visitors(1219), &visitors(1069));
        let sentence = headline(&week(Lang::En), &query, &sources);
        let (_, driver) = sentence.split_once("most of it from ").unwrap();
        assert_eq!(driver.chars().count(), 49, "with its full stop: {driver}");
        assert!(driver.starts_with("very-long-") && driver.ends_with("g-.example.com."));
        let sources = json!({
            "rows": [{ "source": "https://متجر.test", "visitors": 140 }],
            "previous_rows": [{ "source": "https://", "visitors": 490 }],
        });
        let sentence = headline(&week(Lang::En), &query, &sources);
        assert!(
            sentence.ends_with("from \u{2068}متجر.test\u{2069}."),
            "{sentence}"
        );
    }

    #[test]
    fn seven_days_from_a_tuesday_on_are_not_last_week() {
        let window = json!({ "start": "2026-11-10", "end": "2026-11-16" });
        let scene = Scene::new(Lang::En, &Value::Null, &window, &Value::Null);
        let subject = subject(&scene, "Acme", &query(&visitors(40), &visitors(20)));
        assert_eq!(
            subject,
            "Acme: 40 visitors, Tue 10 – Mon 16 Nov 2026 (+100%)"
        );
    }

    #[test]
    fn the_subject_has_the_site_a_number_and_the_direction() {
        let of = |lang, now, before| subject(&week(lang), "Acme", &query(&visitors(now), &before));
        assert_eq!(
            of(Lang::En, 1219, visitors(1069)),
            "Acme: 1,219 visitors last week (+14%)"
        );
        assert_eq!(
            of(Lang::En, 920, visitors(1000)),
            "Acme: 920 visitors last week (-8%)"
        );
        assert_eq!(
            of(Lang::Fr, 1219, visitors(1069)),
            "Acme : 1\u{a0}219 visiteurs la semaine dernière (+14\u{a0}%)"
        );
        assert_eq!(
            of(Lang::En, 3, visitors(5)),
            "Acme: quiet week (3 visitors)"
        );
        assert_eq!(
            of(Lang::En, 0, visitors(500)),
            "Acme: 0 visitors last week (-100%)"
        );
        assert_eq!(
            of(Lang::En, 25, visitors(12)),
            "Acme: 25 visitors last week (+13)"
        );
        assert_eq!(of(Lang::En, 25, json!({})), "Acme: 25 visitors last week");
        assert_eq!(
            of(Lang::En, 400, visitors(400)),
            "Acme: 400 visitors last week (no change)"
        );
        let failed = json!({ "current": {}, "failed": "timeout" });
        assert_eq!(
            subject(&week(Lang::En), "Acme", &failed),
            "Acme: no numbers, Mon 16 – Sun 22 Nov 2026"
        );
    }
}
