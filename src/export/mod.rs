//! Files: staged beside the project's state, put in place whole or not at all, manifest last.

mod destination;
mod error;
mod manifest;
mod stage;
mod verify;

pub use destination::Destination;
pub use error::ExportError;
pub use manifest::{Manifest, ManifestColumn, ManifestFile, ManifestWindow, Missing};
pub use stage::{Staged, stage};
pub use verify::Mismatch;
