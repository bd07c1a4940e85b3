//! A report without a template: the same sentences and numbers, for channels that show no HTML.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    figures,
    filters::{day, instant, isolate},
    functions::{failed, utc_window},
    health::health,
    lang::Lang,
    marks,
    moved::{Place, moves},
    rows::{Names, number},
    scene::{Scene, incomplete},
    sentence,
    words::say,
};

/// Websites of a bundle in full; the others have a line each.
const IN_FULL: usize = 3;

/// Rows of a list; fewer in a bundle.
const ROWS: (usize, usize) = (5, 3);

/// Queries that are lists, each with the key of its title.
const LISTS: [(&str, &str); 6] = [
    ("pages", "top_pages"),
    ("traffic", "top_sources"),
    ("countries", "top_countries"),
    ("device_types", "devices"),
    ("goals", "goals"),
    ("events", "events"),
];

/// Queries that are no lists.
const OTHERS: [&str; 3] = ["summary", "errors", "vitals"];

/// A report in sentences and numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Digest {
    /// The days in words, with their zone.
    pub window: String,
    /// What is missing, in a sentence; `None`: nothing.
    pub incomplete: Option<String>,
    /// What it is about: one website, or the largest of a bundle.
    pub websites: Vec<Site>,
    /// The other websites of a bundle, a line each.
    pub others: Vec<String>,
    /// Their title.
    pub others_title: String,
    /// Files of the report that lie elsewhere, a sentence and a line for each place.
    pub files: Vec<String>,
    /// Which days, compared with which, as of when, and which job, report and run.
    pub notes: Vec<String>,
    #[serde(skip)]
    pub(super) lang: Lang,
}

/// A website in a digest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Site {
    /// Its id.
    pub id: Option<String>,
    /// Its name, in one line.
    pub name: String,
    /// What leads; empty where there are no numbers.
    pub headline: String,
    /// Why there are none, in a sentence.
    pub failed: Option<String>,
    /// The leading numbers, as `kpis(…)` has them.
    pub kpis: Value,
    /// What moved, as `moved(…)` has it.
    pub moved: Value,
    /// Its title.
    pub moved_title: String,
    /// The top of each list.
    pub lists: Vec<List>,
    /// Errors and vitals, as `health(…)` has them.
    pub health: Value,
    /// Its title.
    pub health_title: String,
}

/// The top of a query's rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct List {
    /// The query.
    pub query: String,
    /// In words.
    pub title: String,
    /// As `top(…)` has them.
    pub rows: Value,
    /// What stands in the place of rows.
    pub instead: Option<String>,
}

impl Digest {
    /// Of what a template would be given.
    pub fn of(context: &Value) -> Self {
        Self::of_plain(&marks::without(context))
    }

    fn of_plain(context: &Value) -> Self {
        let report = &context["report"];
        let tag = report["lang"].as_str().unwrap_or("en");
        let lang = Lang::of(tag).unwrap_or(Lang::En);
        let scene_of =
            |website: &Value| Scene::new(lang, website, &context["window"], &context["previous"]);
        let whole = scene_of(&context["website"]);
        let missing = incomplete(lang, report, &context["website"]).join(", ");
        let zone = context["window"]["timezone"].as_str().unwrap_or("UTC");
        let days = say(lang, "days_of", &[("zone", zone)]);
        let mut digest = Self {
            window: format!("{} · {days}", whole.span()),
            incomplete: (!missing.is_empty())
                .then(|| say(lang, "is_incomplete", &[("names", &missing)])),
            websites: Vec::new(),
            others: Vec::new(),
            others_title: say(lang, "other_sites", &[]),
            files: files(lang, &context["attachments"]),
            notes: notes(&whole, context),
            lang,
        };
        if context["websites"].is_null() {
            let site = Site::of(&whole, &context["website"], &context["q"], ROWS.0);
            digest.websites.push(site);
            return digest;
        }
        let ranked = sentence::ranked(&whole, &context["websites"]);
        for (place, site) in ranked.as_array().into_iter().flatten().enumerate() {
            if place < IN_FULL {
                let scene = scene_of(&site["website"]);
                let site = Site::of(&scene, &site["website"], &site["q"], ROWS.1);
                digest.websites.push(site);
            } else {
                let line = site["line"].as_str().unwrap_or_default();
                digest.others.push(line.to_owned());
            }
        }
        digest
    }
}

impl Site {
    fn of(scene: &Scene, website: &Value, q: &Value, count: usize) -> Self {
        let summary = &q["summary"];
        let why = failed(scene, summary);
        let mut kpis = figures::kpis(scene.lang, summary);
        if let Some(kpis) = kpis.as_array_mut() {
            kpis.truncate(4);
        }
        Self {
            id: website["id"].as_str().map(str::to_owned),
            name: isolate(website["name"].as_str().unwrap_or_default()),
            headline: sentence::headline(scene, summary, &q["traffic"]),
            failed: (!why.is_empty()).then_some(why),
            kpis,
            moved: moved(scene, q, count),
            moved_title: say(scene.lang, "moved", &[]),
            lists: lists(scene, q, count),
            health: health(scene.lang, &q["errors"], &q["vitals"]),
            health_title: say(scene.lang, "health", &[]),
        }
    }
}

