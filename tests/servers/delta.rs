//! Delta tables, read and written by the tools that people use beside the program.

use std::{path::Path, process::Command, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    },
    record_batch::RecordBatch,
};
use chrono::NaiveDate;
use databuddy_jobs::{
    domain::job::{Compression, CsvStyle, Format},
    export::{
        FileStyle, Stage, Staged,
        delta::{
            Change, Definition, Partition, PartitionColumn, PartitionKind, PartitionValue, Table,
            Transaction,
        },
    },
};
use serde_json::{Value, json};

use crate::{Test, python, server, workspace::TestWorkspace};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "deltalake_and_duckdb_read_a_delta_table_alike",
        deltalake_and_duckdb_read_a_delta_table_alike,
    ),
    (
        "a_job_keeps_delta_tables_whose_days_are_replaced_as_a_whole",
        a_job_keeps_delta_tables_whose_days_are_replaced_as_a_whole,
    ),
    (
        "what_another_writer_appends_to_a_delta_table_is_replaced_with_its_partition",
        what_another_writer_appends_to_a_delta_table_is_replaced_with_its_partition,
    ),
];

const ODD: &str = "a b/ü";

fn table(folder: &Path) -> Table {
    let column = |name: &str, kind| PartitionColumn {
        name: name.to_owned(),
        kind,
    };
    let definition = Definition {
        name: "pages".to_owned(),
        description: "query `pages` of job `nightly`".to_owned(),
        partition_by: vec![
            column("website_id", PartitionKind::Text),
            column("day", PartitionKind::Date),
        ],
    };
    Table::in_directory(folder, definition).unwrap()
}

fn partition(site: &str, day: u32) -> Partition {
    let day = NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
    Partition(vec![
        PartitionValue::Text(site.to_owned()),
        PartitionValue::Date(day),
    ])
}

/// Rows of every type, of the day.
fn rows(count: u32, day: u32, has_extra: bool, folder: &Path) -> Staged {
    let days = NaiveDate::from_ymd_opt(2026, 11, day).unwrap() - NaiveDate::default();
    let days = i32::try_from(days.num_days()).unwrap();
    let numbers = || 0..count;
    // Hours of a day from ten o'clock, in whole seconds
    let instant = |n| (i64::from(days) * 86_400 + 36_000 + i64::from(n)) * 1_000_000;
    let names = numbers().map(|n| (n != 1).then_some(if n == 0 { "/ä" } else { "/'b\"" }));
    let name: ArrayRef = Arc::new(names.collect::<StringArray>());
    let views: ArrayRef = Arc::new(numbers().map(i64::from).collect::<Int64Array>());
    let rate: ArrayRef = Arc::new(
        numbers()
            .map(|n| f64::from(n) / 4.0)
            .collect::<Float64Array>(),
    );
    let date: ArrayRef = Arc::new(Date32Array::from(vec![days; count as usize]));
    let instants = TimestampMicrosecondArray::from_iter_values(numbers().map(instant));
    let seen: ArrayRef = Arc::new(instants.with_timezone("+00:00"));
    let flags: Vec<bool> = numbers().map(|n| n % 2 == 0).collect();
    let is_new: ArrayRef = Arc::new(BooleanArray::from(flags));
    let nothing: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; count as usize]));
    let extra: ArrayRef = Arc::new(StringArray::from(vec!["x"; count as usize]));
    let mut columns = vec![
        ("name", name),
        ("views", views),
        ("rate", rate),
        ("date", date),
        ("seen", seen),
        ("is_new", is_new),
        ("nothing", nothing),
    ];
    if has_extra {
        columns.push(("extra", extra));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    );
    let style = FileStyle {
        format: Format::Delta,
        compression: Compression::Zstd,
        level: None,
        csv: CsvStyle::default(),
        metadata: Vec::new(),
        unlike: Vec::new(),
        sorted_by: None,
    };
    let batch = batch.unwrap();
    let mut stage = Stage::begin(&batch.schema(), &style, folder).unwrap();
    stage.write(&batch).unwrap();
    stage.finish().unwrap()
}

/// Replaces a partition by so many rows.
async fn replace(to: &Table, site: &str, day: u32, count: u32, version: i64, has_extra: bool) {
    let folder = tempfile::tempdir().unwrap();
    let staged = rows(count, day, has_extra, folder.path());
    let change = Change::Replace {
        partition: partition(site, day),
        file: staged.path.to_path_buf(),
    };
    let transaction = Transaction {
        app_id: format!("databuddy-jobs/nightly/pages/2026-11-{day}"),
        version,
    };
    let written = to.write(&[change], &transaction).await.unwrap();
    assert!(written.table_version.is_some());
}

fn read(table: &Path, mode: Option<&str>) -> Value {
    let output = Command::new(python::interpreter())
        .arg(python::script("read_delta.py"))
        .arg(table)
        .args(mode)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(test);
}

