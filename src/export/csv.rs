//! CSV as RFC 4180 has it: UTF-8, lines that end with CRLF, quotes where they are needed.

use std::io::Write as _;

use arrow::{
    array::{Array, AsArray},
    datatypes::{
        DataType, Date32Type, Float64Type, Int64Type, SchemaRef, TimestampMicrosecondType,
    },
    error::ArrowError,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use chrono::DateTime;

use crate::domain::job::CsvStyle;

/// Writes batches as CSV, a buffer at a time.
#[derive(Debug)]
pub(super) struct CsvWriter {
    style: CsvStyle,
    buffer: Vec<u8>,
}

impl CsvWriter {
    pub(super) fn new(style: CsvStyle) -> Self {
        Self {
            style,
            buffer: Vec::new(),
        }
    }

    /// The line of names.
    pub(super) fn header(&mut self, schema: &SchemaRef) -> &[u8] {
        self.buffer.clear();
        for (place, field) in schema.fields().iter().enumerate() {
            if place > 0 {
                self.buffer.push(b',');
            }
            put_text(field.name(), false, &mut self.buffer);
        }
        self.buffer.extend_from_slice(b"\r\n");
        &self.buffer
    }

    /// The lines of a batch.
    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<&[u8], ArrowError> {
        self.buffer.clear();
        let columns = batch
            .columns()
            .iter()
            .map(|column| Cells::of(column.as_ref()));
        let mut columns: Vec<Cells<'_>> = columns.collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let start = self.buffer.len();
            for (place, cells) in columns.iter_mut().enumerate() {
                if place > 0 {
                    self.buffer.push(b',');
                }
                if batch.column(place).is_null(row) {
                    self.buffer
                        .extend_from_slice(self.style.null_text.as_bytes());
                } else {
                    cells.put(row, &self.style, &mut self.buffer)?;
                }
            }
            if columns.len() == 1 && self.buffer.len() == start {
                // Readers pass over an empty line
                self.buffer.extend_from_slice(b"\"\"");
            }
            self.buffer.extend_from_slice(b"\r\n");
        }
        Ok(&self.buffer)
    }
}

/// The values of a column, by type.
enum Cells<'a> {
    Text(&'a arrow::array::StringArray),
    Int(&'a [i64]),
    Float(&'a [f64]),
    Day(&'a [i32], DayText),
    Instant(&'a [i64], DayText),
    Other(ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    fn of(column: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match column.data_type() {
            DataType::Utf8 => Self::Text(column.as_string()),
            DataType::Int64 => Self::Int(column.as_primitive::<Int64Type>().values()),
            DataType::Float64 => Self::Float(column.as_primitive::<Float64Type>().values()),
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>().values();
                Self::Day(days, DayText::default())
            }
            DataType::Timestamp(..) => {
                let instants = column.as_primitive::<TimestampMicrosecondType>().values();
                Self::Instant(instants, DayText::default())
            }
            _ => {
                let options = FormatOptions::default();
                Self::Other(ArrayFormatter::try_new(column, &options)?)
            }
        })
    }

    fn put(&mut self, row: usize, style: &CsvStyle, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Self::Text(values) => {
                let text = values.value(row);
                // An empty text is told from null where null has a text of its own
                let is_like_null = !style.null_text.is_empty() && text == style.null_text;
                if is_like_null {
                    out.push(b'"');
                    out.extend_from_slice(text.as_bytes());
                    out.push(b'"');
                } else {
                    put_text(text, style.guard_formulas, out);
                }
            }
            Self::Int(values) => {
                serde_json::to_writer(out, &values[row]).map_err(|error| of_json(&error))?;
            }
            Self::Float(values) => put_float(values[row], out)?,
            Self::Day(values, text) => text.put(i64::from(values[row]), out)?,
            Self::Instant(values, text) => put_instant(values[row], text, out)?,
            Self::Other(values) => put_text(&values.value(row).to_string(), false, out),
        }
        Ok(())
    }
}

/// The shortest digits that read back as the same number.
fn put_float(value: f64, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    if value.is_finite() {
        serde_json::to_writer(out, &value).map_err(|error| of_json(&error))
    } else {
        Ok(write!(out, "{value}")?)
    }
}

/// The text of the last day: neighbouring rows are mostly of one.
#[derive(Default)]
struct DayText {
    /// Since 1970.
    day: i64,
    text: String,
}

impl DayText {
    /// `2026-11-16`.
    fn put(&mut self, day: i64, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.day != day || self.text.is_empty() {
            let seconds = day.checked_mul(SECONDS_PER_DAY);
            let at = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            self.text = at.ok_or_else(out_of_range)?.date_naive().to_string();
            self.day = day;
        }
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }
}

const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// `2026-11-16T10:00:00Z`, with as many digits of the second as it has: none, three or six.
fn put_instant(micros: i64, day: &mut DayText, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let (seconds, micros) = (
        micros.div_euclid(MICROS_PER_SECOND),
        micros.rem_euclid(MICROS_PER_SECOND),
    );
    day.put(seconds.div_euclid(SECONDS_PER_DAY), out)?;
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    out.push(b'T');
    put_digits(of_day / 3600, 2, out);
    out.push(b':');
    put_digits(of_day / 60 % 60, 2, out);
    out.push(b':');
    put_digits(of_day % 60, 2, out);
    if micros % 1000 != 0 {
        out.push(b'.');
        put_digits(micros, 6, out);
    } else if micros != 0 {
        out.push(b'.');
        put_digits(micros / 1000, 3, out);
    }
    out.push(b'Z');
    Ok(())
}

/// The last digits of a number, with zeros before it where it has fewer.
fn put_digits(number: i64, digits: u32, out: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).expect("a digit"));
    }
}

