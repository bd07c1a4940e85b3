//! Staging: a table becomes a complete file in a folder of ours, hashed, before anybody sees it.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use arrow::{
    csv,
    error::ArrowError,
    json::{self, writer::LineDelimited},
    record_batch::RecordBatch,
};
use flate2::write::GzEncoder;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression as ParquetCompression, ZstdLevel},
    file::properties::WriterProperties,
};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::ExportError;
use crate::domain::job::{Compression, Format};

/// Fast, and within a few percent of the levels that take much longer.
const ZSTD_LEVEL: i32 = 3;

/// Rows of a row group: it decides the memory of a writer and of its readers.
const ROW_GROUP_ROWS: usize = 122_880;

/// A complete file that nobody sees yet; gone when dropped.
#[derive(Debug)]
pub struct Staged {
    /// The file.
    pub file: NamedTempFile,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// Writes a table to a file in `folder`. The same table gives the same bytes.
///
/// # Errors
/// The folder cannot be written, or is full.
pub fn stage(
    table: &RecordBatch,
    format: Format,
    compression: Compression,
    folder: &Path,
) -> Result<Staged, ExportError> {
    let fail = |source| ExportError::File {
        path: folder.to_owned(),
        what: "written",
        source,
    };
    fs::create_dir_all(folder).map_err(fail)?;
    let mut file = NamedTempFile::new_in(folder).map_err(fail)?;
    match format {
        Format::Parquet => write_parquet(table, compression, file.as_file_mut())?,
        Format::Csv | Format::Jsonl => {
            let out = io::BufWriter::new(file.as_file_mut());
            write_text(table, format, compression, out).map_err(|error| match error {
                TextError::Io(source) => fail(source),
                TextError::Arrow(source) => ExportError::Text(source),
            })?;
        }
    }
    file.as_file_mut().flush().map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    let (bytes, sha256) = hash(file.path()).map_err(fail)?;
    Ok(Staged {
        file,
        rows: table.num_rows() as u64,
        bytes,
        sha256,
    })
}

fn write_parquet(
    table: &RecordBatch,
    compression: Compression,
    file: &mut fs::File,
) -> Result<(), ExportError> {
    let compression = match compression {
        Compression::Zstd => ParquetCompression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
        Compression::Snappy => ParquetCompression::SNAPPY,
        Compression::None | Compression::Gzip => ParquetCompression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("databuddy-jobs".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(table.schema_ref()), Some(properties))?;
    writer.write(table)?;
    writer.close()?;
    Ok(())
}

/// What can go wrong with a file of text.
enum TextError {
    Io(io::Error),
    Arrow(ArrowError),
}

impl From<io::Error> for TextError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ArrowError> for TextError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// Packs the text of a table. Neither gzip nor zstd writes a time or a name into the file, so the
/// same rows give the same bytes.
fn write_text(
    table: &RecordBatch,
    format: Format,
    compression: Compression,
    out: impl Write,
) -> Result<(), TextError> {
    match compression {
        Compression::Gzip => {
            let mut packed = GzEncoder::new(out, flate2::Compression::default());
            write_rows(table, format, &mut packed)?;
            packed.finish()?.flush()?;
        }
        Compression::Zstd => {
            let mut packed = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            write_rows(table, format, &mut packed)?;
            packed.finish()?.flush()?;
        }
        Compression::None | Compression::Snappy => {
            let mut out = out;
            write_rows(table, format, &mut out)?;
            out.flush()?;
        }
    }
    Ok(())
}

fn write_rows(table: &RecordBatch, format: Format, out: &mut dyn Write) -> Result<(), ArrowError> {
    if format == Format::Jsonl {
        // Every row has every key, so that each reader sees the same columns
        let builder = json::WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, LineDelimited>(out);
        writer.write(table)?;
        return writer.finish();
    }
    csv::WriterBuilder::new()
        .with_header(true)
        .build(out)
        .write(table)
}

/// Size and SHA-256 (hex) of a file.
pub(super) fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex::encode(hasher.finalize())));
        }
        bytes += read as u64;
        hasher.update(&buffer[..read]);
    }
}
