//! A multipart upload: nothing is visible until it is complete, and it is aborted wherever it is not.
//! A file in the staging folder tells of it as long as it is open, for a run that is killed.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::{MultipartId, PutPayload, multipart::PartId, path::Path};
use serde::{Deserialize, Serialize};

use super::{
    ExportError, Staged,
    bucket::{Bucket, PART_BYTES, read_at},
    connection::Connection,
    directory::{blocking, file_error},
};

/// Parts on their way at once: they decide the memory, 32 MiB.
const AT_ONCE: usize = 4;

/// Of one upload. Source: "Amazon S3 multipart upload limits"; the others take more.
const MOST_PARTS: u64 = 10_000;

/// How the files are called that tell of open uploads.
const RECORD: &str = "upload-";

/// What is written down of an open upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// `s3://name/prefix`.
    pub(super) url: String,
    /// Below it.
    pub(super) path: String,
    /// The store's name of the upload.
    pub(super) upload_id: MultipartId,
}

impl Record {
    /// The records in a folder, with their files. One that was cut off while it was written is left
    /// out: its upload has no parts yet.
    pub(super) fn all(folder: &FilePath) -> Vec<(PathBuf, Self)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let is_ours = |name: &str| name.starts_with(RECORD);
        entries
            .filter(|entry| entry.file_name().to_str().is_some_and(is_ours))
            .filter_map(|entry| {
                let text = fs::read(entry.path()).ok()?;
                Some((entry.path(), serde_json::from_slice(&text).ok()?))
            })
            .collect()
    }

    /// Writes it to a file of its own in the folder, durably.
    fn write(&self, folder: &FilePath) -> Result<PathBuf, ExportError> {
        let fail = file_error(folder, "written");
        let mut file = tempfile::Builder::new()
            .prefix(RECORD)
            .suffix(".json")
            .tempfile_in(folder)
            .map_err(&fail)?;
        let text = serde_json::to_vec(self).expect("a record has string keys only");
        file.write_all(&text).map_err(&fail)?;
        file.as_file().sync_all().map_err(&fail)?;
        let (_, path) = file.keep().map_err(|error| fail(error.error))?;
        let opened = fs::File::open(folder).and_then(|folder| folder.sync_all());
        opened.map_err(&fail)?;
        Ok(path)
    }
}

/// An upload that is open until it is completed or given up.
pub(super) struct Upload {
    connection: Connection,
    key: Path,
    id: MultipartId,
    /// The file that tells of it.
    record: Option<PathBuf>,
    is_open: bool,
}

impl Upload {
    /// Uploads a staged file. On any error, and where the future is dropped, nothing stays behind.
    pub(super) async fn run(
        bucket: &Bucket,
        path: &str,
        key: Path,
        staged: Staged,
    ) -> Result<(), ExportError> {
        let fail = |error: object_store::Error| bucket.fail(path, "written", &error);
        let connection = bucket.connection.clone();
        let id = connection.uploads.create_multipart(&key).await;
        let mut upload = Self {
            connection,
            key,
            id: id.map_err(fail)?,
            record: None,
            is_open: true,
        };
        let sent = match upload.write_record(bucket, path, &staged).await {
            Ok(()) => upload.send(bucket, path, &staged).await,
            Err(error) => Err(error),
        };
        let done = match sent {
            Ok(parts) => {
                let uploads = &upload.connection.uploads;
                let put = uploads.complete_multipart(&upload.key, &upload.id, parts);
                put.await.map(|_| ()).map_err(fail)
            }
            Err(error) => Err(error),
        };
        if done.is_err() {
            let record = upload.record.as_deref();
            give_up(&upload.connection, &upload.key, &upload.id, record).await;
        } else if let Some(record) = &upload.record {
            remove(record);
        }
        upload.is_open = false;
        done
    }

    async fn write_record(
        &mut self,
        bucket: &Bucket,
        path: &str,
        staged: &Staged,
    ) -> Result<(), ExportError> {
        let record = Record {
            url: bucket.url.to_string(),
            path: path.to_owned(),
            upload_id: self.id.clone(),
        };
        let folder = staged.path.parent().map(FilePath::to_owned);
        let folder = folder.expect("a staged file lies in a folder");
        self.record = Some(blocking(move || record.write(&folder)).await?);
        Ok(())
    }

    /// Sends all parts, a few at once.
    async fn send(
        &self,
        bucket: &Bucket,
        path: &str,
        staged: &Staged,
    ) -> Result<Vec<PartId>, ExportError> {
        let read_error = file_error(&staged.path, "read");
        let file = Arc::new(fs::File::open(&staged.path).map_err(&read_error)?);
        let size = part_size(staged.bytes);
        let offsets = (0..).map(|n| n * size).take_while(|at| *at < staged.bytes);
        stream::iter(offsets.enumerate())
            .map(|(index, offset)| {
                let (file, read_error) = (Arc::clone(&file), &read_error);
                let bytes = usize::try_from(size.min(staged.bytes - offset));
                async move {
                    let bytes = bytes.expect("a part fits into memory");
                    let part = read_at(file, offset, bytes).await.map_err(read_error)?;
                    let uploads = &self.connection.uploads;
                    let put = uploads.put_part(&self.key, &self.id, index, PutPayload::from(part));
                    put.await
                        .map_err(|error: object_store::Error| bucket.fail(path, "written", &error))
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }
}

impl Drop for Upload {
    /// The future was dropped: what it began is ended without it. Where the program ends first, the
    /// record stays, and the next start does it.
    fn drop(&mut self) {
        if self.is_open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let connection = self.connection.clone();
            let (key, id, record) = (self.key.clone(), self.id.clone(), self.record.take());
            runtime.spawn(async move {
                give_up(&connection, &key, &id, record.as_deref()).await;
            });
        }
    }
}

/// Ends an upload without a result; its record goes with it.
pub(super) async fn give_up(
    connection: &Connection,
    key: &Path,
    id: &MultipartId,
    record: Option<&FilePath>,
) {
    match connection.uploads.abort_multipart(key, id).await {
        // One that is not known any more has ended
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {
            if let Some(record) = record {
                remove(record);
            }
        }
        Err(error) => {
            tracing::warn!(%key, %error, "an unfinished upload could not be aborted; the next start tries again");
        }
    }
}

fn remove(record: &FilePath) {
    // Its folder may have gone before it
    if let Err(error) = fs::remove_file(record)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %record.display(), %error, "the record of an upload could not be removed");
    }
}

/// Eight MiB, or what a file needs to have no more parts than a store takes. All but the last have
/// the same size, as R2 wants it.
fn part_size(bytes: u64) -> u64 {
    bytes.div_ceil(MOST_PARTS).max(PART_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_size_has_no_more_parts_than_a_store_takes() {
        for bytes in [1, PART_BYTES + 1, PART_BYTES * MOST_PARTS, 5 << 40] {
            let size = part_size(bytes);
            assert!(size >= PART_BYTES && bytes.div_ceil(size) <= MOST_PARTS);
        }
    }
}
