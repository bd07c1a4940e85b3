//! Who is told of the outcome of runs: once for each change, and never at the cost of the run.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use mail_parser::MessageParser;
use serde_json::{Value, json};

use crate::{
    failures::{api, rows},
    server::{self, Request},
    smtp_sink::{Deed, Fault, Sink, Stage},
    workspace::TestWorkspace,
};

const JOB: &str = "preset: yesterday\nqueries: [top_pages]\nretry: { attempts: 1 }\nexports: [{ format: csv, to: out/lake }]\n";

fn workspace(api_url: &str, basket_url: &str, hooks: &str) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!(
            "api: {{ url: '{api_url}', basket_url: '{basket_url}', key: k }}\nmail: {{ url: 'dir:out/mail', from: jobs@example.org }}\nweb: {{ public_url: 'https://jobs.example.org' }}\n"
        ),
    );
    workspace.write("jobs/export.yaml", &format!("{JOB}{hooks}\n"));
    workspace
}

/// Subjects and recipients of the mails so far, sorted.
fn mails(workspace: &TestWorkspace) -> Vec<(String, String)> {
    let mut mails = Vec::new();
    for (file, bytes) in workspace.contents("out/mail") {
        if file.extension().is_some_and(|e| e == "eml") {
            let mail = MessageParser::default().parse(&bytes).unwrap();
            let to = mail
                .to()
                .unwrap()
                .first()
                .unwrap()
                .address()
                .unwrap()
                .to_owned();
            let text = mail.body_text(0).unwrap();
            assert!(
                text.contains("databuddy-jobs show ") && text.contains("https://jobs.example.org"),
                "{text}"
            );
            mails.push((mail.subject().unwrap().to_owned(), to));
        }
    }
    mails.sort();
    mails
}

#[test]
fn a_job_that_fails_says_so_once_and_once_more_when_it_works_again() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let url = api(move |request| {
        if broken.load(Ordering::Relaxed) {
            return server::json(
                403,
                &json!({ "success": false, "error": "no", "code": "FORBIDDEN" }),
            );
        }
        rows(request)
    });
    let hooks = "on_failure: [{ email: [ops@example.com, ann@example.com] }]\non_recovery: [{ email: [ops@example.com] }]";
    let workspace = workspace(&url, &url, hooks);
    for _ in 0..3 {
        assert_eq!(workspace.json(&["run", "export"]).0, 1);
    }
    let fails = |to: &str| ("export fails".to_owned(), to.to_owned());
    assert_eq!(
        mails(&workspace),
        [fails("ann@example.com"), fails("ops@example.com")]
    );
    is_broken.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(workspace.json(&["run", "export"]).0, 0);
    }
    let all = mails(&workspace);
    assert_eq!(all.len(), 3);
    assert!(
        all[2]
            .0
            .starts_with("export works again, after 3 failed runs since "),
        "{all:?}"
    );
    is_broken.store(true, Ordering::Relaxed);
    workspace.json(&["run", "export"]);
    assert_eq!(mails(&workspace).len(), 5);
}

#[test]
fn every_success_is_told_to_the_dead_man_switch_and_as_an_event() {
    let heard: Arc<Mutex<Vec<(String, String, Value)>>> = Arc::default();
    let tell = Arc::clone(&heard);
    let others = server::serve(move |request: &Request| {
        let said = (
            request.method.clone(),
            request.path.clone(),
            request.body.clone(),
        );
        tell.lock().unwrap().push(said);
        server::json(
            200,
            &json!({ "status": "success", "type": "custom", "success": true }),
        )
    });
    let hooks = format!(
        "ping: '{others}/ping/s3cret'\non_success: [{{ event: {{ website: web_1, name: export_completed }} }}]"
    );
    let workspace = workspace(&api(rows), &others, &hooks);
    assert_eq!(workspace.json(&["run", "export"]).0, 0);
    let heard = heard.lock().unwrap();
    assert!(
        heard
            .iter()
            .any(|(method, path, _)| method == "GET" && path == "/ping/s3cret"),
        "{heard:?}"
    );
    let event = heard
        .iter()
        .find(|(method, _, _)| method == "POST")
        .unwrap();
    let text = event.2.to_string();
    assert!(
        text.contains("export_completed") && text.contains("\"job\":\"export\""),
        "{text}"
    );
    assert_eq!(heard.len(), 2);
}

