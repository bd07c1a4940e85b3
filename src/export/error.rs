//! What can go wrong with files.

use std::path::PathBuf;

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
    /// Parquet refused the table.
    #[error("the Parquet file cannot be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// CSV or JSON refused the table.
    #[error("the file cannot be written as text")]
    Text(#[source] arrow::error::ArrowError),
    /// The manifest is no manifest.
    #[error("the manifest `{}` cannot be read: restore it, or delete it to write the window again", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A newer program wrote the manifest.
    #[error("the manifest has version {found}, this program knows {known}: use the newer program")]
    Newer {
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
