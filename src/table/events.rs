//! The events of a session, which the API writes as lists of five places: a list of structs with
//! names. Source: `session_list`, `profile_list` and `profile_sessions` as captured in November 2026.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, ListBuilder, StringArray, StringBuilder, StructBuilder,
        TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Fields, TimeUnit},
};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::{TableError, instant::to_micros};

/// The column that holds them.
pub const SESSION_EVENTS: &str = "events";

/// The places of an event.
const PLACES: [&str; 5] = ["id", "time", "name", "path", "properties"];

fn fields() -> Fields {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let kind = |name: &str| match name {
        "time" => instant.clone(),
        _ => DataType::Utf8,
    };
    PLACES
        .iter()
        .map(|name| Field::new(*name, kind(name), true))
        .collect()
}

/// `list<struct<id, time, name, path, properties>>`; the properties are JSON text.
pub(super) fn data_type() -> DataType {
    DataType::List(Arc::new(Field::new(
        "item",
        DataType::Struct(fields()),
        true,
    )))
}

/// JSON texts as lists of structs.
pub(super) fn to_structs(column: &str, texts: &StringArray) -> Result<ArrayRef, TableError> {
    let fail = |what: String| TableError::NoEvents {
        column: column.to_owned(),
        what,
    };
    let item = Arc::new(Field::new("item", DataType::Struct(fields()), true));
    let instants = TimestampMicrosecondBuilder::new().with_timezone("+00:00");
    let texts_builder = || Box::new(StringBuilder::new());
    let builder = StructBuilder::new(
        fields(),
        vec![
            texts_builder(),
            Box::new(instants),
            texts_builder(),
            texts_builder(),
            texts_builder(),
        ],
    );
    let mut lists = ListBuilder::new(builder).with_field(item);
    for text in texts {
        let Some(text) = text else {
            lists.append_null();
            continue;
        };
        let events: Vec<Vec<LazyValue<'_>>> = sonic_rs::from_str(text)
            .map_err(|_| fail(format!("`{}` is no list of lists", short(text))))?;
        for event in &events {
            append(lists.values(), event).map_err(&fail)?;
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn append(builder: &mut StructBuilder, event: &[LazyValue<'_>]) -> Result<(), String> {
    if event.len() != PLACES.len() {
        return Err(format!("an event has {} places instead of 5", event.len()));
    }
    for (place, value) in event.iter().enumerate() {
        let text = value.as_str();
        if PLACES[place] == "time" {
            let micros = text.and_then(to_micros);
            if micros.is_none() && !value.is_null() {
                return Err(format!("`{}` is no time", short(value.as_raw_str())));
            }
            let instants = builder.field_builder::<TimestampMicrosecondBuilder>(place);
            instants
                .expect("its type is given above")
                .append_option(micros);
            continue;
        }
        let texts = builder.field_builder::<StringBuilder>(place);
        let texts = texts.expect("its type is given above");
        match text {
            _ if value.is_null() => texts.append_null(),
            Some(text) => texts.append_value(text),
            None => texts.append_value(value.as_raw_str()),
        }
    }
    builder.append(true);
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array, AsArray},
        datatypes::TimestampMicrosecondType,
    };

    use super::*;

    #[test]
    fn events_have_names_and_what_is_no_event_is_an_error() {
        let texts = StringArray::from(vec![
            Some(r#"[["1","2026-11-16 10:00:00.420","buy","/a",{"n":1}],["2",null,"v","/",null]]"#),
            None,
            Some("[]"),
        ]);
        let lists = to_structs("events", &texts).unwrap();
        assert_eq!(lists.data_type(), &data_type());
        let lists = lists.as_list::<i32>();
        assert!(lists.is_null(1) && lists.value(2).is_empty());
        let first = lists.value(0);
        let first = first.as_struct();
        let time = first.column(1).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(time.value(0), 1_794_823_200_420_000);
        assert_eq!(first.column(4).as_string::<i32>().value(0), r#"{"n":1}"#);
        for wrong in ["{}", "[1]", r#"[["1"]]"#, r#"[["1","noon","a","b",null]]"#] {
            let error = to_structs("events", &StringArray::from(vec![wrong])).unwrap_err();
            assert!(error.to_string().contains("nested: json"), "{error}");
        }
    }
}
