//! Reports: what templates see, whom mails go to, and whether they go.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use mail_parser::{MessageParser, MimeHeaders};
use serde_json::{Value, json};

use crate::{
    server::{self, Answer, Request},
    workspace::TestWorkspace,
};

/// What a query of the server answers: by website, type and first day.
type Rows = dyn Fn(&str, &str, &str) -> Value + Send + Sync;

const TEMPLATE: [(&str, &str); 4] = [
    (
        "report.yaml",
        "queries:\n  summary: { previous: true, daily: true }\n  pages: { previous: true }\n",
    ),
    ("subject.txt", "{{ website.name }}: {{ window.start }}"),
    (
        "body.html",
        "<p>{{ website.id }}</p>{% for file in attachments %}<a>{{ file.name }}</a>{% endfor %}",
    ),
    (
        "body.txt",
        "\
visitors={{ q.summary.current?.visitors or 'none' }}
before={% if q.summary.previous is none %}null{% else %}{{ q.summary.previous.visitors }}{% endif %}
first={{ report.first_window }} incomplete={{ report.incomplete }} compare={{ report.compare }}
previous={% if previous is none %}null{% else %}{{ previous.start }}..{{ previous.end }}{% endif %}
days={% for day in q.summary.daily %}{{ day.visitors }},{% endfor %}
days_before={% for day in q.summary.previous_daily %}{{ day.visitors }},{% endfor %}
pages={% for page in q.pages.rows %}{{ page.name }},{% endfor %}
pages_before={% for page in q.pages.previous_rows or [] %}{{ page.name }},{% endfor %}
{% if q.pages.failed %}failed={{ q.pages.failed }}{% endif %}
{% for file in attachments %}file={{ file.name }} attached={{ file.attached }} rows={{ file.rows }} {% for link in file.links %}link={{ link }}{% endfor %}
{% endfor %}",
    ),
];

/// What the tests are about, around the report's own keys.
const JOB: &str = "window: { start: 2026-11-16, end: 2026-11-22 }\nqueries: [summary, pages]\nretry: { attempts: 1 }\n";

/// Numbers of each window: this week 30 visitors, of them 20 on the first day; the week before 12.
fn rows(_: &str, name: &str, start: &str) -> Value {
    let visitors = if start == "2026-11-16" { 30 } else { 12 };
    match name {
        "summary_metrics" => {
            json!([{ "unique_visitors": visitors, "pageviews": 90, "sessions": 40 }])
        }
        "events_by_date" => json!([{ "date": start, "visitors": 20, "pageviews": 50 }]),
        _ => json!([{ "name": format!("/of/{start}"), "pageviews": 3, "visitors": 2 }]),
    }
}

/// A server with two websites, one of them new; what was asked of it is kept.
fn api(
    rows: impl Fn(&str, &str, &str) -> Value + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Value>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let url = server::serve(move |request| answer(request, &rows, &kept));
    (url, asked)
}

fn answer(request: &Request, rows: &Rows, asked: &Mutex<Vec<Value>>) -> Answer {
    match request.path.split('?').next().unwrap() {
        "/v1/query/types" => server::json(
            200,
            &json!({ "success": true, "types": ["summary_metrics", "events_by_date", "top_pages"], "configs": {} }),
        ),
        "/v1/query/websites" => server::json(
            200,
            &json!({ "success": true, "websites": [
                { "id": "web_old", "name": "Old", "domain": "old.example", "createdAt": "2025-01-01T10:20:30.123Z" },
                { "id": "web_new", "name": "New", "domain": "new.example", "createdAt": "2026-11-17T10:20:30.123Z" },
            ] }),
        ),
        _ => {
            asked.lock().unwrap().push(request.body.clone());
            let Some(website) = request.path.split("website_id=").nth(1) else {
                return server::json(200, &json!({ "status": "ok" }));
            };
            let website = website.to_owned();
            let answer = server::data(request, |name, start| rows(&website, name, start))?;
            Some((answer.0, answer.1, failing(&answer.2)))
        }
    }
}

/// A part whose rows are the word `fail` has failed.
fn failing(body: &str) -> String {
    body.replace(
        r#""success":true,"data":"fail""#,
        r#""success":false,"data":[],"error":"no such luck""#,
    )
}

