//! What a table comes to, in a few numbers: to say what changed when it is restated.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float64Type, Int64Type},
    record_batch::RecordBatch,
};

/// Columns that may be added up over rows. Uniques (visitors, sessions) overlap and never are.
const ADDITIVE: [&str; 11] = [
    "clicks",
    "count",
    "errors",
    "events",
    "page_views",
    "pageviews",
    "total_clicks",
    "total_errors",
    "total_events",
    "total_revenue",
    "views",
];

/// The numbers of a table: of one row all of them, of several the sums of those that add up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    rows: u64,
    first: BTreeMap<String, f64>,
    sums: BTreeMap<String, f64>,
}

impl Totals {
    /// Adds a batch.
    pub fn add(&mut self, batch: &RecordBatch) {
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let name = field.name();
            let is_additive = ADDITIVE.contains(&name.as_str());
            let is_first = self.rows == 0 && batch.num_rows() > 0;
            if !is_first && !is_additive {
                continue;
            }
            let values = numbers(column.as_ref());
            if is_first && let Some(Some(first)) = values.first() {
                self.first.insert(name.clone(), *first);
            }
            if is_additive && !values.is_empty() {
                let sum: f64 = values.iter().flatten().sum();
                *self.sums.entry(name.clone()).or_default() += sum;
            }
        }
        self.rows += batch.num_rows() as u64;
    }

    /// The numbers, by column; empty where nothing adds up.
    pub fn finish(self) -> BTreeMap<String, f64> {
        match self.rows {
            0 => BTreeMap::new(),
            1 => self.first,
            _ => self.sums,
        }
    }
}

fn numbers(column: &dyn Array) -> Vec<Option<f64>> {
    match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().iter();
            values.map(|n| n.map(|n| n as f64)).collect()
        }
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(visitors: &[i64]) -> RecordBatch {
        let column = |numbers: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(numbers.to_vec())) };
        let columns = [
            ("visitors", column(visitors)),
            ("pageviews", column(visitors)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn one_row_says_everything_and_several_only_what_adds_up() {
        let mut one = Totals::default();
        one.add(&batch(&[5]));
        assert_eq!(one.clone().finish().len(), 2);
        one.add(&batch(&[7, 1]));
        let sums = one.finish();
        assert_eq!(sums.get("pageviews"), Some(&13.0));
        assert_eq!(sums.get("visitors"), None);
    }
}
