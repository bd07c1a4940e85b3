//! What a table says, apart from how it was said: the same for the same rows in another order, and
//! for floats that differ in their last digits, as they do between identical calls (trap 14, measured).

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    record_batch::RecordBatch,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Digits of a float that count: identical calls were seen to differ in the sixteenth and seventeenth.
const FLOAT_DIGITS: usize = 12;

/// A hash of the table's columns and rows, in hex. Rows are a multiset: their hashes are added up.
pub fn content_hash(table: &RecordBatch) -> String {
    let mut columns = Xxh3::new();
    for field in table.schema_ref().fields() {
        columns.update(field.name().as_bytes());
        columns.update(&[0]);
        columns.update(field.data_type().to_string().as_bytes());
        columns.update(&[0]);
    }
    let mut sum = columns.digest128();
    let mut row_bytes = Vec::new();
    for row in 0..table.num_rows() {
        row_bytes.clear();
        for column in table.columns() {
            append(column.as_ref(), row, &mut row_bytes);
        }
        sum = sum.wrapping_add(xxh3_128(&row_bytes));
    }
    format!("{sum:032x}")
}

/// One value, so that no two different rows give the same bytes.
fn append(column: &dyn Array, row: usize, bytes: &mut Vec<u8>) {
    if column.is_null(row) {
        bytes.push(0);
        return;
    }
    bytes.push(1);
    match column.data_type() {
        DataType::Int64 => {
            bytes.extend(column.as_primitive::<Int64Type>().value(row).to_le_bytes());
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            let digits = FLOAT_DIGITS - 1;
            bytes.extend(format!("{value:.digits$e}").as_bytes());
        }
        DataType::Boolean => bytes.push(u8::from(column.as_boolean().value(row))),
        DataType::Date32 => {
            bytes.extend(column.as_primitive::<Date32Type>().value(row).to_le_bytes());
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let instants = column.as_primitive::<TimestampMicrosecondType>();
            bytes.extend(instants.value(row).to_le_bytes());
        }
        _ => {
            let text = column.as_string::<i32>().value(row);
            bytes.extend(text.len().to_le_bytes());
            bytes.extend(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    fn table(rows: &[(Option<&str>, f64)]) -> RecordBatch {
        let names: ArrayRef = Arc::new(rows.iter().map(|(n, _)| *n).collect::<StringArray>());
        let rates: ArrayRef =
            Arc::new(rows.iter().map(|(_, r)| Some(*r)).collect::<Float64Array>());
        RecordBatch::try_from_iter([("name", names), ("rate", rates)]).unwrap()
    }

    #[test]
    fn order_and_last_digits_change_nothing_and_everything_else_does() {
        let one = content_hash(&table(&[
            (Some("a"), 14.470_000_000_000_1),
            (Some("b"), 7.0),
        ]));
        let same = [
            table(&[(Some("b"), 7.0), (Some("a"), 14.470_000_000_000_1)]),
            table(&[(Some("a"), 14.470_000_000_000_102), (Some("b"), 7.0)]),
        ];
        for other in &same {
            assert_eq!(content_hash(other), one);
        }
        let different = [
            table(&[(Some("a"), 14.48), (Some("b"), 7.0)]),
            table(&[(Some("a"), 14.470_000_000_000_1)]),
            table(&[(Some("a"), 7.0), (Some("b"), 14.470_000_000_000_1)]),
            table(&[(None, 14.470_000_000_000_1), (Some("b"), 7.0)]),
            table(&[
                (Some("a"), 14.470_000_000_000_1),
                (Some("b"), 7.0),
                (Some("b"), 7.0),
            ]),
        ];
        for other in &different {
            assert_ne!(content_hash(other), one);
        }
    }

    #[test]
    fn the_hash_is_the_same_in_every_version_of_the_program() {
        // Manifests keep it: a change here would write every partition again
        assert_eq!(
            content_hash(&table(&[(Some("a"), 1.5)])),
            "82f28875477b473bfe3e28730f41408a"
        );
    }
}
