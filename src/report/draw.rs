//! The charts that templates can call: each draws a picture, keeps it for the mail, and answers with
//! the element that shows it.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tera::{Kwargs, State, Tera, TeraResult};

use super::{
    arguments,
    chart::{ChartError, Daily, Image, Lying, Spark, escape},
    filters::cut,
    rows::number,
    scene::Scene,
};

/// Letters of a name below a picture, as in the lists.
const LONGEST_NAME: usize = 56;

/// The pictures of one rendering.
pub(super) type Pictures = Arc<Mutex<Vec<Image>>>;

/// A picture, and what stands below it, as HTML.
type Drawn = Result<(Image, String), ChartError>;

/// Registers the charts with a place of their own for pictures: one rendering's are its own.
pub(super) fn register(tera: &mut Tera, pictures: &Pictures) {
    register_one(tera, "line_chart", pictures, line_chart);
    register_one(tera, "bar_chart", pictures, bar_chart);
    register_one(tera, "sparkline", pictures, sparkline);
}

fn register_one(
    tera: &mut Tera,
    name: &'static str,
    pictures: &Pictures,
    draw: fn(&Scene, &Value) -> Drawn,
) {
    let pictures = pictures.clone();
    let signature = arguments::function(name).expect("every chart has a signature: a test");
    tera.register_function(
        name,
        move |kwargs: Kwargs, state: &State<'_>| -> TeraResult<tera::Value> {
            let wrong = |why: &dyn Display| tera::Error::message(format!("{name}(…): {why}"));
            let args = signature.read(&kwargs, state).map_err(|why| wrong(&why))?;
            let drawn = draw(&Scene::of(state)?, &args);
            let (image, below) = drawn.map_err(|why| wrong(&why))?;
            let tag = tera::Value::safe_string(&(image.tag() + &below));
            // A list that a panic left behind is whole all the same: pictures are only added
            let mut kept = pictures.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.iter().all(|other| other.cid != image.cid) {
                kept.push(image);
            }
            Ok(tag)
        },
    );
}

/// One bar a day of `days`, those before as a line.
fn line_chart(scene: &Scene, args: &Value) -> Drawn {
    let listed: Vec<&Value> = list(&args["days"]);
    let label = |day: &Value| {
        day["short"]
            .as_str()
            .or(day["label"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    // What is no number is drawn nowhere, and refused there
    let days: Vec<(String, f64)> = listed
        .iter()
        .map(|day| (label(day), number(&day["value"]).unwrap_or(f64::NAN)))
        .collect();
    let before: Vec<Option<f64>> = listed.iter().map(|day| number(&day["before"])).collect();
    let legend = scene.legend();
    let alt = args["alt"]
        .as_str()
        .map_or_else(|| in_words(scene, args, &days, &before), str::to_owned);
    let chart = Daily {
        days: &days,
        before: &before,
        legend: (&legend.0, &legend.1),
        size: (size(args, "width", 560), size(args, "height", 180)),
        lang: scene.lang,
        alt,
    };
    Ok((chart.draw()?, String::new()))
}

/// The series of a chart: what a reader without pictures has of it.
fn in_words(scene: &Scene, args: &Value, days: &[(String, f64)], before: &[Option<f64>]) -> String {
    let day = |((label, value), before): (&(String, f64), &Option<f64>)| {
        let now = scene.lang.num(*value);
        let before = before.map(|value| format!(" ({})", scene.lang.num(value)));
        format!("{label} {now}{}", before.unwrap_or_default())
    };
    let series: Vec<String> = days.iter().zip(before).map(day).collect();
    titled(args, &series)
}

fn bar_chart(scene: &Scene, args: &Value) -> Drawn {
    let name = |row: &Value| row["name"].as_str().unwrap_or_default().to_owned();
    let rows: Vec<(String, f64)> = list(&args["rows"])
        .iter()
        .map(|row| (name(row), number(&row["value"]).unwrap_or(f64::NAN)))
        .collect();
    let key = Lying::key(&rows);
    let ranked = |at: usize| key.iter().any(|(rank, _)| *rank == at + 1);
    let series: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(at, (name, value))| {
            let rank = ranked(at).then(|| format!("{}. ", at + 1));
            let rank = rank.unwrap_or_default();
            format!("{rank}{name} {}", scene.lang.num(*value))
        })
        .collect();
    let chart = Lying {
        rows: &rows,
        width: size(args, "width", 560),
        lang: scene.lang,
        alt: args["alt"]
            .as_str()
            .map_or_else(|| titled(args, &series), str::to_owned),
    };
    Ok((chart.draw()?, named(&key)))
}

/// The names that a picture has as ranks only.
fn named(key: &[(usize, &str)]) -> String {
    if key.is_empty() {
        return String::new();
    }
    let line = |(rank, name): &(usize, &str)| {
        format!("{rank}. <bdi>{}</bdi>", escape(&cut(name, LONGEST_NAME)))
    };
    let lines: Vec<String> = key.iter().map(line).collect();
    let lines = lines.join("<br>");
    format!("<div style=\"font-size:13px;line-height:18px;word-break:break-word\">{lines}</div>")
}

/// Of `values`, or of the values of `days`.
fn sparkline(scene: &Scene, args: &Value) -> Drawn {
    let given = if args["days"].is_null() {
        list(&args["values"])
    } else {
        list(&args["days"])
    };
    let value = |entry: &Value| {
        number(entry)
            .or_else(|| number(&entry["value"]))
            .unwrap_or(f64::NAN)
    };
    let values: Vec<f64> = given.into_iter().map(value).collect();
    let series: Vec<String> = values.iter().map(|value| scene.lang.num(*value)).collect();
    let chart = Spark {
        values: &values,
        size: (size(args, "width", 120), size(args, "height", 28)),
        alt: args["alt"]
            .as_str()
            .map_or_else(|| titled(args, &series), str::to_owned),
    };
    Ok((chart.draw()?, String::new()))
}

fn titled(args: &Value, series: &[String]) -> String {
    let series = series.join(", ");
    match args["title"].as_str() {
        Some(title) => format!("{title}: {series}"),
        None => series,
    }
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

/// In CSS pixels. A size that is none is drawn nowhere, and refused there.
fn size(args: &Value, name: &str, default: u32) -> u32 {
    match &args[name] {
        Value::Null => default,
        value => value
            .as_u64()
            .and_then(|size| u32::try_from(size).ok())
            .unwrap_or(0),
    }
}
