//! Tables on a local disk and in a store that fails when asked to.

mod faulty;
mod races;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    },
    record_batch::RecordBatch,
};
use chrono::NaiveDate;
use deltalake::logstore::object_store::memory::InMemory;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::{
    domain::job::{Compression, CsvStyle, Format},
    export::{FileStyle, Stage, Staged},
};

const SITE: &str = "web_1";

fn definition() -> Definition {
    let column = |name: &str, kind| PartitionColumn {
        name: name.to_owned(),
        kind,
    };
    Definition {
        name: "pages".to_owned(),
        description: "query `pages` of job `nightly`".to_owned(),
        partition_by: vec![
            column("website_id", PartitionKind::Text),
            column("day", PartitionKind::Date),
        ],
    }
}

fn partition(site: &str, day: u32) -> Partition {
    let day = NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
    Partition(vec![
        PartitionValue::Text(site.to_owned()),
        PartitionValue::Date(day),
    ])
}

fn style() -> FileStyle {
    FileStyle {
        format: Format::Delta,
        compression: Compression::Zstd,
        level: None,
        csv: CsvStyle::default(),
        metadata: Vec::new(),
        unlike: Vec::new(),
        sorted_by: None,
    }
}

/// Staged files, which are gone when this is.
struct Files {
    folder: TempDir,
    staged: Vec<Staged>,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            staged: Vec::new(),
        }
    }

    fn stage(&mut self, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
        let table = RecordBatch::try_from_iter(columns).unwrap();
        let mut stage = Stage::begin(&table.schema(), &style(), self.folder.path()).unwrap();
        stage.write(&table).unwrap();
        self.staged.push(stage.finish().unwrap());
        self.staged.last().unwrap().path.to_path_buf()
    }

    /// So many rows for the partition.
    fn replace(&mut self, site: &str, day: u32, rows: i64) -> Change {
        let views: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
        Change::Replace {
            partition: partition(site, day),
            file: self.stage(vec![("views", views)]),
        }
    }
}

fn transaction(unit: &str, version: i64) -> Transaction {
    Transaction {
        app_id: format!("databuddy-jobs/nightly/pages/{unit}"),
        version,
    }
}

/// Rows of a partition, which must have one live file with as many.
async fn rows(table: &Table, site: &str, day: u32) -> u64 {
    let files = table.live_files(&partition(site, day)).await.unwrap();
    let rows = table.count_rows(&partition(site, day)).await.unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].rows, Some(rows));
    rows
}

