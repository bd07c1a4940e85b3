//! What a message says, apart from to whom: encoded once, however many get it.

use std::sync::OnceLock;

use lettre::message::{
    SinglePart,
    header::{ContentDisposition, ContentId, ContentType},
};

use super::mime::one_line;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// As HTML.
    pub html: String,
    /// As text.
    pub text: String,
    /// What the HTML shows as `cid:…`.
    pub images: Vec<Inline>,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
    parts: Once,
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

/// The parts, as soon as they were needed; a copy may be changed, and has none.
#[derive(Debug, Default)]
struct Once(OnceLock<Parts>);

impl Clone for Once {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Once {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A content's parts, encoded.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) text: SinglePart,
    pub(super) html: SinglePart,
    pub(super) images: Vec<SinglePart>,
    pub(super) attachments: Vec<SinglePart>,
}

impl Content {
    /// What a message says as HTML and as text, with pictures and files.
    pub fn new(
        html: String,
        text: String,
        images: Vec<Inline>,
        attachments: Vec<Attachment>,
    ) -> Self {
        Self {
            html,
            text,
            images,
            attachments,
            parts: Once::default(),
        }
    }

    pub(super) fn parts(&self) -> &Parts {
        self.parts.0.get_or_init(|| Parts {
            text: SinglePart::plain(with_crlf(&self.text)),
            html: SinglePart::html(with_crlf(&self.html)),
            images: self.images.iter().map(inline).collect(),
            attachments: self.attachments.iter().map(attachment).collect(),
        })
    }
}

/// Line ends as mail has them. lettre would put them in one by one, and move the rest each time.
fn with_crlf(text: &str) -> String {
    let mut whole = String::with_capacity(text.len() + text.len() / 16);
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => {
                whole.push_str(line.strip_suffix('\r').unwrap_or(line));
                whole.push_str("\r\n");
            }
            None => whole.push_str(line),
        }
    }
    whole
}

fn inline(image: &Inline) -> SinglePart {
    SinglePart::builder()
        .header(content_type(&image.mime))
        .header(ContentDisposition::inline_with_name(&one_line(&image.name)))
        .header(ContentId::from(format!("<{}>", one_line(&image.cid))))
        .body(image.bytes.clone())
}

fn attachment(attachment: &Attachment) -> SinglePart {
    let kind = match plain_name(&one_line(&attachment.name)) {
        Some(plain) => content_type(&format!("{}; name=\"{plain}\"", attachment.mime)),
        None => content_type(&attachment.mime),
    };
    SinglePart::builder()
        .header(kind)
        .header(ContentDisposition::attachment(&one_line(&attachment.name)))
        .body(attachment.bytes.clone())
}

/// A name beyond ASCII in plain letters, for programs that do not read RFC 2231. It stands in
/// `Content-Type`: where it stands beside the real one as a second `filename`, readers that know
/// RFC 2231 show it too (Python's `email` and the crate `mail-parser` do). `None`: the name is plain.
fn plain_name(name: &str) -> Option<String> {
    let letter = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "-_. ".contains(c) => c,
        _ => '_',
    };
    (!name.is_ascii()).then(|| name.chars().map(letter).collect())
}

fn content_type(mime: &str) -> ContentType {
    ContentType::parse(mime).unwrap_or_else(|_| {
        ContentType::parse("application/octet-stream").expect("it is a content type")
    })
}
