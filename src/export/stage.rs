//! Staging: batches become a complete file in a folder of ours, hashed on the way, before anybody
//! sees it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use parquet::errors::ParquetError;
use tempfile::TempPath;

use super::{
    ExportError,
    columnar::ColumnarFile,
    hashed::Hashed,
    text::{TextError, TextFile},
};
use crate::domain::job::{Compression, CsvStyle, Format};

/// How a file is written.
#[derive(Debug, Clone)]
pub struct FileStyle {
    /// The format.
    pub format: Format,
    /// Inside Parquet, or of the whole file.
    pub compression: Compression,
    /// Of zstd or gzip; `None`: 3 and 6.
    pub level: Option<u32>,
    /// Of CSV.
    pub csv: CsvStyle,
    /// Key-value metadata of Parquet; must be the same for the same window, whoever writes it.
    pub metadata: Vec<(String, String)>,
    /// Columns of texts that rarely repeat, for which no dictionary is made.
    pub unlike: Vec<String>,
    /// The column that all rows are sorted by, ascending and without nulls.
    pub sorted_by: Option<usize>,
}

/// A complete file that nobody sees yet; gone when dropped.
#[derive(Debug)]
pub struct Staged {
    /// Where it lies.
    pub path: TempPath,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// A file in the making; gone when dropped. The same batches give the same bytes.
#[derive(Debug)]
pub struct Stage {
    sink: Sink,
    path: TempPath,
    folder: PathBuf,
    rows: u64,
}

#[derive(Debug)]
enum Sink {
    Columnar(Box<ColumnarFile>),
    Text(Box<TextFile>),
}

impl Stage {
    /// Begins a file in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// The folder cannot be written, or is full.
    pub fn begin(
        schema: &SchemaRef,
        style: &FileStyle,
        folder: &Path,
    ) -> Result<Self, ExportError> {
        fs::create_dir_all(folder).map_err(|source| unwritable(folder, source))?;
        let file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(|source| unwritable(folder, source))?;
        let (file, path) = file.into_parts();
        let out = Hashed::new(file);
        let sink = match style.format {
            Format::Parquet | Format::Delta => {
                Sink::Columnar(Box::new(ColumnarFile::begin(schema, style, out, folder)?))
            }
            Format::Csv | Format::Jsonl => {
                let begun = TextFile::begin(schema, style, out);
                Sink::Text(Box::new(begun.map_err(|error| of_text(folder, error))?))
            }
        };
        Ok(Self {
            sink,
            path,
            folder: folder.to_owned(),
            rows: 0,
        })
    }

    /// Appends a batch of the schema that the file began with.
    ///
    /// # Errors
    /// The folder is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        self.rows += batch.num_rows() as u64;
        match &mut self.sink {
            Sink::Columnar(file) => file
                .write(batch)
                .map_err(|error| of_columnar(&self.folder, error)),
            Sink::Text(file) => file
                .write(batch)
                .map_err(|error| of_text(&self.folder, error)),
        }
    }

    /// The complete file.
    ///
    /// # Errors
    /// The folder is full.
    pub fn finish(self) -> Result<Staged, ExportError> {
        let out = match self.sink {
            Sink::Columnar(file) => file
                .finish()
                .map_err(|error| of_columnar(&self.folder, error))?,
            Sink::Text(file) => file
                .finish()
                .map_err(|error| of_text(&self.folder, error))?,
        };
        let finished = out.finish();
        let (bytes, sha256) = finished.map_err(|source| unwritable(&self.folder, source))?;
        Ok(Staged {
            path: self.path,
            rows: self.rows,
            bytes,
            sha256,
        })
    }
}

fn unwritable(folder: &Path, source: io::Error) -> ExportError {
    ExportError::File {
        path: folder.to_owned(),
        what: "written",
        source,
    }
}

/// What the disk says is not the table's fault.
fn of_columnar(folder: &Path, error: ExportError) -> ExportError {
    match error {
        ExportError::Parquet(ParquetError::External(cause)) => match cause.downcast() {
            Ok(source) => unwritable(folder, *source),
            Err(cause) => ExportError::Parquet(ParquetError::External(cause)),
        },
        error => error,
    }
}

