//! Mails: one message to one recipient, into a folder or over SMTP.

mod folder;
mod mime;
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
    /// The recipient.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The body as HTML.
    pub html: String,
    /// The body as text.
    pub text: String,
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

    /// Hands a message over.
    ///
    /// # Errors
    /// How the failed sending stands, and why in words.
    pub async fn send(&self, message: &Message) -> Result<(), (Failure, String)> {
        let mime = to_mime(message).map_err(|e| (Failure::Refused, e.to_string()))?;
        match self {
            Self::Dir(folder) => folder::write(folder, message, &mime.formatted()).map_err(|e| {
                let folder = folder.display();
                let why = format!("the mail folder `{folder}` cannot be written: {e}");
                (Failure::Settings, why)
            }),
            Self::Smtp(server) => server.send(&mime).await,
        }
    }
}

#[cfg(test)]
mod tests;
