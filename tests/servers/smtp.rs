//! Delivery by SMTP, against a real server.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use mail_parser::MessageParser;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Test, python, workspace::TestWorkspace};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "a_report_arrives_once_and_is_not_sent_again",
        a_report_arrives_once_and_is_not_sent_again,
    ),
    (
        "starttls_and_login_work_and_a_wrong_password_is_named",
        starttls_and_login_work_and_a_wrong_password_is_named,
    ),
    (
        "a_connection_that_breaks_or_stands_still_after_starttls_gives_nobody_two",
        a_connection_that_breaks_or_stands_still_after_starttls_gives_nobody_two,
    ),
    (
        "implicit_tls_works_and_an_unknown_authority_is_refused",
        implicit_tls_works_and_an_unknown_authority_is_refused,
    ),
    (
        "a_passing_refusal_is_tried_again_within_the_run",
        a_passing_refusal_is_tried_again_within_the_run,
    ),
    (
        "a_lasting_refusal_is_recorded_and_not_tried_again",
        a_lasting_refusal_is_recorded_and_not_tried_again,
    ),
    (
        "a_connection_lost_after_data_leaves_the_delivery_unknown_for_good",
        a_connection_lost_after_data_leaves_the_delivery_unknown_for_good,
    ),
    (
        "a_connection_lost_before_data_surely_sent_nothing",
        a_connection_lost_before_data_surely_sent_nothing,
    ),
    (
        "one_message_goes_to_each_recipient",
        one_message_goes_to_each_recipient,
    ),
];

