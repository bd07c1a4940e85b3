//! A local directory that files are published to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{ExportError, Manifest, ManifestFile, Staged, stage::hash};

/// A local directory.
#[derive(Debug, Clone)]
pub struct Destination {
    root: PathBuf,
    job: String,
    /// How unfinished files of the job are called: under its lease, those that lie there are dead.
    unfinished: String,
}

impl Destination {
    /// A directory for the files of a job, made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn directory(root: &Path, job: &str) -> Result<Self, ExportError> {
        fs::create_dir_all(root).map_err(file_error(root, "made"))?;
        Ok(Self {
            root: root.to_owned(),
            job: job.to_owned(),
            unfinished: format!(".databuddy-jobs.{job}."),
        })
    }

    /// The same of a directory that may be missing: for readers.
    pub fn existing(root: &Path, job: &str) -> Self {
        Self {
            root: root.to_owned(),
            job: job.to_owned(),
            unfinished: String::new(),
        }
    }

    /// Tries a write, and removes it again.
    ///
    /// # Errors
    /// The directory cannot be written, or is full.
    pub fn probe(&self) -> Result<(), ExportError> {
        let mut temp = self.temp_beside(&self.root.join("probe"))?;
        let written = io::Write::write_all(temp.as_file_mut(), b"databuddy-jobs");
        written.map_err(file_error(&self.root, "written"))
    }

    /// Puts a staged file in place: a reader sees the old file or the whole new one.
    ///
    /// # Errors
    /// The directory cannot be written or is full; the old file is then untouched.
    pub fn publish(&self, staged: &Staged, path: &str) -> Result<(), ExportError> {
        let target = self.root.join(path);
        let mut temp = self.temp_beside(&target)?;
        let fail = file_error(&target, "written");
        io::copy(
            &mut staged.file.reopen().map_err(&fail)?,
            temp.as_file_mut(),
        )
        .map_err(&fail)?;
        put(temp, &target)
    }

    /// Whether the file lies there with the bytes that the manifest lists.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn matches(&self, listed: &ManifestFile) -> Result<bool, ExportError> {
        let path = self.root.join(&listed.path);
        match hash(&path) {
            Ok((bytes, sha256)) => Ok(bytes == listed.bytes && sha256 == listed.sha256),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(file_error(&path, "read")(error)),
        }
    }

    /// The manifest of a unit (`2026-11-22`, or `START_END`), or `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or a newer program wrote it.
    pub fn read_manifest(&self, unit: &str) -> Result<Option<Manifest>, ExportError> {
        let path = self.manifest_path(unit);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(&path, "read")(error)),
        };
        Manifest::parse(&text, &path).map(Some)
    }

    /// Puts a manifest in place, unless the same one lies there.
    ///
    /// # Errors
    /// The directory cannot be written or is full.
    pub fn write_manifest(&self, unit: &str, manifest: &Manifest) -> Result<(), ExportError> {
        let path = self.manifest_path(unit);
        let text = manifest.to_text();
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        let mut temp = self.temp_beside(&path)?;
        io::Write::write_all(temp.as_file_mut(), text.as_bytes())
            .map_err(file_error(&path, "written"))?;
        put(temp, &path)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the manifests of the job lie.
    pub(super) fn manifest_folder(&self) -> PathBuf {
        self.root.join("_manifests").join(&self.job)
    }

    fn manifest_path(&self, unit: &str) -> PathBuf {
        self.manifest_folder().join(format!("{unit}.json"))
    }

    /// Removes what killed runs of this job left half-written in the folder.
    fn sweep(&self, folder: &Path) {
        let is_dead = |name: &std::ffi::OsStr| {
            name.to_str()
                .is_some_and(|name| name.starts_with(&self.unfinished))
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_dead(&entry.file_name())) {
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "a leftover could not be removed");
            }
        }
    }

    /// A hidden file in the folder of `target`, which a rename puts in place; gone when dropped.
    fn temp_beside(&self, target: &Path) -> Result<NamedTempFile, ExportError> {
        let folder = target.parent().unwrap_or(&self.root);
        let fail = file_error(folder, "written");
        fs::create_dir_all(folder).map_err(&fail)?;
        self.sweep(folder);
        tempfile::Builder::new()
            .prefix(&self.unfinished)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(&fail)
    }
}

