//! Files: staged beside the project's state, put in place whole or not at all, manifest last.

mod bucket;
mod columnar;
mod connection;
mod csv;
#[cfg(feature = "delta")]
pub mod delta;
mod destination;
mod destinations;
mod directory;
mod error;
mod hashed;
mod journal;
mod lock;
mod manifest;
mod place;
mod refusal;
mod spill;
mod stage;
mod text;
mod upload;
mod verify;
mod version;

pub use destination::Destination;
pub use destinations::{Destinations, clear_staging};
pub use error::ExportError;
pub use journal::Journal;
pub use lock::{FoundColumn, LockedColumn, SchemaLock};
pub use manifest::{
    Change, Manifest, ManifestColumn, ManifestFile, ManifestWindow, Missing, Revision,
};
pub use place::{Listed, Probe};
pub use refusal::{Answer, Refusal};
pub use stage::{FileStyle, Stage, Staged};
pub use verify::Mismatch;
pub use version::Version;

#[cfg(test)]
mod tests;