/// Paths of all Parquet files below a folder.
fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|e| e == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The actions of a commit.
fn commit(table: &Path, version: u64) -> Vec<Value> {
    let path = table.join(format!("_delta_log/{version:020}.json"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn actions<'a>(commit: &'a [Value], kind: &str) -> Vec<&'a Value> {
    commit
        .iter()
        .filter_map(|action| action.get(kind))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_table_comes_with_its_first_rows_in_one_commit() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(&folder.path().join("pages"), definition()).unwrap();
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("/ä"), None, Some("/b")]));
    let views: ArrayRef = Arc::new(Int64Array::from(vec![3, -1, 2]));
    let rate: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)]));
    let date: ArrayRef = Arc::new(Date32Array::from(vec![20_000, 20_001, -1]));
    let micros = vec![1_001, 1_000_000, 2_000_001];
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("+00:00"));
    let empty: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 3]));
    let columns = vec![
        ("name", name),
        ("views", views),
        ("rate", rate),
        ("date", date),
        ("at", at),
        ("empty", empty),
    ];
    let change = Change::Replace {
        partition: partition(SITE, 22),
        file: files.stage(columns),
    };

    let written = table
        .write(&[change], &transaction("2026-11-22", 1))
        .await
        .unwrap();

    assert_eq!(written.table_version, Some(0));
    assert_eq!(
        written.files,
        table.live_files(&partition(SITE, 22)).await.unwrap()
    );
    assert_eq!(rows(&table, SITE, 22).await, 3);
    let path = &written.files[0].path;
    assert!(
        path.starts_with("website_id=web_1/day=2026-11-22/part-00000-"),
        "{path}"
    );
    let lies_there = std::fs::read(folder.path().join("pages").join(path)).unwrap();
    assert_eq!(lies_there, std::fs::read(&files.staged[0].path).unwrap());

    let commit = commit(&folder.path().join("pages"), 0);
    let metadata = actions(&commit, "metaData")[0];
    assert_eq!(metadata["name"], "pages");
    assert_eq!(metadata["description"], "query `pages` of job `nightly`");
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let fields = schema["fields"].as_array().unwrap().iter();
    let fields: Vec<String> = fields
        .map(|f| format!("{} {}", f["name"], f["type"]))
        .collect();
    let expected = "website_id string, day date, name string, views long, rate double, date date, \
                    at timestamp, empty string";
    assert_eq!(fields.join(", ").replace('"', ""), expected);
    assert_eq!(actions(&commit, "txn")[0]["version"], 1);
    assert_eq!(actions(&commit, "commitInfo")[0]["operation"], "WRITE");
    let add = actions(&commit, "add")[0];
    assert_eq!(add["partitionValues"]["day"], "2026-11-22");
    let statistics: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({
        "numRecords": 3,
        "minValues": { "name": "/b", "views": -1, "rate": 1.5, "date": "1969-12-31",
                       "at": "1970-01-01T00:00:00.001Z" },
        "maxValues": { "name": "/ä", "views": 3, "rate": 1.5, "date": "2024-10-05",
                       "at": "1970-01-01T00:00:02.001Z" },
        "nullCount": { "name": 1, "views": 0, "rate": 1, "date": 0, "at": 0, "empty": 3 },
    });
    assert_eq!(statistics, expected);
}

#[tokio::test]
async fn an_overwrite_replaces_its_partition_alone_and_keeps_the_old_file_on_disk() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    let first = [files.replace("web_1", 22, 3), files.replace("web_2", 22, 4)];
    table
        .write(&first, &transaction("2026-11-22", 1))
        .await
        .unwrap();
    let next = [files.replace("web_1", 23, 5)];
    table
        .write(&next, &transaction("2026-11-23", 1))
        .await
        .unwrap();

    let restated = [files.replace("web_1", 22, 6)];
    let written = table
        .write(&restated, &transaction("2026-11-22", 2))
        .await
        .unwrap();

    assert_eq!(written.table_version, Some(2));
    assert_eq!(rows(&table, "web_1", 22).await, 6);
    assert_eq!(rows(&table, "web_2", 22).await, 4);
    assert_eq!(rows(&table, "web_1", 23).await, 5);
    assert_eq!(parquet_files(folder.path()).len(), 4);
    let commit = commit(folder.path(), 2);
    assert_eq!(actions(&commit, "remove").len(), 1);
    assert_eq!(actions(&commit, "add").len(), 1);
    assert_eq!(actions(&commit, "metaData").len(), 0);
}

