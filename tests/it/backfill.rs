//! Ranges of windows, filled in afterwards.

use std::{
    collections::BTreeSet,
    fs,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use serde_json::{Value, json};

use crate::{failures::api, server, workspace::TestWorkspace};

const SITE: &str = "summary, pages, traffic, browser_name, os_name, device_types, countries, cities, errors, performance, sessions, custom_events, profiles, outbound_links, engagement";

fn sandbox_job(workspace: &TestWorkspace, websites: &str, queries: &str) {
    let job = format!(
        "schedule: {{ cron: '0 2 * * *' }}\npreset: yesterday\nwebsites: {websites}\nqueries: [{queries}]\nexports: [{{ format: parquet, to: lake }}]\n"
    );
    workspace.write("jobs/nightly.yaml", &job);
}

fn backfill(workspace: &TestWorkspace, more: &[&str]) -> (i32, Value) {
    let args = [
        &[
            "backfill",
            "nightly",
            "--from",
            "2026-10-01",
            "--to",
            "2026-10-31",
        ],
        more,
    ];
    workspace.json(&args.concat())
}

#[test]
fn a_month_of_fifteen_queries_is_one_request_a_website_and_what_is_there_is_not_asked_for() {
    let workspace = TestWorkspace::empty();
    sandbox_job(&workspace, "all", SITE);
    let (code, document) = backfill(&workspace, &["--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(
        (&document["requests"], &document["units"]),
        (&json!(3), &json!(31))
    );
    let files = workspace.contents("lake");
    assert_eq!(workspace.files("lake/_manifests").len(), 31);
    // Again: nothing is lacking
    let (code, document) = backfill(&workspace, &["--sandbox"]);
    assert_eq!(
        (code, &document["requests"], &document["skipped"]),
        (0, &json!(0), &json!(31))
    );
    // A file that is gone is asked for again, alone, and is the same
    let gone = "lake/_manifests/nightly/2026-10-07.json";
    fs::remove_file(workspace.path().join(gone)).unwrap();
    let (code, document) = backfill(&workspace, &["--sandbox"]);
    assert_eq!((code, &document["skipped"]), (0, &json!(30)));
    assert_eq!(workspace.contents("lake"), files);
    // The nights themselves would have written the same
    fs::remove_dir_all(workspace.path().join("lake")).unwrap();
    for day in ["2026-10-02", "2026-10-03"] {
        let args = ["run", "nightly", "--sandbox", "--at", day];
        assert_eq!(workspace.json(&args).0, 0);
    }
    let nights: Vec<_> = workspace.contents("lake/summary");
    assert_eq!(nights.len(), 6);
    for night in nights {
        assert!(files.contains(&night), "{:?}", night.0);
    }
}

#[test]
fn a_killed_backfill_goes_on_where_it_stood_and_gives_the_same_bytes() {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let (tell, told) = mpsc::channel();
    let hang = Arc::new(AtomicUsize::new(usize::MAX));
    let url = api({
        let (asked, hang, count) = (Arc::clone(&asked), Arc::clone(&hang), AtomicUsize::new(0));
        move |request| {
            let turn = count.fetch_add(1, Ordering::SeqCst);
            if turn == hang.load(Ordering::SeqCst) {
                let _ = tell.send(());
                return None;
            }
            server::data(request, |_, day| {
                asked.lock().unwrap().push(day.to_owned());
                json!([{ "name": "/", "pageviews": day.len(), "visitors": day[8..].parse::<i64>().unwrap() }])
            })
        }
    });
    let project = |workspace: &TestWorkspace| {
        workspace.write(
            "databuddy-jobs.yaml",
            &format!("api: {{ url: '{url}', key: k }}\n"),
        );
        sandbox_job(workspace, "all", "top_pages");
    };
    let range = [
        "backfill",
        "nightly",
        "--from",
        "2026-01-01",
        "--to",
        "2026-06-30",
        "--only",
        "all",
    ];
    let whole = TestWorkspace::empty();
    project(&whole);
    assert_eq!(whole.json(&range).0, 0);
    let killed = TestWorkspace::empty();
    project(&killed);
    for more in [2, 1] {
        asked.lock().unwrap().clear();
        let done = hang.load(Ordering::SeqCst);
        let turns = if done == usize::MAX { 6 } else { done + 1 };
        hang.store(turns + more, Ordering::SeqCst);
        let mut child = killed
            .command(&range)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        told.recv().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    hang.store(usize::MAX, Ordering::SeqCst);
    asked.lock().unwrap().clear();
    let (code, document) = killed.json(&range);
    assert_eq!(code, 0, "{document:#}");
    assert!(
        document["resumed"].as_u64().unwrap() > 31,
        "{}",
        document["resumed"]
    );
    let days: BTreeSet<String> = asked.lock().unwrap().iter().cloned().collect();
    assert!(
        !days.contains("2026-01-15") && days.contains("2026-06-30"),
        "{days:?}"
    );
    assert_eq!(killed.contents("lake"), whole.contents("lake"));
    assert!(killed.files(".databuddy-jobs/staging").is_empty());
}

#[test]
fn a_packed_request_that_fails_is_halved_until_the_guilty_part_stands_alone() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let url = api(move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        if request.body.to_string().contains("2026-10-17") {
            let body = json!({ "success": false, "error": "it broke", "code": "VALIDATION_ERROR" });
            return server::json(400, &body);
        }
        server::data(request, |_, _| json!([{ "name": "/", "pageviews": 1 }]))
    });
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    sandbox_job(&workspace, "all", "top_pages");
    let (code, document) = backfill(&workspace, &["--set", "retry.attempts=1"]);
    assert_eq!(code, 3, "{document:#}");
    let steps = document["runs"][0]["steps"].as_array().unwrap();
    let failed: Vec<&Value> = steps.iter().filter(|s| s["state"] == "failed").collect();
    assert_eq!(
        (failed.len(), &failed[0]["start"]),
        (1, &json!("2026-10-17"))
    );
    assert_eq!(workspace.files("lake/top_pages").len(), 30);
    // A search by halves: 31 parts are at most 1 + 2 * 5 requests
    let asked = requests.load(Ordering::Relaxed);
    assert!(asked <= 11, "{asked}");
    // The manifest of the day says what is missing; `--only failed` asks for it alone
    let (_, document) = backfill(
        &workspace,
        &["--only", "failed", "--set", "retry.attempts=1"],
    );
    assert_eq!(
        (&document["skipped"], &document["units"]),
        (&json!(30), &json!(31))
    );
    assert_eq!(requests.load(Ordering::Relaxed), asked + 1);
}

#[test]
fn a_server_that_is_down_is_not_asked_part_by_part() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let url = api(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        server::json(
            400,
            &json!({ "success": false, "error": "no", "code": "VALIDATION_ERROR" }),
        )
    });
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    sandbox_job(&workspace, "all", "top_pages");
    let (code, _) = backfill(&workspace, &["--set", "retry.attempts=1"]);
    assert_eq!(code, 1);
    // 31 parts one by one would be 61
    let asked = requests.load(Ordering::Relaxed);
    assert!(asked < 30, "{asked}");
}

