//! The rows of a query as an attachment: an XLSX workbook, or CSV.

use chrono::NaiveDate;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};
use serde_json::Value;

use super::{ReportError, filters, rows::AMOUNTS};

/// What Excel's cell takes: <https://support.microsoft.com/en-us/office/excel-specifications-and-limits-1672b34d-7043-467e-8e27-269d656771c3>.
const MOST_LETTERS: usize = 32_767;
/// Whole numbers beyond are no longer exact in Excel; they stay text.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Of rows, the header among them.
const MOST_ROWS: usize = 1_048_576;

/// An XLSX workbook: one sheet named after the query, a header that stays in sight, columns as wide
/// as what they hold. Numbers and days are such; a text is text, also where it looks like a formula.
/// The same rows of the same day give the same bytes.
///
/// # Errors
/// There are more rows or columns than a sheet holds.
pub fn workbook(name: &str, rows: &[Value], date: NaiveDate) -> Result<Vec<u8>, ReportError> {
    let wrong = |source| ReportError::Workbook {
        name: name.to_owned(),
        source,
    };
    filled(name, rows, date).map_err(wrong)
}

fn filled(name: &str, rows: &[Value], date: NaiveDate) -> Result<Vec<u8>, XlsxError> {
    if rows.len() >= MOST_ROWS {
        return Err(XlsxError::RowColumnLimitError);
    }
    let mut workbook = Workbook::new();
    // The time of making would change the bytes
    let made = ExcelDateTime::parse_from_str(&date.to_string())?;
    workbook.set_properties(
        &DocProperties::new()
            .set_title(name)
            .set_creation_datetime(&made),
    );
    let sheet = workbook.add_worksheet();
    sheet.set_name(sheet_name(name))?;
    let columns = columns(rows);
    let bold = Format::new().set_bold();
    for (at, column) in columns.iter().enumerate() {
        let at = u16::try_from(at).map_err(|_| XlsxError::RowColumnLimitError)?;
        sheet.write_string_with_format(0, at, fitting(column), &bold)?;
        let mut widest = column.chars().count();
        let counts = is_of_numbers(column, rows);
        for (row, value) in (1..).zip(rows) {
            let value = &value[column.as_str()];
            let number = counts.then(|| as_number(value)).flatten();
            let value = number.as_ref().unwrap_or(value);
            widest = widest.max(write(sheet, (row, at), value)?);
        }
        sheet.set_column_width(at, (widest as f64 + 2.0).clamp(8.0, 60.0))?;
    }
    sheet.set_freeze_panes(1, 0)?;
    if let (Some(last), false) = (columns.len().checked_sub(1), rows.is_empty()) {
        let last = u16::try_from(last).map_err(|_| XlsxError::RowColumnLimitError)?;
        sheet.autofilter(
            0,
            0,
            u32::try_from(rows.len()).map_err(|_| XlsxError::RowColumnLimitError)?,
            last,
        )?;
    }
    workbook.save_to_buffer()
}

/// Whether a column holds numbers: one row has one, or its name says so. Servers send some as text.
fn is_of_numbers(column: &str, rows: &[Value]) -> bool {
    AMOUNTS.contains(&column) || rows.iter().any(|row| row[column].is_number())
}

/// A number that is written as text, where it reads the same as a number: `007` does not.
fn as_number(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    let number: Value = serde_json::from_str::<serde_json::Number>(text)
        .ok()?
        .into();
    let again = number.to_string();
    (again == text).then_some(number)
}

/// Writes a cell as what it is; how wide it reads.
fn write(
    sheet: &mut Worksheet,
    (row, column): (u32, u16),
    value: &Value,
) -> Result<usize, XlsxError> {
    let text = shown(value);
    match value {
        Value::Null => return Ok(0),
        Value::Bool(truth) => {
            sheet.write_boolean(row, column, *truth)?;
        }
        Value::Number(number) => match number.as_f64().filter(|n| n.abs() <= EXACT) {
            Some(number) => {
                sheet.write_number(row, column, number)?;
            }
            None => {
                sheet.write_string(row, column, &text)?;
            }
        },
        _ => match as_time(&text) {
            Some((time, format)) => {
                sheet.write_datetime_with_format(
                    row,
                    column,
                    &time,
                    &Format::new().set_num_format(format),
                )?;
            }
            None => {
                sheet.write_string(row, column, fitting(&text))?;
            }
        },
    }
    Ok(text.chars().count())
}

/// A day, or a day and time, as the API writes them; with the format that shows it.
fn as_time(text: &str) -> Option<(ExcelDateTime, &'static str)> {
    let is_day = text.len() == 10 && text.parse::<NaiveDate>().is_ok();
    let is_time = text.len() == 19
        && chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").is_ok();
    let format = match (is_day, is_time) {
        (true, _) => "yyyy-mm-dd",
        (_, true) => "yyyy-mm-dd hh:mm:ss",
        _ => return None,
    };
    Some((
        ExcelDateTime::parse_from_str(&text.replace(' ', "T")).ok()?,
        format,
    ))
}

