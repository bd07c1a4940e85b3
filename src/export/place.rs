//! Where files lie: a directory or a bucket, with the same promises. A file appears whole or not at
//! all, and a write on condition replaces nothing that its writer has not seen.

use bytes::Bytes;

use super::{
    ExportError, ManifestFile, Staged, Version,
    bucket::Bucket,
    directory::{Directory, blocking},
};

/// A file of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Below the destination.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// What trying a write told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Whether writes on condition are kept to: of two runners that write the same manifest, one is
    /// told so.
    pub is_conditional: bool,
}

/// A directory or a bucket.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Directory(Directory),
    Bucket(Bucket),
}

impl Place {
    /// The content of a small file and its version; `None` where there is none.
    pub(super) async fn read(&self, path: &str) -> Result<(Option<Bytes>, Version), ExportError> {
        match self {
            Self::Directory(directory) => {
                let content = on_file(directory, path, Directory::read).await?;
                let version = content
                    .as_ref()
                    .map_or_else(Version::absent, |content| Version::of_content(content));
                Ok((content.map(Bytes::from), version))
            }
            Self::Bucket(bucket) => bucket.read(path).await,
        }
    }

    /// Writes a small file, if what lies there is still that version, or this content already; its
    /// version then.
    pub(super) async fn put(
        &self,
        path: &str,
        content: Vec<u8>,
        over: &Version,
    ) -> Result<Version, ExportError> {
        match self {
            Self::Directory(directory) => {
                let over = over.clone();
                on_file(directory, path, move |directory, path| {
                    directory.put(path, &content, &over)?;
                    Ok(Version::of_content(&content))
                })
                .await
            }
            Self::Bucket(bucket) => bucket.put(path, content, over).await,
        }
    }

    /// Puts a staged file in place, whatever lies there.
    pub(super) async fn publish(&self, staged: Staged, path: &str) -> Result<(), ExportError> {
        match self {
            Self::Directory(directory) => {
                on_file(directory, path, move |directory, path| {
                    directory.publish(staged, path)
                })
                .await
            }
            Self::Bucket(bucket) => bucket.publish(staged, path).await,
        }
    }

    /// Whether the listed file lies there. Objects that tell their hash are not read.
    pub(super) async fn has(&self, listed: &ManifestFile) -> Result<bool, ExportError> {
        if let Self::Bucket(bucket) = self
            && let Some(told) = bucket.tells(listed).await?
        {
            return Ok(told);
        }
        let measured = self.measure(&listed.path).await?;
        Ok(
            measured
                .is_some_and(|(bytes, sha256)| bytes == listed.bytes && sha256 == listed.sha256),
        )
    }

    /// Size and SHA-256 (hex) of a file, read to its end; `None` where there is none.
    pub(super) async fn measure(&self, path: &str) -> Result<Option<(u64, String)>, ExportError> {
        match self {
            Self::Directory(directory) => on_file(directory, path, Directory::measure).await,
            Self::Bucket(bucket) => bucket.measure(path).await,
        }
    }

    /// The last bytes of a file, at most so many.
    pub(super) async fn tail(&self, path: &str, most: u64) -> Result<Bytes, ExportError> {
        match self {
            Self::Directory(directory) => {
                on_file(directory, path, move |directory, path| {
                    directory.tail(path, most)
                })
                .await
            }
            Self::Bucket(bucket) => bucket.tail(path, most).await,
        }
    }

    /// All finished files below a folder, by path.
    pub(super) async fn list(&self, below: &str) -> Result<Vec<Listed>, ExportError> {
        match self {
            Self::Directory(directory) => on_file(directory, below, Directory::list).await,
            Self::Bucket(bucket) => bucket.list(below).await,
        }
    }

    /// Where a path lies; of a directory without links, where something lies there.
    pub(super) fn location(&self, path: &str) -> String {
        match self {
            Self::Directory(directory) => directory.location(path),
            Self::Bucket(bucket) => bucket.shown(path),
        }
    }

    /// Removes a file; one that is not there is no error.
    pub(super) async fn remove(&self, path: &str) -> Result<(), ExportError> {
        match self {
            Self::Directory(directory) => on_file(directory, path, Directory::remove).await,
            Self::Bucket(bucket) => bucket.remove(path).await,
        }
    }

    #[cfg(feature = "delta")]
    pub(super) fn delta_table(
        &self,
        below: &str,
        definition: super::delta::Definition,
    ) -> Result<super::delta::Table, super::delta::DeltaError> {
        use super::delta::Table;
        match self {
            Self::Directory(directory) => {
                Table::in_directory(&directory.root().join(below), definition)
            }
            Self::Bucket(bucket) => {
                let store = std::sync::Arc::clone(&bucket.connection.objects);
                let prefix = bucket.url.prefix.trim_matches('/');
                let path = format!("{prefix}/{below}");
                let mut url = url::Url::parse("memory:///").expect("a constant");
                url.set_path(path.trim_matches('/'));
                Table::in_store(store, &url, definition)
            }
        }
    }

    /// Tries a write, and removes it again.
    pub(super) async fn probe(&self) -> Result<Probe, ExportError> {
        match self {
            Self::Directory(directory) => {
                on_file(directory, "", |directory, _| directory.probe()).await?;
                Ok(Probe {
                    is_conditional: true,
                })
            }
            Self::Bucket(bucket) => bucket.probe().await,
        }
    }
}

/// Work on a file of a directory, off the runtime's threads.
async fn on_file<T: Send + 'static>(
    directory: &Directory,
    path: &str,
    work: impl FnOnce(&Directory, &str) -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    let (directory, path) = (directory.clone(), path.to_owned());
    blocking(move || work(&directory, &path)).await
}
