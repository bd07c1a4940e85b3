//! Which texts of a table rarely repeat: a dictionary of them would only cost.

use std::collections::HashSet;

use arrow::{array::AsArray, record_batch::RecordBatch};

/// Rows that are looked at.
const SAMPLE: usize = 2_000;

/// Fewer rows tell nothing, and cost nothing.
const FEWEST: usize = 100;

/// The columns of texts of which more than half of the first rows are unlike all others.
pub fn rarely_repeating(batch: &RecordBatch) -> Vec<String> {
    let mut names = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(texts) = column.as_string_opt::<i32>() else {
            continue;
        };
        let sample: Vec<&str> = texts.iter().take(SAMPLE).flatten().collect();
        let distinct: HashSet<&str> = sample.iter().copied().collect();
        if sample.len() >= FEWEST && distinct.len() * 2 > sample.len() {
            names.push(field.name().clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn ids_rarely_repeat_and_countries_do() {
        let column = |text: &dyn Fn(usize) -> String| -> ArrayRef {
            Arc::new((0..500).map(|n| Some(text(n))).collect::<StringArray>())
        };
        let columns = [
            ("id", column(&|n| n.to_string())),
            ("country", column(&|n| (n % 7).to_string())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(rarely_repeating(&batch), ["id"]);
        assert!(rarely_repeating(&batch.slice(0, 50)).is_empty());
    }
}
