//! The files of the lake, read by the tools that people read them with.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{Test, python, workspace::TestWorkspace};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "pyarrow_and_duckdb_read_every_file_of_the_lake_alike",
        pyarrow_and_duckdb_read_every_file_of_the_lake_alike,
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
