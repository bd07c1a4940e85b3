//! Messages as MIME: headers, bodies, images, attachments, ids. The same message gives the same bytes.

use lettre::{
    Message as Mime,
    address::Envelope,
    message::{
        Mailbox, MessageBuilder, MultiPart, MultiPartBuilder,
        header::{HeaderName, HeaderValue},
    },
};
use sha2::{Digest, Sha256};

use super::{MailError, Message};

/// The Message-ID of the `number`th sending of what `key` names: always the same.
pub fn message_id(key: &[&str], number: u32, domain: &str) -> String {
    format!("{}.{number}@{domain}", &digest(key)[..32])
}

/// The domain of an address, for Message-IDs; `localhost` where it has none.
pub fn domain_of(address: &str) -> String {
    let mailbox = address.parse::<Mailbox>();
    mailbox.map_or_else(|_| "localhost".to_owned(), |m| m.email.domain().to_owned())
}

/// A message for those of its recipients that are named here.
pub(super) fn to_mime(message: &Message, recipients: &[&str]) -> Result<Mime, MailError> {
    let mailbox = |address: &str| {
        let clean = one_line(address);
        let parsed = clean.parse::<Mailbox>();
        parsed.map_err(|e| wrong(message, format!("`{clean}`: {e}")))
    };
    let from = mailbox(&message.from)?;
    let mut addresses = Vec::new();
    for recipient in recipients {
        addresses.push(mailbox(recipient)?.email);
    }
    let envelope = Envelope::new(Some(from.email.clone()), addresses);
    let mut builder = Mime::builder()
        .envelope(envelope.map_err(|e| wrong(message, e.to_string()))?)
        .from(from)
        .subject(one_line(&message.subject))
        .date(message.date.into())
        .message_id(Some(format!("<{}>", one_line(&message.message_id))));
    for address in &message.to {
        builder = builder.to(mailbox(address)?);
    }
    for address in &message.cc {
        builder = builder.cc(mailbox(address)?);
    }
    let built = list_headers(builder, message).multipart(body(message));
    built.map_err(|e| wrong(message, e.to_string()))
}

/// What says that a program sent it, and how to be rid of it.
fn list_headers(builder: MessageBuilder, message: &Message) -> MessageBuilder {
    let header = |name: &'static str, value: &str| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), one_line(value))
    };
    let builder = builder
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("List-ID", &format!("<{}>", message.list_id)));
    match &message.unsubscribe {
        Some(mailto) => builder.raw_header(header("List-Unsubscribe", &format!("<{mailto}>"))),
        None => builder,
    }
}

/// The nesting that every mail program accepts, Outlook too, without the layers that hold one part
/// only: mixed(alternative(text, related(HTML, images)), attachments).
fn body(message: &Message) -> MultiPart {
    let parts = message.content.parts();
    let html = parts.html.clone();
    let alternative = layer(MultiPart::alternative(), message, "alternative");
    let alternative = alternative.singlepart(parts.text.clone());
    let bodies = if parts.images.is_empty() {
        alternative.singlepart(html)
    } else {
        let related = layer(MultiPart::related(), message, "related").singlepart(html);
        let images = parts.images.iter().cloned();
        alternative.multipart(images.fold(related, MultiPart::singlepart))
    };
    if parts.attachments.is_empty() {
        return bodies;
    }
    let mixed = layer(MultiPart::mixed(), message, "mixed").multipart(bodies);
    let attachments = parts.attachments.iter().cloned();
    attachments.fold(mixed, MultiPart::singlepart)
}

/// A boundary of its own: no encoded part can hold `=_`, and nothing of it is left to chance.
fn layer(builder: MultiPartBuilder, message: &Message, name: &str) -> MultiPartBuilder {
    let hash = digest(&[&message.message_id, name]);
    builder.boundary(format!("=_{}", &hash[..32]))
}

/// A line break would begin another header.
pub(super) fn one_line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars()
        .map(clean)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn wrong(message: &Message, why: String) -> MailError {
    MailError::Message {
        to: message.to.join(", "),
        why,
    }
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hex::encode(hasher.finalize())
}