#[test]
fn a_run_stands_where_nobody_can_be_told() {
    let nowhere = "http://127.0.0.1:1";
    let hooks = format!(
        "ping: '{nowhere}/s3cret'\non_success: [{{ event: {{ website: web_1, name: done }} }}]"
    );
    let workspace = workspace(&api(rows), nowhere, &hooks);
    let output = workspace.run(&["run", "export"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("the address of `ping` was not told") && !said.contains("s3cret"),
        "{said}"
    );
}

#[test]
fn a_run_that_took_too_long_is_told_as_one_that_failed() {
    let (others, taken) = hooks_server(&Arc::new(AtomicBool::new(true)));
    let hooks = format!("timeout: 1s\non_failure: [{{ webhook: '{others}/' }}]");
    let nobody = api(|_| None);
    let workspace = workspace(&nobody, &nobody, &hooks);
    let (_, document) = workspace.json(&["run", "export"]);
    let run = &document["runs"][0];
    assert_eq!(run["state"], "cancelled", "{run:#}");
    assert!(run["error"].as_str().unwrap().contains("`timeout` (1 s)"));
    assert_eq!(*taken.lock().unwrap(), ["export fails"]);
}

#[test]
fn of_several_addresses_one_that_is_refused_keeps_the_others_from_nothing() {
    let refusal = Fault {
        stage: Stage::Rcpt,
        deed: Deed::Answer("550 5.1.1 no such user"),
        time: 2,
    };
    let sink = Sink::start(vec![refusal]);
    let url = api(|_| {
        let answer = json!({ "success": false, "error": "no", "code": "FORBIDDEN" });
        server::json(403, &answer)
    });
    let to = ["ann", "bob", "cem"].map(|name| format!("{name}@example.org"));
    let hooks = format!("on_failure: [{{ email: [{}] }}]", to.join(", "));
    let workspace = workspace(&url, &url, &hooks);
    let settings = std::fs::read_to_string(workspace.path().join("databuddy-jobs.yaml")).unwrap();
    let settings = settings.replace("dir:out/mail", &format!("smtp://127.0.0.1:{}", sink.port));
    workspace.write("databuddy-jobs.yaml", &settings);
    for _ in 0..2 {
        let output = workspace.run(&["run", "export"]);
        assert_eq!(output.status.code(), Some(1));
        let told = to.each_ref().map(|to| sink.count(to));
        assert_eq!(told, [1, 0, 1], "who was told is not told again");
    }
}

#[test]
fn where_the_only_address_is_refused_nobody_was_told() {
    let refusal = Fault {
        stage: Stage::Rcpt,
        deed: Deed::Answer("550 5.1.1 no such user"),
        time: 1,
    };
    let sink = Sink::start(vec![refusal]);
    let url = api(|_| {
        let answer = json!({ "success": false, "error": "no", "code": "FORBIDDEN" });
        server::json(403, &answer)
    });
    let workspace = workspace(&url, &url, "on_failure: [{ email: [ann@example.org] }]");
    let settings = std::fs::read_to_string(workspace.path().join("databuddy-jobs.yaml")).unwrap();
    let settings = settings.replace("dir:out/mail", &format!("smtp://127.0.0.1:{}", sink.port));
    workspace.write("databuddy-jobs.yaml", &settings);
    for told in [0, 1, 1] {
        assert_eq!(workspace.json(&["run", "export"]).0, 1);
        assert_eq!(sink.count("ann@example.org"), told);
    }
}

/// A server of webhooks that is away until the flag says otherwise, and the subjects that it took.
fn hooks_server(is_up: &Arc<AtomicBool>) -> (String, Arc<Mutex<Vec<String>>>) {
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let (tell, is_up) = (Arc::clone(&taken), Arc::clone(is_up));
    let url = server::serve(move |request: &Request| {
        if !is_up.load(Ordering::Relaxed) {
            return server::json(500, &json!({}));
        }
        let subject = request.body["subject"].as_str().unwrap().to_owned();
        tell.lock().unwrap().push(subject);
        server::json(200, &json!({}))
    });
    (url, taken)
}

#[test]
fn what_nobody_could_be_told_is_told_at_the_next_outcome_and_once() {
    let (is_broken, is_up) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let broken = Arc::clone(&is_broken);
    let url = api(move |request| {
        if broken.load(Ordering::Relaxed) {
            let answer = json!({ "success": false, "error": "no", "code": "FORBIDDEN" });
            return server::json(403, &answer);
        }
        rows(request)
    });
    let (others, taken) = hooks_server(&is_up);
    let hooks = format!(
        "on_failure: [{{ webhook: '{others}/f' }}]\non_recovery: [{{ webhook: '{others}/r' }}]"
    );
    let workspace = workspace(&url, &url, &hooks);
    for _ in 0..2 {
        assert_eq!(workspace.json(&["run", "export"]).0, 1);
    }
    assert!(taken.lock().unwrap().is_empty());
    is_up.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(workspace.json(&["run", "export"]).0, 1);
        assert_eq!(*taken.lock().unwrap(), ["export fails"]);
    }
    is_up.store(false, Ordering::Relaxed);
    is_broken.store(false, Ordering::Relaxed);
    assert_eq!(workspace.json(&["run", "export"]).0, 0);
    assert_eq!(taken.lock().unwrap().len(), 1);
    is_up.store(true, Ordering::Relaxed);
    assert_eq!(workspace.json(&["run", "export"]).0, 0);
    let taken = taken.lock().unwrap();
    assert_eq!(taken.len(), 2);
    let after = "export works again, after 4 failed runs since ";
    assert!(taken[1].starts_with(after), "{taken:?}");
}

