//! One column in the making.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, TimeUnit},
};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value;

use super::Column;
use crate::domain::query::ColumnType;

/// Values of one column; rows that lack it are nulls.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    pub(super) name: String,
    kind: Option<ColumnType>,
    /// Filled up to the row before the one that is being pushed.
    values: Values,
    len: usize,
}

#[derive(Debug)]
enum Values {
    /// Nulls alone so far, of a type not yet known.
    Undecided,
    Int64(Int64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// What the column is, and what the value is instead.
type Misfit = (ColumnType, &'static str);

impl ColumnBuilder {
    pub(super) fn new(column: Column) -> Self {
        let values = column.kind.map_or(Values::Undecided, Values::of);
        Self {
            name: column.name,
            kind: column.kind,
            values,
            len: 0,
        }
    }

    /// Puts the value of row `row` (from 0), after nulls for the rows that lacked the column.
    pub(super) fn push(&mut self, row: usize, value: &Value) -> Result<(), Misfit> {
        if value.is_null() {
            return Ok(());
        }
        let kind = *self.kind.get_or_insert_with(|| guess(&self.name, value));
        if matches!(self.values, Values::Undecided) {
            self.values = Values::of(kind);
        }
        self.fill(row);
        self.values.push(kind, value)?;
        self.len += 1;
        Ok(())
    }

    fn fill(&mut self, rows: usize) {
        while self.len < rows {
            self.values.push_null();
            self.len += 1;
        }
    }

    pub(super) fn finish(mut self, rows: usize) -> (Field, ArrayRef) {
        if matches!(self.values, Values::Undecided) {
            self.values = Values::of(ColumnType::String);
        }
        self.fill(rows);
        let array: ArrayRef = match self.values {
            Values::Undecided => unreachable!("it was decided above"),
            Values::Int64(mut v) => Arc::new(v.finish()),
            Values::Float64(mut v) => Arc::new(v.finish()),
            Values::Text(mut v) => Arc::new(v.finish()),
            Values::Boolean(mut v) => Arc::new(v.finish()),
            Values::Date(mut v) => Arc::new(v.finish()),
            Values::Timestamp(mut v) => Arc::new(v.finish().with_timezone("+00:00")),
        };
        (
            Field::new(self.name, array.data_type().clone(), true),
            array,
        )
    }
}

impl Values {
    fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Int64 => Self::Int64(Int64Builder::new()),
            ColumnType::Float64 => Self::Float64(Float64Builder::new()),
            ColumnType::String | ColumnType::Json => Self::Text(StringBuilder::new()),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => Self::Timestamp(
                TimestampMicrosecondBuilder::new()
                    .with_data_type(DataType::Timestamp(TimeUnit::Microsecond, None)),
            ),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Undecided => {}
            Self::Int64(v) => v.append_null(),
            Self::Float64(v) => v.append_null(),
            Self::Text(v) => v.append_null(),
            Self::Boolean(v) => v.append_null(),
            Self::Date(v) => v.append_null(),
            Self::Timestamp(v) => v.append_null(),
        }
    }

    fn push(&mut self, kind: ColumnType, value: &Value) -> Result<(), Misfit> {
        let misfit = || (kind, describe(value));
        match self {
            Self::Undecided => {}
            Self::Int64(v) => v.append_value(to_i64(value).ok_or_else(misfit)?),
            Self::Float64(v) => v.append_value(to_f64(value).ok_or_else(misfit)?),
            Self::Boolean(v) => v.append_value(value.as_bool().ok_or_else(misfit)?),
            Self::Date(v) => v.append_value(to_date(value).ok_or_else(misfit)?),
            Self::Timestamp(v) => v.append_value(to_micros(value).ok_or_else(misfit)?),
            Self::Text(v) => match (kind, value) {
                (ColumnType::String, Value::String(text)) => v.append_value(text),
                (ColumnType::String, _) => return Err(misfit()),
                (_, value) => v.append_value(value.to_string()),
            },
        }
        Ok(())
    }
}

/// The type of a column of which only a first value is known.
fn guess(name: &str, value: &Value) -> ColumnType {
    match value {
        Value::Number(_) => ColumnType::Float64,
        Value::Bool(_) => ColumnType::Boolean,
        Value::Array(_) | Value::Object(_) => ColumnType::Json,
        value if name == "date" && to_date(value).is_some() => ColumnType::Date,
        Value::String(_) | Value::Null => ColumnType::String,
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction or beyond 64 bits",
        Value::Number(number) if number.as_u64().is_some_and(|n| n > MAX_EXACT) => {
            "a whole number beyond 2^53"
        }
        Value::Number(number)
            if number
                .as_i64()
                .is_some_and(|n| n.unsigned_abs() > MAX_EXACT) =>
        {
            "a whole number beyond 2^53"
        }
        Value::Number(_) => "a whole number",
        Value::String(_) => "text",
        Value::Array(_) | Value::Object(_) => "nested",
    }
}

/// A whole number, also as text (`"12"`) and with an empty fraction (`3.0`).
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
fn to_i64(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number
                .as_f64()
                .filter(|f| f.fract() == 0.0 && f.abs() < 9.0e15)?;
            Some(float as i64)
        }),
        _ => None,
    }
}

/// The largest whole number up to which every one is a float of its own.
const MAX_EXACT: u64 = 1 << 53;

fn to_f64(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse::<f64>().ok().filter(|f| f.is_finite()),
        // Beyond 2^53 a float would silently be another number
        Value::Number(number)
            if number
                .as_i64()
                .is_some_and(|n| n.unsigned_abs() > MAX_EXACT) =>
        {
            None
        }
        Value::Number(number) if number.as_u64().is_some_and(|n| n > MAX_EXACT) => None,
        value => value.as_f64(),
    }
}

/// Days since 1970-01-01.
fn to_date(value: &Value) -> Option<i32> {
    let day: NaiveDate = value.as_str()?.parse().ok()?;
    i32::try_from((day - NaiveDate::default()).num_days()).ok()
}

/// Microseconds since 1970 in UTC. The API writes instants without a zone, meaning UTC.
fn to_micros(value: &Value) -> Option<i64> {
    let text = value.as_str()?;
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    let plain = text.strip_suffix('Z').unwrap_or(text).replacen('T', " ", 1);
    let read = |format: &str| NaiveDateTime::parse_from_str(&plain, format).ok();
    let at = read("%Y-%m-%d %H:%M:%S%.f")
        // Hourly link series have the month's name where the minutes belong (measured)
        .or_else(|| read("%Y-%m-%d %H:%B:%M"));
    let day = || plain.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    Some(at.or_else(day)?.and_utc().timestamp_micros())
}
