//! One write: files up, one commit, again after the commits of others.

use std::time::Duration;

use deltalake::{
    DeltaTableError,
    kernel::{
        Action, Add, MetadataExt, Protocol,
        transaction::{CommitBuilder, CommitProperties, PostCommit, TableReference},
    },
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
};
use serde_json::{Value, json};

use super::{
    Change, DeltaError, LiveFile, Table, Transaction, Written, columns, incoming::Incoming,
};

/// How often others may come first.
const ATTEMPTS: u32 = 15;

/// The key of a write's id in the information of its commit.
const WRITE_ID: &str = "databuddyJobsWrite";

/// One write of a table.
pub(super) struct Commit<'a> {
    table: &'a Table,
    changes: &'a [Change],
    files: Vec<(&'a Incoming, String)>,
    incoming: &'a [Incoming],
    transaction: &'a Transaction,
    /// Random: names of files that were never used, and the mark by which a commit is known again.
    id: String,
}

impl<'a> Commit<'a> {
    pub(super) fn new(
        table: &'a Table,
        changes: &'a [Change],
        incoming: &'a [Incoming],
        transaction: &'a Transaction,
    ) -> Self {
        let id = format!("{:032x}", fastrand::u128(..));
        let files = incoming.iter().enumerate().map(|(n, file)| {
            let folder = file.partition.path(&table.definition);
            let slash = if folder.is_empty() { "" } else { "/" };
            (file, format!("{folder}{slash}part-{n:05}-{id}.parquet"))
        });
        Self {
            table,
            changes,
            files: files.collect(),
            incoming,
            transaction,
            id,
        }
    }

    /// Puts the files in place and commits them; after an error they are gone again.
    pub(super) async fn upload_and_run(
        &self,
        snapshot: Option<DeltaTableState>,
    ) -> Result<Written, DeltaError> {
        let done = match self.upload().await {
            Ok(()) => self.run(snapshot).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(version) => Ok(self.written(version)),
            // A commit that may be there lists them
            Err(error @ DeltaError::Unsure { .. }) => Err(error),
            Err(error) => {
                self.table
                    .discard(self.files.iter().map(|(_, path)| path.as_str()))
                    .await;
                Err(error)
            }
        }
    }

    async fn upload(&self) -> Result<(), DeltaError> {
        for (file, path) in &self.files {
            self.table.upload(file, path).await?;
        }
        Ok(())
    }

    fn written(&self, version: u64) -> Written {
        let files = self.files.iter().map(|(file, path)| LiveFile {
            path: path.clone(),
            bytes: file.bytes,
            rows: Some(file.rows),
        });
        let mut files: Vec<LiveFile> = files.collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Written {
            table_version: Some(version),
            files,
        }
    }

