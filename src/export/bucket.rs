//! A place in a bucket of an object store.

use std::io::{self, Read};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    path::Path,
};
use sha2::{Digest, Sha256};

use super::{
    Answer, ExportError, Listed, ManifestFile, Probe, Refusal, Staged, Version,
    connection::Connection,
    directory::{UNFINISHED, blocking, file_error},
    upload::Upload,
};
use crate::domain::destination::BucketUrl;

/// What one request carries: files up to this size are put at once, larger ones in parts.
pub(super) const PART_BYTES: u64 = 8 * 1024 * 1024;

/// The name under which an object that was put at once tells its hash.
const HASH: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("sha256"));

/// A place in a bucket.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) url: BucketUrl,
    pub(super) connection: Connection,
}

impl Bucket {
    /// The content of a small object and its version; `None` where there is none.
    pub(super) async fn read(&self, path: &str) -> Result<(Option<Bytes>, Version), ExportError> {
        let fail = |error: object_store::Error| self.fail(path, "read", &error);
        let got = match self.connection.objects.get(&self.key(path)?).await {
            Ok(got) => got,
            Err(error) if is_missing(&error) => return Ok((None, Version::absent())),
            Err(error) => return Err(fail(error)),
        };
        let (e_tag, version) = (got.meta.e_tag.clone(), got.meta.version.clone());
        let content = got.bytes().await.map_err(fail)?;
        let version = Version::of_object(&content, e_tag, version);
        Ok((Some(content), version))
    }

    /// Writes a small object, if what lies there is still that version.
    pub(super) async fn put(
        &self,
        path: &str,
        content: Vec<u8>,
        over: &Version,
    ) -> Result<Version, ExportError> {
        let mode = over.to_update().map_or(PutMode::Create, PutMode::Update);
        let payload = PutPayload::from(content.clone());
        let key = self.key(path)?;
        match self
            .connection
            .objects
            .put_opts(&key, payload, mode.into())
            .await
        {
            Ok(put) => Ok(Version::of_object(&content, put.e_tag, put.version)),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => {
                // A request whose answer was lost is sent again, and then meets its own object
                let (there, version) = self.read(path).await?;
                if there.is_some_and(|there| there == content) {
                    return Ok(version);
                }
                Err(ExportError::Conflict {
                    path: self.shown(path),
                })
            }
            Err(error) => Err(self.fail(path, "written", &error)),
        }
    }

    /// Puts a staged file in place: a reader sees the old object or the whole new one.
    pub(super) async fn publish(&self, staged: Staged, path: &str) -> Result<(), ExportError> {
        let key = self.key(path)?;
        let fail = |error: object_store::Error| self.fail(path, "written", &error);
        if staged.bytes > PART_BYTES {
            return Upload::run(self, path, key, staged).await;
        }
        let mut attributes = Attributes::new();
        attributes.insert(HASH, staged.sha256.clone().into());
        let options = PutOptions {
            attributes,
            ..PutOptions::default()
        };
        let content = blocking(move || {
            let read = |file: &mut std::fs::File| {
                let mut content = Vec::new();
                file.read_to_end(&mut content).map(|_| content)
            };
            let opened = std::fs::File::open(&staged.path);
            let content = opened.and_then(|mut file| read(&mut file));
            content.map_err(file_error(&staged.path, "read"))
        });
        let payload = PutPayload::from(content.await?);
        let put = self.connection.objects.put_opts(&key, payload, options);
        put.await.map(|_| ()).map_err(fail)
    }

