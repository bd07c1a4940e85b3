//! What holds of files on the way to a directory.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    record_batch::RecordBatch,
};

use super::{Destination, Destinations, FileStyle, Stage, Staged};
use crate::domain::{
    destination::DestinationUrl,
    job::{Compression, CsvStyle, Format},
};

fn table(n: i64) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a,\"b\""), None]));
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![n, 2]));
    RecordBatch::try_from_iter([("name", names), ("n", counts)]).unwrap()
}

fn directory(root: &Path) -> Destination {
    let to = DestinationUrl::Directory(root.to_owned());
    let lake = Destinations::new(BTreeMap::new());
    lake.open(&to, "nightly").unwrap()
}

fn leftovers(root: &Path) -> usize {
    fs::read_dir(root)
        .unwrap()
        .filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with('.')
        })
        .count()
}

fn staged(table: &RecordBatch, folder: &Path) -> Staged {
    let style = FileStyle {
        format: Format::Csv,
        compression: Compression::None,
        level: None,
        csv: CsvStyle::default(),
        metadata: Vec::new(),
        unlike: Vec::new(),
        sorted_by: None,
    };
    let mut stage = Stage::begin(&table.schema(), &style, folder).unwrap();
    stage.write(table).unwrap();
    stage.finish().unwrap()
}

#[tokio::test]
async fn a_failed_publication_leaves_what_was_there_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let to = directory(folder.path());
    fs::create_dir_all(folder.path().join("data.csv/in-the-way")).unwrap();
    let staging = tempfile::tempdir().unwrap();
    let staged = staged(&table(1), staging.path());
    assert!(to.publish(staged, "data.csv").await.is_err());
    assert!(folder.path().join("data.csv/in-the-way").is_dir());
    assert_eq!(leftovers(folder.path()), 0);
}

#[tokio::test]
async fn what_a_killed_run_left_behind_is_removed_and_other_jobs_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".databuddy-jobs.nightly.x1", ".databuddy-jobs.other.x1"] {
        fs::write(folder.path().join(name), "half a file").unwrap();
    }
    let to = directory(folder.path());
    let staging = tempfile::tempdir().unwrap();
    let staged = staged(&table(1), staging.path());
    to.publish(staged, "data.csv").await.unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".databuddy-jobs.other.x1", "data.csv"]);
}

#[tokio::test]
async fn a_file_staged_on_another_disk_arrives_all_the_same() {
    // Where the machine has no second file system there is nothing to see
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let to = directory(folder.path());
    for n in [1, 2] {
        let staged = staged(&table(n), other.path());
        let expected = (staged.bytes, staged.sha256.clone());
        to.publish(staged, "q/data.csv").await.unwrap();
        assert_eq!(to.measure("q/data.csv").await.unwrap(), Some(expected));
    }
    let path = folder.path().join("q/data.csv");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(leftovers(&folder.path().join("q")), 0);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}
