//! A local directory. Everything here blocks: `Place` takes it off the runtime's threads.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{ExportError, Listed, Staged, Version};

/// How unfinished files are called, of whatever job.
pub(super) const UNFINISHED: &str = ".databuddy-jobs.";

/// A local directory that a job writes to; made when the first file comes.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    root: PathBuf,
    /// How unfinished files of the job are called: under its lease, those that lie there are dead.
    unfinished: String,
}

impl Directory {
    pub(super) fn new(root: &Path, job: &str) -> Self {
        Self {
            root: root.to_owned(),
            unfinished: format!("{UNFINISHED}{job}."),
        }
    }

    #[cfg(feature = "delta")]
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The content of a small file; `None` where there is none.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ExportError> {
        let path = self.root.join(path);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(file_error(&path, "read")(error)),
        }
    }

    /// Writes a small file, if what lies there is still that version.
    pub(super) fn put(
        &self,
        path: &str,
        content: &[u8],
        over: &Version,
    ) -> Result<(), ExportError> {
        let target = self.root.join(path);
        let folder = self.folder_of(&target)?;
        let there = self.read(path)?;
        if there.as_deref() == Some(content) {
            return Ok(());
        }
        if !there.map_or(over.is_absent(), |there| over.is_of(&there)) {
            return Err(ExportError::Conflict {
                path: target.display().to_string(),
            });
        }
        let mut temp = self.temp_in(&folder)?;
        temp.as_file_mut()
            .write_all(content)
            .map_err(file_error(&target, "written"))?;
        folder.put(temp, &target)
    }

    /// Puts a staged file in place: a reader sees the old file or the whole new one.
    pub(super) fn publish(&self, staged: Staged, path: &str) -> Result<(), ExportError> {
        let target = self.root.join(path);
        let fail = file_error(&target, "written");
        let folder = self.folder_of(&target)?;
        self.sweep(&folder.path);
        // It is durable already: staging ends with that
        match staged.path.persist(&target) {
            Ok(()) => folder.opened.sync_all().map_err(fail),
            // Staging lies on another disk
            Err(failed) if failed.error.kind() == io::ErrorKind::CrossesDevices => {
                let mut temp = self.temp_in(&folder)?;
                let mut file = fs::File::open(&failed.path).map_err(&fail)?;
                io::copy(&mut file, temp.as_file_mut()).map_err(&fail)?;
                folder.put(temp, &target)
            }
            Err(failed) => Err(fail(failed.error)),
        }
    }

    /// Size and SHA-256 (hex) of a file; `None` where there is none.
    pub(super) fn measure(&self, path: &str) -> Result<Option<(u64, String)>, ExportError> {
        let path = self.root.join(path);
        match hash(&path) {
            Ok(measured) => Ok(Some(measured)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(file_error(&path, "read")(error)),
        }
    }

    /// The last bytes of a file, at most so many.
    pub(super) fn tail(&self, path: &str, most: u64) -> Result<Bytes, ExportError> {
        let path = self.root.join(path);
        let read = || {
            let mut file = fs::File::open(&path)?;
            let size = file.metadata()?.len();
            file.seek(io::SeekFrom::Start(size.saturating_sub(most)))?;
            let mut tail = Vec::new();
            file.take(most).read_to_end(&mut tail)?;
            Ok(Bytes::from(tail))
        };
        read().map_err(file_error(&path, "read"))
    }

    /// All finished files below a folder, by path.
    pub(super) fn list(&self, below: &str) -> Result<Vec<Listed>, ExportError> {
        let mut found = Vec::new();
        let mut open = vec![self.root.join(below)];
        while let Some(folder) = open.pop() {
            let fail = file_error(&folder, "read");
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(fail(error)),
            };
            for entry in entries {
                let entry = entry.map_err(&fail)?;
                let path = entry.path();
                let about = match entry.metadata() {
                    Ok(about) => about,
                    // Somebody has renamed it since
                    Err(error) if is_missing(&error) => continue,
                    Err(error) => return Err(fail(error)),
                };
                if about.is_dir() {
                    open.push(path);
                } else if !starts_with(&entry.file_name(), UNFINISHED) {
                    let below = path.strip_prefix(&self.root).unwrap_or(&path);
                    found.push(Listed {
                        path: below.to_string_lossy().into_owned(),
                        bytes: about.len(),
                    });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, path: &str) -> Result<(), ExportError> {
        let path = self.root.join(path);
        match fs::remove_file(&path) {
            Err(error) if !is_missing(&error) => Err(file_error(&path, "removed")(error)),
            _ => Ok(()),
        }
    }

    /// Where a path lies, without links where something lies there.
    pub(super) fn location(&self, path: &str) -> String {
        let path = self.root.join(path);
        let real = fs::canonicalize(&path).unwrap_or(path);
        real.display().to_string()
    }

    /// Tries a write, and removes it again.
    pub(super) fn probe(&self) -> Result<(), ExportError> {
        let folder = self.folder_of(&self.root.join("probe"))?;
        let mut temp = self.temp_in(&folder)?;
        let written = temp.as_file_mut().write_all(b"databuddy-jobs");
        written.map_err(file_error(&self.root, "written"))
    }

    /// The folder of a file, made where it is missing, for nobody else to write to for now.
    fn folder_of(&self, target: &Path) -> Result<Folder, ExportError> {
        let path = target.parent().unwrap_or(&self.root);
        Folder::lock(path).map_err(file_error(path, "written"))
    }

    /// A hidden file in a folder, which a rename puts in place; gone when dropped.
    fn temp_in(&self, folder: &Folder) -> Result<NamedTempFile, ExportError> {
        self.sweep(&folder.path);
        tempfile::Builder::new()
            .prefix(&self.unfinished)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(&folder.path)
            .map_err(file_error(&folder.path, "written"))
    }

    /// Removes what killed runs of this job left half-written in the folder.
    fn sweep(&self, folder: &Path) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| starts_with(&entry.file_name(), &self.unfinished)) {
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "a leftover could not be removed");
            }
        }
    }
}