/// Comma separated values in UTF-8 (RFC 4180). A text that a spreadsheet would run as a formula
/// (`=`, `+`, `-`, `@`) is led by a quote mark, as OWASP advises; numbers are left alone.
pub fn csv(rows: &[Value]) -> Vec<u8> {
    let columns = columns(rows);
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        out.push_str(&cells.collect::<Vec<_>>().join(","));
        out.push_str("\r\n");
    };
    line(&mut columns.iter().map(|column| quoted(column)));
    for row in rows {
        line(
            &mut columns.iter().map(|column| match &row[column.as_str()] {
                Value::String(text) => quoted(&harmless(text)),
                value => quoted(&shown(value)),
            }),
        );
    }
    out.into_bytes()
}

fn harmless(text: &str) -> String {
    let is_number = text.parse::<f64>().is_ok();
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The columns in the order in which rows bring them.
fn columns(rows: &[Value]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for row in rows {
        for name in row.as_object().into_iter().flat_map(|row| row.keys()) {
            if known.insert(name.clone()) {
                columns.push(name.clone());
            }
        }
    }
    columns
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn fitting(text: &str) -> String {
    filters::cut(text, MOST_LETTERS)
}

/// At most 31 letters, none of those that Excel refuses.
fn sheet_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if "[]:*?/\\'".contains(c) { '_' } else { c })
        .take(31)
        .collect();
    if plain.trim().is_empty() {
        "rows".to_owned()
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn day() -> NaiveDate {
        "2026-11-22".parse().unwrap()
    }

    fn rows() -> Vec<Value> {
        vec![
            json!({ "date": "2026-11-22", "path": "=HYPERLINK(\"http://evil.test\")", "visitors": 12 }),
            json!({ "date": "2026-11-21", "path": "a,\"b\"\nc", "visitors": 1.5, "extra": true }),
            json!({ "path": null, "visitors": "-3" }),
        ]
    }

    /// The text of a part of the workbook.
    fn part(bytes: &[u8], name: &str) -> String {
        use std::io::Read as _;
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut text = String::new();
        archive
            .by_name(name)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn the_same_rows_give_the_same_workbook() {
        let (one, two) = (
            workbook("pages", &rows(), day()).unwrap(),
            workbook("pages", &rows(), day()).unwrap(),
        );
        assert_eq!(one, two);
        assert!(part(&one, "docProps/core.xml").contains("2026-11-22T00:00:00Z"));
    }

    #[test]
    fn numbers_and_days_are_such_the_header_stays_and_nothing_is_a_formula() {
        let bytes = workbook("pages", &rows(), day()).unwrap();
        let sheet = part(&bytes, "xl/worksheets/sheet1.xml");
        assert!(!sheet.contains("<f>"), "{sheet}");
        assert!(
            sheet.contains("state=\"frozen\"") && sheet.contains("ySplit=\"1\""),
            "{sheet}"
        );
        // 22 November 2026 in Excel's days, and a number that is one
        assert!(
            sheet.contains("<v>46348</v>") && sheet.contains("<v>12</v>"),
            "{sheet}"
        );
        assert!(sheet.contains("<v>-3</v>"), "sent as text: {sheet}");
        let texts = [json!({ "zip": "007", "clicks": "08" }), json!({ "zip": 8 })];
        let zips = workbook("zips", &texts, day()).unwrap();
        let texts = part(&zips, "xl/sharedStrings.xml");
        assert!(texts.contains("007") && texts.contains("08"), "{texts}");
        assert!(sheet.contains("customWidth=\"1\""), "{sheet}");
        assert!(part(&bytes, "xl/sharedStrings.xml").contains("=HYPERLINK"));
    }

    #[test]
    fn csv_quotes_what_it_must_and_runs_nothing() {
        let text = String::from_utf8(csv(&rows())).unwrap();
        let expected = "date,path,visitors,extra\r\n2026-11-22,\"'=HYPERLINK(\"\"http://evil.test\"\")\",12,\r\n2026-11-21,\"a,\"\"b\"\"\nc\",1.5,true\r\n,,-3,\r\n";
        assert_eq!(text, expected);
        assert_eq!(csv(&[]), b"\r\n");
    }

    #[test]
    fn odd_names_and_no_rows_make_a_workbook_all_the_same() {
        workbook("a/b:c*?[]'", &[], day()).unwrap();
        let long = json!({ "path": "x".repeat(40_000), "id": 12_345_678_901_234_567_890_u64 });
        let sheet = part(
            &workbook("q", &[long], day()).unwrap(),
            "xl/worksheets/sheet1.xml",
        );
        assert!(
            !sheet.contains("1234567890"),
            "too large for a number, so a text"
        );
    }
}
