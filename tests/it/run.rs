//! `run` and its neighbours, end to end.

use std::{fs, time::SystemTime};

use mail_parser::MessageParser;
use serde_json::{Value, json};

use crate::{server, workspace::TestWorkspace};

fn modified(workspace: &TestWorkspace, folder: &str) -> Vec<SystemTime> {
    let files = workspace.files(folder);
    let time = |file| {
        fs::metadata(workspace.path().join(file))
            .unwrap()
            .modified()
            .unwrap()
    };
    files.iter().map(time).collect()
}

fn states<'a>(run: &'a Value, list: &str) -> Vec<&'a str> {
    run[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x["state"].as_str().unwrap())
        .collect()
}

#[test]
fn the_main_job_works_with_nothing_set_and_a_second_run_does_nothing() {
    let workspace = TestWorkspace::with_examples();
    let both = ["run", "nightly-export", "weekly-report", "--sandbox"];
    let (code, first) = workspace.json(&both);
    assert_eq!(code, 0, "{first:#}");
    let (export, report) = (&first["runs"][0], &first["runs"][1]);
    assert_eq!(export["state"], "succeeded");
    assert_eq!(export["artifacts"].as_array().unwrap().len(), 18);
    assert_eq!(states(report, "deliveries"), ["sent"; 3]);
    // One query request a website, with the comparison and the daily rows
    assert_eq!(report["requests"], 3);
    assert_eq!(workspace.files("out/mail").len(), 6);
    let before = (
        modified(&workspace, "out/lake"),
        modified(&workspace, "out/mail"),
    );

    let (code, second) = workspace.json(&both);
    assert_eq!(code, 0, "{second:#}");
    for artifact in second["runs"][0]["artifacts"].as_array().unwrap() {
        assert_eq!(artifact["written"], false, "{artifact:#}");
    }
    assert_eq!(
        states(&second["runs"][1], "deliveries"),
        ["already_sent"; 3]
    );
    let after = (
        modified(&workspace, "out/lake"),
        modified(&workspace, "out/mail"),
    );
    assert_eq!(before, after);
}

#[test]
fn a_run_a_day_later_for_the_same_window_sends_and_writes_nothing_again() {
    let workspace = TestWorkspace::with_examples();
    let run = |job, at| workspace.json(&["run", job, "--sandbox", "--at", at]).1["runs"][0].clone();
    let monday = run("weekly-report", "2026-11-16T12:00:00Z");
    let tuesday = run("weekly-report", "2026-11-17T12:00:00Z");
    assert_eq!(monday["window"], tuesday["window"]);
    assert_eq!(states(&monday, "deliveries"), ["sent"; 3]);
    assert_eq!(states(&tuesday, "deliveries"), ["already_sent"; 3]);
    let morning = run("nightly-export", "2026-11-16T01:00:00Z");
    let evening = run("nightly-export", "2026-11-16T23:00:00Z");
    assert_eq!(morning["window"], evening["window"]);
    let written = |run: &Value| {
        run["artifacts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["written"] == true)
            .count()
    };
    assert_eq!((written(&morning), written(&evening)), (18, 0));
}

#[test]
fn files_hold_what_their_manifest_says() {
    let workspace = TestWorkspace::with_examples();
    workspace.json(&["run", "nightly-export", "--sandbox"]);
    let lake = workspace.path().join("out/lake");
    let manifests = workspace.files("out/lake/_manifests/nightly-export");
    assert_eq!(manifests.len(), 1);
    let text = fs::read_to_string(workspace.path().join(&manifests[0])).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["source"], "sandbox");
    assert_eq!(manifest["final"], true);
    for file in manifest["files"].as_array().unwrap() {
        let bytes = fs::read(lake.join(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(bytes.len() as u64, file["bytes"].as_u64().unwrap());
        assert_eq!(
            hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)),
            file["sha256"]
        );
    }
}

#[test]
fn the_mail_names_site_and_window_and_carries_both_bodies() {
    let workspace = TestWorkspace::with_examples();
    workspace.json(&[
        "run",
        "weekly-report",
        "--sandbox",
        "--website",
        "web_acme_shop",
    ]);
    let files = workspace.files("out/mail");
    let eml = files
        .iter()
        .find(|f| f.extension().is_some_and(|e| e == "eml"))
        .unwrap();
    let raw = fs::read(workspace.path().join(eml)).unwrap();
    let mail = MessageParser::default().parse(&raw).unwrap();
    assert!(
        mail.subject().unwrap().starts_with("Acme Shop: "),
        "{:?}",
        mail.subject()
    );
    let (html, text) = (mail.body_html(0).unwrap(), mail.body_text(0).unwrap());
    for body in [html, text] {
        assert!(
            body.contains("Page views") && body.contains("/pricing"),
            "{body}"
        );
    }
}

