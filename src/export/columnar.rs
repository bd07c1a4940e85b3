//! Parquet files.

use std::{path::Path, sync::Arc};

use arrow::{
    datatypes::{DataType, SchemaRef},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression as Codec, ZstdLevel},
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::WriterProperties,
    },
    schema::types::ColumnPath,
};

use super::{ExportError, hashed::Hashed, spill::Spill, stage::FileStyle};
use crate::domain::job::Compression;

/// Fast, and within a few percent of the levels that take much longer.
const ZSTD_LEVEL: u32 = 3;

/// Rows of a row group: it decides the memory of a writer and of its readers. The size that `DuckDB`
/// reads in parallel.
const ROW_GROUP_ROWS: usize = 122_880;

/// A Parquet file in the making.
#[derive(Debug)]
pub(super) struct ColumnarFile {
    writer: ArrowWriter<Hashed>,
}

impl ColumnarFile {
    /// Begins a file; `folder` takes what memory should not hold until a row group is complete.
    pub(super) fn begin(
        schema: &SchemaRef,
        style: &FileStyle,
        out: Hashed,
        folder: &Path,
    ) -> Result<Self, ExportError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(schema, style)?)
            .with_page_store_factory(Arc::new(Spill::new(folder)));
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(schema), options)?;
        Ok(Self { writer })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        Ok(self.writer.write(batch)?)
    }

    pub(super) fn finish(self) -> Result<Hashed, ExportError> {
        Ok(self.writer.into_inner()?)
    }
}

fn properties(schema: &SchemaRef, style: &FileStyle) -> Result<WriterProperties, ExportError> {
    let level = i32::try_from(style.level.unwrap_or(ZSTD_LEVEL)).unwrap_or(i32::MAX);
    let codec = match style.compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(level)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None | Compression::Gzip => Codec::UNCOMPRESSED,
    };
    let pairs = style.metadata.iter();
    let pairs = pairs.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let sorting = style.sorted_by.and_then(|column| {
        // Parquet counts the leaves of nested columns
        let before = schema.fields().iter().take(column);
        let leaf: usize = before.map(|field| leaves(field.data_type())).sum();
        Some(vec![SortingColumn {
            column_idx: i32::try_from(leaf).ok()?,
            descending: false,
            nulls_first: false,
        }])
    });
    let mut builder = WriterProperties::builder()
        .set_compression(codec)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        // The version of a library would make the same rows other bytes
        .set_created_by("databuddy-jobs".to_owned())
        .set_key_value_metadata(Some(pairs.collect()))
        .set_sorting_columns(sorting);
    for field in schema.fields() {
        // Dictionaries pay where values repeat: in texts, and not in those that rarely do
        let pays = match field.data_type() {
            DataType::Utf8 => !style.unlike.contains(field.name()),
            DataType::Date32 | DataType::List(_) => true,
            _ => false,
        };
        if !pays {
            let path = ColumnPath::new(vec![field.name().clone()]);
            builder = builder.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(builder.build())
}

fn leaves(kind: &DataType) -> usize {
    match kind {
        DataType::List(field) => leaves(field.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::domain::job::{CsvStyle, Format};

    /// Texts that no packing makes shorter than what a column may keep in memory.
    fn batch(from: i64) -> RecordBatch {
        let numbers = from..from + 5_000;
        let text = |n: i64| {
            let half = |seed: i64| xxhash_rust::xxh3::xxh3_128(&(n * seed).to_le_bytes());
            format!("{:032x}{:032x}{:032x}", half(3), half(5), half(7))
        };
        let texts: StringArray = numbers.clone().map(|n| Some(text(n))).collect();
        let numbers: Int64Array = numbers.collect::<Vec<_>>().into();
        let columns: [(_, ArrayRef); 2] = [("text", Arc::new(texts)), ("n", Arc::new(numbers))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn a_file_is_the_same_wherever_its_pages_waited() {
        let folder = tempfile::tempdir().unwrap();
        let batches: Vec<RecordBatch> = (0..30).map(|n| batch(n * 5_000)).collect();
        let schema = batches[0].schema();
        let style = FileStyle {
            format: Format::Parquet,
            compression: Compression::Zstd,
            level: None,
            csv: CsvStyle::default(),
            metadata: Vec::new(),
            unlike: vec!["text".to_owned()],
            sorted_by: None,
        };
        let path = folder.path().join("spilled.parquet");
        let out = Hashed::new(std::fs::File::create(&path).unwrap());
        let mut spilled = ColumnarFile::begin(&schema, &style, out, folder.path()).unwrap();
        let properties = properties(&schema, &style).unwrap();
        let mut plain = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
        for batch in &batches {
            spilled.write(batch).unwrap();
            plain.write(batch).unwrap();
            // What the rows of a group come to is not held
            assert!(spilled.writer.memory_size() < 3 << 20);
        }
        spilled.finish().unwrap().finish().unwrap();
        assert!(std::fs::read(&path).unwrap() == plain.into_inner().unwrap());
    }
}
