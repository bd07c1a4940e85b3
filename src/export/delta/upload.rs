//! Data files into the table's folder, and out of it again.

use std::{fs, path::Path};

use deltalake::{
    Path as StorePath,
    logstore::object_store::{ObjectStoreExt, buffered::BufWriter},
};
use tokio::io::AsyncWriteExt;

use super::{DeltaError, Table, file_error, incoming::Incoming};

impl Table {
    /// Copies a local file to `path` below the table, where nothing lies.
    pub(super) async fn upload(&self, from: &Incoming, path: &str) -> Result<(), DeltaError> {
        let to = StorePath::parse(path).map_err(deltalake::ObjectStoreError::from)?;
        let mut writer = BufWriter::new(self.log.object_store(None), to);
        copy(&from.file, &mut writer)
            .await
            .map_err(|source| DeltaError::File {
                path: path.into(),
                what: "written",
                source,
            })?;
        self.make_durable(path)
    }

    /// Removes data files that no commit lists.
    pub(super) async fn discard<'a>(&self, paths: impl Iterator<Item = &'a str>) {
        let store = self.log.object_store(None);
        for path in paths {
            let Ok(at) = StorePath::parse(path) else {
                continue;
            };
            match store.delete(&at).await {
                Ok(()) | Err(deltalake::ObjectStoreError::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(path, %error, "a file that no commit lists could not be removed");
                }
            }
        }
    }

    /// Of a local directory: the file survives a power cut. Stores see to it themselves.
    pub(super) fn make_durable(&self, path: &str) -> Result<(), DeltaError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let file = folder.join(path);
        let sync = |path: &Path| fs::File::open(path).and_then(|file| file.sync_all());
        let parent = file.parent().unwrap_or(folder);
        sync(&file)
            .and_then(|()| sync(parent))
            .map_err(file_error(&file, "written"))
    }
}

async fn copy(from: &Path, to: &mut BufWriter) -> std::io::Result<()> {
    let mut file = tokio::fs::File::open(from).await?;
    if let Err(error) = tokio::io::copy(&mut file, to).await {
        // Not after `shutdown`, where it panics: the store's rule for unfinished uploads has those
        if let Err(error) = to.abort().await {
            tracing::debug!(%error, "an upload could not be aborted");
        }
        return Err(error);
    }
    to.shutdown().await
}