/// A folder that nobody else writes to until this is dropped.
struct Folder {
    path: PathBuf,
    opened: fs::File,
}

impl Folder {
    fn lock(path: &Path) -> io::Result<Self> {
        let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
        fs::create_dir_all(path)?;
        // A folder that is not durable takes its files with it
        for parent in missing.iter().filter_map(|made| made.parent()) {
            fs::File::open(parent)?.sync_all()?;
        }
        let opened = fs::File::open(path)?;
        if let Err(error) = opened.lock() {
            // Some network file systems lock no folders. The lease of the job holds there all the same
            tracing::debug!(path = %path.display(), %error, "the folder cannot be locked");
        }
        Ok(Self {
            path: path.to_owned(),
            opened,
        })
    }

    /// Makes the file durable, then visible.
    fn put(&self, file: NamedTempFile, target: &Path) -> Result<(), ExportError> {
        let fail = file_error(target, "written");
        file.as_file().sync_all().map_err(&fail)?;
        file.persist(target).map_err(|failed| fail(failed.error))?;
        self.opened.sync_all().map_err(fail)
    }
}

fn starts_with(name: &OsStr, start: &str) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(start))
}

/// A path below a file is missing too.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Work on files, off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("work on files neither panics nor is aborted")
}

pub(super) fn file_error(
    path: &Path,
    what: &'static str,
) -> impl Fn(io::Error) -> ExportError + use<> {
    let path = path.to_owned();
    move |source| ExportError::File {
        path: path.clone(),
        what,
        source,
    }
}

/// Size and SHA-256 (hex) of a file.
fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let bytes = io::copy(&mut file, &mut hasher)?;
    Ok((bytes, hex::encode(hasher.finalize())))
}
