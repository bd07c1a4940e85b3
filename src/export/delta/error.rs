//! What can go wrong with a Delta table.

use std::path::PathBuf;

use deltalake::{DeltaTableError, ObjectStoreError, parquet::errors::ParquetError};

/// What can go wrong with a Delta table.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// A local file or folder cannot be written or read.
    #[error("`{}` cannot be {what}: check its permissions and the free space", .path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no Parquet file.
    #[error("`{}` cannot be read as Parquet", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// A file of the table is not as long as the table says.
    #[error("`{path}` has {found} bytes, the table says {listed}: write its partition again")]
    Size {
        /// Below the table.
        path: String,
        /// Its size.
        found: u64,
        /// What the log says.
        listed: u64,
    },
    /// A column has a type that this program does not write to Delta tables.
    #[error("column `{column}` is {found}, for which this program knows no type of Delta")]
    UnknownType {
        /// The column.
        column: String,
        /// Arrow's name of the type.
        found: String,
    },
    /// A column has another type than before.
    #[error(
        "column `{column}` is {new}, the table has it as {old}: pin its type with `columns`, or write to another table (`to`)"
    )]
    TypeChange {
        /// The column.
        column: String,
        /// Its type in the table, or in an earlier file of the same write.
        old: String,
        /// Its type in the file.
        new: String,
    },
    /// A file has a column that stands in the path.
    #[error(
        "the rows have a column `{column}`, which is one of those that the table is partitioned by"
    )]
    ColumnInPath {
        /// The column.
        column: String,
    },
    /// The table that is there is partitioned by other columns.
    #[error(
        "the table there is partitioned by `{found}`, this one would be by `{wanted}`: choose another place (`to`)"
    )]
    OtherPartitions {
        /// The columns of the table.
        found: String,
        /// Those of the definition.
        wanted: String,
    },
    /// Values do not fit the columns that the table is partitioned by.
    #[error("`{found}` are no values for `{wanted}`")]
    Partition {
        /// The values.
        found: String,
        /// The columns.
        wanted: String,
    },
    /// Two changes of one partition.
    #[error("`{partition}` is changed twice in one write")]
    Twice {
        /// Its path.
        partition: String,
    },
    /// Another writer has committed the same transaction in the meantime.
    #[error(
        "another writer has committed version {found} of `{app_id}` while this one wrote version {version}: its rows stand"
    )]
    OtherWriter {
        /// Whose transaction.
        app_id: String,
        /// The version that was to be committed.
        version: i64,
        /// The version that was.
        found: i64,
    },
    /// Other writers came first every time.
    #[error("other writers of the table came first {attempts} times: try again")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// The store failed at the commit, and does not say whether it is there.
    #[error(
        "the store failed while the commit was written, which may be there or not: run the job again"
    )]
    Unsure {
        /// Why.
        source: Box<DeltaTableError>,
    },
    /// The table cannot be read or written.
    #[error("the Delta table cannot be read or written")]
    Delta(#[source] Box<DeltaTableError>),
}

impl From<DeltaTableError> for DeltaError {
    fn from(error: DeltaTableError) -> Self {
        Self::Delta(Box::new(error))
    }
}

impl From<ObjectStoreError> for DeltaError {
    fn from(error: ObjectStoreError) -> Self {
        DeltaTableError::from(error).into()
    }
}

impl From<deltalake::kernel::Error> for DeltaError {
    fn from(error: deltalake::kernel::Error) -> Self {
        DeltaTableError::from(error).into()
    }
}
