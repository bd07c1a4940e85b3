//! What a file's footer says of its columns, as the log has it: readers skip files by it.
//! <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics>

use chrono::{DateTime, Days, NaiveDate};
use deltalake::parquet::{
    basic::LogicalType,
    file::{metadata::ParquetMetaData, statistics::Statistics},
    schema::types::ColumnDescriptor,
};
use serde_json::{Map, Value, json};

/// The least or the greatest value of a column, of a day or an instant its number.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Boolean(bool),
    Whole(i64),
    Float(f64),
    Text(String),
}

/// `numRecords`, and by column `minValues`, `maxValues` and `nullCount` where the footer knows them.
pub(super) fn statistics(footer: &ParquetMetaData) -> String {
    let about = footer.file_metadata();
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (at, column) in about.schema_descr().columns().iter().enumerate() {
        let name = column.name().to_owned();
        if let Some(count) = null_count(footer, at) {
            nulls.insert(name.clone(), json!(count));
        }
        if let Some((min, max)) = bounds(footer, at) {
            let low = to_json(min, column, false);
            let high = to_json(max, column, true);
            if let (Some(low), Some(high)) = (low, high) {
                least.insert(name.clone(), low);
                greatest.insert(name, high);
            }
        }
    }
    let statistics = json!({
        "numRecords": about.num_rows(),
        "minValues": least,
        "maxValues": greatest,
        "nullCount": nulls,
    });
    statistics.to_string()
}

/// `None` where a row group does not say.
fn null_count(footer: &ParquetMetaData, column: usize) -> Option<u64> {
    let groups = footer.row_groups().iter();
    let counts = groups.map(|group| group.column(column).statistics()?.null_count_opt());
    counts.sum()
}

/// `None` where a row group with values does not say, or no row group has any.
fn bounds(footer: &ParquetMetaData, column: usize) -> Option<(Bound, Bound)> {
    let mut all: Option<(Bound, Bound)> = None;
    for group in footer.row_groups() {
        let chunk = group.column(column);
        let known = chunk.statistics()?;
        let values = u64::try_from(chunk.num_values()).ok();
        if known.null_count_opt().is_some() && known.null_count_opt() == values {
            continue;
        }
        let (min, max) = (bound(known, false)?, bound(known, true)?);
        all = Some(match all {
            None => (min, max),
            Some((low, high)) => (
                if min < low { min } else { low },
                if max > high { max } else { high },
            ),
        });
    }
    all
}

fn bound(known: &Statistics, greatest: bool) -> Option<Bound> {
    fn pick<T: Clone>(min: Option<&T>, max: Option<&T>, greatest: bool) -> Option<T> {
        if greatest { max } else { min }.cloned()
    }
    match known {
        Statistics::Boolean(s) => pick(s.min_opt(), s.max_opt(), greatest).map(Bound::Boolean),
        Statistics::Int32(s) => {
            pick(s.min_opt(), s.max_opt(), greatest).map(|n| Bound::Whole(n.into()))
        }
        Statistics::Int64(s) => pick(s.min_opt(), s.max_opt(), greatest).map(Bound::Whole),
        Statistics::Double(s) => {
            let value = pick(s.min_opt(), s.max_opt(), greatest);
            // JSON has no others
            value.filter(|float| float.is_finite()).map(Bound::Float)
        }
        Statistics::ByteArray(s) => {
            // Parquet cuts long text, the greatest one upwards: it still bounds the values
            let bytes = pick(s.min_opt(), s.max_opt(), greatest)?;
            let text = bytes.as_utf8().ok()?;
            Some(Bound::Text(text.to_owned()))
        }
        _ => None,
    }
}

fn to_json(bound: Bound, column: &ColumnDescriptor, greatest: bool) -> Option<Value> {
    Some(match (bound, column.logical_type_ref()) {
        (Bound::Boolean(value), _) => json!(value),
        (Bound::Float(value), _) => json!(value),
        (Bound::Text(value), _) => json!(value),
        (Bound::Whole(days), Some(LogicalType::Date)) => {
            let epoch = NaiveDate::default();
            let distance = Days::new(days.unsigned_abs());
            let day = if days < 0 {
                epoch.checked_sub_days(distance)?
            } else {
                epoch.checked_add_days(distance)?
            };
            json!(day.to_string())
        }
        (Bound::Whole(micros), Some(LogicalType::Timestamp(_))) => {
            // The log has milliseconds: both ends go outwards
            let millis = micros.div_euclid(1000);
            let is_between = micros.rem_euclid(1000) != 0;
            let millis = millis + i64::from(greatest && is_between);
            let at = DateTime::from_timestamp_millis(millis)?;
            json!(at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        }
        (Bound::Whole(value), _) => json!(value),
    })
}