    /// Commits on top of the table as it is, however often it changes meanwhile. The conflict check
    /// of the crate is not used: without `DataFusion` it does not see two writers fill the same
    /// empty partition, which then would have both files.
    async fn run(&self, mut snapshot: Option<DeltaTableState>) -> Result<u64, DeltaError> {
        for attempt in 1..=ATTEMPTS {
            if let Some(version) = self.attempt(snapshot.as_ref()).await? {
                return Ok(version);
            }
            let longest_ms = 25 * u64::from(attempt);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..=longest_ms))).await;
            snapshot = self.table.snapshot().await?;
            self.check_others(snapshot.as_ref()).await?;
        }
        Err(DeltaError::Busy { attempts: ATTEMPTS })
    }

    async fn check_others(&self, snapshot: Option<&DeltaTableState>) -> Result<(), DeltaError> {
        let found = self.table.last_version(snapshot, self.transaction).await?;
        match found {
            Some(found) if found >= self.transaction.version => Err(DeltaError::OtherWriter {
                app_id: self.transaction.app_id.clone(),
                version: self.transaction.version,
                found,
            }),
            _ => Ok(()),
        }
    }

    /// One try; `None` where another commit came first.
    async fn attempt(&self, snapshot: Option<&DeltaTableState>) -> Result<Option<u64>, DeltaError> {
        let version = snapshot.map_or(0, |table| table.version() + 1);
        let transaction =
            deltalake::kernel::Transaction::new(&self.transaction.app_id, self.transaction.version);
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_application_transaction(transaction)
            .with_metadata([(WRITE_ID.to_owned(), Value::from(self.id.as_str()))]);
        let commit = CommitBuilder::from(properties)
            .with_actions(self.actions(snapshot)?)
            .build(
                snapshot.map(|table| table as &dyn TableReference),
                self.table.log.clone(),
                self.operation(),
            );
        match commit.into_prepared_commit_future().await?.await {
            Ok(done) => {
                self.finish(done).await;
                Ok(Some(version))
            }
            Err(error) => self.look(version, error).await,
        }
    }

    /// What a failed commit has left: ours where only the answer was lost, or another's.
    async fn look(&self, version: u64, error: DeltaTableError) -> Result<Option<u64>, DeltaError> {
        let is_local = self.table.folder.is_some();
        match self.table.log.read_commit_entry(version).await {
            Ok(Some(text)) if String::from_utf8_lossy(&text).contains(&self.id) => {
                Ok(Some(version))
            }
            Ok(Some(_)) => Ok(None),
            Ok(None) if is_local => Err(error.into()),
            // A store may still be about to write it
            Ok(None) | Err(_) => Err(DeltaError::Unsure {
                source: Box::new(error),
            }),
        }
    }

    /// The commit is there: what follows may fail without harm, as the next commit does it again.
    async fn finish(&self, done: PostCommit) {
        let log = format!("_delta_log/{:020}.json", done.version);
        if let Err(error) = self.table.make_durable(&log) {
            tracing::warn!(%error, "the commit is written, and may be lost in a power cut");
        }
        if let Err(error) = done.await {
            tracing::warn!(%error, "the commit is written, the checkpoint after it is not");
        }
    }

    fn operation(&self) -> DeltaOperation {
        let definition = &self.table.definition;
        let partitions = self.changes.iter().map(Change::partition);
        let conditions: Vec<String> = partitions.map(|p| p.predicate(definition)).collect();
        DeltaOperation::Write {
            mode: SaveMode::Overwrite,
            partition_by: Some(definition.partition_names()),
            predicate: Some(conditions.join(" OR ")),
        }
    }

    fn actions(&self, snapshot: Option<&DeltaTableState>) -> Result<Vec<Action>, DeltaError> {
        let definition = &self.table.definition;
        let mut actions = Vec::new();
        let schema = columns::merged(definition, snapshot, self.incoming)?;
        match (snapshot, schema) {
            (_, None) => {}
            (None, Some(schema)) => {
                actions.push(Action::Protocol(protocol()));
                actions.push(Action::Metadata(definition.metadata(&schema)?));
            }
            (Some(table), Some(schema)) => {
                let grown = table.metadata().clone().with_schema(&schema)?;
                actions.push(Action::Metadata(grown));
            }
        }
        let old = self.table.views_of(snapshot, self.changes)?;
        actions.extend(
            old.iter()
                .map(|file| Action::Remove(file.remove_action(true))),
        );
        actions.extend(
            self.files
                .iter()
                .map(|(file, path)| Action::Add(self.add(file, path))),
        );
        Ok(actions)
    }

    fn add(&self, file: &Incoming, path: &str) -> Add {
        Add {
            path: path.to_owned(),
            partition_values: file.partition.values(&self.table.definition),
            size: i64::try_from(file.bytes).expect("no file has 2^63 bytes"),
            modification_time: file.modified_ms,
            data_change: true,
            stats: Some(file.statistics.clone()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        }
    }
}

/// The oldest that has all we need: every reader of Delta tables knows it.
fn protocol() -> Protocol {
    let versions = json!({ "minReaderVersion": 1, "minWriterVersion": 2 });
    serde_json::from_value(versions).expect("these versions are known and have no features")
}
