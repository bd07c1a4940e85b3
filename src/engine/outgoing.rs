//! A mail before it is sent: what it says, and to whom.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    domain::{job::ReportSpec, website::Website},
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
pub(super) struct Attached {
    pub(super) name: String,
    pub(super) mime: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Whom one message goes to: one address, or with `together` all of `to`, `cc` and `bcc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipients {
    /// At least one, as the job spells them.
    pub(super) to: Vec<String>,
    pub(super) cc: Vec<String>,
    pub(super) bcc: Vec<String>,
}

impl Outgoing<'_> {
    /// What the ledger knows the website by.
    pub(super) fn website_key(&self) -> &str {
        self.website.map_or(BUNDLE, |website| &website.id)
    }
}

impl Recipients {
    /// A message of one's own.
    pub(super) fn one(address: &str) -> Self {
        Self {
            to: vec![address.to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
        }
    }

    /// Everybody who gets the message.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.to, &self.cc, &self.bcc];
        lists.into_iter().flatten().map(String::as_str)
    }

    /// Everybody, for people; of `bcc` too, so never in the message itself.
    pub(super) fn in_words(&self) -> String {
        self.all().collect::<Vec<_>>().join(", ")
    }
}

/// The address alone, in lower case: what makes two recipients the same one.
pub(super) fn address_of(to: &str) -> String {
    let inner = to
        .rsplit_once('<')
        .map_or(to, |(_, rest)| rest.trim_end_matches('>'));
    inner.trim().to_lowercase()
}
