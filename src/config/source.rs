//! One YAML file: its text, its value, and where everything stands in it.

use std::{ops::Range, path::PathBuf};

use serde_json::Value;

use super::{finding::Finding, problem::Problem, spans::Index};

/// A file that was read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) index: Index,
    /// Null where the file is missing, empty or no YAML.
    pub(super) value: Value,
}

/// Last words of pointers whose values must not be shown.
const SECRET_KEYS: [&str; 14] = [
    "key",
    "token",
    "secret",
    "password",
    "access_key",
    "url",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "account_key",
    "sas_token",
    "ping",
    "slack",
    "webhook",
];

impl Source {
    /// A file that is not there.
    pub(super) fn empty(file: PathBuf) -> Self {
        Self {
            file,
            text: String::new(),
            index: Index::default(),
            value: Value::Null,
        }
    }

    /// Reads a file. What is wrong with the text itself comes as findings.
    pub(super) fn read(file: PathBuf) -> (Self, Vec<Finding>) {
        match std::fs::read_to_string(&file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) => {
                let message = format!("the file cannot be read: {error}");
                (
                    Self::empty(file),
                    vec![Finding::in_text(0..0, message, None)],
                )
            }
        }
    }

    fn parse(file: PathBuf, text: &str) -> (Self, Vec<Finding>) {
        // The parser takes a byte order mark for a document of its own
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let (index, mut findings, fatal) = Index::build(&text);
        let mut value = Value::Null;
        if !fatal {
            match serde_yaml::from_str(&text) {
                Ok(parsed) => value = parsed,
                Err(error) => {
                    let at = error.location().map_or(0, |l| l.index()).min(text.len());
                    findings.push(Finding::in_text(at..at, error.to_string(), None));
                }
            }
        }
        let source = Self {
            file,
            text,
            index,
            value,
        };
        (source, findings)
    }

    /// The bytes that a finding is about; `None` where this text has no such entry.
    pub(super) fn place(&self, finding: &Finding, exact: bool) -> Option<Range<usize>> {
        if let Some(place) = &finding.place {
            return Some(place.clone());
        }
        let place = if exact {
            self.index.find(&finding.pointer, finding.at)?
        } else {
            self.index.find_nearest(&finding.pointer, finding.at)
        };
        // A part of a scalar, where it stands in the text as it is: no escapes, no folding
        if let Some((whole, part)) = &finding.part
            && let Some(text) = self.text.get(place.clone())
            && let Some(offset) = text.find(whole.as_str())
        {
            let start = place.start + offset;
            return Some(start + part.start..start + part.end);
        }
        Some(place)
    }

    /// The finding with its line.
    pub(super) fn problem(&self, finding: &Finding, place: Range<usize>) -> Problem {
        let before = &self.text[..floor(&self.text, place.start)];
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        let line_end = self.text[line_start..]
            .find('\n')
            .map_or(self.text.len(), |at| line_start + at);
        let shown = self.masked(line_start..line_end);
        let known = !self.text.is_empty();
        Problem {
            file: self.file.clone(),
            line: if known { line } else { 0 },
            column: if known { column } else { 0 },
            length: self
                .text
                .get(place.start..place.end.min(line_end))
                .map_or(1, |t| t.trim_end().chars().count().max(1)),
            excerpt: known.then_some(shown),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        }
    }

    /// A line of the text, with the values of secrets as `***`, padded so that columns stay.
    fn masked(&self, line: Range<usize>) -> String {
        let is_secret = |pointer: &str| {
            let last = pointer.rsplit('/').next().unwrap_or_default();
            SECRET_KEYS.contains(&last) && pointer != "/api/url"
        };
        let mut shown = self.text[line.clone()].trim_end().to_owned();
        let mut secrets = self.index.scalars(&is_secret);
        secrets.sort_by_key(|place| std::cmp::Reverse(place.start));
        for place in secrets {
            let (from, to) = (place.start.max(line.start), place.end.min(line.end));
            let inside = from.saturating_sub(line.start)..to.saturating_sub(line.start);
            let hidden = shown.get(inside.clone()).filter(|t| !t.contains("${"));
            if from < to && hidden.is_some_and(|t| !t.trim().is_empty()) {
                shown.replace_range(inside, "***");
            }
        }
        shown.replace('\t', " ")
    }
}

/// The start of the character that holds this byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
