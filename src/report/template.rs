//! Templates of a report: subject, preheader, HTML and text, and the queries that they need.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    mem,
    path::Path,
    sync::PoisonError,
};

use css_inline::CSSInliner;
use serde::Deserialize;
use serde_json::Value;
use tera::{Context, Tera};

use super::{
    calls::{self, Misuse},
    chart::Image,
    draw::{self, Pictures},
    embedded::{self, FILES, OPTIONAL},
    error::ReportError,
    filters, functions, marks, range,
};

/// More bytes of text are a loop gone wrong: the largest mail of the embedded templates has 100,000.
const MOST_TEXT: usize = 4 << 20;

/// A loaded report.
#[derive(Debug)]
pub struct Template {
    name: String,
    needs: Needs,
    tera: Tera,
    /// File by file, under which name Tera knows it; absent: there is none.
    files: BTreeMap<&'static str, String>,
    /// The files of the project, each with its text.
    own: Vec<(String, String)>,
}

/// `report.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// By the query's name.
    pub queries: BTreeMap<String, QueryNeeds>,
    /// What the template shows where a job has it, and does without where not.
    #[serde(default)]
    pub optional: BTreeMap<String, QueryNeeds>,
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
    /// One line that lists of mails show beside the subject; may be empty.
    pub preheader: String,
    /// The mail as HTML, which names its pictures as `cid:CID`.
    pub html: String,
    /// The mail as text.
    pub text: String,
    /// The pictures of the HTML, in its order.
    pub images: Vec<Image>,
}

impl Template {
    /// Loads a report from `templates/NAME`, else the embedded one of that name. A folder with the
    /// name of an embedded report may hold some of its files only.
    ///
    /// # Errors
    /// There is none, or it cannot be parsed.
    pub fn load(folder: &Path, name: &str) -> Result<Self, ReportError> {
        let own = folder.join(name);
        if !own.is_dir() && !embedded::has(name) {
            return Err(ReportError::Missing {
                name: name.to_owned(),
            });
        }
        let mut tera = Tera::new();
        filters::register(&mut tera);
        functions::register(&mut tera);
        draw::register(&mut tera, &Pictures::default());
        range::register(&mut tera);
        let mut sources: Vec<(String, String)> = embedded::TEMPLATES
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        let mut files = BTreeMap::new();
        let mut needs = Needs::default();
        for file in FILES {
            let Some(text) = own_file(&own, name, file)? else {
                if embedded::find(name, file).is_some() {
                    files.insert(file, format!("{name}/{file}"));
                }
                continue;
            };
            // As people find it, and unlike the embedded one, which it may extend
            let path = format!("templates/{name}/{file}");
            files.insert(file, path.clone());
            sources.push((path, text));
        }
        let yaml = sources
            .iter()
            .rev()
            .find(|(path, _)| Some(path) == files.get("report.yaml"));
        if let Some((_, text)) = yaml {
            needs = serde_yaml::from_str(text).map_err(|source| ReportError::Needs {
                name: name.to_owned(),
                source,
            })?;
        }
        let is_template = |(path, _): &(String, String)| !path.ends_with("/report.yaml");
        sources.retain(is_template);
        let of_project = sources
            .iter()
            .filter(|(path, _)| path.starts_with("templates/"));
        let own: Vec<_> = of_project.cloned().collect();
        tera.add_raw_templates(sources)
            .map_err(|e| wrong(name, e))?;
        let misused = own
            .iter()
            .flat_map(|(path, text)| calls::wrong_calls(path, text));
        let misused: Vec<Misuse> = misused.collect();
        if !misused.is_empty() {
            return Err(ReportError::Misused(misused));
        }
        Ok(Self {
            name: name.to_owned(),
            needs,
            tera,
            files,
            own,
        })
    }

    /// The queries that files of the project name and that a report would not have: those that
    /// neither `report.yaml` nor `others` names, and optional ones that the job lacks.
    pub fn lacking(&self, job: &[&str], others: &[&str]) -> Vec<Misuse> {
        let Needs { queries, optional } = &self.needs;
        let is_there = |name: &str| {
            queries.contains_key(name)
                || others.contains(&name)
                || optional.contains_key(name) && job.contains(&name)
        };
        let files = self.own.iter();
        let files: Vec<_> = files
            .map(|(path, text)| (path, text, calls::queries(text)))
            .collect();
        // One file asks, and takes another in
        let is_asked = |name: &String| {
            files
                .iter()
                .any(|(_, _, queries)| queries.asked.contains(name))
        };
        let mut found = Vec::new();
        for (path, text, queries_of_file) in &files {
            let named = queries_of_file.named.iter();
            for query in named.filter(|q| !is_there(&q.name) && !is_asked(&q.name)) {
                let name = &query.name;
                let message = if optional.contains_key(name) {
                    format!(
                        "the job has no query `{name}`, which report.yaml calls optional: add it to the job, or ask with `{{% if q.{name} is defined %}}`"
                    )
                } else {
                    let has: Vec<&str> = queries
                        .keys()
                        .chain(optional.keys())
                        .map(String::as_str)
                        .collect();
                    format!(
                        "`q.{name}` is no query of this report: add it to `queries` of templates/{}/report.yaml, which has {}",
                        self.name,
                        has.join(", ")
                    )
                };
                found.push(Misuse::at(path, text, query.place, message));
            }
        }
        found
    }

