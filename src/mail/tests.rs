//! Messages, and a folder of them. SMTP is tested against real servers in tests/servers.

use std::fs;

use mail_parser::{MessageParser, MimeHeaders};

use super::*;

fn message(subject: &str) -> Message {
    Message {
        from: "Reports <reports@example.org>".to_owned(),
        to: vec!["Ann <ann@example.org>".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: subject.to_owned(),
        content: Arc::new(Content::new(
            "<p>Grüße</p>".to_owned(),
            "Grüße".to_owned(),
            Vec::new(),
            Vec::new(),
        )),
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

/// The bytes of a message, for all of its recipients.
fn raw(message: &Message) -> Vec<u8> {
    let recipients: Vec<&str> = message.recipients().collect();
    to_mime(message, &recipients).unwrap().formatted()
}

/// A message with everything that one can have.
fn full() -> Message {
    Message {
        from: "Bericht für Änne <reports@example.org>".to_owned(),
        to: vec![
            "ann@example.org".to_owned(),
            "\"Bö, Zoë\" <zoe@example.org>".to_owned(),
        ],
        cc: vec!["علي <ali@example.org>".to_owned()],
        bcc: vec!["hidden@example.org".to_owned()],
        content: Arc::new(Content::new(
            "<p>Grüße <img src=\"cid:daily\" width=\"2\" height=\"1\" alt=\"a\"></p>".to_owned(),
            "Grüße".to_owned(),
            vec![Inline {
                cid: "daily".to_owned(),
                mime: "image/png".to_owned(),
                bytes: (0..=255).collect(),
                name: "daily.png".to_owned(),
            }],
            vec![Attachment {
                name: "Seiten – März.csv".to_owned(),
                mime: "text/csv; charset=utf-8".to_owned(),
                bytes: b"path,visitors\r\n/,1\r\n".to_vec(),
            }],
        )),
        ..message("📈 Acme: 1,219 visitors, up 14% – مرحبا")
    }
}

#[test]
fn the_same_message_gives_the_same_bytes_as_ever() {
    let raw = String::from_utf8(raw(&full()))
        .unwrap()
        .replace("\r\n", "\n");
    let golden = include_str!("golden.eml");
    if raw != golden {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/golden.eml");
        fs::write(path, &raw).unwrap();
        panic!("src/mail/golden.eml differs from {path}");
    }
}

#[test]
fn another_reader_sees_the_nesting_that_outlook_accepts() {
    let raw = raw(&full());
    let mail = MessageParser::default().parse(&raw).unwrap();
    let kind = |place: usize| {
        let content = mail
            .part(u32::try_from(place).unwrap())
            .unwrap()
            .content_type()
            .unwrap();
        format!("{}/{}", content.ctype(), content.subtype().unwrap())
    };
    let kinds: Vec<String> = (0..mail.parts.len()).map(kind).collect();
    let expected = [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/csv",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(mail.part(5).unwrap().content_id(), Some("daily"));
    assert!(
        mail.part(5)
            .unwrap()
            .content_disposition()
            .unwrap()
            .is_inline()
    );
    assert_eq!(
        mail.part(5).unwrap().contents(),
        (0..=255).collect::<Vec<u8>>()
    );
    assert_eq!(
        mail.part(6).unwrap().attachment_name(),
        Some("Seiten – März.csv")
    );
    let names = |list: &mail_parser::Address<'_>| -> Vec<(Option<String>, String)> {
        list.iter()
            .map(|a| (a.name().map(str::to_owned), a.address().unwrap().to_owned()))
            .collect()
    };
    let to = names(mail.to().unwrap());
    assert_eq!(
        to[1],
        (Some("Bö, Zoë".to_owned()), "zoe@example.org".to_owned())
    );
    assert_eq!(names(mail.cc().unwrap())[0].0.as_deref(), Some("علي"));
    assert_eq!(
        mail.subject(),
        Some("📈 Acme: 1,219 visitors, up 14% – مرحبا")
    );
    assert!(mail.bcc().is_none() && !raw.windows(6).any(|w| w == b"hidden"));
}

#[test]
fn a_name_of_a_file_beyond_ascii_is_whole_and_has_plain_letters_beside_it() {
    let mut message = full();
    let long = format!("Seiten \"{}\" – März 🎉.csv", "ä".repeat(60));
    let names = ["seiten_bücher.example.csv", &long, "plain.csv"];
    let content = Arc::make_mut(&mut message.content);
    let file = content.attachments[0].clone();
    let named = names.map(|name| Attachment {
        name: name.to_owned(),
        ..file.clone()
    });
    content.attachments = named.to_vec();
    let raw = raw(&message);
    let text = String::from_utf8_lossy(&raw);
    let all = text.replace("\r\n ", " ");
    assert!(
        all.contains("name=\"seiten_b_cher.example.csv\"\r\n"),
        "{text}"
    );
    assert!(
        all.contains("filename*0*=utf-8''seiten_b%C3%BCcher.example.csv"),
        "{text}"
    );
    assert!(all.contains("filename=\"plain.csv\"\r\n"), "{text}");
    let mail = MessageParser::default().parse(&raw).unwrap();
    let read: Vec<_> = mail
        .attachments()
        .map(|part| part.attachment_name().unwrap())
        .collect();
    assert!(read.ends_with(&names), "{read:?}");
}

#[test]
fn layers_that_hold_one_part_are_left_out() {
    let parts = |message: &Message| {
        let raw = raw(message);
        MessageParser::default().parse(&raw).unwrap().parts.len()
    };
    assert_eq!(parts(&message("x")), 3, "alternative, text, HTML");
    let mut images = full();
    Arc::make_mut(&mut images.content).attachments.clear();
    assert_eq!(parts(&images), 5, "alternative, text, related, HTML, image");
    let mut files = full();
    Arc::make_mut(&mut files.content).images.clear();
    assert_eq!(parts(&files), 5, "mixed, alternative, text, HTML, file");
}

#[test]
fn a_line_break_begins_no_header_wherever_it_stands() {
    let evil = "x\r\nBcc: eve@example.org\r\n\r\nbody";
    let mut message = full();
    message.subject = evil.to_owned();
    message.to[0] = "Ann\r\n <ann@example.org>".to_owned();
    message.list_id = evil.to_owned();
    message.unsubscribe = Some(format!("mailto:stop@example.org?subject={evil}"));
    let content = Arc::make_mut(&mut message.content);
    content.images[0].name = evil.to_owned();
    content.images[0].cid = evil.to_owned();
    content.attachments[0].name = evil.to_owned();
    message.from = "\"Reports\r\nX: y\" <reports@example.org>".to_owned();
    let raw = raw(&message);
    let mail = MessageParser::default().parse(&raw).unwrap();
    assert!(mail.bcc().is_none() && mail.header("X").is_none());
    assert_eq!(mail.parts.len(), 7);
    let text = String::from_utf8_lossy(&raw);
    assert!(
        text.lines()
            .all(|line| !line.starts_with("Bcc") && !line.starts_with("X:"))
    );
}

#[test]
fn an_address_that_is_none_is_named() {
    let mut message = full();
    message.to = vec!["nobody".to_owned()];
    let error = to_mime(&message, &["nobody"]).unwrap_err().to_string();
    assert!(error.contains("`nobody`"), "{error}");
}

#[tokio::test]
async fn an_unreachable_server_surely_got_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let transport = Transport::smtp(&Secret::new(format!("smtp://127.0.0.1:{port}"))).unwrap();
    let (failure, _) = transport.send(&message("x")).await.unwrap_err();
    assert_eq!(failure, Failure::NotYet);
}

#[test]
fn the_message_id_derives_from_key_and_number_alone() {
    let id = |key: &[&str], n| message_id(key, n, "x");
    assert_eq!(id(&["a", "b"], 1), id(&["a", "b"], 1));
    assert_ne!(id(&["a", "b"], 1), id(&["a", "b"], 2));
    assert_ne!(id(&["ab", ""], 1), id(&["a", "b"], 1));
}
