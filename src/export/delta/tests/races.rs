//! Writers that meet, die, or lose the answer of the store.

use deltalake::logstore::object_store::local::LocalFileSystem;

use super::{
    faulty::{Fault, Faulty},
    *,
};

/// A table in a directory, once as it is and once through a store with a fault.
struct Pair {
    folder: TempDir,
    plain: Table,
    faulty: Arc<Table>,
    store: Arc<Faulty>,
}

impl Pair {
    fn new(fault: Fault) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Faulty::new(Arc::new(LocalFileSystem::new()), fault);
        let root = std::fs::canonicalize(folder.path()).unwrap();
        let url = Url::from_directory_path(root).unwrap();
        let faulty = Table::in_store(Arc::clone(&store) as _, &url, definition()).unwrap();
        Self {
            plain: Table::in_directory(folder.path(), definition()).unwrap(),
            folder,
            faulty: Arc::new(faulty),
            store,
        }
    }

    /// A write that has put its files in place and stands before its commit.
    async fn start(
        &self,
        change: Change,
        transaction: Transaction,
    ) -> tokio::task::JoinHandle<Result<Written, DeltaError>> {
        let table = Arc::clone(&self.faulty);
        let task = tokio::spawn(async move { table.write(&[change], &transaction).await });
        self.store.has_arrived.notified().await;
        task
    }

    fn files(&self) -> usize {
        parquet_files(self.folder.path()).len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_writers_of_one_partition_replaces_what_the_first_wrote() {
    // Also where the table, and where the partition, is new to both
    for has_table in [false, true] {
        let (pair, mut files) = (Pair::new(Fault::Waits), Files::new());
        if has_table {
            let other_day = [files.replace(SITE, 1, 1)];
            pair.plain
                .write(&other_day, &transaction("other", 1))
                .await
                .unwrap();
        }
        let slow = pair
            .start(files.replace(SITE, 22, 3), transaction("slow", 1))
            .await;
        let quick = [files.replace(SITE, 22, 5)];
        pair.plain
            .write(&quick, &transaction("quick", 1))
            .await
            .unwrap();
        pair.store.may_go.notify_one();

        let written = slow.await.unwrap().unwrap();

        assert_eq!(written.table_version, Some(1 + u64::from(has_table)));
        assert_eq!(rows(&pair.plain, SITE, 22).await, 3);
        assert_eq!(rows(&pair.faulty, SITE, 22).await, 3);
        // What a write tells is its own file, whatever another puts in its place meanwhile
        let again = [files.replace(SITE, 22, 7)];
        let later = transaction("quick", 2);
        pair.plain.write(&again, &later).await.unwrap();
        let of_ours = pair.faulty.file_of(&written, &partition(SITE, 22));
        assert_eq!(of_ours.and_then(|file| file.rows), Some(3));
        assert!(pair.faulty.file_of(&written, &partition(SITE, 1)).is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_writers_of_one_transaction_learns_of_the_first_and_leaves_nothing() {
    let (pair, mut files) = (Pair::new(Fault::Waits), Files::new());
    let slow = pair
        .start(files.replace(SITE, 22, 3), transaction("day", 1))
        .await;
    let quick = [files.replace(SITE, 22, 5)];
    pair.plain
        .write(&quick, &transaction("day", 2))
        .await
        .unwrap();
    assert_eq!(pair.files(), 2);
    pair.store.may_go.notify_one();

    let error = slow.await.unwrap().unwrap_err();

    let (found, expected) = (
        error.to_string(),
        "committed version 2 of `databuddy-jobs/nightly",
    );
    assert!(found.contains(expected), "{found}");
    assert!(matches!(
        error,
        DeltaError::OtherWriter {
            version: 1,
            found: 2,
            ..
        }
    ));
    assert_eq!(rows(&pair.plain, SITE, 22).await, 5);
    assert_eq!(pair.files(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_another_writer_added_meanwhile_is_not_taken_away() {
    let (pair, mut files) = (Pair::new(Fault::Waits), Files::new());
    pair.plain
        .write(&[files.replace(SITE, 1, 1)], &transaction("a", 1))
        .await
        .unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let mut adds = |name: &str, day: u32| Change::Replace {
        partition: partition(SITE, day),
        file: files.stage(vec![(name, Arc::clone(&texts))]),
    };
    let slow = pair.start(adds("b", 2), transaction("b", 1)).await;
    pair.plain
        .write(&[adds("c", 3)], &transaction("c", 1))
        .await
        .unwrap();
    pair.store.may_go.notify_one();
    slow.await.unwrap().unwrap();
    let types = pair.plain.column_types().await.unwrap();
    assert_eq!(types.into_keys().collect::<Vec<_>>(), ["b", "c", "views"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_writers_of_a_new_table_all_commit() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    let table = Arc::new(table);
    let mut tasks = Vec::new();
    for n in 0..6 {
        // Two days, three writers each
        let change = files.replace(SITE, 1 + n % 2, 1 + i64::from(n));
        let table = Arc::clone(&table);
        let transaction = transaction(&n.to_string(), 1);
        tasks.push(tokio::spawn(async move {
            table.write(&[change], &transaction).await
        }));
    }
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap().unwrap().table_version.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, [0, 1, 2, 3, 4, 5]);
    for day in [1, 2] {
        rows(&table, SITE, day).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_dies_before_its_commit_leaves_the_table_as_it_was() {
    let (pair, mut files) = (Pair::new(Fault::Waits), Files::new());
    pair.plain
        .write(&[files.replace(SITE, 22, 3)], &transaction("a", 1))
        .await
        .unwrap();
    let before = pair.plain.live_files(&partition(SITE, 22)).await.unwrap();
    let dying = pair
        .start(files.replace(SITE, 22, 5), transaction("a", 2))
        .await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());

    assert_eq!(
        pair.plain.live_files(&partition(SITE, 22)).await.unwrap(),
        before
    );
    assert_eq!(pair.files(), 2, "its file is left to VACUUM");
    let again = [files.replace(SITE, 22, 6)];
    let written = pair
        .plain
        .write(&again, &transaction("a", 2))
        .await
        .unwrap();
    assert_eq!(written.table_version, Some(1));
    assert_eq!(rows(&pair.plain, SITE, 22).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_known_again() {
    for has_table in [false, true] {
        let (pair, mut files) = (Pair::new(Fault::LosesTheAnswer), Files::new());
        if has_table {
            pair.plain
                .write(&[files.replace(SITE, 1, 1)], &transaction("o", 1))
                .await
                .unwrap();
        }
        let change = [files.replace(SITE, 22, 3)];
        let written = pair
            .faulty
            .write(&change, &transaction("a", 1))
            .await
            .unwrap();
        assert_eq!(written.table_version, Some(u64::from(has_table)));
        assert_eq!(rows(&pair.plain, SITE, 22).await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_commit_that_failed_the_file_is_removed_where_it_cannot_come_late() {
    for is_local in [false, true] {
        let (mut pair, mut files) = (Pair::new(Fault::Fails), Files::new());
        pair.plain
            .write(&[files.replace(SITE, 22, 3)], &transaction("a", 1))
            .await
            .unwrap();
        if is_local {
            let table = Arc::get_mut(&mut pair.faulty).unwrap();
            table.folder.clone_from(&pair.plain.folder);
        }
        let change = [files.replace(SITE, 22, 5)];

        let error = pair
            .faulty
            .write(&change, &transaction("a", 2))
            .await
            .unwrap_err();

        assert_eq!(
            matches!(error, DeltaError::Unsure { .. }),
            !is_local,
            "{error}"
        );
        assert_eq!(pair.files(), if is_local { 1 } else { 2 });
        assert_eq!(rows(&pair.plain, SITE, 22).await, 3);
        let written = pair
            .faulty
            .write(&change, &transaction("a", 2))
            .await
            .unwrap();
        assert_eq!(written.table_version, Some(1));
        assert_eq!(rows(&pair.plain, SITE, 22).await, 5);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_put_in_place_stops_the_write() {
    let (folder, mut files) = (tempfile::tempdir().unwrap(), Files::new());
    let table = Table::in_directory(folder.path(), definition()).unwrap();
    let both = [
        files.replace(SITE, 22, 3),
        files.replace("in_the_way", 22, 3),
    ];
    std::fs::write(folder.path().join("website_id=in_the_way"), "no folder").unwrap();
    let error = table.write(&both, &transaction("a", 1)).await.unwrap_err();
    assert!(matches!(error, DeltaError::File { .. }), "{error}");
    assert_eq!(parquet_files(folder.path()).len(), 0);
    assert!(!folder.path().join("_delta_log").exists());
}
