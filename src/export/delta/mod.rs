//! Delta tables (<https://github.com/delta-io/delta/blob/master/PROTOCOL.md>): partitions replaced
//! by one commit, at most once per transaction. Only with the cargo feature `delta`.
//!
//! The data files are the program's own Parquet files, put below the table under names never used
//! before; readers see them when the commit that lists them is there, and never a part of it. What
//! a commit replaces stays on disk for time travel: `VACUUM` of any Delta tool clears files that
//! are older than its retention (seven days by default). Those that a killed run left behind are in
//! no commit: a full `VACUUM` clears them (Spark's is, `DeltaTable.vacuum` of Python with `full=True`).
//!
//! Two writers of one table are kept apart by the creation of the commit's file, which the store
//! must refuse where the file exists (local disks do, and S3 with `If-None-Match`). The one that
//! comes second looks at the table again and commits after the first.

mod change;
mod columns;
mod commit;
mod definition;
mod error;
mod incoming;
mod partition;
mod statistics;
#[cfg(test)]
mod tests;
mod upload;

pub use change::{Change, LiveFile, Transaction, Written};
pub use definition::{Definition, PartitionColumn, PartitionKind};
pub use error::DeltaError;
pub use partition::{Partition, PartitionValue};

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use deltalake::{
    ObjectStore, Path as StorePath,
    kernel::{LogicalFileView, StructType},
    logstore::{
        LogStoreConfig, LogStoreRef, StorageConfig, default_logstore, object_store::ObjectStoreExt,
        object_store::local::LocalFileSystem,
    },
    parquet::file::reader::{FileReader, SerializedFileReader},
    table::state::DeltaTableState,
};
use url::Url;

use crate::domain::query::ColumnType;
use commit::Commit;
use incoming::Incoming;

/// A Delta table, which may not exist yet.
pub struct Table {
    definition: Definition,
    log: LogStoreRef,
    /// Where it is a local directory: what is written there is made durable.
    folder: Option<PathBuf>,
}

