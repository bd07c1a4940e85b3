//! Opens destinations, and ends what killed runs left open there.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::{
    Answer, Destination, ExportError, Probe, Refusal,
    bucket::Bucket,
    connection::Connection,
    directory::{Directory, blocking},
    place::Place,
    upload::{Record, give_up},
};
use crate::domain::destination::{BucketAccess, BucketUrl, Cloud, DestinationUrl};

/// Of a request that a store answers with 5xx, or not at all: up to half a minute in all.
const RETRIES: usize = 8;

/// The same where somebody waits for the answer, or nothing depends on it.
const FEW_RETRIES: usize = 1;

/// How buckets are reached. A bucket is connected to once.
#[derive(Debug)]
pub struct Destinations {
    access: BTreeMap<String, BucketAccess>,
    retries: usize,
    open: Mutex<BTreeMap<(Cloud, String), Connection>>,
}

impl Default for Destinations {
    /// Every bucket as its cloud usually is.
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

impl Destinations {
    /// With what the settings say of buckets, by the name that destinations give them.
    pub fn new(access: BTreeMap<String, BucketAccess>) -> Self {
        Self {
            access,
            retries: RETRIES,
            open: Mutex::default(),
        }
    }

    /// The same, where a request is tried again so often; default 8.
    #[must_use]
    pub fn with_retries(self, retries: usize) -> Self {
        Self { retries, ..self }
    }

    /// A destination as a job sees it. Nothing is made, asked or sent yet.
    ///
    /// # Errors
    /// The entry of a bucket contradicts itself, or its credentials cannot be read.
    pub fn open(&self, to: &DestinationUrl, job: &str) -> Result<Destination, ExportError> {
        let place = match to {
            DestinationUrl::Directory(root) => Place::Directory(Directory::new(root, job)),
            DestinationUrl::Bucket(url) => {
                let key = (url.cloud, url.name.clone());
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                let known = open.get(&key).cloned();
                let connection = known.map_or_else(|| self.connect(url, self.retries), Ok)?;
                open.insert(key, connection.clone());
                Place::Bucket(Bucket {
                    url: url.clone(),
                    connection,
                })
            }
        };
        Ok(Destination::new(place, job))
    }

    /// Tries a write at a destination, and removes it again.
    ///
    /// # Errors
    /// It cannot be written, read and removed there; [`ExportError::remedy`] says what to do.
    pub async fn probe(&self, to: &DestinationUrl, job: &str) -> Result<Probe, ExportError> {
        let place = match to {
            DestinationUrl::Directory(root) => Place::Directory(Directory::new(root, job)),
            DestinationUrl::Bucket(url) => Place::Bucket(self.bucket_in_haste(url.clone())?),
        };
        place.probe().await
    }

    /// Removes the staging folders of runs that are not alive, and aborts the uploads that they left
    /// open. A folder is called as its run. Where a store is away the record of its upload stays, and
    /// a warning is written.
    pub async fn sweep(&self, staging: &Path, is_alive: impl Fn(&str) -> bool) {
        let entries = fs::read_dir(staging).into_iter().flatten().flatten();
        let is_dead = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            entry.path().is_dir() && name.to_str().is_some_and(|run| !is_alive(run))
        };
        for entry in entries.filter(is_dead).collect::<Vec<_>>() {
            let folder = entry.path();
            for (file, record) in Record::all(&folder) {
                self.abort(&record, &file).await;
            }
            let removed = folder.clone();
            if let Err(error) = blocking(move || clear_staging(&removed)).await {
                tracing::warn!(path = %folder.display(), %error, "the staging folder of a dead run could not be removed");
            }
        }
    }

    async fn abort(&self, record: &Record, file: &Path) {
        let Ok(url) = BucketUrl::parse(&record.url) else {
            return;
        };
        let key = |bucket: Bucket| Ok((bucket.key(&record.path)?, bucket.connection));
        let (key, connection) = match self.bucket_in_haste(url).and_then(key) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(url = %record.url, %error, "an upload of a dead run could not be aborted");
                return;
            }
        };
        give_up(&connection, &key, &record.upload_id, Some(file)).await;
    }

    fn bucket_in_haste(&self, url: BucketUrl) -> Result<Bucket, ExportError> {
        let connection = self.connect(&url, FEW_RETRIES.min(self.retries))?;
        Ok(Bucket { url, connection })
    }

    fn connect(&self, url: &BucketUrl, retries: usize) -> Result<Connection, ExportError> {
        let none = BucketAccess::default();
        let access = self.access.get(&url.name).unwrap_or(&none);
        Connection::new(url.cloud, &url.name, access, retries).map_err(|source| {
            ExportError::Store {
                url: url.to_string(),
                bucket: url.name.clone(),
                what: "connected to",
                refusal: Refusal::of(&source),
                source: Answer::of(&source),
            }
        })
    }
}

/// Removes a staging folder with its files, except for the records of uploads that are still open:
/// [`Destinations::sweep`] ends those. One that is not there is no error.
///
/// # Errors
/// A file cannot be removed.
pub fn clear_staging(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let open = Record::all(folder);
    if open.is_empty() {
        return fs::remove_dir_all(folder);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else if !open.iter().any(|(record, _)| *record == path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