fn moved(scene: &Scene, q: &Value, count: usize) -> Value {
    if scene.previous.is_none() {
        return json!([]);
    }
    let lists = [
        (Place::Page, &q["pages"]),
        (Place::Source, &q["traffic"]),
        (Place::Country, &q["countries"]),
    ];
    let moves = moves(&lists, scene.names());
    let first = moves.iter().take(count);
    first.map(|moved| moved.to_value(scene.names())).collect()
}

/// The lists that the embedded templates show, and then those of the job's own queries.
fn lists(scene: &Scene, q: &Value, count: usize) -> Vec<List> {
    let total = number(&q["summary"]["current"]["visitors"]);
    let known = LISTS.iter().map(|(query, title)| (*query, Some(*title)));
    let is_own =
        |query: &&str| !OTHERS.contains(query) && LISTS.iter().all(|(known, _)| known != query);
    let keys = q.as_object().into_iter().flatten();
    let own = keys.map(|(query, _)| query.as_str()).filter(is_own);
    let all = known.chain(own.map(|query| (query, None)));
    all.filter_map(|(query, title)| list(scene, q.get(query)?, query, title, count, total))
        .collect()
}

fn list(
    scene: &Scene,
    data: &Value,
    query: &str,
    title: Option<&str>,
    count: usize,
    total: Option<f64>,
) -> Option<List> {
    let counts_events = ["goals", "events"].contains(&query);
    let rows = match title {
        Some(_) if counts_events => figures::events(scene, data, count),
        Some(_) => figures::top(scene, data, count, total),
        // Rows that no column names are no list for people
        None if Names::can_name(&data["rows"][0]) => figures::top(scene, data, count, None),
        None => json!([]),
    };
    let rows = with_shown(scene.lang, rows);
    let why = failed(scene, data);
    let is_empty = rows.as_array().is_none_or(Vec::is_empty);
    let instead = match (why.is_empty(), is_empty) {
        (false, _) => Some(why),
        (true, true) if title.is_some() && !counts_events && total > Some(0.0) => {
            Some(say(scene.lang, "nothing", &[]))
        }
        (true, true) => return None,
        (true, false) => None,
    };
    Some(List {
        query: query.to_owned(),
        title: title.map_or_else(|| query.to_owned(), |key| say(scene.lang, key, &[])),
        rows,
        instead,
    })
}

/// Each row with its amount in words, `702 (58%)`.
fn with_shown(lang: Lang, mut rows: Value) -> Value {
    for row in rows.as_array_mut().into_iter().flatten() {
        let amount = lang.figure(number(&row["value"]).unwrap_or_default());
        let part = number(&row["part"]).map(|part| format!(" ({})", lang.percent(part, 0)));
        row["shown"] = format!("{amount}{}", part.unwrap_or_default()).into();
    }
    rows
}

fn files(lang: Lang, attachments: &Value) -> Vec<String> {
    let of = |file: &Value| {
        let places = file["links"].as_array()?.iter();
        let places: Vec<&str> = places.filter_map(Value::as_str).collect();
        let name = file["name"].as_str()?;
        let rows = lang.num(number(&file["rows"])?);
        let words = say(lang, "file_elsewhere", &[("name", name), ("rows", &rows)]);
        (!places.is_empty()).then(|| format!("{words}\n{}", places.join("\n")))
    };
    attachments
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(of)
        .collect()
}

/// The last lines: which days, compared with which, and as of when.
fn notes(scene: &Scene, context: &Value) -> Vec<String> {
    let lang = scene.lang;
    let window = &context["window"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let day = |key: &str| {
        let found = day(&text(&window[key])).ok();
        let shown = found.and_then(|day| lang.date(day, lang.day_format()).ok());
        shown.unwrap_or_default()
    };
    let zone = text(&window["timezone"]);
    let values = [
        ("start", &day("start")),
        ("end", &day("end")),
        ("zone", &zone),
    ];
    let mut days = say(
        lang,
        "window",
        &values.map(|(key, value)| (key, value.as_str())),
    );
    let utc = utc_window(window).unwrap_or_default();
    if let (Some(from), Some(to)) = (utc["from"].as_str(), utc["to"].as_str()) {
        let utc = say(lang, "window_utc", &[("from", from), ("to", to)]);
        days = format!("{days} ({utc})");
    }
    let mut notes = vec![days];
    let previous = &context["previous"];
    if !previous.is_null() {
        let before = Scene::new(lang, &Value::Null, previous, &Value::Null);
        notes.push(say(lang, "compared_with", &[("label", &before.span())]));
    }
    let made_at = instant(&text(&context["run"]["made_at"]));
    notes.push(say(lang, "as_of", &[("at", &made_at)]));
    let source = [
        &context["job"]["name"],
        &context["report"]["name"],
        &context["run"]["id"],
    ];
    notes.push(source.map(text).join(" · "));
    notes
}
