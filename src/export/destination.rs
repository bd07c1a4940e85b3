//! A destination as a job sees it: its files, and the manifests that make them complete.

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    ExportError, Listed, Manifest, ManifestFile, SchemaLock, Staged, Version, place::Place,
};

/// Manifests that are read at once.
const AT_ONCE: usize = 8;

/// A directory, or a place in a bucket, with the files of a job. [`super::Destinations`] opens it.
#[derive(Debug, Clone)]
pub struct Destination {
    place: Place,
    job: String,
}

impl Destination {
    pub(super) fn new(place: Place, job: &str) -> Self {
        Self {
            place,
            job: job.to_owned(),
        }
    }

    /// Puts a staged file in place, whatever lies there: a reader sees the old file or the whole new one,
    /// also where the future is dropped half-way. A staged file on the same disk is renamed, any other is
    /// copied; an object above 8 MiB goes up in parts, which are aborted where it is not completed.
    ///
    /// # Errors
    /// The destination cannot be written or is full; the old file is then untouched.
    pub async fn publish(&self, staged: Staged, path: &str) -> Result<(), ExportError> {
        self.place.publish(staged, path).await
    }

    /// Whether the file lies there with the bytes that the manifest lists. An object that this program has
    /// put at once tells its hash, and is not read.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub async fn matches(&self, listed: &ManifestFile) -> Result<bool, ExportError> {
        self.place.has(listed).await
    }

    /// The manifest of a unit (`2026-11-22`, or `START_END`), or `None` where there is none, and the
    /// version that [`Self::write_manifest`] replaces.
    ///
    /// # Errors
    /// It cannot be read, or a newer program wrote it.
    pub async fn read_manifest(
        &self,
        unit: &str,
    ) -> Result<(Option<Manifest>, Version), ExportError> {
        let path = self.manifest_path(unit);
        let (text, version) = self.place.read(&path).await?;
        let manifest = text.map(|text| Manifest::parse(&text, &path)).transpose()?;
        Ok((manifest, version))
    }

    /// Puts a manifest in place of the version that was read. One that says the same writes nothing.
    ///
    /// # Errors
    /// [`ExportError::Conflict`]: somebody has written it since. Or the destination cannot be written.
    pub async fn write_manifest(
        &self,
        unit: &str,
        manifest: &Manifest,
        over: &Version,
    ) -> Result<Version, ExportError> {
        let text = manifest.to_text().into_bytes();
        self.put(&self.manifest_path(unit), text, over).await
    }

    /// All manifests of the job, by unit (a day, or `START_END`), and why one cannot be read.
    ///
    /// # Errors
    /// The destination cannot be read.
    pub async fn manifests(
        &self,
    ) -> Result<Vec<(String, Result<Manifest, ExportError>)>, ExportError> {
        let folder = format!("_manifests/{}/", self.job);
        let listed = self.place.list(folder.trim_end_matches('/')).await?;
        let units = listed.into_iter().filter_map(|file| {
            let unit = file.path.strip_prefix(&folder)?.strip_suffix(".json")?;
            (!unit.contains('/') && !unit.starts_with('.')).then(|| unit.to_owned())
        });
        let manifests = stream::iter(units)
            .map(|unit| async move {
                let read = self.read_manifest(&unit).await;
                (unit, read.map(|(manifest, _)| manifest))
            })
            .buffered(AT_ONCE);
        // One that was removed since it was listed is none any more
        let there = manifests.filter_map(async |(unit, read)| Some((unit, read.transpose()?)));
        Ok(there.collect().await)
    }

    /// The job that it is seen by.
    pub(super) fn job(&self) -> &str {
        &self.job
    }

    /// Where a path lies, whatever name leads there: two locations are equal where two files are one.
    pub fn location(&self, path: &str) -> String {
        self.place.location(path)
    }

    /// The content of a small file and its version; `None` where there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub async fn read(&self, path: &str) -> Result<(Option<Bytes>, Version), ExportError> {
        self.place.read(path).await
    }

    /// Writes a small file, if what lies there is still the version that was read; its version then.
    /// Where this content lies there already nothing is written, and it is no conflict.
    ///
    /// # Errors
    /// [`ExportError::Conflict`]: somebody has written something else since. Or the destination
    /// cannot be written.
    pub async fn put(
        &self,
        path: &str,
        content: Vec<u8>,
        over: &Version,
    ) -> Result<Version, ExportError> {
        if over.is_of(&content) {
            return Ok(over.clone());
        }
        self.place.put(path, content, over).await
    }

    /// Size and SHA-256 (hex) of a file, read to its end; `None` where there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub async fn measure(&self, path: &str) -> Result<Option<(u64, String)>, ExportError> {
        self.place.measure(path).await
    }

    /// The last bytes of a file, at most so many: the footer of a Parquet file.
    ///
    /// # Errors
    /// It is missing, or cannot be read.
    pub async fn tail(&self, path: &str, most: u64) -> Result<Bytes, ExportError> {
        self.place.tail(path, most).await
    }

    /// All finished files below a folder, by path; empty for the whole destination.
    ///
    /// # Errors
    /// The destination cannot be read. One that is missing is empty, a missing bucket is an error.
    pub async fn list(&self, below: &str) -> Result<Vec<Listed>, ExportError> {
        self.place.list(below).await
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove(&self, path: &str) -> Result<(), ExportError> {
        self.place.remove(path).await
    }

    /// The schema lock of a query, or `None` where there is none, and the version that
    /// [`Self::write_lock`] replaces.
    ///
    /// # Errors
    /// It cannot be read, or a newer program wrote it.
    pub async fn read_lock(
        &self,
        query: &str,
    ) -> Result<(Option<SchemaLock>, Version), ExportError> {
        let path = self.lock_path(query);
        let (text, version) = self.place.read(&path).await?;
        let lock = text
            .map(|text| SchemaLock::parse(&text, &path))
            .transpose()?;
        Ok((lock, version))
    }

    /// Puts a schema lock in place of the version that was read.
    ///
    /// # Errors
    /// [`ExportError::Conflict`]: somebody has written it since. Or the destination cannot be written.
    pub async fn write_lock(
        &self,
        query: &str,
        lock: &SchemaLock,
        over: &Version,
    ) -> Result<Version, ExportError> {
        let text = lock.to_text().into_bytes();
        self.put(&self.lock_path(query), text, over).await
    }

    /// The Delta table of a query.
    ///
    /// # Errors
    /// Its folder cannot be made.
    #[cfg(feature = "delta")]
    pub fn delta_table(
        &self,
        query: &str,
        definition: super::delta::Definition,
    ) -> Result<super::delta::Table, super::delta::DeltaError> {
        self.place.delta_table(query, definition)
    }

    /// All schema locks of the job.
    ///
    /// # Errors
    /// The destination or a lock cannot be read.
    pub async fn locks(&self) -> Result<Vec<SchemaLock>, ExportError> {
        let folder = format!("_schemas/{}/", self.job);
        let mut locks = Vec::new();
        for file in self.place.list(folder.trim_end_matches('/')).await? {
            let query = file.path.strip_prefix(&folder);
            if let Some(query) = query.and_then(|name| name.strip_suffix(".json")) {
                locks.extend(self.read_lock(query).await?.0);
            }
        }
        Ok(locks)
    }

    fn lock_path(&self, query: &str) -> String {
        format!("_schemas/{}/{query}.json", self.job)
    }

    fn manifest_path(&self, unit: &str) -> String {
        format!("_manifests/{}/{unit}.json", self.job)
    }
}
