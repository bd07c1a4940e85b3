//! What was sent, as files beside the store: each by the SHA-256 of its content, packed, once.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

/// Packing is little work, and mails are mostly text.
const LEVEL: i32 = 3;

/// Files younger than this stay: the run that wrote them may not have named them yet.
const YOUNG: Duration = Duration::from_secs(86_400);

/// A folder of contents by their hash.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// The archive beside a store.
    pub fn beside(store_file: &Path) -> Self {
        Self {
            folder: store_file.with_file_name("archive"),
        }
    }

    /// Keeps a content; its hash. What is there already is only marked as used `now`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put(&self, content: &[u8], now: SystemTime) -> io::Result<String> {
        let hash = hex::encode(Sha256::digest(content));
        let path = self.path(&hash);
        if let Ok(file) = fs::File::options().append(true).open(&path) {
            file.set_modified(now)?;
            return Ok(hash);
        }
        let folder = path.parent().expect("a path has its folder");
        fs::create_dir_all(folder)?;
        let packed = zstd::encode_all(content, LEVEL)?;
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(folder)?;
        io::Write::write_all(file.as_file_mut(), &packed)?;
        file.as_file().set_modified(now)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|e| e.error)?;
        Ok(hash)
    }

    /// A content by its hash.
    ///
    /// # Errors
    /// It is not there, or no longer what it was.
    pub fn get(&self, hash: &str) -> io::Result<Vec<u8>> {
        let content = zstd::decode_all(fs::File::open(self.path(hash))?)?;
        if hex::encode(Sha256::digest(&content)) == hash {
            Ok(content)
        } else {
            let why = format!("`{}` was changed", self.path(hash).display());
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }

    /// Removes what is not named in `kept` and was not used for a day; how many files. Another program may
    /// sweep at the same time.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn sweep(&self, kept: &BTreeSet<String>, now: SystemTime) -> io::Result<usize> {
        let mut removed = 0;
        for folder in entries(&self.folder)? {
            for path in entries(&folder)? {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                if kept.contains(name.as_ref()) || is_young(&path, now) {
                    continue;
                }
                removed += usize::from(remove(&path)?);
            }
        }
        Ok(removed)
    }

    fn path(&self, hash: &str) -> PathBuf {
        let folder = self.folder.join(hash.get(..2).unwrap_or("--"));
        folder.join(format!("{hash}.zst"))
    }
}

/// Whether it was there.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_young(path: &Path, now: SystemTime) -> bool {
    let modified = fs::metadata(path).and_then(|data| data.modified());
    modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age < YOUNG) || at > now)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_another_has_removed_is_none_to_be_removed_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.zst");
        fs::write(&path, "old").unwrap();
        // Both have listed it
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
        assert!(remove(folder.path()).is_err(), "what cannot be removed is");
    }
}
