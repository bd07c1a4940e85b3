//! A mail as it is sent and as the archive keeps it: the same, so that it can be sent again as it was.

use std::{io, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::outgoing::{Attached, Outgoing, Recipients};
use crate::{
    domain::run::WindowRecord,
    mail::{Attachment, Content, Inline},
    report::Image,
    store::Archive,
};

/// What this program writes; a newer one is not read.
const VERSION: u32 = 1;

/// A mail without its Message-ID and, unless all recipients share one, without its recipient.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMail {
    /// The job's name.
    pub job: String,
    /// The report's name.
    pub report: String,
    /// The website it is about; `None`: several.
    pub website_id: Option<String>,
    /// The days it reports on.
    pub window: WindowRecord,
    /// One line.
    pub subject: String,
    /// What it says.
    pub content: Arc<Content>,
    /// What the template was given, as JSON.
    pub context: String,
    /// SHA-256 of the template's files.
    pub template_hash: String,
    /// Everybody, where one message goes to all of them.
    pub together: Option<Together>,
}

/// The recipients of a message that several get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    /// The header `To`.
    pub to: Vec<String>,
    /// The header `Cc`.
    pub cc: Vec<String>,
    /// No header.
    pub bcc: Vec<String>,
}

/// The file that names the others.
#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    job: String,
    report: String,
    website_id: Option<String>,
    window: WindowRecord,
    subject: String,
    html: String,
    text: String,
    images: Vec<File>,
    attachments: Vec<File>,
    context: String,
    template_hash: String,
    together: Option<Together>,
}

#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    mime: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    content: String,
}

impl StoredMail {
    /// What an outgoing mail says.
    pub(super) fn of(
        mail: &Outgoing<'_>,
        job: &str,
        window: WindowRecord,
        template_hash: String,
    ) -> Self {
        let rendered = &mail.rendered;
        Self {
            job: job.to_owned(),
            report: mail.spec.name.clone(),
            website_id: mail.website.map(|website| website.id.clone()),
            window,
            subject: rendered.subject.clone(),
            content: Arc::new(Content::new(
                rendered.html.clone(),
                rendered.text.clone(),
                rendered.images.iter().map(picture).collect(),
                mail.attachments.iter().map(Attached::to_mail).collect(),
            )),
            context: mail.context.to_string(),
            template_hash,
            together: Together::of(&mail.to),
        }
    }

    /// Keeps it; the hash of its index, by which it is found again.
    ///
    /// # Errors
    /// The archive cannot be written.
    pub(super) fn keep(&self, archive: &Archive, now: SystemTime) -> io::Result<String> {
        let put = |content: &[u8]| archive.put(content, now);
        let mut images = Vec::new();
        for image in &self.content.images {
            images.push(File {
                name: image.name.clone(),
                mime: image.mime.clone(),
                cid: Some(image.cid.clone()),
                content: put(&image.bytes)?,
            });
        }
        let mut attachments = Vec::new();
        for file in &self.content.attachments {
            attachments.push(File {
                name: file.name.clone(),
                mime: file.mime.clone(),
                cid: None,
                content: put(&file.bytes)?,
            });
        }
        let index = Index {
            version: VERSION,
            job: self.job.clone(),
            report: self.report.clone(),
            website_id: self.website_id.clone(),
            window: self.window.clone(),
            subject: self.subject.clone(),
            html: put(self.content.html.as_bytes())?,
            text: put(self.content.text.as_bytes())?,
            images,
            attachments,
            context: put(self.context.as_bytes())?,
            template_hash: self.template_hash.clone(),
            together: self.together.clone(),
        };
        put(&serde_json::to_vec(&index).expect("an index has string keys only"))
    }

    /// The mail of that hash.
    ///
    /// # Errors
    /// It is not there, damaged, or of a newer program.
    pub(super) fn find(archive: &Archive, hash: &str) -> io::Result<Self> {
        let index = read_index(archive, hash)?;
        let text = |hash: &str| String::from_utf8(archive.get(hash)?).map_err(io::Error::other);
        let mut images = Vec::new();
        for file in index.images {
            images.push(Inline {
                bytes: archive.get(&file.content)?,
                cid: file.cid.unwrap_or_default(),
                mime: file.mime,
                name: file.name,
            });
        }
        let mut attachments = Vec::new();
        for file in index.attachments {
            attachments.push(Attachment {
                bytes: archive.get(&file.content)?,
                mime: file.mime,
                name: file.name,
            });
        }
        let (html, plain) = (text(&index.html)?, text(&index.text)?);
        Ok(Self {
            content: Arc::new(Content::new(html, plain, images, attachments)),
            context: text(&index.context)?,
            job: index.job,
            report: index.report,
            website_id: index.website_id,
            window: index.window,
            subject: index.subject,
            template_hash: index.template_hash,
            together: index.together,
        })
    }

    /// The hashes of all that a mail is made of, without its own.
    ///
    /// # Errors
    /// It is not there, damaged, or of a newer program.
    pub(super) fn contents(archive: &Archive, hash: &str) -> io::Result<Vec<String>> {
        let index = read_index(archive, hash)?;
        let files = index.images.into_iter().chain(index.attachments);
        let files = files.map(|file| file.content);
        Ok(files
            .chain([index.html, index.text, index.context])
            .collect())
    }
}

/// A picture of a rendered report, as a part of a message.
pub(super) fn picture(image: &Image) -> Inline {
    Inline {
        cid: image.cid.clone(),
        mime: "image/png".to_owned(),
        bytes: image.png.clone(),
        name: format!("{}.png", image.cid),
    }
}

fn read_index(archive: &Archive, hash: &str) -> io::Result<Index> {
    let index: Index = serde_json::from_slice(&archive.get(hash)?)?;
    if index.version > VERSION {
        return Err(io::Error::other("a newer program wrote it"));
    }
    Ok(index)
}

impl Together {
    /// `None`: a message of one's own.
    fn of(to: &Recipients) -> Option<Self> {
        let is_shared = to.all().nth(1).is_some();
        is_shared.then(|| Self {
            to: to.to.clone(),
            cc: to.cc.clone(),
            bcc: to.bcc.clone(),
        })
    }
}

/// A letter with where it lies and who gets it: each recipient with the place of its delivery.
#[derive(Debug, Clone)]
pub(super) struct Posting {
    pub(super) letter: Arc<StoredMail>,
    /// `None`: the archive could not keep it.
    pub(super) hash: Option<String>,
    pub(super) recipients: Vec<(usize, String)>,
}