fn of_text(folder: &Path, error: TextError) -> ExportError {
    match error {
        TextError::Io(source) => unwritable(folder, source),
        TextError::Arrow(source) => ExportError::Text(source),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, sync::Arc};

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use parquet::{
        arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
        file::reader::{FileReader, SerializedFileReader},
    };

    use super::*;

    fn table(n: i64) -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a,\"b\""), None]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![n, 2]));
        RecordBatch::try_from_iter([("name", names), ("n", counts)]).unwrap()
    }

    fn style(format: Format, compression: Compression) -> FileStyle {
        FileStyle {
            format,
            compression,
            level: None,
            csv: CsvStyle::default(),
            metadata: vec![("databuddy.query".to_owned(), "pages".to_owned())],
            unlike: Vec::new(),
            sorted_by: Some(1),
        }
    }

    fn staged(batches: &[RecordBatch], style: &FileStyle, folder: &Path) -> Staged {
        let mut stage = Stage::begin(&batches[0].schema(), style, folder).unwrap();
        for batch in batches {
            stage.write(batch).unwrap();
        }
        stage.finish().unwrap()
    }

    #[test]
    fn equal_tables_give_equal_bytes_that_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let style = style(Format::Parquet, Compression::Zstd);
        let one = staged(&[table(1), table(2)], &style, folder.path());
        let two = staged(&[table(1), table(2)], &style, folder.path());
        assert_eq!(
            (&one.sha256, one.rows, one.bytes),
            (&two.sha256, 4, two.bytes)
        );
        let file = fs::File::open(&one.path).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let read: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
        let expected = arrow::compute::concat_batches(&table(1).schema(), &[table(1), table(2)]);
        assert_eq!(read, [expected.unwrap()]);
        drop((one, two));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_parquet_file_says_what_it_is_and_how_it_is_sorted_and_has_a_page_index() {
        let folder = tempfile::tempdir().unwrap();
        let style = style(Format::Parquet, Compression::Zstd);
        let staged = staged(&[table(1)], &style, folder.path());
        let reader = SerializedFileReader::new(fs::File::open(&staged.path).unwrap()).unwrap();
        let file = reader.metadata().file_metadata();
        let pairs = file.key_value_metadata().unwrap();
        assert!(
            pairs
                .iter()
                .any(|p| p.key == "databuddy.query" && p.value.as_deref() == Some("pages"))
        );
        assert_eq!(file.created_by(), Some("databuddy-jobs"));
        let group = reader.metadata().row_group(0);
        assert_eq!(group.sorting_columns().unwrap()[0].column_idx, 1);
        for column in group.columns() {
            assert!(column.statistics().is_some());
            assert!(
                column.offset_index_offset().is_some() && column.column_index_offset().is_some()
            );
        }
    }

    #[test]
    fn a_disk_that_is_full_is_named_and_not_blamed_on_the_table() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = of_columnar(Path::new("/staging"), ParquetError::from(full).into());
        let text = format!("{error}: {}", error.root_cause());
        assert!(
            text.contains("/staging") && text.contains("space"),
            "{text}"
        );
        let other = ParquetError::General("odd".to_owned()).into();
        let other = of_columnar(Path::new("/staging"), other);
        assert!(matches!(other, ExportError::Parquet(_)));
    }

    #[test]
    fn text_is_packed_and_reads_back_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let json = "{\"name\":\"a,\\\"b\\\"\",\"n\":1}\n{\"name\":null,\"n\":2}\n";
        let csv = "name,n\r\n\"a,\"\"b\"\"\",1\r\n,2\r\n";
        for (format, expected) in [(Format::Jsonl, json), (Format::Csv, csv)] {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let style = style(format, compression);
                let one = staged(&[table(1)], &style, folder.path());
                let again = staged(&[table(1)], &style, folder.path());
                assert_eq!(one.sha256, again.sha256, "{compression:?}");
                let bytes = fs::read(&one.path).unwrap();
                let mut text = String::new();
                match compression {
                    Compression::Gzip => {
                        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text)
                    }
                    Compression::Zstd => zstd::Decoder::new(&bytes[..])
                        .unwrap()
                        .read_to_string(&mut text),
                    _ => (&bytes[..]).read_to_string(&mut text),
                }
                .unwrap();
                assert_eq!(text, expected, "{compression:?}");
            }
        }
    }
}
