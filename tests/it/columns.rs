//! The columns of a lake: the same every night, and never anybody's name by accident.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::{failures::api, server, workspace::TestWorkspace};

/// A project whose server answers with these rows, which a test may change.
struct Lake {
    workspace: TestWorkspace,
    rows: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Lake {
    fn new(export: &str, more: &str) -> Self {
        let rows: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
        let answered = Arc::clone(&rows);
        let url = api(move |request| {
            let rows = answered.lock().unwrap();
            server::data(request, |_, day| {
                rows.get(day).cloned().unwrap_or(json!([]))
            })
        });
        let workspace = TestWorkspace::empty();
        let settings = format!("api: {{ url: '{url}', key: k }}\n");
        workspace.write("databuddy-jobs.yaml", &settings);
        let lake = Self { workspace, rows };
        lake.job(export, more);
        lake
    }

    fn job(&self, export: &str, more: &str) {
        let job = format!(
            "preset: yesterday\nqueries: [{{ name: pages, parameter: top_pages{more} }}]\nretry: {{ attempts: 1 }}\nexports: [{{ {export} }}]\n"
        );
        self.workspace.write("jobs/nightly.yaml", &job);
    }

    /// What the server says of a day from now on.
    fn answer(&self, day: &str, rows: Value) {
        self.rows.lock().unwrap().insert(day.to_owned(), rows);
    }

    /// Runs the night after a day; exit code, error of the step, and all that was logged.
    fn night(&self, day: &str, more: &[&str]) -> (i32, Option<String>, String) {
        let tick: chrono::NaiveDate = day.parse().unwrap();
        let tick = (tick + chrono::Days::new(1)).to_string();
        let args = [&["run", "nightly", "--json", "--at", &tick], more].concat();
        let output = self.workspace.run(&args);
        let document: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let error = &document["runs"][0]["steps"][0]["error"];
        (
            output.status.code().unwrap(),
            error.as_str().map(str::to_owned),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn file(&self, day: &str) -> RecordBatch {
        let path = format!("lake/pages/website_id=web_1/day={day}/data.parquet");
        let file = fs::File::open(self.workspace.path().join(path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        reader.build().unwrap().next().unwrap().unwrap()
    }

    fn lock(&self) -> Value {
        self.json("lake/_schemas/nightly/pages.json")
    }

    fn manifest(&self, day: &str) -> Value {
        self.json(&format!("lake/_manifests/nightly/{day}.json"))
    }

    fn json(&self, path: &str) -> Value {
        let text = fs::read_to_string(self.workspace.path().join(path)).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn names(batch: &RecordBatch) -> Vec<String> {
    let fields = batch.schema();
    fields.fields().iter().map(|f| f.name().clone()).collect()
}

const PARQUET: &str = "format: parquet, to: lake";

#[test]
fn a_column_keeps_its_type_and_its_place_whatever_the_night_brings() {
    let lake = Lake::new(PARQUET, "");
    lake.answer(
        "2026-11-01",
        json!([{ "name": "/", "score": 7, "more": null }]),
    );
    lake.answer("2026-11-02", json!([{ "score": 5.5, "name": "/" }]));
    lake.answer("2026-11-03", json!([]));
    lake.answer(
        "2026-11-04",
        json!([{ "more": "x", "name": "/", "score": 6 }]),
    );
    for day in ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"] {
        assert_eq!(lake.night(day, &[]).0, 0, "{day}");
    }
    let first = lake.file("2026-11-01");
    for day in ["2026-11-02", "2026-11-04"] {
        let file = lake.file(day);
        let score = file.column_by_name("score").unwrap();
        assert_eq!(score.data_type(), &DataType::Float64, "{day}");
        assert_eq!(names(&file)[..names(&first).len()], names(&first), "{day}");
    }
    // A column of nulls alone, of which nothing is known, waits for its first value
    assert!(!names(&first).contains(&"more".to_owned()));
    let last = lake.file("2026-11-04");
    assert_eq!(names(&last).last().unwrap(), "more");
    let lock = lake.lock();
    let columns = lock["columns"].as_array().unwrap();
    let more = columns.iter().find(|c| c["name"] == "more").unwrap();
    assert_eq!(
        (&more["type"], &more["since"]),
        (&json!("string"), &json!(2))
    );
    assert_eq!(lock["version"], 2);
}

#[test]
fn a_fraction_in_a_whole_column_names_the_pin_and_the_pin_needs_force_under_the_lock() {
    let lake = Lake::new(PARQUET, "");
    lake.answer("2026-11-01", json!([{ "name": "/", "pageviews": 7 }]));
    lake.answer("2026-11-02", json!([{ "name": "/", "pageviews": 5.5 }]));
    assert_eq!(lake.night("2026-11-01", &[]).0, 0);
    let (code, error, _) = lake.night("2026-11-02", &[]);
    let error = error.unwrap();
    assert!(
        code == 1 && error.contains("columns: { pageviews:"),
        "{code} {error}"
    );
    lake.job(PARQUET, ", columns: { pageviews: float64 }");
    let before = lake.workspace.contents("lake/pages");
    let (code, error, _) = lake.night("2026-11-02", &[]);
    let error = error.unwrap();
    for part in ["int64", "float64", "--force", "_schemas/nightly/pages.json"] {
        assert!(code == 1 && error.contains(part), "{code} {error}");
    }
    assert_eq!(lake.workspace.contents("lake/pages"), before);
    assert_eq!(lake.night("2026-11-02", &["--force"]).0, 0);
    let views = lake.file("2026-11-02");
    let views = views.column_by_name("pageviews").unwrap();
    assert_eq!(
        views.as_primitive::<Float64Type>().value(0).to_string(),
        "5.5"
    );
    // The day that still has the old type is named, until it is written again
    let (code, document) = lake.workspace.json(&["verify", "nightly"]);
    let problems = document["problems"].to_string();
    assert!(
        code == 1 && problems.contains("day=2026-11-01"),
        "{problems}"
    );
    assert_eq!(lake.night("2026-11-01", &["--force"]).0, 0);
    assert_eq!(lake.workspace.json(&["verify", "nightly"]).0, 0);
}

#[test]
fn columns_that_differ_in_case_alone_are_told() {
    let lake = Lake::new(PARQUET, "");
    lake.answer("2026-11-01", json!([{ "name": "/", "extra": 7 }]));
    lake.answer("2026-11-02", json!([{ "name": "/", "Extra": 7 }]));
    assert!(!lake.night("2026-11-01", &[]).2.contains("in case alone"));
    let (code, _, said) = lake.night("2026-11-02", &[]);
    assert_eq!(code, 0);
    assert!(
        said.contains("`Extra` and `extra` differ in case"),
        "{said}"
    );
}

#[test]
fn drift_freeze_takes_no_new_column_and_leaves_what_is_there() {
    let lake = Lake::new("format: parquet, to: lake, drift: freeze", "");
    lake.answer("2026-11-01", json!([{ "name": "/", "pageviews": 7 }]));
    lake.answer(
        "2026-11-02",
        json!([{ "name": "/", "pageviews": 7, "new": 1 }]),
    );
    assert_eq!(lake.night("2026-11-01", &[]).0, 0);
    let before = lake.workspace.contents("lake");
    let (code, error, _) = lake.night("2026-11-02", &[]);
    let error = error.unwrap();
    assert!(
        code == 1 && error.contains("new columns new") && error.contains("evolve"),
        "{code} {error}"
    );
    for (path, bytes) in before {
        let path = lake.workspace.path().join(path);
        assert_eq!(fs::read(path).unwrap(), bytes);
    }
}

#[test]
fn a_column_that_vanished_or_was_renamed_is_reported() {
    let lake = Lake::new(PARQUET, "");
    lake.answer(
        "2026-11-01",
        json!([{ "name": "/", "avg_session_duration": 7.5 }]),
    );
    lake.answer(
        "2026-11-02",
        json!([{ "name": "/", "median_session_duration": 7.5 }]),
    );
    assert_eq!(lake.night("2026-11-01", &[]).0, 0);
    let (code, _, log) = lake.night("2026-11-02", &[]);
    assert_eq!(code, 0);
    for part in [
        "`avg_session_duration` is not in the answer",
        "`median_session_duration`?",
    ] {
        assert!(log.contains(part), "{log}");
    }
    // Columns that the server never gave are not missed
    assert!(!log.contains("`visitors`"), "{log}");
}

#[test]
fn columns_that_name_people_are_refused_hashed_or_allowed() {
    let rows = json!([{ "name": "/", "email": " Ann@Example.com" }]);
    let lake = Lake::new(PARQUET, "");
    lake.answer("2026-11-01", rows);
    let (code, error, _) = lake.night("2026-11-01", &[]);
    let error = error.unwrap();
    assert!(
        code == 1 && error.contains("`email`") && error.contains("pii: hash"),
        "{code} {error}"
    );
    assert!(lake.workspace.files("lake/pages").is_empty());
    lake.job("format: parquet, to: lake, pii: hash", "");
    assert_eq!(lake.night("2026-11-01", &[]).0, 0);
    let hashed = lake.file("2026-11-01");
    let hashed = hashed.column_by_name("email").unwrap().as_string::<i32>();
    let digest = <sha2::Sha256 as sha2::Digest>::digest("ann@example.com");
    assert_eq!(hashed.value(0), hex::encode(digest));
    for (path, bytes) in lake.workspace.contents("lake") {
        assert!(
            !String::from_utf8_lossy(&bytes).contains("Example.com"),
            "{path:?}"
        );
    }
    lake.job("format: parquet, to: lake, pii: allow", "");
    assert_eq!(lake.night("2026-11-01", &[]).0, 0);
    let plain = lake.file("2026-11-01");
    assert_eq!(
        plain
            .column_by_name("email")
            .unwrap()
            .as_string::<i32>()
            .value(0),
        " Ann@Example.com"
    );
}

#[test]
fn a_restated_day_says_what_changed_and_the_manifest_keeps_it() {
    let lake = Lake::new(PARQUET, "");
    lake.answer(
        "2026-09-03",
        json!([{ "name": "/", "visitors": 1204, "pageviews": 3000 }]),
    );
    assert_eq!(lake.night("2026-09-03", &[]).0, 0);
    let first = lake.manifest("2026-09-03");
    lake.answer(
        "2026-09-03",
        json!([{ "name": "/", "visitors": 1219, "pageviews": 3000 }]),
    );
    let (code, _, log) = lake.night("2026-09-03", &[]);
    assert!(
        code == 0 && log.contains("3 Sep: 1,204 → 1,219 visitors"),
        "{log}"
    );
    let file = &lake.manifest("2026-09-03")["files"][0];
    let revision = &file["revisions"][0];
    assert_eq!(revision["number"], 1);
    assert_eq!(revision["sha256_before"], first["files"][0]["sha256"]);
    assert_eq!(
        revision["changed"],
        json!([{ "column": "visitors", "before": 1204.0, "after": 1219.0 }])
    );
    // The same answer again is no revision
    let before = lake.workspace.contents("lake");
    assert_eq!(lake.night("2026-09-03", &[]).0, 0);
    assert_eq!(lake.workspace.contents("lake"), before);
}

#[test]
fn what_the_path_does_not_carry_is_a_column() {
    let lake = Lake::new(
        "format: parquet, to: lake, path: 'all/{{ website.id }}-{{ date }}'",
        "",
    );
    lake.answer("2026-11-01", json!([{ "name": "/", "pageviews": 7 }]));
    assert_eq!(lake.night("2026-11-01", &[]).0, 0);
    let path = lake
        .workspace
        .path()
        .join("lake/all/web_1-2026-11-01.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    assert_eq!(names(&batch)[..3], ["query", "website_id", "day"]);
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "pages");
    assert_eq!(batch.column(2).data_type(), &DataType::Date32);
    // The default path carries all of them
    lake.job(PARQUET, "");
    lake.night("2026-11-01", &[]);
    assert!(!names(&lake.file("2026-11-01")).contains(&"website_id".to_owned()));
}

#[test]
fn session_events_are_structs_where_the_job_says_so() {
    let lake = Lake::new("format: parquet, to: lake, nested: struct", "");
    let events = json!([[
        "id-1",
        "2026-11-01 10:00:00.420",
        "purchase",
        "/a",
        "{\"n\":1}"
    ]]);
    lake.answer("2026-11-01", json!([{ "name": "/", "events": events }]));
    assert_eq!(lake.night("2026-11-01", &[]).0, 0);
    let batch = lake.file("2026-11-01");
    let list = batch
        .column_by_name("events")
        .unwrap()
        .as_list::<i32>()
        .value(0);
    let event = list.as_struct();
    assert_eq!(
        event.column_names(),
        ["id", "time", "name", "path", "properties"]
    );
    assert_eq!(event.column(2).as_string::<i32>().value(0), "purchase");
    assert_eq!(lake.lock()["columns"][4]["type"], "session_events");
    // The other form would be another type
    lake.job(PARQUET, "");
    let (code, error, _) = lake.night("2026-11-01", &[]);
    assert!(code == 1 && error.unwrap().contains("session_events"));
}

#[test]
fn a_file_says_what_it_is_without_saying_when_or_by_whom_it_was_written() {
    let lake = Lake::new(PARQUET, "");
    lake.answer("2026-11-01", json!([{ "name": "/", "pageviews": 7 }]));
    lake.night("2026-11-01", &[]);
    let before = lake.workspace.contents("lake/pages");
    fs::remove_dir_all(lake.workspace.path().join("lake")).unwrap();
    lake.night("2026-11-01", &[]);
    assert_eq!(lake.workspace.contents("lake/pages"), before);
    let path = lake
        .workspace
        .path()
        .join("lake/pages/website_id=web_1/day=2026-11-01/data.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let pairs = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    let value = |key: &str| pairs.iter().find(|p| p.key == key).unwrap().value.clone();
    assert_eq!(value("databuddy.query").as_deref(), Some("pages"));
    assert_eq!(value("databuddy.start").as_deref(), Some("2026-11-01"));
    let views = reader.build().unwrap().next().unwrap().unwrap();
    let views = views.column_by_name("pageviews").unwrap();
    assert_eq!(views.as_primitive::<Int64Type>().value(0), 7);
}

#[test]
fn a_step_that_fails_after_its_first_page_puts_no_column_under_the_lock() {
    let url = api(|request| {
        let item = &request.body;
        let page: Vec<Value> = (0..10_000)
            .map(|n| json!({ "name": format!("/{n}"), "novel": 1 }))
            .collect();
        let part = if item["page"].as_u64().unwrap_or(1) == 1 {
            json!({ "parameter": item["parameters"][0]["id"], "success": true, "data": page })
        } else {
            json!({ "parameter": item["parameters"][0]["id"], "success": false, "error": "Unknown column `x`", "data": [] })
        };
        server::json(200, &json!({ "success": true, "data": [part] }))
    });
    let lake = Lake::new(PARQUET, "");
    let settings = format!("api: {{ url: '{url}', key: k }}\n");
    lake.workspace.write("databuddy-jobs.yaml", &settings);
    let (code, error, _) = lake.night("2026-11-19", &[]);
    assert_eq!(code, 1);
    assert!(error.unwrap().contains("Unknown column"));
    assert_eq!(
        lake.workspace.files("lake/_schemas"),
        Vec::<std::path::PathBuf>::new()
    );
    // The step must not have failed before its second page
    assert_eq!(
        lake.manifest("2026-11-19")["missing"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
