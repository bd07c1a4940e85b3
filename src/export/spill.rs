//! Finished pages of a row group, most of them in a file without a name until the group is complete.
//!
//! Parquet wants the pages of a column together while rows come with all columns at once, so a writer
//! keeps a whole row group packed: 20 MB of sessions, in pieces that leave holes in the heap. Here the
//! first pages of a column stay in memory, which is all of a small file, and the others do not.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::{PageKey, PageStore, PageStoreArgs, PageStoreFactory},
    errors::{ParquetError, Result},
};

/// Bytes of a column of a row group that stay in memory.
const KEPT_BYTES: usize = 256 << 10;

/// Bytes of all its columns that do.
const KEPT_IN_ALL: usize = 4 << 20;

/// Where the columns of a file's row groups keep their pages.
#[derive(Debug)]
pub(super) struct Spill(Arc<Mutex<SpillFile>>);

impl Spill {
    /// Makes the file in `folder` when a column needs it. It has no name, or loses it at once.
    pub(super) fn new(folder: &Path) -> Self {
        Self(Arc::new(Mutex::new(SpillFile {
            folder: folder.to_owned(),
            file: None,
            end: 0,
            open: 0,
            kept: 0,
        })))
    }
}

impl PageStoreFactory for Spill {
    fn create(&self, _column: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        Ok(Box::new(ColumnPages {
            pages: Vec::new(),
            kept: 0,
            spilled: Arc::clone(&self.0),
        }))
    }
}

/// The pages of one column of one row group.
struct ColumnPages {
    pages: Vec<Blob>,
    /// Bytes of them in memory.
    kept: usize,
    spilled: Arc<Mutex<SpillFile>>,
}

enum Blob {
    Kept(Bytes),
    Spilled { at: u64, bytes: usize },
    Taken,
}

impl ColumnPages {
    fn spilled(&self) -> MutexGuard<'_, SpillFile> {
        self.spilled.lock().expect("nobody panics while holding it")
    }
}

impl PageStore for ColumnPages {
    fn put(&mut self, value: Bytes) -> Result<PageKey> {
        let may_stay = self.kept + value.len() <= KEPT_BYTES && self.spilled().keep(value.len());
        let blob = if may_stay {
            self.kept += value.len();
            // A copy of its own: the piece may be the beginning of a much larger allocation
            Blob::Kept(Bytes::copy_from_slice(&value))
        } else {
            let at = self.spilled().put(&value).map_err(failed)?;
            Blob::Spilled {
                at,
                bytes: value.len(),
            }
        };
        let key = PageKey::new(self.pages.len() as u64);
        self.pages.push(blob);
        Ok(key)
    }

    fn take(&mut self, key: PageKey) -> Result<Bytes> {
        let place = usize::try_from(key.get()).ok();
        let blob = place.and_then(|place| self.pages.get_mut(place));
        match blob.map_or(Blob::Taken, |blob| std::mem::replace(blob, Blob::Taken)) {
            Blob::Kept(bytes) => {
                self.kept -= bytes.len();
                self.spilled().kept -= bytes.len();
                Ok(bytes)
            }
            Blob::Spilled { at, bytes } => self.spilled().take(at, bytes).map_err(failed),
            Blob::Taken => Err(ParquetError::General(format!(
                "page {} is not there",
                key.get()
            ))),
        }
    }

    fn memory_size(&self) -> usize {
        self.kept
    }
}

impl Drop for ColumnPages {
    fn drop(&mut self) {
        let is_open = |blob: &&Blob| matches!(blob, Blob::Spilled { .. });
        let open = self.pages.iter().filter(is_open).count();
        let kept = std::mem::take(&mut self.kept);
        let mut spilled = self.spilled();
        spilled.kept -= kept;
        if open > 0 {
            spilled.forget(open);
        }
    }
}

/// The file, begun again whenever all its pages are taken: it is as large as a row group.
#[derive(Debug)]
struct SpillFile {
    folder: PathBuf,
    file: Option<File>,
    end: u64,
    /// Pages that are not taken yet.
    open: usize,
    /// Bytes that columns keep in memory.
    kept: usize,
}

impl SpillFile {
    /// Whether so much more may stay in memory; it does then.
    fn keep(&mut self, bytes: usize) -> bool {
        let may_stay = self.kept + bytes <= KEPT_IN_ALL;
        if may_stay {
            self.kept += bytes;
        }
        may_stay
    }

    fn put(&mut self, value: &[u8]) -> io::Result<u64> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        let at = self.end;
        file.write_all_at(value, at)?;
        self.end += value.len() as u64;
        self.open += 1;
        Ok(at)
    }

    fn take(&mut self, at: u64, bytes: usize) -> io::Result<Bytes> {
        let mut value = vec![0; bytes];
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.read_exact_at(&mut value, at)?;
        self.forget(1);
        Ok(Bytes::from(value))
    }

    fn forget(&mut self, pages: usize) {
        self.open -= pages;
        if self.open == 0 {
            self.end = 0;
        }
    }
}

fn failed(error: io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(spill: &Spill, count: usize) -> Vec<ColumnPages> {
        let column = |_| ColumnPages {
            pages: Vec::new(),
            kept: 0,
            spilled: Arc::clone(&spill.0),
        };
        (0..count).map(column).collect()
    }

    #[test]
    fn pages_come_back_as_they_were_and_the_file_stays_as_large_as_one_group() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path());
        for _group in 0..3 {
            let mut columns = columns(&spill, 2);
            let page = |n: u8| Bytes::from(vec![n; 100 << 10]);
            let keys: Vec<_> = (0..12)
                .map(|n| columns[usize::from(n % 2)].put(page(n)).unwrap())
                .collect();
            assert!(columns.iter().all(|c| c.memory_size() <= KEPT_BYTES));
            for (n, key) in (0..12).zip(keys) {
                let column = &mut columns[usize::from(n % 2)];
                assert_eq!(column.take(key).unwrap(), page(n));
                assert!(column.take(key).is_err());
            }
        }
        let file = spill.0.lock().unwrap();
        let bytes = file.file.as_ref().unwrap().metadata().unwrap().len();
        assert_eq!((bytes, file.end, file.open), (8 * (100 << 10), 0, 0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn small_columns_make_no_file_and_a_group_given_up_leaves_room() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path());
        let mut small = columns(&spill, 1);
        small[0].put(Bytes::from_static(b"header")).unwrap();
        assert!(spill.0.lock().unwrap().file.is_none());
        let mut large = columns(&spill, 1);
        large[0].put(Bytes::from(vec![1; KEPT_BYTES + 1])).unwrap();
        assert_eq!(spill.0.lock().unwrap().open, 1);
        drop(large);
        assert_eq!(spill.0.lock().unwrap().end, 0);
    }

    #[test]
    fn many_columns_together_keep_no_more_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path());
        let mut many = columns(&spill, 40);
        for column in &mut many {
            column.put(Bytes::from(vec![1; 200 << 10])).unwrap();
        }
        assert!(many.iter().map(PageStore::memory_size).sum::<usize>() <= KEPT_IN_ALL);
        assert_eq!(spill.0.lock().unwrap().open, 20);
        drop(many);
        assert_eq!(spill.0.lock().unwrap().kept, 0);
    }
}
