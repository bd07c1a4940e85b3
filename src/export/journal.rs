//! Journals: files of a unit that its manifest does not list, or will not soon. `_manifests/JOB/.replaced/UNIT.json`
//! and `_manifests/JOB/.begun/UNIT.json`, there only while a run is at it, or was killed.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::{Destination, ExportError, ManifestFile};

/// What the files are that a journal names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// To be removed as soon as the manifest does not list them.
    Replaced,
    /// About to be put in place for the first time: the manifest comes after them.
    Begun,
}

impl Journal {
    /// The folder, which readers of manifests pass over.
    fn folder(self) -> &'static str {
        match self {
            Self::Replaced => ".replaced",
            Self::Begun => ".begun",
        }
    }
}

/// How often a journal is written again that somebody else has written meanwhile.
const TRIES: usize = 4;

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
    pub async fn journals(&self, journal: Journal) -> Result<Vec<String>, ExportError> {
        let folder = format!("_manifests/{}/{}", self.job(), journal.folder());
        let listed = self.list(&folder).await?.into_iter();
        let unit = |path: &str| Some(path.rsplit('/').next()?.strip_suffix(".json")?.to_owned());
        Ok(listed.filter_map(|file| unit(&file.path)).collect())
    }

    /// What a journal names; nothing where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read_journal(
        &self,
        journal: Journal,
        unit: &str,
    ) -> Result<Vec<ManifestFile>, ExportError> {
        let path = self.journal_path(journal, unit);
        let (text, _) = self.read(&path).await?;
        parse(text.as_deref(), &path)
    }

    /// Adds files to the journal of a unit.
    ///
    /// # Errors
    /// Others write it all the time, or the destination cannot be written.
    pub async fn write_journal(
        &self,
        journal: Journal,
        unit: &str,
        files: &[ManifestFile],
    ) -> Result<(), ExportError> {
        let path = self.journal_path(journal, unit);
        for turn in 1.. {
            let (text, version) = self.read(&path).await?;
            let mut all = parse(text.as_deref(), &path)?;
            all.retain(|old| files.iter().all(|new| new.path != old.path));
            all.extend_from_slice(files);
            let text = serde_json::to_vec_pretty(&all).expect("a journal has string keys only");
            match self.put(&path, text, &version).await {
                Err(error) if error.is_conflict() && turn < TRIES => {}
                done => return done.map(|_| ()),
            }
        }
        Ok(())
    }

    /// Removes a journal; one that is not there is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove_journal(&self, journal: Journal, unit: &str) -> Result<(), ExportError> {
        self.remove(&self.journal_path(journal, unit)).await
    }

    /// For each path that a manifest of whatever job lists in this destination the manifests that do.
    ///
    /// # Errors
    /// A manifest cannot be read.
    pub async fn listings(&self) -> Result<BTreeMap<String, Vec<String>>, ExportError> {
        let is_journal = |path: &str| {
            let folders = [Journal::Replaced, Journal::Begun].map(Journal::folder);
            path.split('/').any(|segment| folders.contains(&segment))
        };
        let files = self.list("_manifests").await?.into_iter();
        let manifests = files
            .map(|file| file.path)
            .filter(|path| path.strip_suffix(".json").is_some() && !is_journal(path));
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

    fn journal_path(&self, journal: Journal, unit: &str) -> String {
        let folder = journal.folder();
        format!("_manifests/{}/{folder}/{unit}.json", self.job())
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
