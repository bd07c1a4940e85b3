//! Files that go with a mail: the rows of queries, up to the report's limit; beyond it the exported
//! file is named instead.

use std::path::Path;

use serde_json::{Value, json};
use url::Url;

use super::{
    context::{About, Origin},
    outgoing::Attached,
};
use crate::{
    domain::{
        job::{Attach, AttachFormat},
        run::ArtifactRecord,
        website::Website,
    },
    plan::Section,
    report::{ReportError, csv, workbook},
};

/// The attachments of a mail.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    pub(super) files: Vec<Attached>,
    /// What the template is told of each, attached or not.
    pub(super) told: Vec<Value>,
    /// Files that are neither attached nor exported.
    pub(super) errors: Vec<String>,
}

/// The attachments of a report; `exported` are the files that the run has published, those of
/// directories below `root`.
pub(super) fn attachments(
    origin: Origin<'_>,
    about: About,
    exported: &[ArtifactRecord],
    root: &Path,
) -> Result<Attachments, ReportError> {
    let spec = origin.spec(about);
    let sections = origin.sections(about);
    let mut all = Attachments::default();
    let mut left = spec.attach_limit;
    for attach in &spec.attach {
        let ours = sections.iter().filter(|s| s.query == attach.query);
        for section in ours.filter(|s| origin.fetched[s.current].is_ok()) {
            let file = file(origin, section, attach)?;
            let bytes = file.bytes.len() as u64;
            let fits = bytes <= left;
            let links = if fits {
                Vec::new()
            } else {
                links(origin, section, exported, root)
            };
            let website = &origin.plan.websites[section.website];
            all.told.push(json!({
                "name": file.name, "query": attach.query, "format": attach.format.name(),
                "website_id": website.id, "rows": origin.rows(section.current).len(), "bytes": bytes,
                "attached": fits, "links": links,
            }));
            if fits {
                left -= bytes;
                all.files.push(file);
            } else if links.is_empty() {
                all.errors.push(format!(
                    "`{}` of the report `{}` was left out: it has {bytes} bytes, more than `attach_limit` leaves, and no export writes `{}` for it to be named instead",
                    file.name, spec.name, attach.query
                ));
            }
        }
    }
    Ok(all)
}

fn file(origin: Origin<'_>, section: &Section, attach: &Attach) -> Result<Attached, ReportError> {
    let rows = origin.rows(section.current);
    let website = &origin.plan.websites[section.website];
    let window = origin.plan.steps[section.current].window;
    let name = format!(
        "{}_{}_{}_{}.{}",
        attach.query,
        file_name(website),
        window.start,
        window.end,
        attach.format.name()
    );
    Ok(match attach.format {
        AttachFormat::Csv => Attached {
            name,
            mime: "text/csv; charset=utf-8".to_owned(),
            bytes: csv(rows),
        },
        AttachFormat::Xlsx => Attached {
            name,
            mime: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet".to_owned(),
            bytes: workbook(&attach.query, rows, window.end)?,
        },
    })
}

/// The domain, which people know, else the id.
fn file_name(website: &Website) -> String {
    let name = match website.domain.as_str() {
        "" => &website.id,
        domain => domain,
    };
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    name.chars().map(plain).collect()
}

/// The exported files of the same rows, as addresses.
fn links(
    origin: Origin<'_>,
    section: &Section,
    exported: &[ArtifactRecord],
    root: &Path,
) -> Vec<String> {
    let target = &origin.plan.steps[section.current].target;
    let ours = exported.iter().filter(|file| {
        file.query == section.query
            && file.website_id.as_deref() == target.website_id()
            && file.link_id.as_deref() == target.link_id()
    });
    ours.map(|file| address(&file.path, root)).collect()
}

/// `s3://…` as it is; a file of a directory as `file:///…`, for readers who know no project.
fn address(path: &str, root: &Path) -> String {
    let of_file = || {
        let whole = std::path::absolute(root.join(path)).ok()?;
        Url::from_file_path(whole).ok().map(String::from)
    };
    let is_url = path.contains("://");
    let found = (!is_url).then(of_file).flatten();
    found.unwrap_or_else(|| path.to_owned())
}