#[test]
fn successes_that_nobody_heard_of_are_told_in_order_and_the_last_to_the_dead_man_switch() {
    let is_up = Arc::new(AtomicBool::new(false));
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let (up, tell) = (Arc::clone(&is_up), Arc::clone(&heard));
    let others = server::serve(move |request: &Request| {
        if !up.load(Ordering::Relaxed) {
            return server::json(500, &json!({}));
        }
        let what = request.body["run"].as_str().unwrap_or("ping").to_owned();
        tell.lock().unwrap().push(what);
        server::json(200, &json!({}))
    });
    let hooks = format!("ping: '{others}/ping'\non_success: [{{ webhook: '{others}/s' }}]");
    let workspace = workspace(&api(rows), &others, &hooks);
    let mut runs = Vec::new();
    for is_heard in [false, false, true, true] {
        is_up.store(is_heard, Ordering::Relaxed);
        let (code, document) = workspace.json(&["run", "export"]);
        assert_eq!(code, 0, "{document:#}");
        runs.push(document["runs"][0]["id"].as_str().unwrap().to_owned());
    }
    let heard = heard.lock().unwrap();
    let (pings, told): (Vec<_>, Vec<_>) = heard.iter().partition(|what| *what == "ping");
    assert_eq!(told, runs.iter().collect::<Vec<_>>());
    assert_eq!(pings.len(), 2);
}

#[test]
fn a_webhook_gets_signed_json_and_slack_gets_blocks_and_both_are_tried_again() {
    let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
    let tell = Arc::clone(&heard);
    let others = server::serve(move |request: &Request| {
        let mut heard = tell.lock().unwrap();
        heard.push(request.clone());
        let is_first = heard.iter().filter(|r| r.path == request.path).count() == 1;
        server::json(if is_first { 503 } else { 200 }, &json!({}))
    });
    let url = api(|_| {
        let answer = json!({ "success": false, "error": "no", "code": "FORBIDDEN" });
        server::json(403, &answer)
    });
    let hooks = format!(
        "on_failure: [{{ webhook: '{others}/hook/k3y', secret: s3cret }}, {{ slack: '{others}/slack' }}]"
    );
    let workspace = workspace(&url, &url, &hooks);
    let (code, document) = workspace.json(&["run", "export"]);
    assert_eq!(code, 1);
    let heard = heard.lock().unwrap();
    let of = |path: &str| heard.iter().filter(|r| r.path == path).collect::<Vec<_>>();
    let (hook, slack) = (of("/hook/k3y"), of("/slack"));
    assert_eq!((hook.len(), slack.len()), (2, 2));
    let header = |request: &Request, name: &str| {
        let found = request.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.clone())
    };
    let [id, signature] = ["x-databuddy-jobs-id", "x-databuddy-jobs-signature"];
    assert_eq!(header(hook[0], id), header(hook[1], id));
    let signed = header(hook[1], signature).unwrap();
    assert!(signed.starts_with("sha256="), "{signed}");
    assert_eq!(header(slack[1], signature), None);
    let run = &document["runs"][0];
    let body = &hook[1].body;
    assert_eq!(
        (&body["run"], &body["state"]),
        (&run["id"], &json!("failed"))
    );
    assert_eq!(body["error"], run["error"]);
    assert_eq!(slack[1].body["text"], "export fails");
    let text = slack[1].body["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(text.contains("databuddy-jobs show "), "{text}");
}
