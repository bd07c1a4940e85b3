//! Problems of settings and jobs: where, what, and what to do.

use std::{fmt, path::PathBuf};

use serde_json::{Value, json};

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub file: PathBuf,
    /// From 1; 0 where it concerns the whole file.
    pub line: usize,
    /// From 1; 0 where it concerns the whole file.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The problems of all files; at least one.
#[derive(Debug)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
        let one = |p: &Problem| json!({ "file": p.file, "line": p.line, "column": p.column, "message": p.message, "hint": p.hint });
        self.0.iter().map(one).collect()
    }

    /// For people: place, the line itself, the hint, and how many there are.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for problem in &self.0 {
            text.push_str(&problem.to_string());
            text.push('\n');
        }
        let plural = if self.0.len() == 1 { "" } else { "s" };
        format!("{text}{} problem{plural}", self.0.len())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        if let Some(line) = self.line.checked_sub(1).and_then(|n| text.lines().nth(n)) {
            write!(f, "\n    | {line}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n    hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl std::error::Error for Problems {}

/// "did you mean …" for the likest of `words`, or `None`.
pub(super) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    words
        .map(|w| (strsim::jaro_winkler(w, word), w))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, w)| format!("did you mean `{w}`?"))
}
