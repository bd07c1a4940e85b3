//! Mails: one message to one recipient, into a folder or over SMTP.

use std::{fs, io, path::PathBuf};

use chrono::{DateTime, Utc};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Mime, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

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
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
}

/// A transport or a message cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// `mail.url` cannot be used.
    #[error(
        "`mail.url` cannot be used: write smtp://user:password@host:587?tls=required or smtps://…"
    )]
    Url(#[source] lettre::transport::smtp::Error),
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
    /// The server will not take it.
    Refused,
    /// It surely was not handed over.
    NotSent,
    /// It may have been handed over.
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
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose());
        Ok(Self::Smtp(Box::new(
            builder.map_err(MailError::Url)?.build(),
        )))
    }

    /// Hands a message over.
    ///
    /// # Errors
    /// How the failed sending stands, and why in words.
    pub async fn send(&self, message: &Message) -> Result<(), (Failure, String)> {
        let mime = to_mime(message).map_err(|e| (Failure::Refused, e.to_string()))?;
        match self {
            Self::Dir(folder) => write(folder, message, &mime.formatted()).map_err(|e| {
                (
                    Failure::NotSent,
                    format!(
                        "the mail folder `{}` cannot be written: {e}",
                        folder.display()
                    ),
                )
            }),
            Self::Smtp(transport) => transport
                .send(mime)
                .await
                .map(|_| ())
                .map_err(|error| (failure(&error), describe(&error))),
        }
    }
}

/// lettre does not say at which command a connection broke: what is no answer of the server and no
/// failure to connect may have happened after the message was handed over.
fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    if error.is_permanent() {
        return Failure::Refused;
    }
    let connecting = std::iter::successors(std::error::Error::source(error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if error.is_transient() || error.is_client() || connecting {
        Failure::NotSent
    } else {
        Failure::Unknown
    }
}

fn describe(error: &lettre::transport::smtp::Error) -> String {
    let mut text = format!("the mail server did not take it: {error}");
    if let Some(cause) = std::error::Error::source(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The Message-ID of the `number`th sending of what `key` names: always the same.
pub fn message_id(key: &[&str], number: u32, domain: &str) -> String {
    let mut hasher = Sha256::new();
    for part in key {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    format!(
        "{}.{number}@{domain}",
        &hex::encode(hasher.finalize())[..32]
    )
}

/// The domain of an address, for Message-IDs; `localhost` where it has none.
pub fn domain_of(address: &str) -> String {
    let mailbox = address.parse::<Mailbox>();
    mailbox.map_or_else(|_| "localhost".to_owned(), |m| m.email.domain().to_owned())
}

fn to_mime(message: &Message) -> Result<Mime, MailError> {
    let wrong = |why: String| MailError::Message {
        to: message.to.clone(),
        why,
    };
    let mailbox = |address: &str| {
        let clean: String = address.chars().filter(|c| !c.is_control()).collect();
        clean
            .parse::<Mailbox>()
            .map_err(|e| wrong(format!("`{clean}`: {e}")))
    };
    // A line break would begin another header
    let subject: String = message
        .subject
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let header = |name: &'static str, value: String| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
    };
    let mut builder = Mime::builder()
        .from(mailbox(&message.from)?)
        .to(mailbox(&message.to)?)
        .subject(subject)
        .date(message.date.into())
        .message_id(Some(format!("<{}>", message.message_id)));
    builder = builder.raw_header(header("Auto-Submitted", "auto-generated".to_owned()));
    builder = builder.raw_header(header("List-ID", format!("<{}>", message.list_id)));
    if let Some(unsubscribe) = &message.unsubscribe {
        builder = builder.raw_header(header("List-Unsubscribe", format!("<{unsubscribe}>")));
    }
    let body = MultiPart::alternative_plain_html(message.text.clone(), message.html.clone());
    builder.multipart(body).map_err(|e| wrong(e.to_string()))
}

/// A file name that tells people which mail it is, and is always the same for the same mail.
fn stem(message: &Message) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.@".contains(c) {
            c
        } else {
            '-'
        }
    };
    let label: String = message.label.chars().map(plain).take(120).collect();
    let id = message.message_id.split('@').next().unwrap_or_default();
    let (hash, number) = id.split_once('.').unwrap_or((id, "1"));
    let hash: String = hash.chars().take(8).collect();
    format!("{}_{hash}.{number}", label.trim_start_matches('.'))
}

/// The HTML first, then the message: whoever sees the `.eml` finds both.
fn write(folder: &std::path::Path, message: &Message, mime: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let stem = stem(message);
    for (extension, bytes) in [("html", message.html.as_bytes()), ("eml", mime)] {
        let mut file = tempfile::Builder::new()
            .prefix(".mail-")
            .tempfile_in(folder)?;
        io::Write::write_all(file.as_file_mut(), bytes)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(format!("{stem}.{extension}")))
            .map_err(|e| e.error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    fn message(subject: &str) -> Message {
        Message {
            from: "Reports <reports@example.org>".to_owned(),
            to: "Ann <ann@example.org>".to_owned(),
            subject: subject.to_owned(),
            html: "<p>Grüße</p>".to_owned(),
            text: "Grüße".to_owned(),
            message_id: message_id(&["job", "ann@example.org"], 1, "example.org"),
            label: "2026-11-22 weekly Acme".to_owned(),
            list_id: "weekly.job.databuddy-jobs".to_owned(),
            unsubscribe: Some("mailto:stop@example.org".to_owned()),
            date: "2026-11-23T07:00:00Z".parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_folder_gets_the_message_and_its_html() {
        let folder = tempfile::tempdir().unwrap();
        let transport = Transport::dir(folder.path().join("mail"));
        transport
            .send(&message("Acme: 1,219 visitors – ü"))
            .await
            .unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path().join("mail"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.sort();
        assert_eq!(names.len(), 2);
        let name = names[0].file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("2026-11-22-weekly-Acme_") && name.ends_with(".1.eml"),
            "{name}"
        );
        let raw = fs::read(&names[0]).unwrap();
        let mail = MessageParser::default().parse(&raw).unwrap();
        assert_eq!(mail.subject(), Some("Acme: 1,219 visitors – ü"));
        assert_eq!(mail.body_html(0).unwrap().trim(), "<p>Grüße</p>");
        assert_eq!(mail.body_text(0).unwrap().trim(), "Grüße");
        assert!(mail.header("Auto-Submitted").is_some() && mail.header("List-ID").is_some());
    }

    #[test]
    fn a_line_break_in_a_subject_begins_no_header() {
        let raw = to_mime(&message("x\r\nBcc: eve@example.org"))
            .unwrap()
            .formatted();
        let mail = MessageParser::default().parse(&raw).unwrap();
        assert!(mail.bcc().is_none());
    }

    #[tokio::test]
    async fn an_unreachable_server_surely_got_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let transport = Transport::smtp(&Secret::new(format!("smtp://127.0.0.1:{port}"))).unwrap();
        let (failure, _) = transport.send(&message("x")).await.unwrap_err();
        assert_eq!(failure, Failure::NotSent);
    }

    #[test]
    fn the_message_id_derives_from_key_and_number_alone() {
        let id = |key: &[&str], n| message_id(key, n, "x");
        assert_eq!(id(&["a", "b"], 1), id(&["a", "b"], 1));
        assert_ne!(id(&["a", "b"], 1), id(&["a", "b"], 2));
        assert_ne!(id(&["ab", ""], 1), id(&["a", "b"], 1));
    }
}
