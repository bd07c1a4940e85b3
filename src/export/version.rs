//! Which content of a small file was read, so that a write can say what it replaces.

use object_store::UpdateVersion;
use sha2::{Digest, Sha256};

/// What lay at a path when it was read: a content, or nothing. A write on condition takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(Option<Seen>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    sha256: [u8; 32],
    /// The store's own name of it; `None` in directories, where the content is compared.
    object: Option<(Option<String>, Option<String>)>,
}

impl Version {
    /// Nothing lay there.
    pub fn absent() -> Self {
        Self(None)
    }

    /// Of a file in a directory.
    pub(super) fn of_content(content: &[u8]) -> Self {
        Self(Some(Seen {
            sha256: Sha256::digest(content).into(),
            object: None,
        }))
    }

    /// Of an object.
    pub(super) fn of_object(
        content: &[u8],
        e_tag: Option<String>,
        version: Option<String>,
    ) -> Self {
        Self(Some(Seen {
            sha256: Sha256::digest(content).into(),
            object: Some((e_tag, version)),
        }))
    }

    /// Whether this content lay there.
    pub(super) fn is_of(&self, content: &[u8]) -> bool {
        let seen = self.0.as_ref().map(|seen| seen.sha256);
        seen.is_some_and(|sha256| sha256[..] == Sha256::digest(content)[..])
    }

    /// Whether nothing lay there.
    pub(super) fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// What an object store is told to replace; `None` where nothing lay there.
    pub(super) fn to_update(&self) -> Option<UpdateVersion> {
        self.0.as_ref().map(|seen| {
            let (e_tag, version) = seen.object.clone().unwrap_or_default();
            UpdateVersion { e_tag, version }
        })
    }
}