    /// Whether the listed file lies there, as far as the object tells by itself. `None`: it was put in
    /// parts, or by others, and must be read.
    pub(super) async fn tells(&self, listed: &ManifestFile) -> Result<Option<bool>, ExportError> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let key = self.key(&listed.path)?;
        let got = match self.connection.objects.get_opts(&key, options).await {
            Ok(got) => got,
            Err(error) if is_missing(&error) => return Ok(Some(false)),
            Err(error) => return Err(self.fail(&listed.path, "read", &error)),
        };
        if got.meta.size != listed.bytes {
            return Ok(Some(false));
        }
        let told = got.attributes.get(&HASH);
        Ok(told.map(|sha256| **sha256 == *listed.sha256))
    }

    /// Size and SHA-256 (hex) of an object, read to its end; `None` where there is none.
    pub(super) async fn measure(&self, path: &str) -> Result<Option<(u64, String)>, ExportError> {
        let fail = |error: object_store::Error| self.fail(path, "read", &error);
        let got = match self.connection.objects.get(&self.key(path)?).await {
            Ok(got) => got,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let (mut bytes, mut hasher) = (0, Sha256::new());
        let mut chunks = got.into_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(fail)? {
            bytes += chunk.len() as u64;
            hasher.update(&chunk);
        }
        Ok(Some((bytes, hex::encode(hasher.finalize()))))
    }

    /// The last bytes of an object, at most so many.
    pub(super) async fn tail(&self, path: &str, most: u64) -> Result<Bytes, ExportError> {
        let fail = |error: object_store::Error| self.fail(path, "read", &error);
        let key = self.key(path)?;
        // Azure takes no ranges that count from the end
        let size = self.connection.objects.head(&key).await.map_err(fail)?.size;
        let options = GetOptions {
            range: Some(GetRange::Bounded(size.saturating_sub(most)..size)),
            ..GetOptions::default()
        };
        let got = self.connection.objects.get_opts(&key, options).await;
        got.map_err(fail)?.bytes().await.map_err(fail)
    }

    /// All finished objects below a folder, by path.
    pub(super) async fn list(&self, below: &str) -> Result<Vec<Listed>, ExportError> {
        let key = self.key(below)?;
        let prefix = (!key.as_ref().is_empty()).then_some(&key);
        let mut found = Vec::new();
        let mut objects = self.connection.objects.list(prefix);
        while let Some(object) = objects.next().await {
            let object =
                object.map_err(|error: object_store::Error| self.fail(below, "listed", &error))?;
            let key = object.location.as_ref();
            let path = key.strip_prefix(self.url.prefix.as_str()).unwrap_or(key);
            let name = path.rsplit('/').next().unwrap_or(path);
            if !name.starts_with(UNFINISHED) {
                found.push(Listed {
                    path: path.trim_start_matches('/').to_owned(),
                    bytes: object.size,
                });
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes an object; one that is not there is no error.
    pub(super) async fn remove(&self, path: &str) -> Result<(), ExportError> {
        match self.connection.objects.delete(&self.key(path)?).await {
            Err(error) if !is_missing(&error) => Err(self.fail(path, "removed", &error)),
            _ => Ok(()),
        }
    }

    /// Tries a write, a read and a write on condition, and removes it all again.
    pub(super) async fn probe(&self) -> Result<Probe, ExportError> {
        let objects = &self.connection.objects;
        // Each its own: of two that try at once, one must not remove what the other has written
        let path = format!("{UNFINISHED}probe-{:08x}", fastrand::u32(..));
        let key = self.key(&path)?;
        let fail = |what| move |error: object_store::Error| self.fail("", what, &error);
        let first = PutPayload::from_static(b"databuddy-jobs");
        objects.put(&key, first).await.map_err(fail("written"))?;
        let again = PutPayload::from_static(b"databuddy-jobs again");
        let again = objects.put_opts(&key, again, PutMode::Create.into()).await;
        let read = objects.get(&key).await;
        self.remove(&path).await?;
        read.map_err(fail("read"))?;
        let is_conditional = match again {
            Ok(_) => false,
            Err(object_store::Error::AlreadyExists { .. }) => true,
            Err(error) if Refusal::of(&error) == Refusal::Unconditional => false,
            Err(error) => return Err(fail("written")(error)),
        };
        Ok(Probe { is_conditional })
    }

    /// The key of a path, as it is: nothing is encoded.
    pub(super) fn key(&self, path: &str) -> Result<Path, ExportError> {
        Path::parse(self.url.key(path)).map_err(|error| self.fail(path, "addressed", &error.into()))
    }

    /// The error of an object; an empty path means the place itself.
    pub(super) fn fail(
        &self,
        path: &str,
        what: &'static str,
        error: &object_store::Error,
    ) -> ExportError {
        ExportError::Store {
            url: self.shown(path),
            bucket: self.url.name.clone(),
            what,
            refusal: Refusal::of(error),
            source: Answer::of(error),
        }
    }

    /// The URL of a path.
    pub(super) fn shown(&self, path: &str) -> String {
        let separator = if path.is_empty() { "" } else { "/" };
        format!("{}{separator}{path}", self.url)
    }
}

/// A bucket that is missing is more than a missing object.
pub(super) fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && Refusal::of(error) != Refusal::NoBucket
}

/// The bytes of a file from an offset on, off the runtime's threads.
pub(super) async fn read_at(
    file: std::sync::Arc<std::fs::File>,
    offset: u64,
    bytes: usize,
) -> io::Result<Vec<u8>> {
    blocking(move || {
        let mut part = vec![0; bytes];
        std::os::unix::fs::FileExt::read_exact_at(&*file, &mut part, offset)?;
        Ok(part)
    })
    .await
}