#[test]
fn windows_come_newest_first_where_asked_and_reports_only_with_reports() {
    let workspace = TestWorkspace::empty();
    let job = "preset: last_iso_week\nwebsites: [web_acme_tiny]\nqueries: [summary, pages, traffic, countries, device_types]\nexports: [{ format: csv, to: lake, per: window, queries: [summary], path: '{{ query }}/{{ start }}' }]\nreports: [{ template: weekly, to: [a@example.com] }]\n";
    workspace.write("jobs/weekly.yaml", job);
    let range = [
        "backfill",
        "weekly",
        "--sandbox",
        "--from",
        "2026-10-05",
        "--to",
        "2026-10-25",
    ];
    let (code, document) = workspace.json(&[&range[..], &["--order", "newest"]].concat());
    assert_eq!((code, &document["units"]), (0, &json!(3)), "{document:#}");
    assert_eq!(workspace.files("lake/summary").len(), 3);
    assert!(workspace.files("out/mail").is_empty());
    let (code, document) =
        workspace.json(&[&range[..], &["--order", "newest", "--reports"]].concat());
    assert_eq!(code, 0, "{document:#}");
    let starts = document["runs"].as_array().unwrap().iter();
    let starts: Vec<&str> = starts
        .map(|run| run["window"]["start"].as_str().unwrap())
        .collect();
    assert_eq!(starts, ["2026-10-19", "2026-10-12", "2026-10-05"]);
    let mails = workspace.files("out/mail").len();
    assert!(mails > 0);
    let (_, document) = workspace.json(&[&range[..], &["--only", "all", "--reports"]].concat());
    let states = document["runs"][0]["deliveries"][0]["state"].clone();
    assert_eq!(states, "already_sent");
    assert_eq!(workspace.files("out/mail").len(), mails);
}

