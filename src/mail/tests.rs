//! Messages, and a folder of them. SMTP is tested against real servers in tests/servers.

use std::fs;

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
    assert_eq!(failure, Failure::NotYet);
}

#[test]
fn the_message_id_derives_from_key_and_number_alone() {
    let id = |key: &[&str], n| message_id(key, n, "x");
    assert_eq!(id(&["a", "b"], 1), id(&["a", "b"], 1));
    assert_ne!(id(&["a", "b"], 1), id(&["a", "b"], 2));
    assert_ne!(id(&["ab", ""], 1), id(&["a", "b"], 1));
}
