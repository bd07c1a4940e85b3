//! From the rows of a step to those of one file: which columns, in which order, in which form.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, StringArray, StringBuilder, new_null_array},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use super::{TableError, events};
use crate::domain::query::ColumnType;

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapedColumn {
    /// Its name, as the server has it.
    pub name: String,
    /// Its type in the file.
    pub kind: ColumnType,
    /// Whether its texts are replaced by their hash.
    pub is_hashed: bool,
}

/// A column of one value, for what a path does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: ConstantValue,
}

/// The value of a constant column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstantValue {
    /// Text.
    Text(String),
    /// A day.
    Day(NaiveDate),
}

/// What the columns of one file are.
#[derive(Debug, Clone)]
pub struct Shape {
    columns: Vec<ShapedColumn>,
    constants: Vec<Constant>,
    schema: SchemaRef,
}

impl Shape {
    /// The constants first, then the columns in their order.
    pub fn new(columns: Vec<ShapedColumn>, constants: Vec<Constant>) -> Self {
        let first = constants.iter().map(|constant| {
            let kind = match constant.value {
                ConstantValue::Text(_) => DataType::Utf8,
                ConstantValue::Day(_) => DataType::Date32,
            };
            Field::new(constant.name, kind, false)
        });
        let rest = columns
            .iter()
            .map(|column| Field::new(&column.name, data_type(column.kind), true));
        let schema = Arc::new(Schema::new(first.chain(rest).collect::<Vec<_>>()));
        Self {
            columns,
            constants,
            schema,
        }
    }

    /// The schema of every batch of the file.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A batch in this shape. A column that it lacks is null; one that the shape lacks must not be
    /// there.
    ///
    /// # Errors
    /// Events of a shape that was never seen.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, TableError> {
        let rows = batch.num_rows();
        self.refuse_others(batch)?;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for constant in &self.constants {
            arrays.push(match &constant.value {
                ConstantValue::Text(text) => Arc::new(StringArray::from_iter_values(
                    std::iter::repeat_n(text, rows),
                )),
                ConstantValue::Day(day) => Arc::new(Date32Array::from_value(days(*day), rows)),
            });
        }
        for column in &self.columns {
            arrays.push(match batch.column_by_name(&column.name) {
                None => new_null_array(&data_type(column.kind), rows),
                Some(array) if column.is_hashed => hashed(array, column.name.contains("email")),
                Some(array) if column.kind == ColumnType::SessionEvents => {
                    events::to_structs(&column.name, array.as_string())?
                }
                Some(array) => Arc::clone(array),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(
            |source| TableError::Arrow {
                query: String::new(),
                source,
            },
        )
    }
}

impl Shape {
    /// No value is left out in silence.
    fn refuse_others(&self, batch: &RecordBatch) -> Result<(), TableError> {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let is_shaped = self
                .columns
                .iter()
                .any(|column| column.name == *field.name());
            if !is_shaped && array.null_count() < array.len() {
                return Err(TableError::Unshaped {
                    column: field.name().clone(),
                });
            }
        }
        Ok(())
    }
}

/// The Arrow type of a column.
pub fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        ColumnType::SessionEvents => events::data_type(),
    }
}

/// Days since 1970.
fn days(day: NaiveDate) -> i32 {
    let days = (day - NaiveDate::default()).num_days();
    i32::try_from(days).expect("chrono's days fit 32 bits")
}

/// SHA-256 in hex of each text; of mail addresses without spaces around and in lower case, so that
/// two spellings of one give one hash.
fn hashed(array: &ArrayRef, is_email: bool) -> ArrayRef {
    let Some(texts) = array.as_string_opt::<i32>() else {
        // Nothing else is known to name people; whatever it is does not leave the program
        return new_null_array(&DataType::Utf8, array.len());
    };
    let mut hashes = StringBuilder::with_capacity(texts.len(), texts.len() * 64);
    for text in texts {
        hashes.append_option(text.map(|text| {
            let digest = if is_email {
                Sha256::digest(text.trim().to_lowercase())
            } else {
                Sha256::digest(text)
            };
            hex::encode(digest)
        }));
    }
    Arc::new(hashes.finish())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn column(name: &str, kind: ColumnType, is_hashed: bool) -> ShapedColumn {
        ShapedColumn {
            name: name.to_owned(),
            kind,
            is_hashed,
        }
    }

    #[test]
    fn columns_come_in_the_order_of_the_shape_and_what_is_lacking_is_null() {
        let shape = Shape::new(
            vec![
                column("visitors", ColumnType::Int64, false),
                column("gone", ColumnType::Timestamp, false),
                column("email", ColumnType::String, true),
            ],
            vec![Constant {
                name: "website_id",
                value: ConstantValue::Text("web_1".to_owned()),
            }],
        );
        let email: ArrayRef = Arc::new(StringArray::from(vec![Some(" Ann@Example.com"), None]));
        let visitors: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("email", email), ("visitors", visitors)]).unwrap();
        let shaped = shape.apply(&batch).unwrap();
        let more: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        let more = RecordBatch::try_from_iter([("other", more)]).unwrap();
        assert!(
            shape
                .apply(&more)
                .unwrap_err()
                .to_string()
                .contains("`other`")
        );
        assert_eq!(shaped.schema(), *shape.schema());
        assert_eq!(shaped.column(0).as_string::<i32>().value(1), "web_1");
        assert_eq!(shaped.column(2).null_count(), 2);
        let hashes = shaped.column(3).as_string::<i32>();
        assert_eq!(
            hashes.value(0),
            hex::encode(Sha256::digest("ann@example.com"))
        );
        assert!(hashes.is_null(1));
    }
}
