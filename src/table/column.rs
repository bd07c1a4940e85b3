//! One column in the making.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder,
        StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, TimeUnit},
};

use super::{
    Column,
    instant::{to_days, to_micros},
};
use crate::domain::query::ColumnType;

/// The largest whole number up to which every one is a float of its own.
const MAX_EXACT: u64 = 1 << 53;

/// Whole numbers beyond 64 bits come as floats: from here on nobody knows what stood there.
const MAX_FLOAT: f64 = 9_223_372_036_854_775_808.0;

/// A value of a row as JSON has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Beyond the range of `i64`.
    Large(u64),
    Float(f64),
    Text(&'a str),
    /// JSON text of an array or an object.
    Nested(&'a str),
}

/// Values of one column; rows that lack it are nulls.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    pub(super) name: String,
    kind: Option<ColumnType>,
    /// Filled up to the row before the one that is being pushed.
    values: Values,
    len: usize,
    /// Rows up to the last that had it, be it as null.
    filled: usize,
    /// Whether a row had it, be it as null.
    pub(super) is_present: bool,
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

/// What the column is, what the value is instead, and its text.
pub(super) type Misfit = (ColumnType, &'static str, String);

impl ColumnBuilder {
    pub(super) fn new(column: Column) -> Self {
        Self {
            values: column.kind.map_or(Values::Undecided, Values::of),
            name: column.name,
            kind: column.kind,
            len: 0,
            filled: 0,
            is_present: false,
        }
    }

    /// Its type, or `None` while only nulls of an unknown type were seen.
    pub(super) fn kind(&self) -> Option<ColumnType> {
        self.kind
    }

    /// Whether row `row` (from 0) has its value already.
    pub(super) fn is_filled(&self, row: usize) -> bool {
        self.filled > row
    }

    /// Puts the value of row `row` (from 0), after nulls for the rows that lacked the column.
    pub(super) fn push(&mut self, row: usize, cell: Cell<'_>) -> Result<(), Misfit> {
        self.is_present = true;
        self.filled = row + 1;
        if let Cell::Null = cell {
            return Ok(());
        }
        let kind = *self.kind.get_or_insert_with(|| guess(&self.name, cell));
        if matches!(self.values, Values::Undecided) {
            self.values = Values::of(kind);
        }
        self.fill(row);
        self.len += 1;
        let is_text = kind != ColumnType::String || !matches!(cell, Cell::Nested(_));
        if is_text && self.values.push(cell) {
            return Ok(());
        }
        // The refused value leaves a null, so that the lengths stay right
        self.values.push_null();
        Err((kind, describe(cell), text_of(cell)))
    }

    /// Drops the values since the last batch, and the type where they were the first to have one.
    pub(super) fn forget(&mut self, was_untyped: bool) {
        self.len = 0;
        self.filled = 0;
        if was_untyped {
            self.kind = None;
        }
        self.values = self.kind.map_or(Values::Undecided, Values::of);
    }

    fn fill(&mut self, rows: usize) {
        while self.len < rows {
            self.values.push_null();
            self.len += 1;
        }
    }

    /// The values so far, one a row, and an empty column again; `None` while it has no type.
    pub(super) fn take(&mut self, rows: usize) -> Option<(Field, ArrayRef)> {
        self.filled = 0;
        if matches!(self.values, Values::Undecided) {
            return None;
        }
        self.fill(rows);
        self.len = 0;
        let array: ArrayRef = match &mut self.values {
            Values::Undecided => return None,
            Values::Int64(v) => Arc::new(v.finish()),
            Values::Float64(v) => Arc::new(v.finish()),
            Values::Text(v) => {
                let texts = v.finish();
                // The next page is likely as long as this one
                let bytes = texts.value_data().len();
                *v = StringBuilder::with_capacity(texts.len(), bytes + bytes / 16);
                Arc::new(texts)
            }
            Values::Boolean(v) => Arc::new(v.finish()),
            Values::Date(v) => Arc::new(v.finish()),
            Values::Timestamp(v) => Arc::new(v.finish().with_timezone("+00:00")),
        };
        let field = Field::new(self.name.as_str(), array.data_type().clone(), true);
        Some((field, array))
    }
}

impl Values {
    fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Int64 => Self::Int64(Int64Builder::new()),
            ColumnType::Float64 => Self::Float64(Float64Builder::new()),
            ColumnType::String | ColumnType::Json | ColumnType::SessionEvents => {
                Self::Text(StringBuilder::new())
            }
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

    /// Whether the value fits; one that does not is not put.
    fn push(&mut self, cell: Cell<'_>) -> bool {
        let put = match self {
            Self::Undecided => None,
            Self::Int64(v) => to_i64(cell).map(|n| v.append_value(n)),
            Self::Float64(v) => to_f64(cell).map(|n| v.append_value(n)),
            Self::Boolean(v) => to_bool(cell).map(|b| v.append_value(b)),
            Self::Date(v) => text(cell).and_then(to_days).map(|d| v.append_value(d)),
            Self::Timestamp(v) => text(cell).and_then(to_micros).map(|t| v.append_value(t)),
            Self::Text(v) => text_or_json(cell).map(|text| v.append_value(text)),
        };
        put.is_some()
    }
}

fn to_bool(cell: Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(value),
        _ => None,
    }
}

fn text_or_json(cell: Cell<'_>) -> Option<&str> {
    match cell {
        Cell::Text(text) | Cell::Nested(text) => Some(text),
        _ => None,
    }
}

fn text(cell: Cell<'_>) -> Option<&str> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

/// The type of a column of which only a first value is known.
fn guess(name: &str, cell: Cell<'_>) -> ColumnType {
    match cell {
        Cell::Int(_) | Cell::Large(_) | Cell::Float(_) => ColumnType::Float64,
        Cell::Bool(_) => ColumnType::Boolean,
        Cell::Nested(_) => ColumnType::Json,
        Cell::Text(text) if name == "date" && to_days(text).is_some() => ColumnType::Date,
        Cell::Text(_) | Cell::Null => ColumnType::String,
    }
}

fn describe(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "null",
        Cell::Bool(_) => "boolean",
        Cell::Float(_) => "a number with a fraction or beyond 64 bits",
        Cell::Text(text) if text.parse::<f64>().is_ok() => "text of a number",
        Cell::Large(_) => "a whole number beyond 2^53",
        Cell::Int(n) if n.unsigned_abs() > MAX_EXACT => "a whole number beyond 2^53",
        Cell::Int(_) => "a whole number",
        Cell::Text(_) => "text",
        Cell::Nested(_) => "nested",
    }
}

fn text_of(cell: Cell<'_>) -> String {
    let text = match cell {
        Cell::Null => "null".to_owned(),
        Cell::Bool(value) => value.to_string(),
        Cell::Int(value) => value.to_string(),
        Cell::Large(value) => value.to_string(),
        Cell::Float(value) => value.to_string(),
        Cell::Text(value) => format!("\"{value}\""),
        Cell::Nested(value) => value.to_owned(),
    };
    text.chars().take(80).collect()
}

/// A whole number, also as text (`"12"`) and with an empty fraction (`3.0`).
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
fn to_i64(cell: Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Int(value) => Some(value),
        Cell::Float(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Some(value as i64),
        Cell::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn to_f64(cell: Cell<'_>) -> Option<f64> {
    match cell {
        // Beyond 2^53 a float would silently be another number
        Cell::Int(value) if value.unsigned_abs() <= MAX_EXACT => Some(value as f64),
        // So large, it may have been a whole number that JSON readers round
        Cell::Float(value) if value.abs() < MAX_FLOAT => Some(value),
        Cell::Text(text) => {
            let is_whole = text
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b'-' || b == b'+');
            if is_whole {
                return to_f64(Cell::Int(text.parse().ok()?));
            }
            text.parse::<f64>().ok().filter(|f| f.abs() < MAX_FLOAT)
        }
        _ => None,
    }
}
