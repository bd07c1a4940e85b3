//! The files of the lake, read by the tools that people read them with.

use std::process::Command;

use serde_json::Value;

use crate::{Test, python, workspace::TestWorkspace};

pub(crate) const TESTS: &[(&str, Test)] = &[(
    "pyarrow_and_duckdb_read_every_file_of_the_lake_alike",
    pyarrow_and_duckdb_read_every_file_of_the_lake_alike,
)];

fn pyarrow_and_duckdb_read_every_file_of_the_lake_alike() {
    let workspace = TestWorkspace::with_examples();
    let (code, document) = workspace.json(&["run", "nightly-export", "--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    let output = Command::new(python::interpreter())
        .arg(python::script("read_parquet.py"))
        .arg(workspace.path().join("out/lake"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
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
