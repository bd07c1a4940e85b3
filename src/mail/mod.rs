//! Mails: messages to their recipients, into a folder or over SMTP.

mod folder;
mod mime;
mod session;
mod smtp;

pub use mime::{domain_of, message_id};
pub use smtp::Server;

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::secret::Secret;
use mime::to_mime;

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The sender.
    pub from: String,
    /// The recipients that the header names.
    pub to: Vec<String>,
    /// Those of the header `Cc`.
    pub cc: Vec<String>,
    /// Those that no header names.
    pub bcc: Vec<String>,
    /// One line.
    pub subject: String,
    /// The body as HTML.
    pub html: String,
    /// The body as text.
    pub text: String,
    /// What the HTML shows as `cid:…`.
    pub images: Vec<Inline>,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
    /// Without angle brackets.
    pub message_id: String,
    /// What files of it are called in a folder, for people; the id makes it unique.
    pub label: String,
    /// `report.job.databuddy-jobs`.
    pub list_id: String,
    /// A `mailto:`.
    pub unsubscribe: Option<String>,
    /// When it was made.
    pub date: DateTime<Utc>,
}

/// An image within the HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// What the HTML calls it, without `cid:`.
    pub cid: String,
    /// Its content type.
    pub mime: String,
    /// The image.
    pub bytes: Vec<u8>,
    /// Its file name, where a program shows it as one.
    pub name: String,
}

/// A file that goes with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its file name.
    pub name: String,
    /// Its content type.
    pub mime: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A recipient that the server will not take, of a message that others got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The recipient, as the message spells it.
    pub recipient: String,
    /// The server's answer.
    pub why: String,
}

/// Where mails go.
#[derive(Debug)]
pub enum Transport {
    /// A folder: one `.eml` and one `.html` a message.
    Dir(PathBuf),
    /// A mail server.
    Smtp(Box<Server>),
}

/// A transport or a message cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// `mail.url` cannot be used.
    #[error(
        "`mail.url` cannot be used: {0}; write smtp://user:password@host:587 or smtps://user:password@host"
    )]
    Url(String),
    /// The message cannot be made.
    #[error("the mail to `{to}` cannot be made: {why}")]
    Message {
        /// The recipient.
        to: String,
        /// Why.
        why: String,
    },
}

/// How a failed sending stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server will not take this message for this recipient.
    Refused,
    /// It surely was not handed over; it may work a little later.
    NotYet,
    /// It surely was not handed over, and will not be before the settings change.
    Settings,
    /// The connection was lost after the message was handed over: it may have been sent.
    Unknown,
}

impl Transport {
    /// A folder.
    pub fn dir(folder: PathBuf) -> Self {
        Self::Dir(folder)
    }

    /// A mail server, by `smtp://` or `smtps://` URL.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn smtp(url: &Secret) -> Result<Self, MailError> {
        Server::from_url(url.expose())
            .map(|server| Self::Smtp(Box::new(server)))
            .map_err(MailError::Url)
    }

    /// Tries to reach it, with encryption and login, and sends nothing.
    ///
    /// # Errors
    /// Why, in words.
    pub async fn probe(&self) -> Result<(), String> {
        match self {
            Self::Dir(folder) => folder::probe(folder).map_err(|e| {
                format!(
                    "the mail folder `{}` cannot be written: {e}",
                    folder.display()
                )
            }),
            Self::Smtp(server) => server.probe().await.map_err(|(_, why)| why),
        }
    }

    /// Connects and logs in, where that is not done yet: until then nothing can have been sent.
    ///
    /// # Errors
    /// How that stands, and why in words.
    pub async fn ready(&self) -> Result<(), (Failure, String)> {
        match self {
            Self::Dir(_) => Ok(()),
            Self::Smtp(server) => server.ready().await,
        }
    }

    /// Hands a message over for all its recipients; the recipients that were refused, where at least
    /// one was not.
    ///
    /// # Errors
    /// How the failed sending stands, and why in words.
    pub async fn send(&self, message: &Message) -> Result<Vec<Refusal>, (Failure, String)> {
        let recipients: Vec<&str> = message.recipients().collect();
        self.send_to(message, &recipients).await
    }

    /// The same for some of its recipients.
    ///
    /// # Errors
    /// How the failed sending stands, and why in words.
    pub async fn send_to(
        &self,
        message: &Message,
        recipients: &[&str],
    ) -> Result<Vec<Refusal>, (Failure, String)> {
        let mime = to_mime(message, recipients).map_err(|e| (Failure::Refused, e.to_string()))?;
        match self {
            Self::Dir(folder) => {
                let written = folder::write(folder, message, &mime.formatted());
                written.map(|()| Vec::new()).map_err(|e| {
                    let folder = folder.display();
                    let why = format!("the mail folder `{folder}` cannot be written: {e}");
                    (Failure::Settings, why)
                })
            }
            Self::Smtp(server) => {
                let refused = server.send(&mime).await?;
                let named = |(place, why): (usize, String)| Refusal {
                    recipient: recipients[place].to_owned(),
                    why,
                };
                Ok(refused.into_iter().map(named).collect())
            }
        }
    }

    /// Ends what was kept open for further messages.
    pub async fn close(&self) {
        if let Self::Smtp(server) = self {
            server.close().await;
        }
    }
}

impl Message {
    /// Everybody who gets it.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.to, &self.cc, &self.bcc];
        lists.into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests;
