//! A problem that does not know its line yet: it names its place as a JSON pointer.

use std::ops::Range;

use super::spans::At;

/// Something wrong with a document.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// JSON pointer into the document.
    pub(super) pointer: String,
    /// Which part of the entry is meant.
    pub(super) at: At,
    /// Bytes of the text, where the pointer cannot say it.
    pub(super) place: Option<Range<usize>>,
    /// A part of a string value: the value, and bytes of it.
    pub(super) part: Option<(String, Range<usize>)>,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
    /// Whether a key is missing: no finding in a document that is only merged into others.
    pub(super) is_missing_key: bool,
}

impl Finding {
    /// At an entry of the document.
    pub(super) fn at(
        pointer: &str,
        at: At,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        Self {
            pointer: pointer.to_owned(),
            at,
            place: None,
            part: None,
            message: message.into(),
            hint,
            is_missing_key: false,
        }
    }

    /// At a value of the document.
    pub(super) fn value(pointer: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        Self::at(pointer, At::Value, message, hint)
    }

    /// At bytes of the text.
    pub(super) fn in_text(
        place: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        Self {
            place: Some(place),
            ..Self::at("", At::Value, message, hint)
        }
    }
}