#[tokio::test]
async fn a_transaction_that_the_table_has_seen_does_nothing() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    let written = table
        .write(&[files.replace(SITE, 22, 3)], &transaction("2026-11-22", 7))
        .await
        .unwrap();
    for version in [7, 6] {
        let again = table
            .write(
                &[files.replace(SITE, 22, 9)],
                &transaction("2026-11-22", version),
            )
            .await
            .unwrap();
        assert_eq!(again.table_version, None);
        assert_eq!(again.files, written.files);
    }
    assert_eq!(rows(&table, SITE, 22).await, 3);
    assert_eq!(parquet_files(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_table_grows_by_new_columns_and_misses_none() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    table
        .write(&[files.replace(SITE, 22, 3)], &transaction("a", 1))
        .await
        .unwrap();
    let bounce: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    let change = Change::Replace {
        partition: partition(SITE, 23),
        file: files.stage(vec![("bounce", bounce)]),
    };

    table.write(&[change], &transaction("b", 1)).await.unwrap();

    let types: Vec<_> = table.column_types().await.unwrap().into_iter().collect();
    let expected = [
        ("bounce".to_owned(), ColumnType::Float64),
        ("views".to_owned(), ColumnType::Int64),
    ];
    assert_eq!(types, expected);
    let first = &commit(folder.path(), 0);
    let second = &commit(folder.path(), 1);
    let (old, new) = (
        actions(first, "metaData")[0],
        actions(second, "metaData")[0],
    );
    for kept in [
        "id",
        "name",
        "description",
        "createdTime",
        "configuration",
        "partitionColumns",
    ] {
        assert_eq!(old[kept], new[kept], "{kept}");
    }
}

#[tokio::test]
async fn what_does_not_fit_the_table_is_refused_before_anything_is_written() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    table
        .write(&[files.replace(SITE, 22, 3)], &transaction("a", 1))
        .await
        .unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let narrow: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![1]));
    let mut with = |name: &str, column: &ArrayRef| Change::Replace {
        partition: partition(SITE, 23),
        file: files.stage(vec![(name, Arc::clone(column))]),
    };
    let cases = [
        (
            with("views", &text),
            "column `views` is string, the table has it as long: pin its type",
        ),
        (
            with("day", &text),
            "a column `day`, which is one of those that the table is partitioned",
        ),
        (
            with("narrow", &narrow),
            "column `narrow` is Int32, for which",
        ),
        (
            Change::Remove {
                partition: partition("", 23),
            },
            "`, 2026-11-23` are no values for `website_id, day`",
        ),
    ];
    for (change, expected) in cases {
        let error = table
            .write(&[change], &transaction("b", 1))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let twice = [files.replace(SITE, 23, 1), files.replace(SITE, 23, 1)];
    let error = table.write(&twice, &transaction("b", 1)).await.unwrap_err();
    assert!(matches!(error, DeltaError::Twice { .. }), "{error}");
    // Case alone is no difference to Spark and DuckDB
    let views: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let change = Change::Replace {
        partition: partition(SITE, 23),
        file: files.stage(vec![("Views", views)]),
    };
    assert!(table.write(&[change], &transaction("b", 1)).await.is_err());
    let mut other = definition();
    other.partition_by.pop();
    let error = Table::in_directory(folder.path(), other)
        .unwrap()
        .column_types()
        .await;
    assert!(
        matches!(error, Err(DeltaError::OtherPartitions { .. })),
        "{error:?}"
    );

    assert_eq!(parquet_files(folder.path()).len(), 1);
    assert!(
        !folder
            .path()
            .join("_delta_log/00000000000000000001.json")
            .exists()
    );
}

#[tokio::test]
async fn a_partition_loses_its_rows_and_a_table_that_is_not_there_stays_so() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    let remove = [Change::Remove {
        partition: partition(SITE, 22),
    }];
    let written = table.write(&remove, &transaction("a", 1)).await.unwrap();
    assert_eq!((written.table_version, written.files.len()), (None, 0));
    assert_eq!(table.count_rows(&partition(SITE, 22)).await.unwrap(), 0);
    assert!(!folder.path().join("_delta_log").exists());

    let both = [files.replace(SITE, 22, 3), files.replace(SITE, 23, 4)];
    table.write(&both, &transaction("b", 1)).await.unwrap();
    let written = table.write(&remove, &transaction("a", 1)).await.unwrap();

    assert_eq!((written.table_version, written.files.len()), (Some(1), 0));
    assert_eq!(table.live_files(&partition(SITE, 22)).await.unwrap(), []);
    assert_eq!(rows(&table, SITE, 23).await, 4);
}