/// A text, in quotes where a reader would otherwise see more than one.
fn put_text(text: &str, guard_formulas: bool, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    // Spreadsheets run these as formulas (OWASP, CSV injection)
    let is_formula = guard_formulas
        && matches!(
            bytes.first(),
            Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r')
        );
    let guard: &[u8] = if is_formula { b"'" } else { b"" };
    // Every byte is looked at, many at once
    let needs_quotes = bytes.iter().fold(false, |needs, byte| {
        needs | matches!(byte, b',' | b'"' | b'\n' | b'\r')
    });
    if !needs_quotes {
        out.extend_from_slice(guard);
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(guard);
    for part in bytes.split_inclusive(|byte| *byte == b'"') {
        out.extend_from_slice(part);
        if part.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

fn of_json(error: &serde_json::Error) -> ArrowError {
    ArrowError::CsvError(error.to_string())
}

fn out_of_range() -> ArrowError {
    ArrowError::CsvError("an instant is out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };

    use proptest::prelude::*;

    use super::*;

    fn csv(style: CsvStyle, batch: &RecordBatch) -> String {
        let mut writer = CsvWriter::new(style);
        let mut text = writer.header(&batch.schema()).to_vec();
        text.extend_from_slice(writer.rows(batch).unwrap());
        String::from_utf8(text).unwrap()
    }

    fn texts(values: &[Option<&str>]) -> RecordBatch {
        let column: ArrayRef = Arc::new(values.iter().copied().collect::<StringArray>());
        RecordBatch::try_from_iter([("a,b", column)]).unwrap()
    }

    #[test]
    fn quotes_stand_where_they_are_needed_and_lines_end_with_crlf() {
        let batch = texts(&[
            Some("a,\"b\""),
            Some("two\nlines"),
            Some("ü –"),
            None,
            Some(""),
        ]);
        let expected = "\"a,b\"\r\n\"a,\"\"b\"\"\"\r\n\"two\nlines\"\r\nü –\r\n\"\"\r\n\"\"\r\n";
        assert_eq!(csv(CsvStyle::default(), &batch), expected);
    }

    #[test]
    fn null_can_have_a_text_and_a_text_that_equals_it_is_quoted() {
        let style = CsvStyle {
            null_text: "\\N".to_owned(),
            ..CsvStyle::default()
        };
        let batch = texts(&[None, Some(""), Some("\\N")]);
        assert_eq!(csv(style, &batch), "\"a,b\"\r\n\\N\r\n\"\"\r\n\"\\N\"\r\n");
    }

    #[test]
    fn formulas_are_guarded_in_texts_alone() {
        let style = CsvStyle {
            guard_formulas: true,
            ..CsvStyle::default()
        };
        let formulas: ArrayRef = Arc::new(StringArray::from(vec!["=1+1", "-2,5", "a=b"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![-1, -2, -3]));
        let batch = RecordBatch::try_from_iter([("f", formulas), ("n", numbers)]).unwrap();
        assert_eq!(
            csv(style, &batch),
            "f,n\r\n'=1+1,-1\r\n\"'-2,5\",-2\r\na=b,-3\r\n"
        );
    }

    proptest! {
        #[test]
        fn instants_are_those_of_chrono(
            seconds in -62_135_596_800_i64..253_402_300_799,
            micros in prop_oneof![Just(0), (0_i64..1000).prop_map(|n| n * 1000), 0_i64..1_000_000],
        ) {
            let micros = seconds * MICROS_PER_SECOND + micros;
            let (mut day, mut out) = (DayText::default(), Vec::new());
            put_instant(micros, &mut day, &mut out).unwrap();
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let expected = at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn each_type_reads_back_as_the_same_value() {
        let instants = TimestampMicrosecondArray::from(vec![1_794_823_200_420_000, 0]);
        let columns: [(&str, ArrayRef); 4] = [
            ("f", Arc::new(Float64Array::from(vec![7.0, 0.1]))),
            ("d", Arc::new(Date32Array::from(vec![20_773, 0]))),
            ("t", Arc::new(instants.with_timezone("+00:00"))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let expected = "f,d,t,b\r\n7.0,2026-11-16,2026-11-16T10:00:00.420Z,true\r\n\
            0.1,1970-01-01,1970-01-01T00:00:00Z,false\r\n";
        assert_eq!(csv(CsvStyle::default(), &batch), expected);
    }
}
