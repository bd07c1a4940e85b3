//! The lake against its manifests: whether every listed file is there, whole, and what it says.

use parquet::{
    errors::ParquetError,
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};

use super::{Destination, Manifest, ManifestColumn, ManifestFile, SchemaLock};

/// What is read of a Parquet file first: the footers of most files are shorter.
const FOOTER_BYTES: u64 = 64 * 1024;

/// A file that is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Below the destination.
    pub path: String,
    /// What is wrong, in words.
    pub what: String,
}

impl Destination {
    /// What is wrong with the files that a manifest lists. Each is read to its end.
    pub async fn verify(&self, manifest: &Manifest, locks: &[SchemaLock]) -> Vec<Mismatch> {
        let mut wrong = Vec::new();
        for file in &manifest.files {
            let lock = locks.iter().find(|lock| lock.query == file.query);
            let mut what = self.wrong_with(file).await;
            if what.is_none() {
                what = lock.and_then(|lock| unlike_lock(file, lock));
            }
            if let Some(what) = what {
                wrong.push(Mismatch {
                    path: file.path.clone(),
                    what,
                });
            }
        }
        wrong
    }

    async fn wrong_with(&self, file: &ManifestFile) -> Option<String> {
        let (bytes, sha256) = match self.measure(&file.path).await {
            Ok(Some(found)) => found,
            Ok(None) => return Some("it is missing".to_owned()),
            Err(error) => return Some(format!("it cannot be read: {}", error.root_cause())),
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
        if !matches!(file.format.as_str(), "parquet" | "delta") {
            return None;
        }
        match self.footer(file).await {
            Ok(footer) => wrong_parquet(&footer, file),
            Err(why) => Some(format!("its footer cannot be read: {why}")),
        }
    }

    /// The footer of a Parquet file, of which no more is read than that.
    async fn footer(&self, file: &ManifestFile) -> Result<ParquetMetaData, String> {
        let mut most = FOOTER_BYTES;
        loop {
            let tail = self.tail(&file.path, most).await;
            let tail = tail.map_err(|error| error.root_cause())?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&tail, file.bytes) {
                Ok(()) => return reader.finish().map_err(|error| error.to_string()),
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > most => {
                    most = needed as u64;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// A file that was written before a column was given another type.
fn unlike_lock(file: &ManifestFile, lock: &SchemaLock) -> Option<String> {
    let other = file.columns.iter().find_map(|column| {
        let locked = ManifestColumn::kind_of(lock.kind_of(&column.name)?);
        (locked != column.kind).then_some((column, locked))
    });
    let (column, locked) = other?;
    Some(format!(
        "its column `{}` is {}, and {locked} under the schema lock: write it again (`backfill {} --only all --force`)",
        column.name, column.kind, lock.job
    ))
}

/// Rows and columns by the footer: a hash says only that the file is the one that was written.
fn wrong_parquet(footer: &ParquetMetaData, file: &ManifestFile) -> Option<String> {
    let metadata = footer.file_metadata();
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