fn deltalake_and_duckdb_read_a_delta_table_alike() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        let table = table(&path);
        replace(&table, "web_1", 22, 9, 1, false).await;
        replace(&table, "web_1", 23, 3, 1, false).await;
        // A website more, with a column more; then the first day again
        replace(&table, ODD, 23, 4, 2, true).await;
        replace(&table, "web_1", 22, 6, 2, false).await;
        // As a killed run leaves it
        let orphan = path.join("website_id=web_1/day=2026-11-22/part-00000-dead.parquet");
        std::fs::write(orphan, "half a file").unwrap();

        let seen = read(&path, None);

        assert_eq!(seen["name"], "pages");
        assert_eq!(seen["description"], "query `pages` of job `nightly`");
        assert_eq!(seen["partition_columns"], json!(["website_id", "day"]));
        assert_eq!(
            (&seen["version"], &seen["transaction"]),
            (&json!(3), &json!(2))
        );
        let columns = json!({
            "website_id": "string", "day": "date32[day]", "name": "string", "views": "int64",
            "rate": "double", "date": "date32[day]", "seen": "timestamp[us, tz=UTC]",
            "is_new": "bool", "nothing": "string", "extra": "string",
        });
        assert_eq!(seen["columns"], columns);
        assert_eq!(seen["rows"], 13);
        assert_eq!(seen["equal"], json!([true, true]));
        let counts = json!({
            "website_id = 'a b/ü'": 4, "day = '2026-11-22'": 6, "views > 4": 1, "name = '/ä'": 3,
            "name IS NULL": 3, "rate < 0.25": 3, "seen >= '2026-11-22 10:00:01'": 12,
            "date = '2026-11-23'": 7, "is_new": 7, "extra = 'x'": 4,
        });
        assert_eq!(seen["counts"], json!([counts, counts]));
        assert_eq!(
            seen["first_version_rows"], 9,
            "the old file is there for time travel"
        );
        assert_eq!(seen["files"], 3);
        assert_eq!(
            seen["vacuum"], 2,
            "the replaced file and the one of the killed run"
        );
    });
}

fn what_another_writer_appends_to_a_delta_table_is_replaced_with_its_partition() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let table = table(folder.path());
        replace(&table, "web_1", 22, 5, 1, false).await;
        replace(&table, "web_1", 23, 3, 1, false).await;
        let appended = read(folder.path(), Some("append"));
        assert_eq!(
            (&appended["rows"], &appended["files"]),
            (&json!(13), &json!(3))
        );
        assert_eq!(table.count_rows(&partition("web_1", 22)).await.unwrap(), 10);

        replace(&table, "web_1", 22, 4, 2, false).await;

        let seen = read(folder.path(), None);
        assert_eq!((&seen["rows"], &seen["files"]), (&json!(7), &json!(2)));
        assert_eq!(seen["equal"], json!([true, true]));
        let files = table.live_files(&partition("web_1", 22)).await.unwrap();
        assert_eq!((files.len(), files[0].rows), (1, Some(4)));
    });
}

fn a_job_keeps_delta_tables_whose_days_are_replaced_as_a_whole() {
    let views = Arc::new(std::sync::atomic::AtomicI64::new(7));
    let answered = Arc::clone(&views);
    let url = server::serve(
        move |request| match request.path.split('?').next().unwrap() {
            "/v1/query/types" => server::json(
                200,
                &json!({ "success": true, "types": ["top_pages"], "configs": {} }),
            ),
            "/v1/query/websites" => server::json(
                200,
                &json!({ "success": true, "websites": [{ "id": "web_1", "domain": "1.example" }, { "id": "web_2", "domain": "2.example" }] }),
            ),
            _ => server::data(request, |_, _| {
                let views = answered.load(std::sync::atomic::Ordering::Relaxed);
                json!([{ "name": "/", "pageviews": views }, { "name": "/b", "pageviews": 1 }])
            }),
        },
    );
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    let job = "preset: yesterday\nqueries: [{ name: pages, parameter: top_pages }]\nexports: [{ format: delta, to: tables }]\n";
    workspace.write("jobs/nightly.yaml", job);
    let run = |day: &str| {
        let (code, document) = workspace.json(&["run", "nightly", "--at", day]);
        assert_eq!(code, 0, "{document:#}");
        document["runs"][0]["artifacts"].clone()
    };
    let (code, document) = workspace.json(&[
        "backfill",
        "nightly",
        "--from",
        "2026-10-01",
        "--to",
        "2026-10-03",
    ]);
    assert_eq!(code, 0, "{document:#}");
    let table = workspace.path().join("tables/pages");
    let seen = read(&table, None);
    // Three days of two websites, one commit a day
    assert_eq!(
        (&seen["rows"], &seen["files"], &seen["version"]),
        (&json!(12), &json!(6), &json!(2))
    );
    assert_eq!(seen["equal"], json!([true, true]));
    // The same answer commits nothing
    let again = run("2026-10-04");
    assert!(
        again
            .as_array()
            .unwrap()
            .iter()
            .all(|a| a["written"] == false),
        "{again:#}"
    );
    assert_eq!(read(&table, None)["version"], 2);
    // Another one replaces the day, and the manifest lists what is live
    views.store(9, std::sync::atomic::Ordering::Relaxed);
    let written = run("2026-10-04");
    assert!(
        written
            .as_array()
            .unwrap()
            .iter()
            .all(|a| a["written"] == true),
        "{written:#}"
    );
    let seen = read(&table, None);
    assert_eq!(
        (&seen["rows"], &seen["files"], &seen["version"]),
        (&json!(12), &json!(6), &json!(3))
    );
    let (code, document) = workspace.json(&["verify", "nightly"]);
    assert_eq!((code, &document["files"]), (0, &json!(6)), "{document:#}");
}
