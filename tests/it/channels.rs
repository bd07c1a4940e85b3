//! Reports to Slack and webhooks, against a real HTTP server: signed, tried again, once, and never with
//! their addresses on show.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
};

use ring::hmac;
use serde_json::{Value, json};

use crate::{
    failures,
    server::{self, HANG_UP, Request},
    workspace::TestWorkspace,
};

const QUERIES: &str = "queries: [summary, pages, traffic, countries, device_types]";

/// How many seconds a receiver wants to be left alone that answers 429.
const ASKED: u64 = 2;

/// A receiver that answers what the test says to its requests, in order, and 200 after that; `None` is
/// silence, and the test is told of it.
struct Ears {
    url: String,
    heard: Arc<Mutex<Vec<Request>>>,
    silent: Receiver<()>,
}

impl Ears {
    fn start(answers: Vec<Option<u16>>) -> Self {
        let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&heard);
        let (tell, silent) = channel();
        let tell = Mutex::new(tell);
        let url = server::serve(move |request| {
            let place = {
                let mut kept = kept.lock().unwrap();
                kept.push(request.clone());
                kept.len() - 1
            };
            let status = answers.get(place).copied().unwrap_or(Some(200));
            if status.is_none() {
                tell.lock().unwrap().send(()).unwrap();
            }
            let headers = match status {
                Some(429) => format!("retry-after: {ASKED}\r\n"),
                _ => String::new(),
            };
            status.map(|status| (status, headers, "no_service".to_owned()))
        });
        Self { url, heard, silent }
    }

    fn heard(&self) -> Vec<Request> {
        self.heard.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// One signed webhook as the recipients of a report.
    fn webhook(&self) -> String {
        format!("[{{ webhook: '{}/hook/k3y', secret: s3cret }}]", self.url)
    }
}

/// The weekly report of one website of the sandbox, to these recipients.
fn workspace(to: &str) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    job(&workspace, to);
    workspace
}

fn job(workspace: &TestWorkspace, to: &str) {
    job_that_retries(workspace, "{ attempts: 1 }", to);
}

fn job_that_retries(workspace: &TestWorkspace, retry: &str, to: &str) {
    let job = format!(
        "preset: last_iso_week\nwebsites: [web_acme_docs]\n{QUERIES}\nretry: {retry}\nreports: [{{ template: weekly, to: {to} }}]\n"
    );
    workspace.write("jobs/post.yaml", &job);
}

fn run(workspace: &TestWorkspace, args: &[&str]) -> (i32, Value) {
    let args: Vec<&str> = args.iter().copied().chain(["--sandbox"]).collect();
    let (code, mut document) = workspace.json(&args);
    (code, document["runs"][0].take())
}

fn states(run: &Value) -> Vec<&str> {
    let deliveries = run["deliveries"].as_array().unwrap().iter();
    deliveries.map(|d| d["state"].as_str().unwrap()).collect()
}

fn error(run: &Value) -> &str {
    run["deliveries"][0]["error"].as_str().unwrap_or_default()
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(found, _)| found == name);
    found.map_or("", |(_, value)| value.as_str())
}

