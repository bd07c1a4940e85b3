//! The reports in the binary, and the pieces that they share.

/// The files of a report.
pub(super) const FILES: [&str; 5] = [
    "report.yaml",
    "subject.txt",
    "body.html",
    "body.txt",
    "preheader.txt",
];

/// A project may have all of them of its own but the last, which older templates lack.
pub(super) const OPTIONAL: &str = "preheader.txt";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

/// By the names under which templates extend and include them.
pub(super) const TEMPLATES: &[(&str, &str)] = files![
    "weekly/report.yaml",
    "weekly/subject.txt",
    "weekly/preheader.txt",
    "weekly/body.html",
    "weekly/body.txt",
    "weekly/style.html",
    "weekly/numbers.html",
    "weekly/chart.html",
    "weekly/moved.html",
    "weekly/lists.html",
    "weekly/more.html",
    "weekly/numbers.txt",
    "weekly/lists.txt",
    "bundle/report.yaml",
    "bundle/subject.txt",
    "bundle/preheader.txt",
    "bundle/body.html",
    "bundle/body.txt",
];

/// A file of an embedded report.
pub(super) fn find(name: &str, file: &str) -> Option<&'static str> {
    let path = format!("{name}/{file}");
    TEMPLATES
        .iter()
        .find(|(known, _)| *known == path)
        .map(|(_, text)| *text)
}

/// Whether there is a report of that name.
pub(super) fn has(name: &str) -> bool {
    find(name, "report.yaml").is_some()
}
