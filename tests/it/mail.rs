//! Mails against a server that breaks off, falls silent or refuses at each stage, and a program that is
//! killed there: nobody gets one twice, nobody is lost in silence, and the ledger says what is true.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;

use crate::{
    server,
    smtp_sink::{Deed, Fault, Sink, Stage},
    workspace::TestWorkspace,
};

const STAGES: [Stage; 10] = [
    Stage::Connect,
    Stage::Ehlo,
    Stage::StartTls,
    Stage::Auth,
    Stage::Mail,
    Stage::Rcpt,
    Stage::Data,
    Stage::InData,
    Stage::AfterDot,
    Stage::Quit,
];

/// The weekly report of one website, to these addresses.
fn workspace(sink: &Sink, to: &[String]) -> TestWorkspace {
    workspace_of(sink, to, "")
}

/// The same, with something after the address of the mail server.
fn workspace_of(sink: &Sink, to: &[String], end: &str) -> TestWorkspace {
    let workspace = TestWorkspace::with_examples();
    let job = format!(
        "preset: last_iso_week\nwebsites: [web_acme_docs]\nqueries: [summary, pages, traffic, countries, device_types]\n\
         retry: {{ attempts: 3, backoff: 0s }}\nreports: [{{ template: weekly, to: [{}] }}]\n",
        to.join(", ")
    );
    workspace.write("jobs/mail.yaml", &job);
    let settings = format!(
        "mail: {{ url: 'smtp://ann:secret@127.0.0.1:{}{end}', from: 'reports@example.org' }}\n",
        sink.port
    );
    workspace.write("databuddy-jobs.yaml", &settings);
    workspace
}

fn three() -> Vec<String> {
    ["ann", "bob", "cem"]
        .map(|name| format!("{name}@example.org"))
        .to_vec()
}

fn once(stage: Stage, deed: Deed) -> Vec<Fault> {
    vec![Fault {
        stage,
        deed,
        time: 1,
    }]
}

fn run(workspace: &TestWorkspace, args: &[&str]) -> (i32, Value) {
    let args: Vec<&str> = args.iter().copied().chain(["--sandbox"]).collect();
    let (code, mut document) = workspace.json(&args);
    (code, document["runs"][0].take())
}

fn states(run: &Value) -> Vec<&str> {
    let deliveries = run["deliveries"].as_array().unwrap();
    deliveries
        .iter()
        .map(|d| d["state"].as_str().unwrap())
        .collect()
}

fn latest(workspace: &TestWorkspace) -> Value {
    run(workspace, &["runs", "mail", "--limit", "1"]).1
}

