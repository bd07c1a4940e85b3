//! Rows in the order of their date.

use arrow::{
    array::{Array, AsArray, UInt32Array},
    compute::take_record_batch,
    datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType},
    record_batch::RecordBatch,
};

/// The column that rows are sorted by.
const DATE: &str = "date";

/// The batch sorted by its `date`, earliest first; rows of one date keep their order. `None` where
/// it has no such column, or where a row has none.
pub fn sort_by_date(batch: &RecordBatch) -> Option<RecordBatch> {
    let dates = batch.column_by_name(DATE)?;
    if dates.null_count() > 0 {
        return None;
    }
    let keys: Vec<i64> = match dates.data_type() {
        DataType::Date32 => {
            let days = dates.as_primitive::<Date32Type>().values().iter();
            days.map(|day| i64::from(*day)).collect()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => dates
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .to_vec(),
        _ => return None,
    };
    if keys.is_sorted() {
        return Some(batch.clone());
    }
    let mut order: Vec<u32> = (0..u32::try_from(keys.len()).ok()?).collect();
    order.sort_by_key(|row| keys[*row as usize]);
    take_record_batch(batch, &UInt32Array::from(order)).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Int64Array};

    use super::*;

    #[test]
    fn rows_come_by_date_and_keep_their_order_within_one() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![3, 1, 3, 2]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("date", dates)]).unwrap();
        let sorted = sort_by_date(&batch).unwrap();
        assert_eq!(
            sorted
                .column(0)
                .as_primitive::<arrow::datatypes::Int64Type>()
                .values(),
            &[2, 4, 1, 3]
        );
    }
}
