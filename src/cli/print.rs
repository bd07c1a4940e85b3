//! The only place that writes to standard output and standard error.

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use comfy_table::Table;
use serde::Serialize;

use super::{CliError, Exit};

/// Green: good news.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Red: what went wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// A line of the result.
pub(super) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// A line about the work, not its result.
pub(super) fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// The text in a colour, where a terminal shows it.
pub(super) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// One JSON document.
pub(super) fn json(value: &impl Serialize) -> Exit {
    let text = serde_json::to_string_pretty(value).expect("records have string keys only");
    println!("{text}");
    Exit::Done
}

/// What ended the command.
pub(super) fn error(error: &CliError) {
    if let CliError::Problems(problems) = error {
        eprintln!("{}", problems.render().trim_end());
        return;
    }
    eprintln!("{} {error}", paint(BAD, "error:"));
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let text = source.to_string();
        if !error.to_string().contains(&text) {
            eprintln!("  caused by: {text}");
        }
        cause = source.source();
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = source.source();
    }
    text
}

/// A table without frames.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    // Fits the terminal where there is one; elsewhere lines are as long as they are
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|h| (*h).to_uppercase()));
    table.add_rows(rows);
    let text = table.to_string();
    for line in text.lines() {
        println!("{}", line.trim_end());
    }
}