/// A project with the template `t` and the job `mail`, whose one report has these keys.
fn workspace(url: &str, report: &str) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: dbdy_x }}\nmail: {{ url: 'dir:out/mail', from: jobs@example.org }}\n"),
    );
    for (name, text) in TEMPLATE {
        workspace.write(&format!("templates/t/{name}"), text);
    }
    job(&workspace, report);
    workspace
}

fn job(workspace: &TestWorkspace, report: &str) {
    workspace.write(
        "jobs/mail.yaml",
        &format!("{JOB}reports:\n  - template: t\n{report}"),
    );
}

fn run(workspace: &TestWorkspace) -> (i32, Value) {
    let (code, mut document) = workspace.json(&["run", "mail"]);
    (code, document["runs"][0].take())
}

fn states(run: &Value) -> Vec<(&str, &str, &str)> {
    let text = |value: &'_ Value| value.as_str().unwrap_or("*").to_owned().leak() as &str;
    let deliveries = run["deliveries"].as_array().unwrap().iter();
    let of = |d: &Value| (text(&d["website_id"]), text(&d["to"]), text(&d["state"]));
    deliveries.map(of).collect()
}

/// Subject and text of each mail, in the order of the files.
fn mails(workspace: &TestWorkspace) -> Vec<(String, String)> {
    let files = workspace.files("out/mail").into_iter();
    let mails = files.filter(|file| file.extension().is_some_and(|e| e == "eml"));
    let read = |file| {
        let raw = fs::read(workspace.path().join(file)).unwrap();
        let mail = MessageParser::default().parse(&raw).unwrap();
        let text = mail.body_text(0).unwrap().into_owned();
        (mail.subject().unwrap().to_owned(), text)
    };
    mails.map(read).collect()
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

/// The problems of `check`: line, column, message and hint.
fn problems(workspace: &TestWorkspace, args: &[&str]) -> Vec<(u64, u64, String)> {
    let (code, document) = workspace.json(args);
    assert_eq!(code, 2, "{document:#}");
    let list = document["problems"].as_array().unwrap().iter();
    let place = |p: &Value, key: &str| p[key].as_u64().unwrap_or_default();
    list.map(|p| {
        let words = format!("{} | {}", p["message"].as_str().unwrap(), p["hint"]);
        (place(p, "line"), place(p, "column"), words)
    })
    .collect()
}

const TO: &str = "    to: [a@example.org]\n";

#[test]
fn rows_and_days_of_both_windows_come_in_one_request_a_website() {
    let (url, asked) = api(rows);
    let workspace = workspace(&url, TO);
    let (code, run) = run(&workspace);
    assert_eq!((code, &run["requests"]), (0, &json!(2)), "{run:#}");
    assert_eq!(asked.lock().unwrap().len(), 2);
    let mails = mails(&workspace);
    let (subject, text) = &mails[1];
    assert_eq!(subject, "Old: 2026-11-16");
    let lines = lines(text);
    for line in [
        "visitors=30",
        "before=12",
        "first=false incomplete=false compare=previous_window",
        "previous=2026-11-09..2026-11-15",
        "days=20,0,0,0,0,0,0,",
        "days_before=20,0,0,0,0,0,0,",
        "pages=/of/2026-11-16,",
        "pages_before=/of/2026-11-09,",
    ] {
        assert!(lines.contains(&line), "{line} is missing in {text}");
    }
}

#[test]
fn a_template_that_takes_too_long_keeps_nothing_waiting() {
    let (url, _) = api(rows);
    let workspace = workspace(&url, TO);
    workspace.write(
        "templates/t/body.txt",
        "{% set all = range(end=10000) %}{% for a in all %}{% for b in all %}{% for c in all %}{% endfor %}{% endfor %}{% endfor %}",
    );
    let (code, document) = workspace.json(&["run", "mail", "--set", "timeout=3s"]);
    let run = &document["runs"][0];
    assert_eq!((code, &run["state"]), (1, &json!("cancelled")), "{run:#}");
    assert_eq!(run["steps"][0]["state"], "succeeded", "{run:#}");
    let why = run["error"].as_str().unwrap();
    assert!(why.contains("`timeout` (3 s)"), "{why}");
    assert!(workspace.files("out/mail").is_empty());
}

#[test]
fn the_comparison_is_the_last_year_or_none_and_a_second_report_has_its_own() {
    let (url, asked) = api(rows);
    let workspace = workspace(
        &url,
        &format!(
            "{TO}    compare: same_window_last_year\n  - {{ name: alone, template: t, compare: none, to: [b@example.org] }}\n"
        ),
    );
    let (code, run) = run(&workspace);
    assert_eq!(code, 0, "{run:#}");
    let bodies = asked.lock().unwrap().clone();
    let asked = bodies[0].to_string();
    assert!(
        asked.contains(r#""startDate":"2025-11-16","endDate":"2025-11-22""#),
        "{asked}"
    );
    assert!(!asked.contains("2026-11-09"), "{asked}");
    let mut found = Vec::new();
    for (_, text) in mails(&workspace) {
        let line = lines(&text)
            .into_iter()
            .find(|line| line.starts_with("previous="))
            .unwrap()
            .to_owned();
        found.push(line);
    }
    found.sort_unstable();
    let expected = ["previous=2025-11-16..2025-11-22", "previous=null"];
    assert_eq!(found, [expected[0], expected[0], expected[1], expected[1]]);
}

#[test]
fn a_first_week_is_told_from_a_week_without_visitors() {
    let (url, _) = api(|website, name, start| {
        if start == "2026-11-16" {
            rows(website, name, start)
        } else if name == "summary_metrics" {
            json!([{ "unique_visitors": 0, "pageviews": 0, "sessions": 0, "bounce_rate": 0 }])
        } else {
            json!([])
        }
    });
    let workspace = workspace(&url, TO);
    assert_eq!(run(&workspace).0, 0);
    let mails = mails(&workspace);
    for (place, before) in [(0, "before=null"), (1, "before=0")] {
        let (subject, text) = &mails[place];
        let lines = lines(text);
        assert!(lines.contains(&before), "{subject}: {text}");
        let first = "first=true incomplete=false compare=previous_window";
        assert!(lines.contains(&first), "{subject}: {text}");
    }
}

#[test]
fn a_bundle_is_one_mail_a_recipient_about_all_websites() {
    let (url, _) = api(rows);
    let workspace = workspace(
        &url,
        "    per: job\n    to: [a@example.org, b@example.org]\n",
    );
    workspace.write(
        "templates/t/subject.txt",
        "{{ websites | length }} websites",
    );
    workspace.write("templates/t/body.html", "<p>x</p>");
    let body = "{% for site in websites %}{{ site.website.name }}={{ site.q.summary.current.visitors }} {% endfor %}";
    workspace.write("templates/t/body.txt", body);
    let (code, first) = run(&workspace);
    assert_eq!(code, 0, "{first:#}");
    assert_eq!(first["requests"], 2);
    assert_eq!(
        states(&first),
        [
            ("*", "a@example.org", "sent"),
            ("*", "b@example.org", "sent")
        ]
    );
    let mails = mails(&workspace);
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].0, "2 websites");
    assert_eq!(lines(&mails[0].1), ["Old=30 New=30"]);
    let (_, again) = run(&workspace);
    assert!(
        states(&again)
            .iter()
            .all(|(_, _, state)| *state == "already_sent"),
        "{again:#}"
    );
    // What a bundle cannot know is an error with a name, not an empty mail
    workspace.write("templates/t/subject.txt", "{{ website.name }}");
    let (code, document) = workspace.json(&["run", "mail", "--force"]);
    let error = document["runs"][0]["error"].as_str().unwrap();
    assert!(code != 0 && error.contains("website"), "{error}");
}

