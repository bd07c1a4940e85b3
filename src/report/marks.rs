//! Marks that turn the text around them (Unicode UAX 9, explicit formatting): whoever names a page or
//! a website could turn the words and numbers beside it. They are invisible and no part of a name.

use std::borrow::Cow;

use serde_json::Value;

/// Embeddings, overrides and isolates.
pub(super) fn is_turning(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What a report is given, its texts without such marks.
pub(super) fn without(value: &Value) -> Cow<'_, Value> {
    if has_marks(value) {
        let mut plain = value.clone();
        strip(&mut plain);
        Cow::Owned(plain)
    } else {
        Cow::Borrowed(value)
    }
}

fn has_marks(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_ascii() && text.contains(is_turning),
        Value::Array(values) => values.iter().any(has_marks),
        Value::Object(map) => map.values().any(has_marks),
        _ => false,
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|c| !is_turning(c)),
        Value::Array(values) => values.iter_mut().for_each(strip),
        Value::Object(map) => map.values_mut().for_each(strip),
        _ => {}
    }
}