#[test]
fn a_range_without_a_window_and_a_range_that_ends_before_it_starts_say_so() {
    let workspace = TestWorkspace::empty();
    sandbox_job(&workspace, "all", "summary");
    let args = [
        "backfill",
        "nightly",
        "--sandbox",
        "--from",
        "2026-02-01",
        "--to",
        "2026-01-01",
    ];
    let output = workspace.run(&args);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("before --from"));
    let args = [
        "backfill",
        "nightly",
        "--sandbox",
        "--from",
        "2999-01-01",
        "--to",
        "2999-02-01",
    ];
    let output = workspace.run(&args);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no window of nightly"));
}

#[test]
fn an_answer_that_breaks_off_or_does_not_parse_is_halved_until_the_guilty_part_stands_alone() {
    let broken = [
        (String::new(), r#"{"success":true,"data":[{"param"#),
        (
            "transfer-encoding: chunked\r\n".to_owned(),
            "ff\r\n{\"success\"",
        ),
        ("content-encoding: gzip\r\n".to_owned(), "no gzip"),
    ];
    for (headers, body) in broken {
        let shown = body;
        let url = api(move |request| {
            if request.body.to_string().contains("2026-10-03") {
                return Some((200, headers.clone(), body.to_owned()));
            }
            server::data(request, |_, _| json!([{ "name": "/", "pageviews": 1 }]))
        });
        let workspace = TestWorkspace::empty();
        workspace.write(
            "databuddy-jobs.yaml",
            &format!("api: {{ url: '{url}', key: k }}\n"),
        );
        sandbox_job(&workspace, "all", "top_pages");
        let (code, document) = workspace.json(&[
            "backfill",
            "nightly",
            "--from",
            "2026-10-01",
            "--to",
            "2026-10-04",
            "--set",
            "retry.attempts=1",
        ]);
        assert_eq!(code, 3, "{shown}: {document:#}");
        assert_eq!(workspace.files("lake/top_pages").len(), 3, "{shown}");
    }
}

#[test]
fn an_item_that_failed_under_an_unknown_id_is_told_in_the_words_of_the_server() {
    let url = api(|request| {
        let results = request.body.as_array().map_or(0, Vec::len);
        let results = (0..results)
            .map(|n| json!({ "queryId": format!("x{n}"), "error": "Unknown filter field `moon`" }));
        server::json(
            200,
            &json!({ "success": true, "batch": true, "results": results.collect::<Vec<_>>() }),
        )
    });
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    // Pages are asked for by item where filters differ
    workspace.write(
        "jobs/nightly.yaml",
        "preset: yesterday\nqueries:\n  - { name: a, parameter: top_pages, filters: [{ field: path, op: eq, value: /a }] }\n  - { name: b, parameter: top_pages, filters: [{ field: path, op: eq, value: /b }] }\nretry: { attempts: 1 }\nexports: [{ format: csv, to: lake }]\n",
    );
    let (code, document) = workspace.json(&["run", "nightly"]);
    assert_eq!(code, 1);
    let error = document["runs"][0]["steps"][0]["error"].as_str().unwrap();
    assert!(error.contains("Unknown filter field `moon`"), "{error}");
}
