//! The lake against its manifests: whether every listed file is there, whole, and what it says.

use std::{fs, io, path::Path};

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{
    Destination, ExportError, Manifest, ManifestFile, destination::file_error, stage::hash,
};

/// A file that is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Below the destination.
    pub path: String,
    /// What is wrong, in words.
    pub what: String,
}

impl Destination {
    /// All manifests of the job, by unit: a day, or `START_END`.
    ///
    /// # Errors
    /// The directory or a manifest cannot be read.
    pub fn manifests(&self) -> Result<Vec<(String, Manifest)>, ExportError> {
        let folder = self.manifest_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file_error(&folder, "read")(error)),
        };
        let mut manifests = Vec::new();
        for entry in entries {
            let path = entry.map_err(file_error(&folder, "read"))?.path();
            let unit = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default()
                .to_owned();
            if path.extension().is_none_or(|e| e != "json") || unit.starts_with('.') {
                continue;
            }
            let text = fs::read(&path).map_err(file_error(&path, "read"))?;
            manifests.push((unit, Manifest::parse(&text, &path)?));
        }
        manifests.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(manifests)
    }

    /// What is wrong with the files that a manifest lists.
    pub fn verify(&self, manifest: &Manifest) -> Vec<Mismatch> {
        let wrong = manifest.files.iter().filter_map(|file| {
            let what = self.wrong_with(file)?;
            Some(Mismatch {
                path: file.path.clone(),
                what,
            })
        });
        wrong.collect()
    }

    fn wrong_with(&self, file: &ManifestFile) -> Option<String> {
        let path = self.root().join(&file.path);
        let (bytes, sha256) = match hash(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some("it is missing".to_owned());
            }
            Err(error) => return Some(format!("it cannot be read: {error}")),
        };
        if bytes != file.bytes {
            return Some(format!(
                "it has {bytes} bytes, the manifest says {}",
                file.bytes
            ));
        }
        if sha256 != file.sha256 {
            return Some("its SHA-256 is not that of the manifest".to_owned());
        }
        if file.format == "parquet" {
            return wrong_parquet(&path, file);
        }
        None
    }
}

/// Rows and columns by the footer: a hash says only that the file is the one that was written.
fn wrong_parquet(path: &Path, file: &ManifestFile) -> Option<String> {
    let opened = fs::File::open(path).map_err(|e| e.to_string());
    let reader = opened.and_then(|f| SerializedFileReader::new(f).map_err(|e| e.to_string()));
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => return Some(format!("its footer cannot be read: {error}")),
    };
    let metadata = reader.metadata().file_metadata();
    let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
    if rows != file.rows {
        return Some(format!(
            "it has {rows} rows, the manifest says {}",
            file.rows
        ));
    }
    let fields = metadata.schema_descr().root_schema().get_fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let listed: Vec<&str> = file
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    (names != listed).then(|| "its columns are not those of the manifest".to_owned())
}
