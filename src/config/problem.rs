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
    /// From 1, in characters; 0 where it concerns the whole file.
    pub column: usize,
    /// How many characters are meant, at least 1.
    pub length: usize,
    /// The line itself, secrets as `***`; `None` where it concerns the whole file.
    pub excerpt: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The problems of all files; at least one.
#[derive(Debug)]
pub struct Problems(pub(super) Vec<Problem>);

/// The longest excerpt, in characters.
const MAX_EXCERPT: usize = 160;

impl Problem {
    /// A problem of a whole file or folder.
    pub fn of_file(
        file: impl Into<PathBuf>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            length: 1,
            excerpt: None,
            message: message.into(),
            hint,
        }
    }

    /// For machines: `{file, line, column, message, hint, excerpt}`.
    pub fn to_json(&self) -> Value {
        json!({
            "file": self.file, "line": self.line, "column": self.column,
            "message": self.message, "hint": self.hint, "excerpt": self.excerpt,
        })
    }
}

impl Problems {
    /// Problems in the order of files and lines, each once; `None` where there are none.
    pub fn of(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
        self.0.iter().map(Problem::to_json).collect()
    }

    /// For people: each with its place, the line itself and the hint, then how many there are.
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
        if let Some(excerpt) = &self.excerpt {
            let shown: String = excerpt.chars().take(MAX_EXCERPT).collect();
            write!(f, "\n{:>5} | {shown}", self.line)?;
            let indent = self.column.saturating_sub(1);
            if indent < MAX_EXCERPT {
                let marks = "^".repeat(self.length.min(MAX_EXCERPT - indent));
                write!(f, "\n      | {}{marks}", " ".repeat(indent))?;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\n      = hint: {hint}"),
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