#[tokio::test]
async fn a_table_without_partitions_is_replaced_as_a_whole() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let whole = Partition(Vec::new());
    let mut definition = definition();
    definition.partition_by.clear();
    let table = Table::in_directory(folder.path(), definition).unwrap();
    for version in [1, 2] {
        let views: ArrayRef = Arc::new((0..version).collect::<Int64Array>());
        let change = Change::Replace {
            partition: whole.clone(),
            file: files.stage(vec![("views", views)]),
        };
        table
            .write(&[change], &transaction("a", version))
            .await
            .unwrap();
    }
    let live = table.live_files(&whole).await.unwrap();
    assert_eq!((live.len(), live[0].rows), (1, Some(2)));
    assert!(live[0].path.starts_with("part-00000-"), "{live:?}");
}

#[tokio::test]
async fn odd_names_of_websites_make_partitions_like_others() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(&folder.path().join("ä b"), definition()).unwrap();
    let odd = ["a b/ü", "..", "x%20y", "it's=1", "web_1"];
    for (version, site) in odd.iter().enumerate() {
        let change = files.replace(site, 22, 1 + i64::try_from(version).unwrap());
        table.write(&[change], &transaction(site, 1)).await.unwrap();
    }
    for (version, site) in odd.iter().enumerate() {
        assert_eq!(rows(&table, site, 22).await, 1 + version as u64, "{site}");
    }
    let restated = table
        .write(&[files.replace("a b/ü", 22, 9)], &transaction("r", 1))
        .await;
    assert_eq!(rows(&table, "a b/ü", 22).await, 9);
    let path = &restated.unwrap().files[0].path;
    assert!(path.starts_with("website_id=a%20b%2F%C3%BC/"), "{path}");
    assert!(folder.path().join("ä b").join(path).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_files_outlive_a_checkpoint() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    for day in 1..=12 {
        let change = files.replace(SITE, day, day.into());
        table
            .write(&[change], &transaction(&day.to_string(), 1))
            .await
            .unwrap();
    }
    let log = folder.path().join("_delta_log");
    assert!(log.join("00000000000000000009.checkpoint.parquet").exists());
    // As a clean-up of the log does: what is before the checkpoint is known from it alone
    for version in 0..9 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_eq!(rows(&table, SITE, 3).await, 3);
    let again = table
        .write(&[files.replace(SITE, 3, 9)], &transaction("3", 1))
        .await
        .unwrap();
    assert_eq!((again.table_version, again.files.len()), (None, 1));
    table
        .write(&[files.replace(SITE, 3, 9)], &transaction("3", 2))
        .await
        .unwrap();
    assert_eq!(rows(&table, SITE, 3).await, 9);
    assert_eq!(rows(&table, SITE, 4).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_too_large_for_one_request_arrives_whole() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let views = std::iter::repeat_with(|| random.i64(..)).take(1_500_000);
    let views: ArrayRef = Arc::new(views.collect::<Int64Array>());
    let change = Change::Replace {
        partition: partition(SITE, 22),
        file: files.stage(vec![("views", views)]),
    };
    let written = table.write(&[change], &transaction("a", 1)).await.unwrap();
    assert!(written.files[0].bytes > 10 << 20, "{written:?}");
    assert_eq!(rows(&table, SITE, 22).await, 1_500_000);
    let lies_there = std::fs::read(folder.path().join(&written.files[0].path)).unwrap();
    assert_eq!(lies_there, std::fs::read(&files.staged[0].path).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_lies_anywhere_in_a_store() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let url = Url::parse("s3://bucket/lake/pages").unwrap();
    let mut files = Files::new();
    let table = Table::in_store(Arc::clone(&store), &url, definition()).unwrap();
    let written = table
        .write(&[files.replace(SITE, 22, 3)], &transaction("a", 1))
        .await
        .unwrap();
    assert_eq!(rows(&table, SITE, 22).await, 3);
    let at = StorePath::parse(format!("lake/pages/{}", written.files[0].path)).unwrap();
    assert_eq!(store.head(&at).await.unwrap().size, written.files[0].bytes);
    assert!(
        store
            .head(&StorePath::from(
                "lake/pages/_delta_log/00000000000000000000.json"
            ))
            .await
            .is_ok()
    );
}
