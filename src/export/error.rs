//! What can go wrong with files.

use std::path::PathBuf;

use super::{Answer, Refusal};

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file or folder cannot be written or read.
    #[error("`{}` cannot be {what}: check its permissions and the free space", .path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// An object store refused, or is away.
    #[error("`{url}` cannot be {what}: {remedy}", remedy = .refusal.remedy(.bucket))]
    Store {
        /// The object, or where it would lie.
        url: String,
        /// The bucket's name in `to`.
        bucket: String,
        /// What was tried.
        what: &'static str,
        /// What kind of refusal it is.
        refusal: Refusal,
        /// What the store said.
        source: Answer,
    },
    /// Somebody else has written it since it was read.
    #[error(
        "another runner has written `{path}` meanwhile: nothing was overwritten; run the job again"
    )]
    Conflict {
        /// The file.
        path: String,
    },
    /// Parquet refused the table.
    #[error("the Parquet file cannot be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// CSV or JSON refused the table.
    #[error("the file cannot be written as text")]
    Text(#[source] arrow::error::ArrowError),
    /// The manifest is no manifest.
    #[error(
        "the manifest `{path}` cannot be read: restore it, or delete it to write the window again"
    )]
    Manifest {
        /// The file.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The schema lock is none.
    #[error("the schema lock `{path}` cannot be read: restore it, or delete it to begin a new one")]
    Lock {
        /// The file.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A column would change its type.
    #[error(
        "column `{column}` is {locked} under the schema lock `_schemas/{job}/{query}.json` and would be {wanted}: files of both types side by side read wrong; take the pin in `columns` back, or accept it with --force and write the earlier days again (`backfill {job} --only all --force`)"
    )]
    Locked {
        /// The job's name.
        job: String,
        /// The query's name.
        query: String,
        /// The column.
        column: String,
        /// Its type under the lock.
        locked: String,
        /// The other type.
        wanted: &'static str,
    },
    /// A newer program wrote it.
    #[error("the {what} has version {found}, this program knows {known}: use the newer program")]
    Newer {
        /// What it is.
        what: &'static str,
        /// Its version.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// The numbers there come from elsewhere.
    #[error(
        "the files there come from `{old}`, these would come from `{new}`: choose another destination (`to`), or delete the old files and their manifest"
    )]
    OtherSource {
        /// Where the published numbers come from.
        old: String,
        /// Where the new ones come from.
        new: String,
    },
}

impl ExportError {
    /// Whether somebody else was quicker.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the same may well work a little later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Conflict { .. } => true,
            Self::Store { refusal, .. } => {
                matches!(refusal, Refusal::Unreachable | Refusal::Unavailable)
            }
            _ => false,
        }
    }

    /// What the disk, the store or the parser said.
    pub fn root_cause(&self) -> String {
        let mut cause: &dyn std::error::Error = self;
        while let Some(source) = cause.source() {
            cause = source;
        }
        cause.to_string()
    }

    /// What to do about a destination that cannot be used.
    pub fn remedy(&self) -> String {
        match self {
            Self::Store {
                refusal, bucket, ..
            } => refusal.remedy(bucket),
            _ => "make it writable, or change `to`".to_owned(),
        }
    }
}