#[test]
fn recipients_by_website_are_found_by_id_glob_and_default() {
    let (url, _) = api(rows);
    let to = "    to:\n      web_old: [old@example.org]\n      '*.example': [any@example.org]\n";
    let workspace = workspace(&url, to);
    let (code, first) = run(&workspace);
    assert_eq!(code, 0, "{first:#}");
    assert_eq!(
        states(&first),
        [
            ("web_old", "old@example.org", "sent"),
            ("web_new", "any@example.org", "sent")
        ]
    );
    job(
        &workspace,
        "    to: { old.example: [old@example.org], default: [] }\n",
    );
    let (_, plan) = workspace.json(&["plan", "mail"]);
    let deliveries = plan["plans"][0]["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 1, "{plan:#}");
    assert_eq!(deliveries[0]["to"], "old@example.org");
}

#[test]
fn a_website_without_recipients_and_one_that_nobody_has_are_problems_with_a_line() {
    let (url, _) = api(rows);
    let to = "    to:\n      web_old: [old@example.org]\n      web_gone: [gone@example.org]\n";
    let workspace = workspace(&url, to);
    let found = problems(&workspace, &["check", "--online"]);
    assert_eq!((found.len(), found[0].0), (1, 8), "{found:?}");
    assert!(
        found[0].2.contains("`web_gone`") && found[0].2.contains("web_old, web_new"),
        "{found:?}"
    );
    job(&workspace, "    to: { web_old: [old@example.org] }\n");
    let (code, document) = workspace.json(&["run", "mail"]);
    let error = document["runs"][0]["error"].as_str().unwrap();
    assert_eq!(code, 2, "{error}");
    assert!(
        error.contains("no recipient of `web_new`") && error.contains("`default`"),
        "{error}"
    );
    assert!(workspace.files("out/mail").is_empty());
}

#[test]
fn what_is_wrong_with_a_report_is_found_in_one_pass_with_its_place() {
    let workspace = workspace(
        "http://127.0.0.1:9",
        "    per: job
    to: { web_1: [a@example.org, A <A@example.org>], web_2: [], '[': [nobody] }
    cc: [b@example.org]
    attach: [{ query: pagez }, { query: pages }, { query: pages, format: csv }]
    attach_limit: 5
    on_error: ignore
",
    );
    let found = problems(&workspace, &["check"]);
    let expected = [
        (7, "`nobody` is no mail address"),
        (10, "`attach_limit` must be text"),
        (11, "`on_error` cannot be `ignore`"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, message), (at, _, text)) in expected.iter().zip(&found) {
        assert!(line == at && text.contains(message), "{text}");
    }
    job(
        &workspace,
        "    per: job
    to: { web_1: [a@example.org, A <A@example.org>], web_2: [], '[': [c@example.org] }
    cc: [a@example.org]
    attach: [{ query: pagez }, { query: pages }, { query: pages, format: csv }]
",
    );
    let found = problems(&workspace, &["check"]);
    let expected = [
        (7, "`A <A@example.org>` is named twice"),
        (7, "`web_2` has no recipient"),
        (7, "`[` is no pattern"),
        (7, "`to` cannot tell them apart"),
        (8, "add `together: true`"),
        (8, "`a@example.org` is named twice"),
        (9, "did you mean `pages`"),
        (9, "`pages` is attached twice as csv"),
    ];
    for (line, message) in expected {
        let is_there = |(at, _, text): &(u64, u64, String)| *at == line && text.contains(message);
        assert!(
            found.iter().any(is_there),
            "{message} is missing in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_mail_whose_condition_is_false_is_skipped_in_words_and_may_go_another_time() {
    let (url, _) = api(rows);
    let when = |expression: &str| format!("{TO}    when: {expression}\n");
    let workspace = workspace(&url, &when("q.summary.current.visitors > 100"));
    let (code, skipped) = run(&workspace);
    assert_eq!(
        (code, &skipped["state"]),
        (0, &json!("succeeded")),
        "{skipped:#}"
    );
    assert_eq!(
        states(&skipped),
        [
            ("web_old", "a@example.org", "skipped"),
            ("web_new", "a@example.org", "skipped")
        ]
    );
    let words = skipped["deliveries"][0]["subject"].as_str().unwrap();
    assert!(
        words.contains("`when: q.summary.current.visitors > 100` is false"),
        "{words}"
    );
    assert!(workspace.files("out/mail").is_empty());
    let (_, shown) = workspace.json(&["show", skipped["id"].as_str().unwrap()]);
    assert_eq!(
        shown["runs"][0]["deliveries"], skipped["deliveries"],
        "{shown:#}"
    );
    let (_, preview) = workspace.json(&["preview", "mail"]);
    assert!(
        preview["files"][0]["held"]
            .as_str()
            .unwrap()
            .contains("is false"),
        "{preview:#}"
    );

    job(
        &workspace,
        &when("\"q.summary.current.visitors > 20 and website.id == 'web_old'\""),
    );
    let (code, sent) = run(&workspace);
    assert_eq!(code, 0, "{sent:#}");
    let states: Vec<_> = states(&sent)
        .into_iter()
        .map(|(site, _, state)| (site, state))
        .collect();
    assert_eq!(states, [("web_old", "sent"), ("web_new", "skipped")]);
}

#[test]
fn a_condition_asks_for_the_queries_that_it_names() {
    let (url, _) = api(rows);
    let workspace = workspace(
        &url,
        &format!("{TO}    when: q.extra.previous.pageviews == 3\n"),
    );
    let queries = "queries: [summary, pages, { name: extra, parameter: pages }]";
    let text = fs::read_to_string(workspace.path().join("jobs/mail.yaml")).unwrap();
    workspace.write(
        "jobs/mail.yaml",
        &text.replace("queries: [summary, pages]", queries),
    );
    let (code, run) = run(&workspace);
    assert_eq!(code, 0, "{run:#}");
    assert_eq!(run["requests"], 2);
    assert!(
        states(&run).iter().all(|(_, _, state)| *state == "sent"),
        "{run:#}"
    );
}

#[test]
fn a_broken_condition_is_a_problem_with_line_and_column() {
    let (url, _) = api(rows);
    let workspace = workspace(
        &url,
        &format!("{TO}    when: q.summary.current.visitors >\n"),
    );
    let found = problems(&workspace, &["check"]);
    assert_eq!((found.len(), found[0].0), (1, 7), "{found:?}");
    assert_eq!(
        found[0].1,
        11 + "q.summary.current.visitors ".len() as u64,
        "{found:?}"
    );
    assert!(found[0].2.contains("`when` is no expression"), "{found:?}");
    let (code, run) = run(&workspace);
    assert!(
        code == 2 && workspace.files("out/mail").is_empty(),
        "{run:#}"
    );

    job(
        &workspace,
        &format!("{TO}    when: q.sumary.current.visitors > 3\n"),
    );
    let found = problems(&workspace, &["check"]);
    assert_eq!((found[0].0, found[0].1), (7, 13), "{found:?}");
    assert!(found[0].2.contains("no query `sumary`"), "{found:?}");

    // What only the data can tell ends the run's mail, not the run in silence
    job(
        &workspace,
        &format!("{TO}    when: q.summary.current.clicks > 3\n"),
    );
    let (code, document) = workspace.json(&["run", "mail"]);
    let error = document["runs"][0]["error"].as_str().unwrap();
    assert!(
        code == 1 && error.contains("clicks") && error.contains("cannot be decided"),
        "{error}"
    );
}

fn without_pages(website: &str, name: &str, start: &str) -> Value {
    match name {
        "top_pages" => json!("fail"),
        _ => rows(website, name, start),
    }
}

#[test]
fn a_failed_section_keeps_the_mail_back_unless_it_may_be_omitted() {
    let (url, _) = api(without_pages);
    let workspace = workspace(&url, TO);
    let (code, failed) = run(&workspace);
    // The part may work a little later
    assert_eq!(code, 75, "{failed:#}");
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.contains("of web_old was not sent: its data is incomplete"),
        "{error}"
    );
    assert!(workspace.files("out/mail").is_empty());

    job(&workspace, &format!("{TO}    on_error: omit\n"));
    let (code, omitted) = run(&workspace);
    assert_eq!(
        (code, &omitted["state"]),
        (3, &json!("partially_succeeded")),
        "{omitted:#}"
    );
    let mails = mails(&workspace);
    assert_eq!(mails.len(), 2);
    let (subject, text) = &mails[1];
    assert_eq!(subject, "[incomplete] Old: 2026-11-16");
    let lines = lines(text);
    assert!(
        lines.contains(&"visitors=30") && lines.contains(&"pages="),
        "{text}"
    );
    assert!(
        text.contains("failed=") && text.contains("no such luck"),
        "{text}"
    );
    assert!(text.contains("incomplete=true"), "{text}");
}

#[test]
fn a_mail_of_which_every_section_failed_is_not_sent() {
    let (url, _) = api(|_, _, _| json!("fail"));
    let workspace = workspace(&url, &format!("{TO}    on_error: omit\n"));
    let (code, run) = run(&workspace);
    assert!(
        code == 75 && workspace.files("out/mail").is_empty(),
        "{run:#}"
    );
    assert!(
        run["error"]
            .as_str()
            .unwrap()
            .contains("every section of it failed"),
        "{run:#}"
    );
}

#[test]
fn rows_are_attached_up_to_the_limit_and_the_exported_file_is_named_beyond_it() {
    let (url, _) = api(rows);
    let attach =
        |limit: &str| format!("{TO}    attach: [{{ query: pages }}]\n    attach_limit: {limit}\n");
    let workspace = workspace(&url, &attach("5MB"));
    let (code, preview) = workspace.json(&["preview", "mail", "--website", "web_old"]);
    assert_eq!(code, 0, "{preview:#}");
    let file = workspace
        .path()
        .join("out/preview/mail-t-web_old-pages_old.example_2026-11-16_2026-11-22.csv");
    let csv = fs::read_to_string(file).unwrap();
    assert_eq!(
        csv.replace('\r', ""),
        "name,pageviews,visitors\n/of/2026-11-16,3,2\n"
    );

    let (code, sent) = run(&workspace);
    assert_eq!(code, 0, "{sent:#}");
    let mut files = workspace.files("out/mail").into_iter();
    let eml = files
        .rfind(|file| file.extension().is_some_and(|e| e == "eml"))
        .unwrap();
    let raw = fs::read(workspace.path().join(eml)).unwrap();
    let mail = MessageParser::default().parse(&raw).unwrap();
    let attached = mail.attachment(0).unwrap();
    let name = attached.attachment_name().unwrap();
    assert_eq!(name, "pages_old.example_2026-11-16_2026-11-22.csv");
    assert_eq!(
        attached.text_contents().unwrap().replace('\r', ""),
        csv.replace('\r', "")
    );

    // Nothing may be attached, and no export has the rows: the run says so
    job(&workspace, &attach("0kB"));
    let (code, mut document) = workspace.json(&["run", "mail", "--force"]);
    let left_out = document["runs"][0].take();
    assert_eq!(
        (code, &left_out["state"]),
        (3, &json!("partially_succeeded")),
        "{left_out:#}"
    );
    let error = left_out["error"].as_str().unwrap();
    assert!(
        error.contains("pages_old.example_2026-11-16_2026-11-22.csv")
            && error.contains("attach_limit"),
        "{error}"
    );

    let text = fs::read_to_string(workspace.path().join("jobs/mail.yaml")).unwrap();
    workspace.write(
        "jobs/mail.yaml",
        &format!("{text}exports: [{{ format: csv, to: out/lake, per: window }}]\n"),
    );
    let (code, document) = workspace.json(&["run", "mail", "--force"]);
    assert_eq!(code, 0, "{document:#}");
    let text = mails(&workspace)
        .into_iter()
        .map(|(_, text)| text)
        .find(|text| text.contains("link="))
        .unwrap();
    let link = text.split("link=").nth(1).unwrap().trim();
    let place = url::Url::parse(link).unwrap().to_file_path().unwrap();
    assert!(
        text.contains("attached=false rows=1 link=file:///"),
        "{text}"
    );
    let there = fs::read_to_string(place).unwrap();
    assert!(there.contains("/of/2026-11-16"), "{there}");
}

/// The text of a part of a workbook.
fn part_of(workbook: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(workbook)).unwrap();
    std::io::read_to_string(archive.by_name(name).unwrap()).unwrap()
}

#[test]
fn a_workbook_arrives_with_typed_columns_a_fixed_header_and_its_own_name() {
    let url = server::serve(|request| {
        let rows = |_: &str, name: &str, start: &str| match name {
            "top_pages" => json!([
                { "date": "2026-11-17", "name": "=1+1", "visitors": 12, "bounce_rate": 37.5 },
                { "date": "2026-11-18", "name": "/مرحبا 🚀", "visitors": "7", "bounce_rate": null },
            ]),
            name => self::rows("", name, start),
        };
        let (status, headers, body) = answer(request, &rows, &Mutex::default())?;
        Some((
            status,
            headers,
            body.replace("old.example", "bücher.example"),
        ))
    });
    let keys = format!("{TO}    attach: [{{ query: pages, format: xlsx }}]\n");
    let workspace = workspace(&url, &keys);
    let (code, document) = workspace.json(&["run", "mail", "--website", "web_old"]);
    assert_eq!(code, 0, "{document:#}");
    let files = workspace.files("out/mail").into_iter();
    let mut files = files.filter(|file| file.extension().is_some_and(|e| e == "eml"));
    let raw = fs::read(workspace.path().join(files.next().unwrap())).unwrap();
    let mail = MessageParser::default().parse(&raw).unwrap();
    let file = mail.attachment(0).unwrap();
    assert_eq!(
        file.attachment_name(),
        Some("pages_bücher.example_2026-11-16_2026-11-22.xlsx")
    );
    let text = String::from_utf8_lossy(&raw);
    assert!(text.contains("name=\"pages_b_cher.example_2026-11-16_2026-11-22.xlsx\""));
    let kind = file.content_type().unwrap();
    assert!(kind.subtype().unwrap().ends_with("spreadsheetml.sheet"));

    let sheet = part_of(file.contents(), "xl/worksheets/sheet1.xml");
    let cell = |place: &str| {
        let from = sheet.find(&format!("<c r=\"{place}\"")).unwrap();
        sheet[from..].split("</c>").next().unwrap().to_owned()
    };
    // 17 November 2026 in Excel's days, with the style of a date; numbers; texts, never formulas
    assert!(
        cell("A2").contains("<v>46343</v>") && cell("A2").contains(" s=\""),
        "{sheet}"
    );
    assert!(cell("B2").contains("t=\"s\""), "{sheet}");
    assert!(cell("C2").contains("<v>12</v>") && !cell("C2").contains("t=\"s\""));
    assert!(cell("C3").contains("<v>7</v>") && cell("D2").contains("<v>37.5</v>"));
    assert!(
        !sheet.contains("<f>") && !sheet.contains("r=\"D3\""),
        "{sheet}"
    );
    assert!(sheet.contains("state=\"frozen\"") && sheet.contains("ySplit=\"1\""));
    assert!(sheet.contains("customWidth=\"1\""), "{sheet}");
    let texts = part_of(file.contents(), "xl/sharedStrings.xml");
    assert!(
        texts.contains("/مرحبا 🚀") && texts.contains("=1+1"),
        "{texts}"
    );
}

#[test]
fn rows_that_name_people_are_not_attached() {
    let workspace = TestWorkspace::with_examples();
    let job = "preset: yesterday\nqueries: [summary, pages, traffic, countries, device_types, profile_list]\nreports: [{ template: weekly, to: [a@example.org], attach: [{ query: profile_list }] }]\n";
    workspace.write("jobs/mail.yaml", job);
    let (code, document) = workspace.json(&["run", "mail", "--sandbox"]);
    let error = document["runs"][0]["error"].as_str().unwrap();
    assert!(
        code == 2 && error.contains("`profile_list` has columns that name people"),
        "{error}"
    );
    assert!(workspace.files("out/mail").is_empty());
}

#[test]
fn one_message_goes_to_all_of_to_cc_and_bcc() {
    let (url, _) = api(rows);
    let all = "    to: [a@example.org, b@example.org]\n    together: true\n    cc: [c@example.org]\n    bcc: [d@example.org]\n";
    let workspace = workspace(&url, all);
    let (code, plan) = workspace.json(&["plan", "mail"]);
    assert_eq!(code, 0, "{plan:#}");
    assert_eq!(
        plan["plans"][0]["deliveries"][0],
        json!({ "report": "t", "website_id": "web_old", "to": "a@example.org, b@example.org",
            "cc": ["c@example.org"], "bcc": ["d@example.org"] })
    );
    let shown = workspace.run(&["plan", "mail"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = "mail t of Old to a@example.org, b@example.org, cc c@example.org, bcc d@example.org";
    assert!(shown.contains(line), "{shown}");
    let (code, run) = run(&workspace);
    assert_eq!(code, 0, "{run:#}");
    let files = workspace.files("out/mail").into_iter();
    let mails: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|e| e == "eml"))
        .collect();
    assert_eq!(mails.len(), 2);
    let raw = fs::read_to_string(workspace.path().join(&mails[0])).unwrap();
    assert!(
        raw.contains("c@example.org") && !raw.contains("d@example.org"),
        "{raw}"
    );
    let states: Vec<_> = states(&run)
        .into_iter()
        .map(|(_, to, state)| (to, state))
        .collect();
    for to in ["a", "b", "c", "d"] {
        let sent = states.iter().filter(|(whom, state)| {
            whom.contains(&format!("{to}@example.org")) && *state == "sent"
        });
        assert_eq!(sent.count(), 2, "{to}: {states:?}");
    }
}

#[test]
fn the_reports_of_a_run_are_rendered_again_from_what_was_kept() {
    let (url, asked) = api(rows);
    let workspace = workspace(&url, &format!("{TO}    attach: [{{ query: pages }}]\n"));
    let (_, run) = run(&workspace);
    let (code, _) = workspace.json(&["preview", "mail", "--out", "before"]);
    assert_eq!(code, 0);
    let requests = asked.lock().unwrap().len();
    let args = [
        "preview",
        "--run",
        run["id"].as_str().unwrap(),
        "--out",
        "after",
    ];
    let (code, document) = workspace.json(&args);
    assert_eq!(
        (code, document["files"].as_array().unwrap().len()),
        (0, 6),
        "{document:#}"
    );
    assert_eq!(asked.lock().unwrap().len(), requests);
    let sent = mails(&workspace);
    for (file, bytes) in workspace.contents("after") {
        let name = file.file_name().unwrap();
        let before = fs::read(workspace.path().join("before").join(name)).unwrap();
        assert_eq!(bytes, before, "{}", file.display());
    }
    let text = fs::read_to_string(workspace.path().join("after/mail-t-web_old.txt")).unwrap();
    assert_eq!(lines(&text), lines(&sent[1].1));
    let unknown = workspace.run(&["preview", "--run", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn a_test_goes_to_one_address_outside_of_the_ledger_each_time() {
    let (url, _) = api(rows);
    let workspace = workspace(&url, TO);
    let args = [
        "preview",
        "mail",
        "--website",
        "web_old",
        "--send-to",
        "me@example.org",
    ];
    for _ in 0..2 {
        let (code, document) = workspace.json(&args);
        assert_eq!(
            (code, &document["sent_to"]),
            (0, &json!("me@example.org")),
            "{document:#}"
        );
    }
    let tests = mails(&workspace);
    assert_eq!(tests.len(), 2);
    assert_eq!(tests[0].0, "[test] Old: 2026-11-16");
    let (_, runs) = workspace.json(&["runs"]);
    assert_eq!(runs["runs"], json!([]));
    // The real mail goes out all the same
    assert!(
        states(&run(&workspace).1)
            .iter()
            .all(|(_, _, state)| *state == "sent")
    );
    let wrong = workspace.run(&["preview", "mail", "--send-to", "me"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_preview_is_opened_where_it_is_asked_for() {
    let (url, _) = api(rows);
    let workspace = workspace(&url, TO);
    workspace.write("bin/xdg-open", "#!/bin/sh\nprintf %s \"$1\" > opened\n");
    let program = workspace.path().join("bin/xdg-open");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/bin:/usr/bin", workspace.path().join("bin").display());
    let args = ["preview", "mail", "--open", "--out", "shown"];
    let (code, document) = workspace.json_with(&args, &[("PATH", &path)]);
    assert_eq!(code, 0, "{document:#}");
    let opened = fs::read_to_string(workspace.path().join("opened")).unwrap();
    assert!(opened.ends_with("shown/mail-t-web_old.html"), "{opened}");
}
