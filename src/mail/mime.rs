//! Messages as MIME: headers, both bodies, ids.

use lettre::{
    Message as Mime,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use sha2::{Digest, Sha256};

use super::{MailError, Message};

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

pub(super) fn to_mime(message: &Message) -> Result<Mime, MailError> {
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
