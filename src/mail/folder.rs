//! Mails as files of a folder: an `.eml` and its HTML.

use std::{fs, io, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::Message;

/// Tries a write, and removes it again.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".mail-")
        .tempfile_in(folder)?;
    io::Write::write_all(file.as_file_mut(), b"databuddy-jobs")
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

/// The HTML with its pictures inside: a browser finds no other part of a message.
fn with_pictures(message: &Message) -> String {
    let mut html = message.content.html.clone();
    for image in &message.content.images {
        let data = BASE64_STANDARD.encode(&image.bytes);
        let url = format!("data:{};base64,{data}", image.mime);
        html = html.replace(&format!("cid:{}", image.cid), &url);
    }
    html
}

/// The HTML first, then the message: whoever sees the `.eml` finds both.
pub(super) fn write(folder: &Path, message: &Message, mime: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let stem = stem(message);
    let html = with_pictures(message);
    for (extension, bytes) in [("html", html.as_bytes()), ("eml", mime)] {
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