impl Table {
    /// A table in a local directory, made where it is missing.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn in_directory(folder: &Path, definition: Definition) -> Result<Self, DeltaError> {
        fs::create_dir_all(folder).map_err(file_error(folder, "made"))?;
        let folder = fs::canonicalize(folder).map_err(file_error(folder, "read"))?;
        let url = Url::from_directory_path(&folder).expect("a canonical path is absolute");
        let store = Arc::new(LocalFileSystem::new());
        Ok(Self {
            folder: Some(folder),
            ..Self::in_store(store, &url, definition)?
        })
    }

    /// A table in an object store. The URL's path is the table's place in the store, counted from
    /// the store's root (of S3: the bucket). The store must support `PutMode::Create`.
    ///
    /// # Errors
    /// The path of the URL is none that the store can have.
    pub fn in_store(
        store: Arc<dyn ObjectStore>,
        url: &Url,
        definition: Definition,
    ) -> Result<Self, DeltaError> {
        let config = LogStoreConfig::new(url, StorageConfig::default());
        let prefixed = config.decorate_store(Arc::clone(&store), None)?;
        let log = default_logstore(Arc::from(prefixed), store, url, &StorageConfig::default());
        Ok(Self {
            definition,
            log,
            folder: None,
        })
    }

    /// Replaces the rows of partitions by one commit, and makes the table where it does not exist.
    /// Columns that the table lacks are added to it. A transaction that the table has already seen,
    /// in this version or a later one, does nothing.
    ///
    /// A future that is dropped, and a process that is killed, leave the table as it was or with
    /// the whole commit; data files without a commit are left to a full `VACUUM`.
    ///
    /// # Errors
    /// See [`DeltaError`]. The table is then as before, and the files that were put there are
    /// removed again; with [`DeltaError::Unsure`] neither is known, and the same call again
    /// finds out.
    pub async fn write(
        &self,
        changes: &[Change],
        transaction: &Transaction,
    ) -> Result<Written, DeltaError> {
        self.definition.check(changes)?;
        let incoming = changes.iter().filter_map(Incoming::of);
        let incoming: Vec<Incoming> = incoming.collect::<Result<_, _>>()?;
        let snapshot = self.snapshot().await?;
        let seen = self.last_version(snapshot.as_ref(), transaction).await?;
        let nothing_to_do = snapshot.is_none() && incoming.is_empty();
        if nothing_to_do || seen.is_some_and(|seen| seen >= transaction.version) {
            let files = self.files_of(snapshot.as_ref(), changes)?;
            return Ok(Written {
                table_version: None,
                files,
            });
        }
        // Before anything is copied: a type that does not fit stops here
        columns::merged(&self.definition, snapshot.as_ref(), &incoming)?;
        let commit = Commit::new(self, changes, &incoming, transaction);
        commit.upload_and_run(snapshot).await
    }

    /// The file that a write has left in a partition; `None` where it left none.
    pub fn file_of<'w>(&self, written: &'w Written, partition: &Partition) -> Option<&'w LiveFile> {
        let folder = partition.path(&self.definition);
        let mut files = written.files.iter();
        files.find(|file| {
            let above = file.path.rsplit_once('/').map_or("", |(above, _)| above);
            above == folder
        })
    }

    /// The table's types by column, without those of partitions; empty where there is no table. A
    /// column of nulls alone takes its type from here, so that it fits. Types that this program
    /// does not write are left out.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn column_types(&self) -> Result<BTreeMap<String, ColumnType>, DeltaError> {
        let snapshot = self.snapshot().await?;
        let schema = snapshot.as_ref().map(DeltaTableState::schema);
        let own = |name: &str| self.definition.partition_by.iter().any(|p| p.name == name);
        let fields = schema.iter().flat_map(|schema| schema.fields());
        let typed = fields
            .filter(|field| !own(field.name()))
            .filter_map(|field| {
                let kind = columns::column_type(field.data_type())?;
                Some((field.name().clone(), kind))
            });
        Ok(typed.collect())
    }

    /// The last version of a transaction that the table has seen; `None` where it has seen none.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn last_transaction(&self, app_id: &str) -> Result<Option<i64>, DeltaError> {
        let transaction = Transaction {
            app_id: app_id.to_owned(),
            version: 0,
        };
        let snapshot = self.snapshot().await?;
        self.last_version(snapshot.as_ref(), &transaction).await
    }

    /// The files that hold the partition's rows now, by path; none where there is no table.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn live_files(&self, partition: &Partition) -> Result<Vec<LiveFile>, DeltaError> {
        let snapshot = self.snapshot().await?;
        let change = Change::Remove {
            partition: partition.clone(),
        };
        self.definition.check(std::slice::from_ref(&change))?;
        self.files_of(snapshot.as_ref(), &[change])
    }

    /// How many rows the partition has, by the footers of its files.
    ///
    /// # Errors
    /// The table or a file cannot be read, or a file is not as long as the table says.
    pub async fn count_rows(&self, partition: &Partition) -> Result<u64, DeltaError> {
        let mut rows = 0;
        for file in self.live_files(partition).await? {
            let wrong = |source| DeltaError::Parquet {
                path: PathBuf::from(&file.path),
                source,
            };
            let path = StorePath::parse(&file.path).map_err(deltalake::ObjectStoreError::from)?;
            let bytes = self
                .log
                .object_store(None)
                .get(&path)
                .await?
                .bytes()
                .await?;
            if bytes.len() as u64 != file.bytes {
                return Err(DeltaError::Size {
                    path: file.path.clone(),
                    found: bytes.len() as u64,
                    listed: file.bytes,
                });
            }
            let reader = SerializedFileReader::new(bytes).map_err(wrong)?;
            let found = reader.metadata().file_metadata().num_rows();
            rows += u64::try_from(found).unwrap_or(0);
        }
        Ok(rows)
    }

    /// The table as it is now, or `None` where there is none.
    async fn snapshot(&self) -> Result<Option<DeltaTableState>, DeltaError> {
        if !self.log.is_delta_table_location().await? {
            return Ok(None);
        }
        let snapshot = DeltaTableState::try_new(self.log.as_ref(), None).await?;
        self.definition.check_table(&snapshot)?;
        Ok(Some(snapshot))
    }

    /// The last version of the transaction that the table has seen.
    async fn last_version(
        &self,
        snapshot: Option<&DeltaTableState>,
        transaction: &Transaction,
    ) -> Result<Option<i64>, DeltaError> {
        let Some(snapshot) = snapshot else {
            return Ok(None);
        };
        let version = snapshot.transaction_version(self.log.as_ref(), &transaction.app_id);
        Ok(version.await?)
    }

    fn files_of(
        &self,
        snapshot: Option<&DeltaTableState>,
        changes: &[Change],
    ) -> Result<Vec<LiveFile>, DeltaError> {
        let views = self.views_of(snapshot, changes)?;
        let mut files: Vec<LiveFile> = views.iter().map(LiveFile::of).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// What the log says of the live files of the partitions.
    fn views_of(
        &self,
        snapshot: Option<&DeltaTableState>,
        changes: &[Change],
    ) -> Result<Vec<LogicalFileView>, DeltaError> {
        let Some(snapshot) = snapshot else {
            return Ok(Vec::new());
        };
        let values = changes
            .iter()
            .map(|c| c.partition().values(&self.definition));
        let values: Vec<_> = values.collect();
        let all = snapshot.snapshot().try_log_data()?;
        let of_partitions = all
            .iter()
            .filter(|f| values.contains(&f.partition_values_map()));
        Ok(of_partitions.collect())
    }

    fn schema_of(snapshot: Option<&DeltaTableState>) -> Option<Arc<StructType>> {
        snapshot.map(DeltaTableState::schema)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.log.root_url().as_str();
        f.debug_struct("Table")
            .field("url", &url)
            .field("definition", &self.definition)
            .finish_non_exhaustive()
    }
}

fn file_error(path: &Path, what: &'static str) -> impl Fn(std::io::Error) -> DeltaError + use<> {
    let path = path.to_owned();
    move |source| DeltaError::File {
        path: path.clone(),
        what,
        source,
    }
}
