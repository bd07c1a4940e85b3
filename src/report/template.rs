//! Templates of a report: subject, HTML and text, and the queries that they need.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;
use tera::{Context, Tera};

use super::{filters, functions};

/// The four files of a report.
const FILES: [&str; 4] = ["report.yaml", "subject.txt", "body.html", "body.txt"];

/// The report that every project has, unless it has one of that name of its own.
const WEEKLY: [&str; 4] = [
    include_str!("../../templates/weekly/report.yaml"),
    include_str!("../../templates/weekly/subject.txt"),
    include_str!("../../templates/weekly/body.html"),
    include_str!("../../templates/weekly/body.txt"),
];

/// A loaded report.
#[derive(Debug)]
pub struct Template {
    name: String,
    needs: Needs,
    tera: Tera,
}

/// `report.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// By the query's name.
    pub queries: BTreeMap<String, QueryNeeds>,
}

/// What a template needs of a query, beside its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryNeeds {
    /// The window that it is compared with.
    pub previous: bool,
    /// One row a day.
    pub daily: bool,
}

/// A rendered report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The mail as HTML.
    pub html: String,
    /// The mail as text.
    pub text: String,
}

/// A report cannot be loaded or rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is none of that name.
    #[error(
        "there is no template `{name}`: make the folder templates/{name} with subject.txt, body.html, body.txt and report.yaml, or use `weekly`"
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
}

impl Template {
    /// Loads a report from `templates/NAME`, else the embedded one of that name.
    ///
    /// # Errors
    /// There is none, or it cannot be parsed.
    pub fn load(folder: &Path, name: &str) -> Result<Self, ReportError> {
        let own = folder.join(name);
        let mut sources = Vec::new();
        for (file, embedded) in FILES.into_iter().zip(WEEKLY) {
            sources.push(if own.is_dir() {
                let read = std::fs::read_to_string(own.join(file));
                read.map_err(|source| ReportError::File {
                    name: name.to_owned(),
                    file,
                    source,
                })?
            } else if name == "weekly" {
                embedded.to_owned()
            } else {
                return Err(ReportError::Missing {
                    name: name.to_owned(),
                });
            });
        }
        let needs = serde_yaml::from_str(&sources[0]).map_err(|source| ReportError::Needs {
            name: name.to_owned(),
            source,
        })?;
        let mut tera = Tera::new();
        filters::register(&mut tera);
        functions::register(&mut tera);
        let files = FILES
            .into_iter()
            .zip(sources)
            .skip(1)
            .map(|(file, text)| (file.to_owned(), text));
        tera.add_raw_templates(files.collect::<Vec<_>>())
            .map_err(|e| wrong(name, e))?;
        Ok(Self {
            name: name.to_owned(),
            needs,
            tera,
        })
    }

    /// What it needs.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Renders it; a variable that is not there is an error.
    ///
    /// # Errors
    /// Tera's, with place and available names.
    pub fn render(&self, context: &Value) -> Result<Rendered, ReportError> {
        let mut values = Context::new();
        for (key, value) in context.as_object().into_iter().flatten() {
            values.insert(key.clone(), value);
        }
        let render = |file: &str| {
            self.tera
                .render(file, &values)
                .map_err(|e| wrong(&self.name, e))
        };
        let subject = render("subject.txt")?;
        Ok(Rendered {
            subject: subject.split_whitespace().collect::<Vec<_>>().join(" "),
            html: render("body.html")?,
            text: render("body.txt")?,
        })
    }
}

fn wrong(name: &str, source: tera::Error) -> ReportError {
    ReportError::Tera {
        name: name.to_owned(),
        source: Box::new(source),
    }
}