#[test]
fn a_website_name_with_line_breaks_begins_no_header_and_markup_is_escaped() {
    let url = server::serve(|request| match request.path.split('?').next().unwrap() {
        "/v1/query/types" => server::json(
            200,
            &json!({ "success": true, "types": ["top_pages"], "configs": {} }),
        ),
        "/v1/query/websites" => {
            let name = "X\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script>";
            server::json(
                200,
                &json!({ "success": true, "websites": [{ "id": "web_1", "name": name, "domain": "x" }] }),
            )
        }
        _ => server::json(
            200,
            &json!({ "success": true, "data": [{ "parameter": "s0", "success": true, "data": [{ "name": "<img src=x>", "pageviews": 1 }] }] }),
        ),
    });
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!(
            "api: {{ url: '{url}', key: k }}\nmail: {{ url: 'dir:mail', from: 'a@example.org' }}\n"
        ),
    );
    workspace.write("templates/own/report.yaml", "queries: { pages: {} }\n");
    let page = "{{ website.name }} {% for row in top(query=q.pages) %}{{ row.name }}{% endfor %}";
    for file in ["subject.txt", "body.html", "body.txt"] {
        workspace.write(&format!("templates/own/{file}"), page);
    }
    workspace.write(
        "jobs/mail.yaml",
        "preset: yesterday\nqueries: [pages]\nreports: [{ template: own, to: [a@example.org] }]\n",
    );
    let (code, document) = workspace.json(&["run", "mail"]);
    assert_eq!(code, 0, "{document:#}");
    let file = workspace
        .files("mail")
        .into_iter()
        .find(|f| f.extension().is_some_and(|e| e == "eml"))
        .unwrap();
    let raw = fs::read(workspace.path().join(file)).unwrap();
    let mail = MessageParser::default().parse(&raw).unwrap();
    assert!(mail.bcc().is_none() && !String::from_utf8_lossy(&raw).contains("\nBcc:"));
    let html = mail.body_html(0).unwrap();
    assert!(
        !html.contains("<script>") && !html.contains("<img"),
        "{html}"
    );
}

#[test]
fn a_plan_names_requests_files_and_recipients_and_writes_nothing() {
    let workspace = TestWorkspace::with_examples();
    let (code, plans) = workspace.json(&["plan", "weekly-report", "one-off", "--sandbox"]);
    assert_eq!(code, 0, "{plans:#}");
    let one_off = plans["plans"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["job"] == "one-off")
        .unwrap();
    assert_eq!(one_off["request_count"], 3);
    assert_eq!(one_off["artifacts"].as_array().unwrap().len(), 3);
    let filter = &one_off["requests"][0]["body"]["filters"][0];
    assert_eq!(filter["value"], "/blog");
    assert!(workspace.files("out").is_empty());
    let (_, runs) = workspace.json(&["runs", "--sandbox"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 0);
}

#[test]
fn wrong_input_ends_with_exit_code_2_and_a_remedy() {
    let workspace = TestWorkspace::with_examples();
    let cases: [(&[&str], &str); 6] = [
        (
            &["run", "nigthly-export", "--sandbox"],
            "did you mean `nightly-export`",
        ),
        (&["run", "one-off"], "DATABUDDY_API_KEY"),
        (
            &["run", "one-off", "--sandbox", "--at", "2999-01-01"],
            "future",
        ),
        (
            &["run", "one-off", "--sandbox", "--at", "soon"],
            "neither a date",
        ),
        (&["resend", "x", "--sandbox"], "x"),
        (&["frobnicate"], "unknown command"),
    ];
    for (args, expected) in cases {
        let output = workspace.run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(expected), "{args:?}: {errors}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn an_unknown_website_fails_the_run_before_anything_is_written() {
    let workspace = TestWorkspace::with_examples();
    let args = [
        "run",
        "nightly-export",
        "--sandbox",
        "--website",
        "web_nope",
    ];
    let (code, document) = workspace.json(&args);
    assert_eq!(code, 2, "{document:#}");
    let run = &document["runs"][0];
    assert_eq!(run["state"], "failed");
    assert!(
        run["error"].as_str().unwrap().contains("`web_nope`"),
        "{run:#}"
    );
    assert!(workspace.files("out").is_empty());
    let (_, runs) = workspace.json(&["runs", "--sandbox"]);
    assert_eq!(runs["runs"][0]["state"], "failed");
}

#[test]
fn an_unreachable_server_is_a_temporary_failure() {
    let workspace = TestWorkspace::with_examples();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: 'http://127.0.0.1:{port}', key: k }}"),
    );
    let args = ["run", "one-off", "--set", "retry.attempts=1"];
    let (code, document) = workspace.json(&args);
    assert_eq!(code, 75, "{document:#}");
    let error = document["runs"][0]["error"].as_str().unwrap();
    assert!(
        error.contains(&port.to_string()) && error.contains("cannot be reached"),
        "{error}"
    );
}
