//! The files of the lake, read by the tools that people read them with.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{Test, python, replay, server, workspace::TestWorkspace};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "pyarrow_and_duckdb_read_every_file_of_the_lake_alike",
        pyarrow_and_duckdb_read_every_file_of_the_lake_alike,
    ),
    (
        "pyarrow_duckdb_and_polars_read_every_recorded_type_alike",
        pyarrow_duckdb_and_polars_read_every_recorded_type_alike,
    ),
    (
        "thirty_nights_with_everything_that_changes_are_one_data_set_in_each_reader",
        thirty_nights_with_everything_that_changes_are_one_data_set_in_each_reader,
    ),
    (
        "duckdb_reads_csv_and_json_lines_in_every_packing",
        duckdb_reads_csv_and_json_lines_in_every_packing,
    ),
];

/// What the readers saw, by path below the lake.
fn read(lake: &Path) -> Value {
    let output = Command::new(python::interpreter())
        .arg(python::script("read_files.py"))
        .arg(lake)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the readers saw of a lake: each file, or all files of a table together.
fn read_lake(what: &str, folder: &Path) -> Value {
    let output = Command::new(python::interpreter())
        .arg(python::script("read_lake.py"))
        .arg(what)
        .arg(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn pyarrow_duckdb_and_polars_read_every_recorded_type_alike() {
    for nested in ["json", "struct"] {
        let (workspace, types, _) = replay::exported(&format!("nested: {nested}, pii: allow"));
        let seen = read_lake("files", &workspace.path().join("out"));
        let answered = types.values().filter(|rows| rows.is_ok()).count();
        assert_eq!(seen.as_object().unwrap().len(), answered);
        for (path, file) in seen.as_object().unwrap() {
            assert_eq!(
                (&file["duckdb"], &file["polars"]),
                (&json!(true), &json!(true)),
                "{path}"
            );
            let query = path.split('/').next().unwrap();
            let rows = types[query].as_ref().unwrap();
            assert_eq!(file["rows"], rows.len(), "{path}");
        }
    }
}

/// The rows of a night, with all that was seen to change from one to the next.
fn night(day: u32) -> Value {
    let date = format!("2025-11-{day:02}");
    if day.is_multiple_of(7) {
        return json!([]);
    }
    let median = match day % 3 {
        // Integers and fractions alternate in one column; some days have nulls alone
        0 => json!(14),
        1 => json!(7.43),
        _ => json!(null),
    };
    let mut row =
        json!({ "date": date, "pageviews": day * 10, "bounce_rate": median, "note": null });
    if day > 15 {
        row["added_later"] = json!(format!("day {day}"));
    }
    if day > 20 {
        row["note"] = json!("ü – ☃");
    }
    if day == 25 {
        // Another order of columns, and a number as text
        row = json!({ "note": "x", "added_later": "y", "bounce_rate": 3, "pageviews": "250", "date": date });
    }
    json!([row])
}

fn thirty_nights_with_everything_that_changes_are_one_data_set_in_each_reader() {
    let url = server::serve(|request| match request.path.split('?').next().unwrap() {
        "/v1/query/types" => server::json(
            200,
            &json!({ "success": true, "types": ["events_by_date"], "configs": {} }),
        ),
        "/v1/query/websites" => server::json(
            200,
            &json!({ "success": true, "websites": [{ "id": "0123", "name": "One", "domain": "one.example" }] }),
        ),
        _ => server::data(request, |_, day| night(day[8..].parse().unwrap())),
    });
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    let job = "preset: yesterday\nqueries: [{ name: days, parameter: events_by_date }]\nexports: [{ format: parquet, to: lake }]\n";
    workspace.write("jobs/nightly.yaml", job);
    for day in 1..=30 {
        // Night by night, as a schedule would
        let tick = chrono::NaiveDate::from_ymd_opt(2025, 11, day).unwrap() + chrono::Days::new(1);
        let (code, document) = workspace.json(&["run", "nightly", "--at", &tick.to_string()]);
        assert_eq!(code, 0, "{day}: {document:#}");
    }
    let seen = read_lake("table", &workspace.path().join("lake/days"));
    let kinds = [
        ("date", "date32[day]"),
        ("pageviews", "int64"),
        ("bounce_rate", "double"),
        ("note", "string"),
        ("added_later", "string"),
        ("website_id", "string"),
        ("day", "date32[day]"),
    ];
    for (column, kind) in kinds {
        assert_eq!(seen["types"][column], kind, "{column}: {}", seen["types"]);
    }
    assert_eq!(
        (&seen["duckdb"], &seen["polars"]),
        (&json!(true), &json!(true))
    );
    let rows = seen["pyarrow"].as_array().unwrap();
    let on = |day: &str| rows.iter().find(|row| row["day"] == day).unwrap();
    assert_eq!(on("2025-11-03")["bounce_rate"], 14.0);
    assert_eq!(on("2025-11-04")["bounce_rate"], 7.43);
    assert_eq!(on("2025-11-05")["bounce_rate"], Value::Null);
    assert_eq!(on("2025-11-16")["added_later"], "day 16");
    assert_eq!(on("2025-11-03")["added_later"], Value::Null);
    assert_eq!(on("2025-11-03")["website_id"], "0123");
    assert!(rows.iter().all(|row| row["date"] == row["day"]));
}

fn duckdb_reads_csv_and_json_lines_in_every_packing() {
    let workspace = TestWorkspace::empty();
    let kinds = ["csv", "jsonl"].map(|format| {
        ["none", "gzip", "zstd"].map(|packing| {
            format!("{{ format: {format}, compression: {packing}, to: out/{format}-{packing} }}")
        })
    });
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_docs]\nqueries: [pages, sessions]\nexports: [{}]\n",
        kinds.concat().join(", ")
    );
    workspace.write("jobs/text.yaml", &job);
    let (code, document) = workspace.json(&["run", "text", "--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    let seen = read(&workspace.path().join("out"));
    let artifacts = document["runs"][0]["artifacts"].as_array().unwrap();
    assert_eq!((artifacts.len(), seen.as_object().unwrap().len()), (12, 12));
    for artifact in artifacts {
        let path = artifact["path"].as_str().unwrap();
        assert_eq!(
            seen[path.trim_start_matches("out/")]["rows"],
            artifact["rows"],
            "{path}"
        );
    }
}

fn pyarrow_and_duckdb_read_every_file_of_the_lake_alike() {
    let workspace = TestWorkspace::with_examples();
    let (code, document) = workspace.json(&["run", "nightly-export", "--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    let seen = read(&workspace.path().join("out/lake"));
    let artifacts = document["runs"][0]["artifacts"].as_array().unwrap();
    assert_eq!(seen.as_object().unwrap().len(), artifacts.len());
    for artifact in artifacts {
        let path = artifact["path"].as_str().unwrap();
        let file = &seen[path.trim_start_matches("./out/lake/")];
        assert_eq!(file["rows"], artifact["rows"], "{path}");
        assert_eq!(file["equal"], true, "{path}");
        for (column, kind) in file["columns"].as_object().unwrap() {
            let expected = match column.as_str() {
                "pageviews" | "visitors" | "sessions" => "int64",
                "bounce_rate" | "session_duration" | "percentage" => "double",
                "date" => "date32[day]",
                _ => "string",
            };
            assert_eq!(kind, expected, "{path}: {column}");
        }
    }
}
