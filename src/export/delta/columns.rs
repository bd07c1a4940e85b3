//! The columns of a table: what the files bring is added, nothing changes its type.

use arrow::datatypes::{DataType as ArrowType, TimeUnit};
use deltalake::{
    kernel::{DataType, PrimitiveType, StructField, StructType},
    table::state::DeltaTableState,
};

use super::{Definition, DeltaError, Table, incoming::Incoming};
use crate::domain::query::ColumnType;

/// The schema that the table needs for the files: that of a new table, or the grown one; `None`
/// where the table has every column.
pub(super) fn merged(
    definition: &Definition,
    table: Option<&DeltaTableState>,
    files: &[Incoming],
) -> Result<Option<StructType>, DeltaError> {
    let old = Table::schema_of(table);
    let mut fields: Vec<StructField> = match &old {
        Some(schema) => schema.fields().cloned().collect(),
        None => partition_fields(definition),
    };
    let known = fields.len();
    for (name, kind) in files.iter().flat_map(|file| &file.columns) {
        if definition.partition_by.iter().any(|c| c.name == *name) {
            return Err(DeltaError::ColumnInPath {
                column: name.clone(),
            });
        }
        let new = DataType::Primitive(kind.clone());
        match fields.iter().find(|field| field.name() == name) {
            Some(field) if *field.data_type() == new => {}
            Some(field) => {
                return Err(DeltaError::TypeChange {
                    column: name.clone(),
                    old: field.data_type().to_string(),
                    new: new.to_string(),
                });
            }
            None => fields.push(StructField::nullable(name.clone(), new)),
        }
    }
    if old.is_some() && fields.len() == known {
        return Ok(None);
    }
    // Refuses names that differ in their case alone, which readers would take for one
    let schema = StructType::try_new(fields).map_err(deltalake::DeltaTableError::from)?;
    Ok(Some(schema))
}

fn partition_fields(definition: &Definition) -> Vec<StructField> {
    let columns = definition.partition_by.iter();
    let fields = columns.map(|c| StructField::nullable(c.name.clone(), c.kind.delta_type()));
    fields.collect()
}

/// Delta's type for a type of Arrow that this program writes.
pub(super) fn delta_type(kind: &ArrowType) -> Option<PrimitiveType> {
    Some(match kind {
        ArrowType::Int64 => PrimitiveType::Long,
        ArrowType::Float64 => PrimitiveType::Double,
        ArrowType::Utf8 => PrimitiveType::String,
        ArrowType::Boolean => PrimitiveType::Boolean,
        ArrowType::Date32 => PrimitiveType::Date,
        ArrowType::Timestamp(TimeUnit::Microsecond, Some(zone))
            if matches!(zone.as_ref(), "+00:00" | "UTC") =>
        {
            PrimitiveType::Timestamp
        }
        _ => return None,
    })
}

/// The program's type for a type of Delta.
pub(super) fn column_type(kind: &DataType) -> Option<ColumnType> {
    let DataType::Primitive(kind) = kind else {
        return None;
    };
    Some(match kind {
        PrimitiveType::Long => ColumnType::Int64,
        PrimitiveType::Double => ColumnType::Float64,
        PrimitiveType::String => ColumnType::String,
        PrimitiveType::Boolean => ColumnType::Boolean,
        PrimitiveType::Date => ColumnType::Date,
        PrimitiveType::Timestamp => ColumnType::Timestamp,
        _ => return None,
    })
}