    /// What it needs.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Renders it; a variable that is not there is an error, and so is a chart of nothing.
    ///
    /// # Errors
    /// Tera's, with place and available names.
    pub fn render(&self, context: &Value) -> Result<Rendered, ReportError> {
        let pictures = Pictures::default();
        let mut tera = self.tera.clone();
        draw::register(&mut tera, &pictures);
        range::register(&mut tera);
        let mut values = Context::new();
        for (key, value) in context.as_object().into_iter().flatten() {
            values.insert(key.clone(), &marks::without(value));
        }
        let render = |file: &str, values: &Context| match self.files.get(file) {
            Some(path) => self.written(&tera, path, values),
            None => Ok(String::new()),
        };
        let subject = one_line(&render("subject.txt", &values)?);
        let preheader = one_line(&render(OPTIONAL, &values)?);
        values.insert("preheader", &preheader);
        let html = self.with_styles(render("body.html", &values)?)?;
        let text = render("body.txt", &values)?;
        let images = mem::take(&mut *pictures.lock().unwrap_or_else(PoisonError::into_inner));
        // A picture of the text part has no place
        let images = images
            .into_iter()
            .filter(|image| html.contains(&image.cid))
            .collect();
        Ok(Rendered {
            subject,
            preheader,
            html,
            text,
            images,
        })
    }

    /// The text of one file, as long as it is one that a mail can have.
    fn written(&self, tera: &Tera, path: &str, values: &Context) -> Result<String, ReportError> {
        let mut paper = Paper::default();
        let done = tera.render_to(path, values, &mut paper);
        if paper.is_full {
            return Err(ReportError::TooLong {
                path: path.to_owned(),
                megabytes: MOST_TEXT >> 20,
            });
        }
        done.and_then(|()| Ok(String::from_utf8(paper.text)?))
            .map_err(|e| wrong(&self.name, e))
    }

    /// Styles go into their elements, because Gmail on phones and Outlook read little else. What
    /// cannot go there (`@media`) stays in a block marked `data-css-inline="keep"`.
    fn with_styles(&self, html: String) -> Result<String, ReportError> {
        if !html.contains("<style") {
            return Ok(html);
        }
        let inliner = CSSInliner::options()
            .load_remote_stylesheets(false)
            .minify_css(true)
            .build();
        inliner.inline(&html).map_err(|source| ReportError::Styles {
            name: self.name.clone(),
            source,
        })
    }
}

#[cfg(test)]
impl Template {
    /// One whose rendering is a fault of this program.
    pub(crate) fn faulty() -> Self {
        use tera::{Kwargs, State};
        let mut tera = Tera::new();
        tera.register_function("fault", |_: Kwargs, _: &State<'_>| -> bool {
            panic!("a fault on purpose")
        });
        tera.add_raw_template("faulty/subject.txt", "{{ fault() }}")
            .expect("it can be parsed");
        Self {
            name: "faulty".to_owned(),
            needs: Needs::default(),
            tera,
            files: BTreeMap::from([("subject.txt", "faulty/subject.txt".to_owned())]),
            own: Vec::new(),
        }
    }
}

/// Where a template writes; it ends.
#[derive(Debug, Default)]
struct Paper {
    text: Vec<u8>,
    is_full: bool,
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > MOST_TEXT {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of the project. `None` where the embedded report or an empty text stands in.
fn own_file(own: &Path, name: &str, file: &'static str) -> Result<Option<String>, ReportError> {
    if !own.is_dir() {
        return Ok(None);
    }
    match std::fs::read_to_string(own.join(file)) {
        Ok(text) => Ok(Some(text)),
        Err(e)
            if e.kind() == std::io::ErrorKind::NotFound
                && (file == OPTIONAL || embedded::has(name)) =>
        {
            Ok(None)
        }
        Err(source) => Err(ReportError::File {
            name: name.to_owned(),
            file,
            source,
        }),
    }
}

/// No line break and no other control character: a name of the data cannot make a header of the mail.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() && c != '\u{a0}' || c.is_control());
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn wrong(name: &str, source: tera::Error) -> ReportError {
    ReportError::Tera {
        name: name.to_owned(),
        source: Box::new(source),
    }
}
