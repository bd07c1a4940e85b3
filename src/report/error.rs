//! What is wrong with a report.

use super::calls::Misuse;

/// A report cannot be loaded or rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is none of that name.
    #[error(
        "there is no template `{name}`: make the folder templates/{name} with subject.txt, body.html, body.txt and report.yaml, or use `weekly` or `bundle`"
    )]
    Missing {
        /// The name.
        name: String,
    },
    /// A file of it cannot be read.
    #[error("templates/{name}/{file} cannot be read")]
    File {
        /// The report.
        name: String,
        /// The file.
        file: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// `report.yaml` is wrong.
    #[error("templates/{name}/report.yaml: {source}")]
    Needs {
        /// The report.
        name: String,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// The condition of a report is no expression.
    #[error("report `{report}`: `when: {when}`: {why}")]
    Broken {
        /// The report's name.
        report: String,
        /// What the job says.
        when: String,
        /// Why.
        why: String,
    },
    /// The condition of a report cannot be decided.
    #[error("`when: {when}` cannot be decided: {source}")]
    When {
        /// The expression.
        when: String,
        /// Where and why.
        source: Box<tera::Error>,
    },
    /// Tera refuses it; the message shows the place and what is available.
    #[error("the template `{name}` is wrong: {source}")]
    Tera {
        /// The report.
        name: String,
        /// Where and why.
        source: Box<tera::Error>,
    },
    /// Calls of a template that cannot work, all of them.
    #[error("{}", listed(.0))]
    Misused(Vec<Misuse>),
    /// It does not end, or as good as.
    #[error(
        "the template `{path}` writes more than {megabytes} MB: look for a loop within a loop, or shorten its lists"
    )]
    TooLong {
        /// The file.
        path: String,
        /// So many are allowed.
        megabytes: usize,
    },
    /// The styles of its HTML cannot be written into its elements.
    #[error("the styles of templates/{name}/body.html cannot be put in their places")]
    Styles {
        /// The report.
        name: String,
        /// Why.
        source: css_inline::InlineError,
    },
    /// A workbook cannot be made.
    #[error("the workbook of `{name}` cannot be made")]
    Workbook {
        /// The query.
        name: String,
        /// Why.
        source: rust_xlsxwriter::XlsxError,
    },
}

fn listed(wrong: &[Misuse]) -> String {
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    wrong.join("\n")
}