/// Runs the job until the server falls silent, and kills it there.
fn kill_at_silence(workspace: &TestWorkspace, sink: &Sink) {
    let mut child = workspace
        .command(&["run", "mail", "--sandbox"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sink.wait_until_hung();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_connection_that_breaks_off_anywhere_costs_nobody_a_mail_and_gives_nobody_two() {
    for stage in STAGES {
        let sink = Sink::start(once(stage, Deed::Drop));
        let workspace = workspace(&sink, &three());
        let (code, first) = run(&workspace, &["run", "mail"]);
        let (was_unknown, taken) = match stage {
            Stage::AfterDot => (true, 3),
            // All of a small message may be on its way before the end of the connection is seen
            Stage::InData if states(&first)[0] == "unknown" => (true, 2),
            // This sink offers no TLS that works
            Stage::StartTls => {
                assert_eq!(states(&first), ["pending"; 3], "{first:#}");
                continue;
            }
            _ => (false, 3),
        };
        assert_eq!(sink.taken().len(), taken, "{stage:?}: {first:#}");
        for to in three() {
            assert!(sink.count(&to) <= 1, "{stage:?}: {to}");
        }
        if was_unknown {
            assert_eq!((code, states(&first)), (3, vec!["unknown", "sent", "sent"]));
            let error = first["error"].as_str().unwrap();
            assert!(error.contains("unknown"), "{error}");
        } else {
            assert_eq!((code, states(&first)), (0, vec!["sent"; 3]), "{stage:?}");
        }
        let (_, second) = run(&workspace, &["run", "mail"]);
        let expected = if was_unknown {
            "unknown"
        } else {
            "already_sent"
        };
        assert_eq!(states(&second)[0], expected, "{stage:?}");
        assert_eq!(sink.taken().len(), taken, "{stage:?}: sent again by itself");
    }
}

#[test]
fn a_server_that_falls_silent_anywhere_is_left_in_time_and_nobody_gets_two() {
    for stage in STAGES {
        let sink = Sink::start(once(stage, Deed::Hang));
        let workspace = workspace_of(&sink, &three(), "?timeout=1");
        let (code, first) = run(&workspace, &["run", "mail"]);
        let said = first["error"].as_str().unwrap_or_default();
        match stage {
            // All of a small message was written, and nobody knows how much of it arrived
            Stage::InData | Stage::AfterDot => {
                assert_eq!((code, states(&first)), (3, vec!["unknown", "sent", "sent"]));
                assert!(said.contains("did not answer within 1 s"), "{said}");
            }
            // This sink offers no TLS that works
            Stage::StartTls => assert_eq!(states(&first), ["pending"; 3], "{first:#}"),
            _ => assert_eq!((code, states(&first)), (0, vec!["sent"; 3]), "{stage:?}"),
        }
        let taken = sink.taken().len();
        run(&workspace, &["run", "mail"]);
        let expected = if stage == Stage::StartTls { 0 } else { taken };
        assert_eq!(sink.taken().len(), expected, "{stage:?}: sent again");
        for to in three() {
            assert!(sink.count(&to) <= 1, "{stage:?}: {to}");
        }
    }
}

#[test]
fn a_slow_server_is_waited_for_and_a_silent_one_leaves_the_mail_for_later() {
    let slow = STAGES.map(|stage| Fault {
        stage,
        deed: Deed::Slow(Duration::from_millis(150)),
        time: 1,
    });
    let slow = slow
        .into_iter()
        .filter(|fault| fault.stage != Stage::StartTls);
    let sink = Sink::start(slow.collect());
    let workspace = workspace(&sink, &three());
    let (code, first) = run(&workspace, &["run", "mail"]);
    assert_eq!((code, states(&first)), (0, vec!["sent"; 3]), "{first:#}");
    assert_eq!((sink.taken().len(), sink.connections()), (3, 1));

    let silent = Sink::start(vec![Fault {
        stage: Stage::Connect,
        deed: Deed::Hang,
        time: 0,
    }]);
    let workspace = workspace_of(&silent, &three(), "?timeout=1");
    let (code, run) = run(&workspace, &["run", "mail"]);
    assert_eq!((code, states(&run)), (75, vec!["pending"; 3]), "{run:#}");
    let error = run["error"].as_str().unwrap();
    assert!(
        error.contains("did not answer at the greeting within 1 s"),
        "{error}"
    );
}

#[test]
fn a_program_that_is_killed_anywhere_loses_no_mail_and_sends_none_twice() {
    for stage in STAGES {
        let sink = Sink::start(once(stage, Deed::Hang));
        let workspace = workspace(&sink, &three());
        kill_at_silence(&workspace, &sink);
        let cut_off = latest(&workspace);
        assert_eq!(cut_off["state"], "failed", "{stage:?}");
        assert_eq!(states(&cut_off).len(), 3, "{stage:?}: all are on record");
        let is_doubtful = matches!(
            stage,
            Stage::Mail | Stage::Rcpt | Stage::Data | Stage::InData | Stage::AfterDot
        );
        let first = states(&cut_off)[0];
        let expected = match stage {
            Stage::Quit => "sent",
            _ if is_doubtful => "unknown",
            _ => "pending",
        };
        assert_eq!(first, expected, "{stage:?}");
        if is_doubtful {
            let error = cut_off["error"].as_str().unwrap();
            assert!(error.contains("may have been sent"), "{stage:?}: {error}");
        }
        if stage == Stage::StartTls {
            continue;
        }
        let (_, again) = run(&workspace, &["run", "mail"]);
        let expected = match stage {
            Stage::Quit => ["already_sent"; 3],
            _ if is_doubtful => ["unknown", "sent", "sent"],
            _ => ["sent"; 3],
        };
        assert_eq!(states(&again), expected, "{stage:?}: {again:#}");
        for to in three() {
            assert!(sink.count(&to) <= 1, "{stage:?}: {to}");
        }
        assert_eq!(sink.count("bob@example.org"), 1, "{stage:?}");
    }
}

/// An address that takes JSON, and what it took.
fn hook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let tell = Arc::clone(&taken);
    let url = server::serve(move |request: &server::Request| {
        tell.lock().unwrap().push(request.body.clone());
        server::json(200, &Value::Null)
    });
    (url, taken)
}

fn tell_failures(workspace: &TestWorkspace, url: &str) {
    let job = std::fs::read_to_string(workspace.path().join("jobs/mail.yaml")).unwrap();
    let job = format!("{job}on_failure: [{{ webhook: '{url}/' }}]\n");
    workspace.write("jobs/mail.yaml", &job);
}

#[test]
fn a_mail_in_doubt_of_a_killed_run_is_told_by_the_next_run_of_whatever_days() {
    let sink = Sink::start(once(Stage::AfterDot, Deed::Hang));
    let workspace = workspace(&sink, &three());
    let (url, taken) = hook();
    tell_failures(&workspace, &url);
    kill_at_silence(&workspace, &sink);
    // It is found by a command that tells nobody
    let killed = latest(&workspace);
    assert_eq!(
        (states(&killed)[0], taken.lock().unwrap().len()),
        ("unknown", 0)
    );
    for _ in 0..2 {
        let (code, _) = run(&workspace, &["run", "mail", "--at", "2026-03-02"]);
        assert_eq!(code, 0);
    }
    let taken = taken.lock().unwrap();
    let subjects: Vec<&Value> = taken.iter().map(|body| &body["subject"]).collect();
    assert_eq!(subjects, ["mail fails"]);
    assert_eq!(taken[0]["run"], killed["id"]);
    let error = taken[0]["error"].as_str().unwrap();
    assert!(error.contains("may have been sent"), "{error}");
}

#[test]
fn a_mail_in_doubt_is_told_also_while_the_job_fails_anyway() {
    let sink = Sink::start(once(Stage::AfterDot, Deed::Drop));
    let workspace = workspace(&sink, &three());
    let (url, taken) = hook();
    tell_failures(&workspace, &url);
    for _ in 0..2 {
        let (code, run) = run(&workspace, &["run", "mail"]);
        assert_eq!((code, states(&run)[0]), (3, "unknown"));
    }
    let taken = taken.lock().unwrap();
    let subjects: Vec<&Value> = taken.iter().map(|body| &body["subject"]).collect();
    let doubt = "mail does not know whether a mail arrived";
    assert_eq!(subjects, ["mail fails", doubt]);
}

#[test]
fn of_200_recipients_one_is_in_doubt_after_a_kill_and_resend_settles_it() {
    let everybody: Vec<String> = (1..=200).map(|n| format!("r{n}@example.org")).collect();
    let fault = Fault {
        stage: Stage::AfterDot,
        deed: Deed::Hang,
        time: 100,
    };
    let sink = Sink::start(vec![fault]);
    let workspace = workspace(&sink, &everybody);
    kill_at_silence(&workspace, &sink);
    let (code, again) = run(&workspace, &["run", "mail"]);
    assert_eq!(code, 3);
    let states = states(&again);
    assert_eq!(states[..99], ["already_sent"; 99]);
    assert_eq!(states[99], "unknown");
    assert_eq!(states[100..], ["sent"; 100]);
    assert!(everybody.iter().all(|to| sink.count(to) == 1));
    assert_eq!(sink.connections(), 2, "one connection a run");
    let kept = workspace.files(".databuddy-jobs/sandbox/archive");
    assert!(kept.len() < 12, "200 recipients share one mail: {kept:?}");
    let id = again["id"].as_str().unwrap();
    let (code, resent) = run(&workspace, &["resend", id, "--unknown"]);
    assert_eq!(
        (code, self::states(&resent)),
        (0, vec!["sent"]),
        "{resent:#}"
    );
    assert_eq!(resent["requests"], 0);
    let first = again["deliveries"][99]["message_id"].as_str().unwrap();
    let second = resent["deliveries"][0]["message_id"].as_str().unwrap();
    assert!(
        first.contains(".1@") && second.contains(".2@"),
        "{first} {second}"
    );
    let (code, none) = workspace.json(&["resend", id, "--unknown", "--sandbox"]);
    assert_eq!((code, none["runs"].as_array().unwrap().len()), (0, 0));
    assert_eq!(sink.count("r100@example.org"), 2);
}

#[test]
fn what_was_sent_before_is_shown_as_sent_while_the_mail_server_is_down() {
    let sink = Sink::start(once(Stage::AfterDot, Deed::Drop));
    let mut to = three();
    let workspace = workspace(&sink, &to);
    let (_, first) = run(&workspace, &["run", "mail"]);
    assert_eq!(states(&first), ["unknown", "sent", "sent"]);
    to.push("dan@example.org".to_owned());
    let job = std::fs::read_to_string(workspace.path().join("jobs/mail.yaml")).unwrap();
    let job = job.replace("attempts: 3", "attempts: 2");
    let job = job.replace(&three().join(", "), &to.join(", "));
    workspace.write("jobs/mail.yaml", &job);
    let settings = "mail: { url: 'smtp://127.0.0.1:1', from: 'reports@example.org' }\n";
    workspace.write("databuddy-jobs.yaml", settings);
    let (code, second) = run(&workspace, &["run", "mail"]);
    let expected = ["unknown", "already_sent", "already_sent", "pending"];
    assert_eq!(
        (code, states(&second)),
        (3, expected.to_vec()),
        "{second:#}"
    );
    let ids = |run: &Value, place: usize| run["deliveries"][place]["message_id"].clone();
    assert_eq!(ids(&second, 1), ids(&first, 1));
    let error = second["deliveries"][3]["error"].as_str().unwrap();
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

#[test]
fn a_refusal_of_one_recipient_is_recorded_and_the_connection_goes_on() {
    let fault = Fault {
        stage: Stage::Rcpt,
        deed: Deed::Answer("550 5.1.1 no such user"),
        time: 2,
    };
    let sink = Sink::start(vec![fault]);
    let workspace = workspace(&sink, &three());
    let (code, first) = run(&workspace, &["run", "mail"]);
    assert_eq!((code, states(&first)), (3, vec!["sent", "refused", "sent"]));
    let error = first["deliveries"][1]["error"].as_str().unwrap();
    assert!(
        error.contains("550") && error.contains("no such user"),
        "{error}"
    );
    assert_eq!((sink.connections(), sink.taken().len()), (1, 2));
    let id = first["id"].as_str().unwrap();
    let (code, resent) = run(&workspace, &["resend", id, "--failed"]);
    assert_eq!((code, states(&resent)), (0, vec!["sent"]));
    assert_eq!(resent["deliveries"][0]["to"], "bob@example.org");
    assert!(three().iter().all(|to| sink.count(to) == 1));
}

#[test]
fn passing_answers_are_tried_again_and_a_closing_server_is_called_again() {
    for (stage, answer) in [
        (Stage::Mail, "421 4.3.2 closing"),
        (
            Stage::Mail,
            "452 4.3.1 too many messages over this connection",
        ),
        (Stage::Rcpt, "450 4.2.1 busy"),
        (Stage::Data, "451 4.3.0 later"),
        (Stage::AfterDot, "451 4.7.1 greylisted"),
    ] {
        let fault = Fault {
            stage,
            deed: Deed::Answer(answer),
            time: 2,
        };
        let sink = Sink::start(vec![fault]);
        let workspace = workspace(&sink, &three());
        let (code, first) = run(&workspace, &["run", "mail"]);
        assert_eq!(
            (code, states(&first)),
            (0, vec!["sent"; 3]),
            "{answer}: {first:#}"
        );
        assert!(three().iter().all(|to| sink.count(to) == 1), "{answer}");
    }
}

#[test]
fn what_is_answered_to_the_first_message_of_a_connection_is_about_the_message() {
    let sink = Sink::start(once(Stage::AfterDot, Deed::Answer("451 4.7.1 greylisted")));
    let workspace = workspace(&sink, &three());
    let job = std::fs::read_to_string(workspace.path().join("jobs/mail.yaml")).unwrap();
    workspace.write("jobs/mail.yaml", &job.replace("attempts: 3", "attempts: 1"));
    let (_, first) = run(&workspace, &["run", "mail"]);
    // It was not handed over again in the same breath, which a greylist takes ill
    assert_eq!(states(&first), ["pending", "sent", "sent"], "{first:#}");
    assert_eq!((sink.count("ann@example.org"), sink.connections()), (0, 1));
    let (code, second) = run(&workspace, &["run", "mail"]);
    assert_eq!(
        (code, states(&second)),
        (0, vec!["sent", "already_sent", "already_sent"])
    );
}

#[test]
fn a_first_connection_that_breaks_before_the_message_is_replaced_at_once() {
    for (stage, deed) in [
        (Stage::Mail, Deed::Drop),
        (Stage::Data, Deed::Drop),
        (Stage::Rcpt, Deed::Answer("421 4.3.2 closing")),
    ] {
        let sink = Sink::start(once(stage, deed));
        let workspace = workspace(&sink, &three());
        let job = std::fs::read_to_string(workspace.path().join("jobs/mail.yaml")).unwrap();
        workspace.write("jobs/mail.yaml", &job.replace("attempts: 3", "attempts: 1"));
        let (code, first) = run(&workspace, &["run", "mail"]);
        assert_eq!((code, states(&first)), (0, vec!["sent"; 3]), "{stage:?}");
        assert!(three().iter().all(|to| sink.count(to) == 1), "{stage:?}");
    }
}

#[test]
fn news_that_may_have_arrived_are_not_told_again() {
    let sink = Sink::start(once(Stage::AfterDot, Deed::Drop));
    let workspace = workspace(&sink, &three());
    let job = "preset: yesterday\nwebsites: [web_acme_tiny]\nqueries: [summary]\n\
        exports: [{ format: csv, to: lake }]\non_success: [{ email: [ann@example.org] }]\n";
    workspace.write("jobs/news.yaml", job);
    for runs in 1..=2 {
        assert_eq!(run(&workspace, &["run", "news"]).0, 0);
        assert_eq!(sink.connections(), runs);
    }
}

#[test]
fn a_recipient_on_the_suppression_list_gets_nothing_and_the_run_says_why() {
    let sink = Sink::start(Vec::new());
    let workspace = workspace(&sink, &three());
    let add = [
        "suppress",
        "add",
        "Bob <BOB@example.org>",
        "--reason",
        "asked us to stop",
    ];
    let (code, list) = workspace.json(&[&add[..], &["--sandbox"]].concat());
    assert_eq!(
        (code, &list["suppressed"][0]["address"]),
        (0, &Value::from("bob@example.org"))
    );
    let (code, first) = run(&workspace, &["run", "mail"]);
    assert_eq!(
        (code, states(&first)),
        (0, vec!["sent", "refused", "sent"]),
        "{first:#}"
    );
    let error = first["deliveries"][1]["error"].as_str().unwrap();
    assert!(
        error.contains("suppression list: asked us to stop"),
        "{error}"
    );
    assert_eq!(sink.count("bob@example.org"), 0);
    let remove = ["suppress", "remove", "bob@example.org", "--sandbox"];
    let (code, list) = workspace.json(&remove);
    assert_eq!((code, list["suppressed"].as_array().unwrap().len()), (0, 0));
    let (_, second) = run(&workspace, &["run", "mail"]);
    assert_eq!(states(&second), ["already_sent", "sent", "already_sent"]);
    let (code, _) = run(&workspace, &["run", "mail", "--force"]);
    assert_eq!(
        (code, sink.count("ann@example.org")),
        (0, 2),
        "--force sends all the same"
    );
    let wrong = workspace.run(&["suppress", "add", "nobody", "--sandbox"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn what_was_sent_is_kept_and_comes_out_as_it_was() {
    let sink = Sink::start(Vec::new());
    let workspace = workspace(&sink, &three()[..1]);
    let (_, first) = run(&workspace, &["run", "mail"]);
    let id = first["id"].as_str().unwrap();
    let (code, files) = workspace.json(&["show", id, "--open", "--sandbox"]);
    assert_eq!(code, 0);
    let html = files["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .find(|f| Path::new(f).extension().is_some_and(|e| e == "html"));
    let html = std::fs::read_to_string(html.unwrap()).unwrap();
    // Written out, a picture is a file beside the HTML
    let html = html.replace("mail-weekly-web_acme_docs-", "cid:");
    let html = html.replace(".png\"", "\"");
    let raw = sink.taken()[0].data.clone();
    let mail = mail_parser::MessageParser::default().parse(&raw).unwrap();
    assert_eq!(
        mail.body_html(0).unwrap().replace("\r\n", "\n").trim(),
        html.trim()
    );
    // The template changes; what was sent does not
    let template = workspace.path().join("templates/weekly");
    std::fs::create_dir_all(&template).unwrap();
    let (code, resent) = run(&workspace, &["resend", id]);
    assert_eq!((code, states(&resent)), (0, vec!["sent"]), "{resent:#}");
    let second = sink.taken()[1].data.clone();
    let again = mail_parser::MessageParser::default()
        .parse(&second)
        .unwrap();
    assert_eq!(again.body_html(0), mail.body_html(0));
    assert_eq!(again.body_text(0), mail.body_text(0));
}

#[test]
fn mails_older_than_keep_are_gone() {
    let sink = Sink::start(Vec::new());
    let workspace = workspace(&sink, &three()[..1]);
    let settings = format!(
        "mail: {{ url: 'smtp://127.0.0.1:{}', from: 'reports@example.org', keep: 0s }}\n",
        sink.port
    );
    workspace.write("databuddy-jobs.yaml", &settings);
    let (code, first) = run(&workspace, &["run", "mail"]);
    assert_eq!((code, states(&first)), (0, vec!["sent"]));
    let output = workspace.run(&["resend", first["id"].as_str().unwrap(), "--sandbox"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("`mail.keep`"), "{error}");
}

/// One message to three.
fn together(sink: &Sink) -> TestWorkspace {
    let workspace = workspace(sink, &three());
    let job = workspace.path().join("jobs/mail.yaml");
    let text = std::fs::read_to_string(&job).unwrap();
    let lists =
        "to: [ann@example.org], cc: [bob@example.org], bcc: [cem@example.org], together: true";
    let list = "to: [ann@example.org, bob@example.org, cem@example.org]";
    std::fs::write(&job, text.replace(list, lists)).unwrap();
    workspace
}

#[test]
fn one_recipient_who_is_busy_keeps_a_message_from_the_others_until_the_last_attempt_alone() {
    let busy = |time| Fault {
        stage: Stage::Rcpt,
        deed: Deed::Answer("450 4.2.1 busy"),
        time,
    };
    // The second of three, at each of three attempts
    let sink = Sink::start([2, 5, 8].map(busy).to_vec());
    let workspace = together(&sink);
    let (code, first) = run(&workspace, &["run", "mail"]);
    assert_eq!(
        (code, states(&first)),
        (3, vec!["sent", "pending", "sent"]),
        "{first:#}"
    );
    let taken = sink.taken();
    assert_eq!((first["attempts"].as_u64(), taken.len()), (Some(3), 1));
    assert_eq!(taken[0].to, ["ann@example.org", "cem@example.org"]);
    let deliveries = &first["deliveries"];
    let why = deliveries[1]["error"].as_str().unwrap();
    assert!(why.contains("450") && deliveries[0]["error"].is_null());
    let (code, second) = run(&workspace, &["run", "mail"]);
    assert_eq!(
        (code, states(&second)),
        (0, vec!["already_sent", "sent", "already_sent"])
    );
    assert!(three().iter().all(|to| sink.count(to) == 1));

    let sink = Sink::start(vec![busy(0)]);
    let (code, first) = run(&together(&sink), &["run", "mail"]);
    assert_eq!((code, states(&first)), (75, vec!["pending"; 3]));
    let why = first["deliveries"][0]["error"].as_str().unwrap();
    assert!(three().iter().all(|to| why.contains(to)), "{why}");
}

#[test]
fn one_message_to_several_is_recorded_for_each_of_them() {
    let fault = Fault {
        stage: Stage::Rcpt,
        deed: Deed::Answer("550 5.1.1 no such user"),
        time: 2,
    };
    let sink = Sink::start(vec![fault]);
    let workspace = together(&sink);
    let (code, first) = run(&workspace, &["run", "mail"]);
    assert_eq!(
        (code, states(&first)),
        (3, vec!["sent", "refused", "sent"]),
        "{first:#}"
    );
    let taken = sink.taken();
    assert_eq!(taken[0].to, ["ann@example.org", "cem@example.org"]);
    let raw = String::from_utf8_lossy(&taken[0].data).into_owned();
    assert!(raw.contains("Cc: bob@example.org") && !raw.contains("cem@example.org"));
    let (_, second) = run(&workspace, &["run", "mail"]);
    assert_eq!(states(&second), ["already_sent", "sent", "already_sent"]);
    assert!(three().iter().all(|to| sink.count(to) == 1));
}