#[test]
fn a_report_goes_to_mail_slack_and_a_webhook_once_each() {
    let receiver = Ears::start(Vec::new());
    let url = &receiver.url;
    let workspace = workspace(&format!(
        "[ann@example.org, {{ slack: '{url}/services/T0/k3y' }}, {{ webhook: '{url}/hook/k3y', secret: s3cret }}]"
    ));
    let (code, first) = run(&workspace, &["run", "post"]);
    assert_eq!((code, states(&first)), (0, vec!["sent"; 3]), "{first:#}");
    let subject = &first["deliveries"][0]["subject"];
    let heard = receiver.heard();
    let [slack, hook] = heard.as_slice() else {
        panic!("{heard:#?}");
    };
    assert_eq!(slack.path, "/services/T0/k3y");
    assert_eq!(&slack.body["blocks"][0]["text"]["text"], subject);
    assert_eq!(header(slack, "x-databuddy-jobs-signature"), "");

    let signed = format!(
        "{}.{}",
        header(hook, "x-databuddy-jobs-timestamp"),
        hook.text
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
    let signature = header(hook, "x-databuddy-jobs-signature");
    let signature = hex::decode(signature.strip_prefix("sha256=").unwrap()).unwrap();
    hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    let id = header(hook, "idempotency-key");
    let body = &hook.body;
    assert_eq!(body["delivery"]["id"], id);
    assert_eq!(id, header(hook, "x-databuddy-jobs-id"));
    assert_eq!(
        first["deliveries"][2]["message_id"], id,
        "the ledger names it too"
    );
    for (place, value) in [
        ("/type", json!("report")),
        ("/subject", subject.clone()),
        ("/job/name", json!("post")),
        ("/report/name", json!("weekly")),
        ("/run/id", first["id"].clone()),
        ("/website/id", json!("web_acme_docs")),
        ("/window/start", first["window"]["start"].clone()),
    ] {
        assert_eq!(body.pointer(place), Some(&value), "{place}");
    }
    let visitors = &body["q"]["summary"]["current"]["visitors"];
    let shown = body["digest"]["websites"][0]["kpis"][0]["value"].as_str();
    assert_eq!(shown.unwrap().replace(',', ""), visitors.to_string());
    assert_eq!(body["q"]["summary"]["daily"].as_array().unwrap().len(), 7);

    let (code, second) = run(&workspace, &["run", "post"]);
    assert_eq!((code, states(&second)), (0, vec!["already_sent"; 3]));
    assert_eq!(receiver.count(), 2, "nothing is sent again");

    let (_, forced) = run(&workspace, &["run", "post", "--force"]);
    assert_eq!(states(&forced), ["sent"; 3]);
    let again = &receiver.heard()[3].body["delivery"];
    assert_eq!(again["key"], body["delivery"]["key"]);
    assert_eq!(
        (&again["number"], again["id"] == id),
        (&json!(2), false),
        "{again}"
    );
}

#[test]
fn addresses_and_secrets_are_on_show_nowhere() {
    let receiver = Ears::start(vec![Some(404), Some(404)]);
    let url = &receiver.url;
    let to = format!(
        "[{{ slack: '{url}/services/T0/k3y' }}, {{ webhook: '{url}/hook/k3y', secret: s3cret }}]"
    );
    let workspace = workspace(&to);
    let (_, refused) = run(&workspace, &["run", "post"]);
    let id = refused["id"].as_str().unwrap();
    let host = url.trim_start_matches("http://");
    let label = refused["deliveries"][0]["to"].as_str().unwrap();
    assert!(label.starts_with(&format!("slack:{host}#")), "{label}");
    for args in [
        &["run", "post", "-v", "--force"][..],
        &["show", id],
        &["show", id, "--json"],
        &["runs", "post", "--json"],
        &["plan", "post"],
        &["plan", "post", "--json"],
        &["preview", "post", "--json"],
        &["check", "--json"],
        &["list", "--json"],
        &["resend", id, "-v"],
        &["run", "post", "--log-format", "json", "-v", "--force"],
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--sandbox"]).collect();
        let output = workspace.run(&args);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        for secret in ["k3y", "s3cret", "services"] {
            assert!(!said.contains(secret), "{args:?}: {said}");
        }
        let names_it = !["check", "list", "preview"].contains(&args[0]);
        assert!(said.contains(label) || !names_it, "{args:?}: {said}");
    }
    for (file, bytes) in workspace.contents(".databuddy-jobs") {
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("k3y") && !text.contains("s3cret"),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_passing_answer_is_tried_again_as_the_same_message() {
    let receiver = Ears::start(vec![Some(500), Some(429)]);
    let workspace = TestWorkspace::empty();
    let retry = "{ attempts: 3, backoff: 1s, max_backoff: 1s }";
    job_that_retries(&workspace, retry, &receiver.webhook());
    let output = workspace.run(&["run", "post", "--sandbox"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let pauses: Vec<u64> = said.lines().filter_map(pause).collect();
    assert_eq!(pauses, [1, ASKED], "as long as it asks for: {said}");
    let heard = receiver.heard();
    let ids: Vec<&str> = heard.iter().map(|r| header(r, "idempotency-key")).collect();
    assert_eq!(ids, [ids[0]; 3]);
    assert!(heard.iter().all(|request| request.text == heard[0].text));
}

/// How many seconds the program says that it waits.
fn pause(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("pause_secs=")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A run that pauses for an hour because its receiver took nothing for now.
fn paused(workspace: &TestWorkspace, receiver: &Ears) -> Child {
    job_that_retries(
        workspace,
        "{ attempts: 2, backoff: 1h, max_backoff: 1h }",
        &receiver.webhook(),
    );
    let mut child = workspace
        .command(&["run", "post", "--sandbox"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    assert!(lines.any(|line| pause(&line) == Some(3600)));
    child
}

#[test]
fn a_stop_or_a_kill_between_two_tries_leaves_no_doubt() {
    for (signal, state) in [("-TERM", "cancelled"), ("-KILL", "failed")] {
        let receiver = Ears::start(vec![Some(429)]);
        let workspace = TestWorkspace::empty();
        let mut child = paused(&workspace, &receiver);
        let mut kill = Command::new("kill");
        kill.args([signal, &child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        child.wait().unwrap();
        assert_eq!(receiver.count(), 1, "{signal}");
        let (_, ended) = run(&workspace, &["runs", "post", "--limit", "1"]);
        assert_eq!(states(&ended), ["pending"], "{signal}: {ended:#}");
        assert_eq!(ended["state"], state, "{ended:#}");
        let (_, next) = run(&workspace, &["run", "post"]);
        assert_eq!(states(&next), ["sent"], "{signal}: {next:#}");
        assert_eq!(receiver.count(), 2, "{signal}");
    }
}

#[test]
fn a_receiver_that_is_down_leaves_it_for_the_next_run() {
    let receiver = Ears::start(vec![Some(503)]);
    let workspace = workspace(&receiver.webhook());
    let (code, first) = run(&workspace, &["run", "post"]);
    assert_eq!((code, states(&first)), (75, vec!["pending"]), "{first:#}");
    assert!(error(&first).contains("503"), "{first:#}");
    assert_eq!(receiver.count(), 1, "the job has one attempt");
    let (code, second) = run(&workspace, &["run", "post"]);
    assert_eq!((code, states(&second)), (0, vec!["sent"]));

    let nobody = self::workspace("[{ webhook: 'http://127.0.0.1:1/k3y' }]");
    let (code, run) = run(&nobody, &["run", "post"]);
    assert_eq!((code, states(&run)), (75, vec!["pending"]));
    assert!(
        error(&run).contains("refused") && !error(&run).contains("k3y"),
        "{run:#}"
    );
}

#[test]
fn mails_do_not_wait_for_a_channel_that_hangs() {
    let receiver = Ears::start(vec![None]);
    let url = &receiver.url;
    let workspace = workspace(&format!("[{{ slack: '{url}/k3y' }}, ann@example.org]"));
    let mut child = workspace
        .command(&["run", "post", "--sandbox"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    receiver.silent.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, run) = run(&workspace, &["runs", "post", "--limit", "1"]);
    assert_eq!(states(&run), ["unknown", "sent"], "{run:#}");
}

#[test]
fn a_channel_that_does_not_answer_costs_a_run_its_patience_once() {
    let silent = Ears::start(vec![None]);
    let workspace = TestWorkspace::empty();
    let job = format!(
        "preset: last_iso_week\nwebsites: [web_acme_docs, web_acme_shop, web_acme_tiny]\n{QUERIES}\nretry: {{ attempts: 2, backoff: 0s }}\nreports: [{{ template: weekly, to: [{{ slack: '{}/k3y' }}] }}]\n",
        silent.url
    );
    workspace.write("jobs/post.yaml", &job);
    let (_, first) = run(&workspace, &["run", "post"]);
    let ends = ["unknown", "pending", "pending"];
    assert_eq!(states(&first), ends, "{first:#}");
    assert_eq!((silent.count(), &first["attempts"]), (1, &json!(1)));
    let why = first["deliveries"][1]["error"].as_str().unwrap();
    assert!(why.contains("was not answered in time"), "{why}");
    let all = first["error"].as_str().unwrap();
    assert!(all.contains(why), "{all}");

    let id = first["id"].as_str().unwrap();
    let (code, failed) = run(&workspace, &["resend", id, "--failed"]);
    assert_eq!((code, states(&failed)), (0, vec!["sent", "sent"]));
    let (_, unknown) = run(&workspace, &["resend", id, "--unknown"]);
    assert_eq!(states(&unknown), ["sent"]);
    assert_eq!(silent.count(), 4, "each once more than in doubt");
}

#[test]
fn a_channel_that_takes_nothing_for_now_is_asked_once_an_attempt() {
    let down = Ears::start(vec![Some(503)]);
    let other = Ears::start(Vec::new());
    let workspace = TestWorkspace::empty();
    let (down_url, other_url) = (&down.url, &other.url);
    let job = format!(
        "preset: last_iso_week\nwebsites: [web_acme_docs, web_acme_shop]\n{QUERIES}\nretry: {{ attempts: 1 }}\nreports: [{{ template: weekly, to: [{{ slack: '{down_url}/k3y' }}, {{ slack: '{other_url}/k3y' }}] }}]\n"
    );
    workspace.write("jobs/post.yaml", &job);
    let (code, first) = run(&workspace, &["run", "post"]);
    let ends = ["pending", "sent", "pending", "sent"];
    assert_eq!((code, states(&first)), (3, ends.to_vec()), "{first:#}");
    assert_eq!((down.count(), other.count()), (1, 2), "{first:#}");
    let why = |place: usize| first["deliveries"][place]["error"].as_str().unwrap();
    assert!(why(0).contains("503") && why(0) == why(2), "{first:#}");

    let (code, second) = run(&workspace, &["run", "post"]);
    let ends = ["sent", "already_sent", "sent", "already_sent"];
    assert_eq!((code, states(&second)), (0, ends.to_vec()), "{second:#}");
    assert_eq!((down.count(), other.count()), (3, 2));
}

#[test]
fn what_a_receiver_declines_is_refused_and_said() {
    let receiver = Ears::start(vec![Some(404)]);
    let workspace = workspace(&receiver.webhook());
    let (code, run) = run(&workspace, &["run", "post"]);
    assert_eq!((code, states(&run)), (1, vec!["refused"]), "{run:#}");
    assert_eq!(receiver.count(), 1, "it is not tried again");
    let why = run["error"].as_str().unwrap();
    assert!(
        why.contains("report to webhook:") && why.contains("404 Not Found (no_service)"),
        "{why}"
    );
    let id = run["id"].as_str().unwrap().to_owned();
    let (code, again) = self::run(&workspace, &["resend", &id, "--failed"]);
    assert_eq!((code, states(&again)), (0, vec!["sent"]));
    let redirect = Ears::start(vec![Some(302)]);
    let (_, run) = self::run(&self::workspace(&redirect.webhook()), &["run", "post"]);
    assert_eq!(states(&run), ["refused"], "an address is told to nobody");
}

#[test]
fn a_connection_lost_after_the_request_is_in_doubt_until_somebody_settles_it() {
    let receiver = Ears::start(vec![Some(HANG_UP)]);
    let workspace = workspace(&receiver.webhook());
    let (code, first) = run(&workspace, &["run", "post"]);
    assert_eq!((code, states(&first)), (1, vec!["unknown"]), "{first:#}");
    assert!(error(&first).contains("after the message was handed over"));
    let (_, second) = run(&workspace, &["run", "post"]);
    assert_eq!(states(&second), ["unknown"]);
    assert_eq!(receiver.count(), 1, "it is not sent again by itself");
    let id = first["id"].as_str().unwrap();
    let (_, failed) = workspace.json(&["resend", id, "--failed", "--sandbox"]);
    assert_eq!(failed, json!({ "runs": [] }), "it has not surely failed");
    let (code, third) = run(&workspace, &["resend", id, "--unknown"]);
    assert_eq!((code, states(&third)), (0, vec!["sent"]));
    let heard = receiver.heard();
    let key = |request: &Request| request.body["delivery"]["key"].clone();
    assert_eq!(key(&heard[0]), key(&heard[1]));
    assert_eq!(heard[0].body["q"], heard[1].body["q"], "as it was kept");
    let (_, fourth) = run(&workspace, &["run", "post"]);
    assert_eq!(
        (states(&fourth), receiver.count()),
        (vec!["already_sent"], 2)
    );
}

#[test]
fn a_program_that_is_killed_while_it_posts_leaves_a_doubt_and_no_double() {
    let receiver = Ears::start(vec![None]);
    let workspace = workspace(&receiver.webhook());
    let mut child = workspace
        .command(&["run", "post", "--sandbox"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    receiver.silent.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, cut_off) = run(&workspace, &["runs", "post", "--limit", "1"]);
    assert_eq!(states(&cut_off), ["unknown"], "{cut_off:#}");
    let (_, second) = run(&workspace, &["run", "post"]);
    assert_eq!((states(&second), receiver.count()), (vec!["unknown"], 1));
    let (_, third) = run(
        &workspace,
        &["resend", cut_off["id"].as_str().unwrap(), "--unknown"],
    );
    assert_eq!((states(&third), receiver.count()), (vec!["sent"], 2));
}

#[test]
fn a_job_of_channels_alone_needs_no_mail_and_their_addresses_are_the_jobs_own() {
    let receiver = Ears::start(vec![Some(404)]);
    let workspace = TestWorkspace::empty();
    let api = failures::api(failures::rows);
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{api}', key: dbdy_x }}\n"),
    );
    for (name, text) in [
        ("report.yaml", "queries: { top_pages: {} }"),
        ("subject.txt", "Top of {{ website.name }}"),
        ("body.html", "<p>x</p>"),
        ("body.txt", "x"),
    ] {
        workspace.write(&format!("templates/t/{name}"), text);
    }
    let url = &receiver.url;
    let job = |to: &str| {
        let job = format!(
            "preset: yesterday\nqueries: [top_pages]\nretry: {{ attempts: 1 }}\nreports: [{{ template: t, to: {to} }}]\n"
        );
        workspace.write("jobs/post.yaml", &job);
    };
    job(&format!(
        "{{ one.example: [{{ slack: '{url}/k3y' }}], default: [{{ slack: '{url}/other' }}] }}"
    ));
    let (code, mut document) = workspace.json(&["run", "post"]);
    let run = document["runs"][0].take();
    assert_eq!((code, states(&run)), (1, vec!["refused"]), "{run:#}");
    let heard = receiver.heard();
    assert_eq!(heard[0].path, "/k3y");
    assert_eq!(heard[0].body["text"], "Top of One");
    let blocks = heard[0].body["blocks"].to_string();
    assert!(
        blocks.contains("*top_pages*") && blocks.contains("3  `/`"),
        "{blocks}"
    );
    let (_, doctor) = workspace.json(&["doctor"]);
    let checks = doctor.to_string();
    assert!(!checks.contains("jobs have reports"), "{checks}");

    job(&format!("[{{ slack: '{url}/moved' }}]"));
    let id = run["id"].as_str().unwrap();
    let (_, mut document) = workspace.json(&["resend", id]);
    let again = document["runs"][0].take();
    assert_eq!(states(&again), ["pending"], "{again:#}");
    assert!(
        error(&again).contains("the job names no such channel any more"),
        "{again:#}"
    );
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_preview_writes_what_each_kind_of_channel_is_sent() {
    let receiver = Ears::start(Vec::new());
    let url = &receiver.url;
    let workspace = workspace(&format!(
        "[{{ slack: '{url}/a' }}, {{ slack: '{url}/b' }}, {{ webhook: '{url}/c' }}]"
    ));
    let (code, document) = workspace.json(&["preview", "post", "--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    let files = document["files"].as_array().unwrap().iter();
    let paths: Vec<&str> = files.map(|file| file["path"].as_str().unwrap()).collect();
    let read = |end: &str| -> Value {
        let found: Vec<_> = paths.iter().filter(|path| path.ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{end}: {paths:?}");
        serde_json::from_slice(&std::fs::read(found[0]).unwrap()).unwrap()
    };
    let subject = &document["files"][0]["subject"];
    assert_eq!(&read(".slack.json")["blocks"][0]["text"]["text"], subject);
    assert_eq!(&read(".webhook.json")["subject"], subject);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn each_report_signs_with_its_own_secret() {
    let ears = Ears::start(Vec::new());
    let workspace = TestWorkspace::empty();
    let report = |name: &str, secret: &str| {
        let to = format!("{{ webhook: '{}', secret: {secret} }}", ears.url);
        format!("{{ name: {name}, template: weekly, to: [{to}] }}")
    };
    let reports = [report("one", "AAA"), report("two", "BBB")].join(", ");
    let job = format!(
        "preset: last_iso_week\nwebsites: [web_acme_docs]\n{QUERIES}\nreports: [{reports}]\n"
    );
    workspace.write("jobs/post.yaml", &job);
    let (code, run) = run(&workspace, &["run", "post"]);
    assert_eq!((code, states(&run)), (0, vec!["sent", "sent"]), "{run:#}");
    for (secret, request) in ["AAA", "BBB"].iter().zip(ears.heard()) {
        let stamp = header(&request, "x-databuddy-jobs-timestamp");
        let signature = header(&request, "x-databuddy-jobs-signature");
        let signature = hex::decode(signature.strip_prefix("sha256=").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signed = format!("{stamp}.{}", request.text);
        hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    }
}

#[test]
fn columns_that_name_people_go_to_no_webhook() {
    let ears = Ears::start(Vec::new());
    let workspace = TestWorkspace::empty();
    workspace.write("templates/people/subject.txt", "people");
    workspace.write(
        "templates/people/body.html",
        "<p>{{ q.profile_list.current | length }}</p>",
    );
    workspace.write("templates/people/body.txt", "people");
    workspace.write(
        "templates/people/report.yaml",
        "queries: { profile_list: {} }\n",
    );
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_docs]\nqueries: [profile_list]\nreports: [{{ template: people, to: [{{ webhook: '{}' }}] }}]\n",
        ears.url
    );
    workspace.write("jobs/post.yaml", &job);
    let (code, document) = workspace.json(&["run", "post", "--sandbox"]);
    let text = document.to_string();
    assert!(
        code == 2 && text.contains("not sent to webhooks"),
        "{document:#}"
    );
    assert_eq!(ears.count(), 0);
}

#[test]
fn what_is_wrong_with_a_channel_is_said_at_its_place_without_its_address() {
    for (to, column, words) in [
        ("[{ slack: 'k3y' }]", 45, "this is no http address"),
        ("[{ slak: 'https://h/k3y' }]", 38, "did you mean `slack`?"),
        (
            "[{ secret: x }]",
            46,
            "`secret` signs messages to a `webhook`",
        ),
        (
            "[{ slack: 'https://h/k3y', secret: x }]",
            70,
            "`secret` signs",
        ),
        (
            "[{ webhook: 'https://h/k3y', secret: '' }]",
            72,
            "the secret is empty",
        ),
        ("[{}]", 36, "the channel has no address"),
        (
            "[{ slack: 'https://h/k3y', webhook: 'https://h/k3y' }]",
            36,
            "this has two",
        ),
        (
            "[{ slack: 'https://h/k3y' }, { slack: 'https://h/k3y' }]",
            64,
            "is named twice",
        ),
        (
            "{ a.test: [{ webhook: 'https://h/k3y' }], default: [{ webhook: 'https://h/k3y', secret: x }] }",
            87,
            "another `secret`",
        ),
        (
            "[a@b.c, { slack: 'https://h/k3y' }], together: true",
            43,
            "this is no mail address",
        ),
        (
            "[a@b.c], together: true, cc: [{ slack: 'https://h/k3y' }]",
            65,
            "`cc` must be text",
        ),
    ] {
        let workspace = TestWorkspace::empty();
        let report = format!("{{ template: weekly, to: {to} }}");
        let head = "reports: [";
        workspace.write(
            "jobs/post.yaml",
            &format!("preset: yesterday\n{QUERIES}\n{head}{report}]\n"),
        );
        let (code, document) = workspace.json(&["check"]);
        let problems = document["problems"].as_array().unwrap();
        let said = document.to_string();
        assert_eq!(code, 2, "{to}: {document:#}");
        assert!(said.contains(words), "{to}: {document:#}");
        let places: Vec<_> = problems
            .iter()
            .map(|p| (&p["line"], &p["column"]))
            .collect();
        assert!(
            places.contains(&(&json!(3), &json!(column))),
            "{to}: {document:#}"
        );
        // A word that is no key of the program cannot be known to stand before a secret
        let is_known = !to.contains("slak:");
        assert!(!said.contains("k3y") || !is_known, "{to}: {document:#}");
    }
}
