//! A mail before it is sent: what it says, and to whom.

use std::sync::Arc;

use serde_json::Value;

pub(super) use crate::domain::recipients::Recipients;
use crate::{
    domain::{job::ReportSpec, website::Website},
    mail::Attachment,
    report::Rendered,
};

/// What the ledger calls the website of a mail about several.
pub(super) const BUNDLE: &str = "*";

/// One message: a report of one website, or of several, for its recipients.
#[derive(Debug, Clone)]
pub(super) struct Outgoing<'a> {
    pub(super) spec: &'a ReportSpec,
    /// `None`: a bundle of all websites of the job.
    pub(super) website: Option<&'a Website>,
    pub(super) to: Recipients,
    /// Shared by the messages that say the same.
    pub(super) rendered: Arc<Rendered>,
    pub(super) attachments: Arc<[Attached]>,
    /// What the template was given.
    pub(super) context: Arc<Value>,
}

/// A file that goes with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub name: String,
    /// What it is.
    pub mime: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl Attached {
    /// As a part of a message.
    pub(super) fn to_mail(&self) -> Attachment {
        Attachment {
            name: self.name.clone(),
            mime: self.mime.clone(),
            bytes: self.bytes.clone(),
        }
    }
}
