//! What templates can call, beside the charts of `draw.rs`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tera::{Kwargs, State, Tera, TeraResult};

use super::{
    arguments,
    change::{Change, Kind},
    figures,
    filters::{day, isolate},
    health::health,
    moved::{Place, moves},
    rows::number,
    scene::Scene,
    sentence, words,
};
use crate::domain::window::day_start;

/// A function's answer, or what is wrong with its arguments.
type Answer = Result<Value, String>;

pub(super) fn register(tera: &mut Tera) {
    register_one(tera, "change", |scene, args| {
        let kind = Kind::of(args["kind"].as_str());
        let (now, before) = (number(&args["now"]), number(&args["before"]));
        Ok(Change::between(scene.lang, now, before, kind).to_value())
    });
    register_one(tera, "kpis", |scene, args| {
        Ok(figures::kpis(scene.lang, &args["query"]))
    });
    register_one(tera, "headline", |scene, args| {
        Ok(json!(sentence::headline(
            scene,
            &args["query"],
            &args["sources"]
        )))
    });
    register_one(tera, "subject", |scene, args| {
        let site = isolate(args["site"].as_str().unwrap_or_default());
        Ok(json!(sentence::subject(scene, &site, &args["query"])))
    });
    register_one(tera, "ranked", |scene, args| {
        Ok(sentence::ranked(scene, &args["websites"]))
    });
    register_one(tera, "daily_metric", |_, args| {
        Ok(json!(figures::daily_metric(&args["query"])))
    });
    register_one(tera, "days", days);
    register_one(tera, "top", |scene, args| {
        Ok(figures::top(
            scene,
            &args["query"],
            count(args),
            number(&args["of"]),
        ))
    });
    register_one(tera, "events", |scene, args| {
        Ok(figures::events(scene, &args["query"], count(args)))
    });
    register_one(tera, "moved", |scene, args| Ok(moved(scene, args)));
    register_one(tera, "health", |scene, args| {
        Ok(health(scene.lang, &args["errors"], &args["vitals"]))
    });
    register_one(tera, "incomplete", |scene, _| {
        Ok(json!(scene.incomplete.join(", ")))
    });
    register_one(tera, "failed", |scene, args| {
        Ok(json!(failed(scene, &args["query"])))
    });
    register_one(tera, "legend", |scene, _| {
        let (now, before) = scene.legend();
        Ok(json!({ "now": now, "before": before }))
    });
    register_one(tera, "span", |scene, _| Ok(json!(scene.span())));
    register_one(tera, "span_of", span_of);
    register_one(tera, "utc_window", |_, args| utc_window(&args["window"]));
    register_one(tera, "words", worded);
}

fn register_one(
    tera: &mut Tera,
    name: &'static str,
    call: impl Fn(&Scene, &Value) -> Answer + Send + Sync + 'static,
) {
    let signature = arguments::function(name).expect("every function has a signature: a test");
    tera.register_function(
        name,
        move |kwargs: Kwargs, state: &State<'_>| -> TeraResult<tera::Value> {
            let scene = Scene::of(state)?;
            let answer = signature.read(&kwargs, state);
            let answer = answer.and_then(|args| call(&scene, &args));
            let answer = answer.map_err(|why| tera::Error::message(format!("{name}(…): {why}")))?;
            Ok(tera::Value::from_serializable(&answer))
        },
    );
}

fn count(args: &Value) -> usize {
    args["count"]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(5)
}

/// The days of a query that has them. An answer that holds other metrics of the days, and not this
/// one, has no days of it: zeros would be a guess.
fn days(scene: &Scene, args: &Value) -> Answer {
    let query = &args["query"];
    let listed = query["daily"]
        .as_array()
        .is_some_and(|days| !days.is_empty());
    if !listed && query["failed"].is_null() {
        let remedy = "give it `daily: true` in report.yaml";
        return Err(format!("`query` has no days: {remedy}"));
    }
    let metric = figures::daily_metric(query);
    let by = args["by"].as_str().unwrap_or(metric);
    if !figures::holds(query, by) && figures::holds(query, metric) {
        return Ok(json!([]));
    }
    Ok(figures::days(scene.lang, query, by))
}

fn moved(scene: &Scene, args: &Value) -> Value {
    let lists = Place::ALL.map(|(argument, place)| (place, &args[argument]));
    let moves = moves(&lists, scene.names());
    moves
        .iter()
        .take(count(args))
        .map(|moved| moved.to_value(scene.names()))
        .collect()
}

/// What to say in the place of a section that failed; nothing where it did not.
pub(super) fn failed(scene: &Scene, query: &Value) -> String {
    match &query["failed"] {
        Value::Null | Value::Bool(false) => String::new(),
        Value::String(why) => words::say(scene.lang, "failed", &[("why", why)]),
        why => words::say(scene.lang, "failed", &[("why", &why.to_string())]),
    }
}

/// The days of any window in words.
fn span_of(scene: &Scene, args: &Value) -> Answer {
    let date = |key: &str| day(args["window"][key].as_str().unwrap_or_default());
    Ok(json!(scene.lang.span(date("start")?, date("end")?)))
}

/// Both ends of a window as instants in UTC; null where its days are UTC days anyway.
pub(super) fn utc_window(window: &Value) -> Answer {
    let date = |key: &str| day(window[key].as_str().unwrap_or_default());
    let name = window["timezone"].as_str().unwrap_or("UTC");
    let zone: chrono_tz::Tz = name
        .parse()
        .map_err(|_| format!("`{name}` is no time zone"))?;
    if zone == chrono_tz::Tz::UTC {
        return Ok(Value::Null);
    }
    let end = date("end")?
        .succ_opt()
        .ok_or("there is no day after the window")?;
    let instant =
        |at: DateTime<chrono_tz::Tz>| at.with_timezone(&Utc).format("%Y-%m-%d %H:%M").to_string();
    Ok(
        json!({ "from": instant(day_start(date("start")?, zone)), "to": instant(day_start(end, zone)) }),
    )
}

/// The words of a key, their places filled by the other arguments.
fn worded(scene: &Scene, args: &Value) -> Answer {
    let key = args["key"].as_str().unwrap_or_default();
    let found = words::words(scene.lang, key)?;
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let values: Vec<(String, String)> = args
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Ok(json!(words::fill(found, &values)))
}