/// A running server; stopped when dropped.
struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(python::interpreter())
            .arg(python::script("smtp_server.py"))
            .args([mode, folder.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = process.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the server did not start: {line:?}"));
        Self {
            process,
            port,
            folder,
        }
    }

    fn taken(&self) -> usize {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files
            .filter(|f| {
                f.as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|e| e == "eml")
            })
            .count()
    }

    fn message(&self, number: usize) -> Vec<u8> {
        fs::read(self.folder.path().join(format!("{number}.eml"))).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The weekly report of one website, to these addresses, over this URL.
fn workspace(url: &str, to: &str) -> TestWorkspace {
    let workspace = TestWorkspace::with_examples();
    let job = format!(
        "preset: last_iso_week\nwebsites: [web_acme_docs]\nqueries: [summary, pages, traffic, countries, device_types]\n\
         retry: {{ attempts: 3, backoff: 0s }}\nreports: [{{ template: weekly, to: [{to}] }}]\n"
    );
    workspace.write("jobs/mail.yaml", &job);
    let settings = format!(
        "mail: {{ url: '{url}', from: 'Reports <reports@example.org>', unsubscribe: 'mailto:stop@example.org' }}\n"
    );
    workspace.write("databuddy-jobs.yaml", &settings);
    workspace
}

fn run(workspace: &TestWorkspace, server: &Server) -> (i32, Value) {
    let authority = server.folder.path().join("ca.pem");
    let env = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    let (code, mut document) = workspace.json_with(&["run", "mail", "--sandbox"], &env);
    (code, document["runs"][0].take())
}

fn states(run: &Value) -> Vec<&str> {
    let deliveries = run["deliveries"].as_array().unwrap();
    deliveries
        .iter()
        .map(|d| d["state"].as_str().unwrap())
        .collect()
}

fn a_report_arrives_once_and_is_not_sent_again() {
    let server = Server::start("plain");
    let workspace = workspace(
        &format!("smtp://127.0.0.1:{}", server.port),
        "Änn <ann@example.org>",
    );
    let (code, first) = run(&workspace, &server);
    assert_eq!((code, states(&first)), (0, vec!["sent"]), "{first:#}");
    let raw = server.message(1);
    let mail = MessageParser::default().parse(&raw).unwrap();
    assert_eq!(mail.subject(), first["deliveries"][0]["subject"].as_str());
    assert_eq!(
        mail.message_id(),
        first["deliveries"][0]["message_id"].as_str()
    );
    assert!(
        mail.body_html(0).unwrap().contains("Acme Docs")
            && mail.body_text(0).unwrap().contains("Acme Docs")
    );
    let headers = String::from_utf8_lossy(&raw);
    for header in [
        "Auto-Submitted: auto-generated",
        "List-Unsubscribe: <mailto:stop@example.org>",
        "List-ID: <weekly.mail.databuddy-jobs>",
    ] {
        assert!(headers.contains(header), "{header}");
    }
    let (code, second) = run(&workspace, &server);
    assert_eq!((code, states(&second)), (0, vec!["already_sent"]));
    assert_eq!(server.taken(), 1);
}

fn starttls_and_login_work_and_a_wrong_password_is_named() {
    let server = Server::start("starttls-login");
    let url = |password: &str| {
        format!(
            "smtp://ann:{password}@localhost:{}?tls=required",
            server.port
        )
    };
    let good = workspace(&url("geh%C3%A4im%2F1"), "ann@example.org");
    let (code, sent) = run(&good, &server);
    assert_eq!((code, states(&sent)), (0, vec!["sent"]), "{sent:#}");
    let bad = workspace(&url("falsch"), "ann@example.org");
    let (code, failed) = run(&bad, &server);
    let error = failed["error"].as_str().unwrap();
    assert_eq!((code, states(&failed)), (1, vec!["pending"]), "{failed:#}");
    assert!(
        error.contains("login") && error.contains("535") && error.contains("`mail.url`"),
        "{error}"
    );
    assert!(!error.contains("falsch"), "{error}");
    assert_eq!(failed["attempts"], 1);
    assert_eq!(server.taken(), 1);
}

fn a_connection_that_breaks_or_stands_still_after_starttls_gives_nobody_two() {
    for deed in ["drop", "stall"] {
        for stage in ["ehlo", "mail", "rcpt", "after-data"] {
            let server = Server::start(&format!("starttls-login/{deed}/{stage}"));
            let workspace = workspace(
                &format!(
                    "smtp://ann:geh%C3%A4im%2F1@localhost:{}?tls=required&timeout=2",
                    server.port
                ),
                "ann@example.org",
            );
            let is_late = stage == "after-data";
            let expected = if is_late { "unknown" } else { "sent" };
            let (code, first) = run(&workspace, &server);
            let code_of = i32::from(is_late);
            assert_eq!(
                (code, states(&first)),
                (code_of, vec![expected]),
                "{deed} {stage}: {first:#}"
            );
            let later = if is_late { "unknown" } else { "already_sent" };
            let (_, second) = run(&workspace, &server);
            assert_eq!(states(&second), [later], "{deed} {stage}");
            assert_eq!(server.taken(), 1, "{deed} {stage}: sent again");
        }
    }
}

fn implicit_tls_works_and_an_unknown_authority_is_refused() {
    let server = Server::start("tls");
    let workspace = workspace(
        &format!("smtps://localhost:{}", server.port),
        "ann@example.org",
    );
    let (code, failed) = workspace.json(&["run", "mail", "--sandbox"]);
    let error = failed["runs"][0]["error"].as_str().unwrap();
    assert_eq!(code, 1, "{failed:#}");
    assert!(error.contains("certificate"), "{error}");
    let (code, sent) = run(&workspace, &server);
    assert_eq!((code, states(&sent)), (0, vec!["sent"]), "{sent:#}");
    assert_eq!(server.taken(), 1);
}

fn a_passing_refusal_is_tried_again_within_the_run() {
    let server = Server::start("greylist");
    let workspace = workspace(
        &format!("smtp://127.0.0.1:{}", server.port),
        "ann@example.org",
    );
    let (code, run) = run(&workspace, &server);
    assert_eq!((code, states(&run)), (0, vec!["sent"]), "{run:#}");
    assert_eq!((&run["attempts"], server.taken()), (&Value::from(2), 1));
}

fn a_lasting_refusal_is_recorded_and_not_tried_again() {
    for (mode, answer) in [("refuse", "550"), ("refuse-content", "554")] {
        let server = Server::start(mode);
        let workspace = workspace(
            &format!("smtp://127.0.0.1:{}", server.port),
            "ann@example.org",
        );
        let (code, run) = run(&workspace, &server);
        assert_eq!((code, states(&run)), (1, vec!["refused"]), "{run:#}");
        assert_eq!(run["attempts"], 1);
        assert!(run["error"].as_str().unwrap().contains(answer), "{run:#}");
        assert_eq!(server.taken(), 0);
    }
}

fn a_connection_lost_after_data_leaves_the_delivery_unknown_for_good() {
    let server = Server::start("drop-after-data");
    let workspace = workspace(
        &format!("smtp://127.0.0.1:{}", server.port),
        "ann@example.org",
    );
    for _ in 0..2 {
        let (code, run) = run(&workspace, &server);
        assert_eq!((code, states(&run)), (1, vec!["unknown"]), "{run:#}");
        assert_eq!(server.taken(), 1, "it is not sent again by itself");
    }
}

fn a_connection_lost_before_data_surely_sent_nothing() {
    for mode in ["drop-before-data", "down"] {
        let server = Server::start(mode);
        let workspace = workspace(
            &format!("smtp://127.0.0.1:{}", server.port),
            "ann@example.org",
        );
        let (code, run) = run(&workspace, &server);
        assert_eq!((code, states(&run)), (75, vec!["pending"]), "{run:#}");
        assert_eq!((&run["attempts"], server.taken()), (&Value::from(3), 0));
    }
}

fn one_message_goes_to_each_recipient() {
    let server = Server::start("plain");
    let workspace = workspace(
        &format!("smtp://127.0.0.1:{}", server.port),
        "ann@example.org, bob@example.org",
    );
    let (code, run) = run(&workspace, &server);
    assert_eq!((code, states(&run)), (0, vec!["sent", "sent"]), "{run:#}");
    let recipients: Vec<String> = (1..=2)
        .map(|n| fs::read_to_string(server.folder.path().join(format!("{n}.to"))).unwrap())
        .collect();
    assert_eq!(recipients, ["ann@example.org", "bob@example.org"]);
    let ids: Vec<_> = run["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["message_id"].clone())
        .collect();
    assert_ne!(ids[0], ids[1]);
}
