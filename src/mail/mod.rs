//! Mails: messages to their recipients, into a folder or over SMTP.

mod content;
mod folder;
mod mime;
mod session;
mod smtp;

pub use content::{Attachment, Content, Inline};
pub use mime::{domain_of, message_id};
pub use smtp::Server;

use std::{path::PathBuf, sync::Arc};

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
    /// What it says; messages that say the same share it.
    pub content: Arc<Content>,
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

/// A recipient that the server will not take, of a message that others got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The recipient, as the message spells it.
    pub recipient: String,
    /// For good or for now.
    pub failure: Failure,
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

    /// Whether [`ready`](Self::ready) would ask nobody.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Dir(_) => true,
            Self::Smtp(server) => server.is_ready(),
        }
    }

    /// Hands a message over for all its recipients; the recipients that were refused, where at least
    /// one was not.
    ///
    /// # Errors
    /// How the failed sending stands, and why in words.
    pub async fn send(&self, message: &Message) -> Result<Vec<Refusal>, (Failure, String)> {
        let recipients: Vec<&str> = message.recipients().collect();
        self.send_to(message, &recipients, false).await
    }

    /// The same for some of its recipients. One that is refused for now keeps it from all of them, unless
    /// it is to go out `partly`.
    ///
    /// # Errors
    /// How the failed sending stands, and why in words.
    pub async fn send_to(
        &self,
        message: &Message,
        recipients: &[&str],
        partly: bool,
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
                let refused = server.send(&mime, partly).await?;
                let named = |(place, (failure, why)): session::NotTaken| Refusal {
                    recipient: recipients[place].to_owned(),
                    failure,
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
