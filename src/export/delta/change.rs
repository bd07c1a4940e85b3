//! What to change of a table, and what came of it.

use std::path::PathBuf;

use deltalake::kernel::LogicalFileView;

use super::Partition;

/// What to do with one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its rows become those of the file.
    Replace {
        /// The partition.
        partition: Partition,
        /// A complete local Parquet file without the partition's columns.
        file: PathBuf,
    },
    /// It loses its rows.
    Remove {
        /// The partition.
        partition: Partition,
    },
}

impl Change {
    pub(super) fn partition(&self) -> &Partition {
        match self {
            Self::Replace { partition, .. } | Self::Remove { partition } => partition,
        }
    }
}

/// What makes a commit happen once: the table keeps the last version of each `app_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Whose: `databuddy-jobs/JOB/QUERY/UNIT`.
    pub app_id: String,
    /// Grows with every intended write of the `app_id`.
    pub version: i64,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The table's version that the commit made; `None`: there was nothing to do, as the table has
    /// seen the transaction, or does not exist and has no rows to remove.
    pub table_version: Option<u64>,
    /// The live files of the partitions, by path.
    pub files: Vec<LiveFile>,
}

/// A file that holds rows of the table now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// Below the table.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Rows in it; `None` where another tool wrote it and did not say.
    pub rows: Option<u64>,
}

impl LiveFile {
    pub(super) fn of(view: &LogicalFileView) -> Self {
        Self {
            path: view.path().into_owned(),
            bytes: u64::try_from(view.size()).unwrap_or(0),
            rows: view.num_records().map(|rows| rows as u64),
        }
    }
}
