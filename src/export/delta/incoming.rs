//! A local Parquet file on its way into a table: what its footer says.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use deltalake::{
    kernel::PrimitiveType,
    parquet::{
        arrow::parquet_to_arrow_schema,
        file::{metadata::ParquetMetaData, reader::FileReader, reader::SerializedFileReader},
    },
};

use super::{Change, DeltaError, Partition, columns, file_error, statistics::statistics};

/// A local Parquet file on its way into a table.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) partition: Partition,
    pub(super) file: PathBuf,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// When it was written, in milliseconds since 1970.
    pub(super) modified_ms: i64,
    /// In the order of the file.
    pub(super) columns: Vec<(String, PrimitiveType)>,
    /// As the log wants them, in JSON.
    pub(super) statistics: String,
}

impl Incoming {
    /// The file of a change; `None` where it brings none.
    pub(super) fn of(change: &Change) -> Option<Result<Self, DeltaError>> {
        let Change::Replace { partition, file } = change else {
            return None;
        };
        Some(Self::read(partition, file))
    }

    fn read(partition: &Partition, path: &Path) -> Result<Self, DeltaError> {
        let unreadable = file_error(path, "read");
        let file = fs::File::open(path).map_err(&unreadable)?;
        let about = file.metadata().map_err(&unreadable)?;
        let modified = about.modified().map_err(&unreadable)?;
        let since_1970 = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let wrong = |source| DeltaError::Parquet {
            path: path.to_owned(),
            source,
        };
        let reader = SerializedFileReader::new(file).map_err(wrong)?;
        let footer = reader.metadata();
        Ok(Self {
            partition: partition.clone(),
            file: path.to_owned(),
            bytes: about.len(),
            rows: u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0),
            modified_ms: i64::try_from(since_1970.as_millis()).unwrap_or(0),
            columns: columns_of(footer, wrong)?,
            statistics: statistics(footer),
        })
    }
}

fn columns_of(
    footer: &ParquetMetaData,
    wrong: impl Fn(deltalake::parquet::errors::ParquetError) -> DeltaError,
) -> Result<Vec<(String, PrimitiveType)>, DeltaError> {
    let about = footer.file_metadata();
    let schema = parquet_to_arrow_schema(about.schema_descr(), about.key_value_metadata());
    let schema = schema.map_err(wrong)?;
    let typed = schema.fields().iter().map(|field| {
        let kind = columns::delta_type(field.data_type());
        let kind = kind.ok_or_else(|| DeltaError::UnknownType {
            column: field.name().clone(),
            found: field.data_type().to_string(),
        })?;
        Ok((field.name().clone(), kind))
    });
    typed.collect()
}
