//! The rules of types, one by one.

use arrow::{
    array::{Array, AsArray},
    datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType},
};

use super::*;
use crate::domain::{catalog::Catalog, query::ColumnType};

fn table(columns: &[(&str, Option<ColumnType>)], page: &str) -> Result<RecordBatch, TableError> {
    let columns = columns.iter().map(|(name, kind)| Column {
        name: (*name).to_owned(),
        kind: *kind,
    });
    let known = Known {
        columns: columns.collect(),
        ..Known::default()
    };
    let mut builder = TableBuilder::new("pages", known);
    builder.read_page(page.as_bytes())
}

#[test]
fn numbers_are_floats_unless_the_column_is_known_as_whole() {
    let t = table(
        &[("a", Some(ColumnType::Int64))],
        r#"[{"a":"12","b":3},{"a":3.0,"b":7.43}]"#,
    )
    .unwrap();
    assert_eq!(t.column(0).as_primitive::<Int64Type>().values(), &[12, 3]);
    assert_eq!(
        t.column(1).as_primitive::<Float64Type>().values(),
        &[3.0, 7.43]
    );
}

#[test]
fn a_fraction_in_a_whole_column_names_row_value_and_remedy() {
    let error = table(&[("a", Some(ColumnType::Int64))], r#"[{"a":1},{"a":5.5}]"#).unwrap_err();
    let text = error.to_string();
    for part in ["`pages`", "row 2", "`5.5`", "`a`", "int64", "columns:"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_number_that_no_float_holds_is_refused_in_whatever_spelling() {
    let float = |value: &str| {
        let page = format!(r#"[{{"v":{value}}}]"#);
        table(&[("v", Some(ColumnType::Float64))], &page).is_ok()
    };
    for value in [
        "9007199254740992",
        r#""9007199254740992""#,
        r#""-1.5e3""#,
        r#""12.25""#,
    ] {
        assert!(float(value), "{value}");
    }
    for value in [
        "9007199254740993",
        r#""9007199254740993""#,
        "18446744073709551616",
        "-9223372036854775809",
        r#""18446744073709551616""#,
        r#""-""#,
    ] {
        assert!(!float(value), "{value}");
    }
}

#[test]
fn a_key_twice_is_refused_also_where_one_of_the_values_is_null() {
    for row in [
        r#"{"k":null,"k":"b"}"#,
        r#"{"k":"b","k":null}"#,
        r#"{"k":null,"k":null}"#,
    ] {
        assert!(table(&[], &format!("[{row}]")).is_err(), "{row}");
        assert!(table(&[], &format!("[{{}},{row}]")).is_err(), "{row}");
    }
    assert!(table(&[], r#"[{"k":null},{"k":"b"},{"k":null}]"#).is_ok());
}

#[test]
fn text_that_looks_like_a_number_stays_text() {
    let t = table(&[], r#"[{"v":"12"}]"#).unwrap();
    assert_eq!(t.column(0).as_string::<i32>().value(0), "12");
    assert!(table(&[], r#"[{"v":"12"},{"v":12}]"#).is_err());
}

#[test]
fn dates_and_instants_are_read_in_each_spelling() {
    let known = [("t", Some(ColumnType::Timestamp))];
    let page = r#"[{"date":"2026-11-16","t":"2026-11-16 10:00:00"},{"t":"2026-11-16 10:00:00.000"},
        {"t":"2026-11-16T10:00:00Z"},{"t":"2026-11-16T12:00:00+02:00"}]"#;
    let t = table(&known, page).unwrap();
    let times = t
        .column_by_name("t")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values(), &[1_794_823_200_000_000; 4]);
    let dates = t
        .column_by_name("date")
        .unwrap()
        .as_primitive::<Date32Type>();
    assert_eq!(dates.value(0), 20_773);
    assert_eq!(dates.null_count(), 3);
}

#[test]
fn nested_values_are_json_text_and_late_columns_start_with_nulls() {
    let t = table(&[("x", None)], r#"[{"a":1},{"e":[1,{"k":"v"}],"ok":true}]"#).unwrap();
    let names: Vec<_> = t
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    // Nothing is known of `x`, and no row has it
    assert_eq!(names, ["a", "e", "ok"]);
    assert_eq!(t.column(1).as_string::<i32>().value(1), r#"[1,{"k":"v"}]"#);
    assert!(t.column(1).is_null(0) && t.column(2).is_null(0) && t.column(0).is_null(1));
}

#[test]
fn an_empty_answer_keeps_the_known_columns() {
    let t = table(&[("a", Some(ColumnType::Int64))], "[]").unwrap();
    assert_eq!((t.num_rows(), t.num_columns()), (0, 1));
    assert!(table(&[], "[1]").is_err());
}

#[test]
fn a_name_of_the_seed_has_the_types_of_the_type_that_it_stands_for() {
    let known = known_columns("summary", &Catalog::default(), &BTreeMap::new(), None);
    let mut builder = TableBuilder::new("summary", known);
    let page = r#"[{"date":"2026-11-16","pageviews":9,"bounce_rate":40}]"#;
    let table = builder.read_page(page.as_bytes()).unwrap();
    let schema = table.schema();
    let kinds: Vec<String> = schema
        .fields()
        .iter()
        .map(|f| f.data_type().to_string())
        .collect();
    assert_eq!(kinds, ["Date32", "Int64", "Float64"]);
}

#[test]
fn a_whole_number_that_no_float_can_hold_is_an_error_that_names_the_pin() {
    let page = r#"[{"id":9007199254740993}]"#;
    let text = table(&[], page).unwrap_err().to_string();
    assert!(
        text.contains("beyond 2^53") && text.contains("columns:"),
        "{text}"
    );
    let t = table(&[("id", Some(ColumnType::Int64))], page).unwrap();
    assert_eq!(
        t.column(0).as_primitive::<Int64Type>().value(0),
        9_007_199_254_740_993
    );
}

#[test]
fn a_forgotten_page_leaves_neither_rows_nor_columns_nor_types() {
    let known = Known {
        columns: vec![Column {
            name: "a".to_owned(),
            kind: None,
        }],
        ..Known::default()
    };
    let mut builder = TableBuilder::new("pages", known);
    let first = builder.read_page(br#"[{"a":null,"c":"x"}]"#).unwrap();
    let mut json = sonic_rs::Deserializer::from_str(r#"[{"a":"text","b":1,"c":"y"},{"c":2.5}]"#);
    assert!(row::PageSeed(&mut builder).deserialize(&mut json).is_err());
    assert!(builder.has_misfit());
    builder.forget_page();
    let second = builder
        .read_page(br#"[{"a":1,"c":"z"},{"c":"w"}]"#)
        .unwrap();
    assert_eq!(first.num_columns(), 1);
    let names: Vec<_> = builder
        .columns()
        .map(|(name, kind)| (name.to_owned(), kind))
        .collect();
    let expected = [("a", ColumnType::Float64), ("c", ColumnType::String)];
    assert_eq!(
        names,
        expected.map(|(name, kind)| (name.to_owned(), Some(kind)))
    );
    assert_eq!(second.num_rows(), 2);
    let texts = second.column_by_name("c").unwrap().as_string::<i32>();
    assert_eq!((texts.value(0), texts.value(1)), ("z", "w"));
}
