//! Journals: which files of a unit are to be removed as soon as its manifest does not list them.
//! `_manifests/JOB/.replaced/UNIT.json`, there only while a run is at it, or was killed.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::{Destination, ExportError, ManifestFile};

/// The folder of journals, which readers of manifests pass over.
const FOLDER: &str = ".replaced";

/// Manifests that are read at once.
const AT_ONCE: usize = 8;

/// As much of a manifest as tells which files it lists, of whatever version.
#[derive(Deserialize)]
struct Paths {
    files: Vec<ListedPath>,
}

#[derive(Deserialize)]
struct ListedPath {
    path: String,
}

impl Destination {
    /// The units that have journals.
    ///
    /// # Errors
    /// The destination cannot be read.
    pub async fn journals(&self) -> Result<Vec<String>, ExportError> {
        let folder = format!("_manifests/{}/{FOLDER}", self.job());
        let listed = self.list(&folder).await?.into_iter();
        let unit = |path: &str| Some(path.rsplit('/').next()?.strip_suffix(".json")?.to_owned());
        Ok(listed.filter_map(|file| unit(&file.path)).collect())
    }

    /// What a journal names; nothing where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read_journal(&self, unit: &str) -> Result<Vec<ManifestFile>, ExportError> {
        let path = self.journal_path(unit);
        let (text, _) = self.read(&path).await?;
        parse(text.as_deref(), &path)
    }

    /// Adds files to the journal of a unit.
    ///
    /// # Errors
    /// Somebody else writes it now, or the destination cannot be written.
    pub async fn write_journal(
        &self,
        unit: &str,
        files: &[ManifestFile],
    ) -> Result<(), ExportError> {
        let path = self.journal_path(unit);
        let (text, version) = self.read(&path).await?;
        let mut all = parse(text.as_deref(), &path)?;
        all.retain(|old| files.iter().all(|new| new.path != old.path));
        all.extend_from_slice(files);
        let text = serde_json::to_vec_pretty(&all).expect("a journal has string keys only");
        self.put(&path, text, &version).await.map(|_| ())
    }

    /// Removes a journal; one that is not there is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove_journal(&self, unit: &str) -> Result<(), ExportError> {
        self.remove(&self.journal_path(unit)).await
    }

    /// For each path that a manifest of whatever job lists in this destination the manifests that do.
    ///
    /// # Errors
    /// A manifest cannot be read.
    pub async fn listings(&self) -> Result<BTreeMap<String, Vec<String>>, ExportError> {
        let journals = format!("/{FOLDER}/");
        let files = self.list("_manifests").await?.into_iter();
        let manifests = files
            .map(|file| file.path)
            .filter(|path| path.ends_with(".json") && !path.contains(&journals));
        let read: Vec<(String, Vec<String>)> = stream::iter(manifests)
            .map(|path| async move {
                let paths = self.paths_in(&path).await;
                paths.map(|paths| (path, paths))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut listings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (manifest, paths) in read {
            for path in paths {
                listings.entry(path).or_default().push(manifest.clone());
            }
        }
        Ok(listings)
    }

    /// Whether a manifest lists a path now.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn lists(&self, manifest: &str, path: &str) -> Result<bool, ExportError> {
        let paths = self.paths_in(manifest).await?;
        Ok(paths.iter().any(|listed| listed == path))
    }

    async fn paths_in(&self, manifest: &str) -> Result<Vec<String>, ExportError> {
        let (text, _) = self.read(manifest).await?;
        let Some(text) = text else {
            return Ok(Vec::new());
        };
        let paths: Paths = serde_json::from_slice(&text).map_err(wrong(manifest))?;
        Ok(paths.files.into_iter().map(|file| file.path).collect())
    }

    fn journal_path(&self, unit: &str) -> String {
        format!("_manifests/{}/{FOLDER}/{unit}.json", self.job())
    }
}

fn parse(text: Option<&[u8]>, path: &str) -> Result<Vec<ManifestFile>, ExportError> {
    let parsed = text.map(|text| serde_json::from_slice(text).map_err(wrong(path)));
    Ok(parsed.transpose()?.unwrap_or_default())
}

fn wrong(path: &str) -> impl FnOnce(serde_json::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Manifest { path, source }
}
