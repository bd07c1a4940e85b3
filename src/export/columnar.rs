//! Parquet files.

use std::sync::Arc;

use arrow::{
    datatypes::{DataType, SchemaRef},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression as Codec, ZstdLevel},
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::WriterProperties,
    },
    schema::types::ColumnPath,
};

use super::{ExportError, hashed::Hashed, stage::FileStyle};
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
    pub(super) fn begin(
        schema: &SchemaRef,
        style: &FileStyle,
        out: Hashed,
    ) -> Result<Self, ExportError> {
        let properties = properties(schema, style)?;
        let writer = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties))?;
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