/// Makes the file durable, then visible.
fn put(temp: NamedTempFile, target: &Path) -> Result<(), ExportError> {
    let fail = file_error(target, "written");
    temp.as_file().sync_all().map_err(&fail)?;
    temp.persist(target).map_err(|error| fail(error.error))?;
    let folder = target.parent().map(fs::File::open);
    folder
        .map_or(Ok(()), |opened| opened.and_then(|f| f.sync_all()))
        .map_err(&fail)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        record_batch::RecordBatch,
    };
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::{
        domain::job::{Compression, Format},
        export::stage,
    };

    fn table(n: i64) -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a,\"b\""), None]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![n, 2]));
        RecordBatch::try_from_iter([("name", names), ("n", counts)]).unwrap()
    }

    fn leftovers(root: &Path) -> usize {
        fs::read_dir(root)
            .unwrap()
            .filter(|e| {
                e.as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with('.')
            })
            .count()
    }

    #[test]
    fn equal_tables_give_equal_bytes_that_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let to = Destination::directory(&folder.path().join("lake"), "nightly").unwrap();
        let staging = folder.path().join("staging");
        let one = stage(&table(1), Format::Parquet, Compression::Zstd, &staging).unwrap();
        let two = stage(&table(1), Format::Parquet, Compression::Zstd, &staging).unwrap();
        assert_eq!(one.sha256, two.sha256);
        to.publish(&one, "q/data.parquet").unwrap();
        let file = fs::File::open(folder.path().join("lake/q/data.parquet")).unwrap();
        let mut read = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        assert_eq!(read.next().unwrap().unwrap(), table(1));
        drop((one, two));
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    }

    #[test]
    fn csv_is_quoted_and_null_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let staged = stage(&table(1), Format::Csv, Compression::None, folder.path()).unwrap();
        let text = fs::read_to_string(staged.file.path()).unwrap();
        assert_eq!(text, "name,n\n\"a,\"\"b\"\"\",1\n,2\n");
    }

    #[test]
    fn text_is_packed_and_reads_back_the_same_every_time() {
        use std::io::Read;
        let folder = tempfile::tempdir().unwrap();
        let expected = "{\"name\":\"a,\\\"b\\\"\",\"n\":1}\n{\"name\":null,\"n\":2}\n";
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let staged = stage(&table(1), Format::Jsonl, compression, folder.path()).unwrap();
            let again = stage(&table(1), Format::Jsonl, compression, folder.path()).unwrap();
            assert_eq!(staged.sha256, again.sha256, "{compression:?}");
            let bytes = fs::read(staged.file.path()).unwrap();
            let mut text = String::new();
            match compression {
                Compression::Gzip => flate2::read::GzDecoder::new(&bytes[..])
                    .read_to_string(&mut text)
                    .map(|_| ()),
                Compression::Zstd => zstd::Decoder::new(&bytes[..])
                    .unwrap()
                    .read_to_string(&mut text)
                    .map(|_| ()),
                _ => (&bytes[..]).read_to_string(&mut text).map(|_| ()),
            }
            .unwrap();
            assert_eq!(text, expected, "{compression:?}");
        }
    }

    #[test]
    fn a_failed_publication_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let to = Destination::directory(folder.path(), "nightly").unwrap();
        fs::create_dir_all(folder.path().join("data.csv/in-the-way")).unwrap();
        let staging = tempfile::tempdir().unwrap();
        let staged = stage(&table(1), Format::Csv, Compression::None, staging.path()).unwrap();
        assert!(to.publish(&staged, "data.csv").is_err());
        assert!(folder.path().join("data.csv/in-the-way").is_dir());
        assert_eq!(leftovers(folder.path()), 0);
    }

    #[test]
    fn what_a_killed_run_left_behind_is_removed_and_other_jobs_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".databuddy-jobs.nightly.x1", ".databuddy-jobs.other.x1"] {
            fs::write(folder.path().join(name), "half a file").unwrap();
        }
        let to = Destination::directory(folder.path(), "nightly").unwrap();
        let staging = tempfile::tempdir().unwrap();
        let staged = stage(&table(1), Format::Csv, Compression::None, staging.path()).unwrap();
        to.publish(&staged, "data.csv").unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".databuddy-jobs.other.x1", "data.csv"]);
    }
}
