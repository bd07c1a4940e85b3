//! The commands that explore the API and send events, and everything of the seed from a job.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{failures::api, server, workspace::TestWorkspace};

fn text(args: &[&str]) -> String {
    let output = TestWorkspace::with_examples().run(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn websites_lists_what_the_key_may_read() {
    let workspace = TestWorkspace::empty();
    let (code, document) = workspace.json(&["websites", "--sandbox"]);
    assert_eq!(code, 0);
    let ids: Vec<&str> = document["websites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["web_acme_shop", "web_acme_docs", "web_acme_tiny"]);
    assert!(text(&["websites", "--sandbox"]).contains("docs.acme.example"));
    let output = workspace.run(&["websites"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DATABUDDY_API_KEY"));
}

#[test]
fn types_lists_and_describes_under_the_name_of_any_generation() {
    let workspace = TestWorkspace::empty();
    let (_, all) = workspace.json(&["types", "--sandbox"]);
    for name in ["summary", "top_pages", "link_total_clicks"] {
        assert!(
            all["types"].as_array().unwrap().contains(&json!(name)),
            "{name}"
        );
    }
    let (_, pages) = workspace.json(&["types", "top_pages", "--sandbox"]);
    assert_eq!(
        pages["measured"],
        json!({ "limit": true, "page": true, "hourly": false, "filters": "apply" })
    );
    assert!(
        pages["columns"]
            .as_array()
            .unwrap()
            .contains(&json!({ "name": "pageviews", "type": "int64" }))
    );
    let shown = text(&["types", "country", "--sandbox"]);
    assert!(
        shown.contains("10,000 rows are asked for and cut here"),
        "{shown}"
    );
    let output = workspace.run(&["types", "pagez", "--sandbox"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn health_reads_both_shapes() {
    let workspace = TestWorkspace::empty();
    let (code, document) = workspace.json(&["health", "--sandbox"]);
    assert_eq!(
        (code, &document["healthy"], &document["parts"]["clickhouse"]),
        (0, &json!(true), &json!(true))
    );
    for (body, code, healthy) in [
        (json!({ "status": "ok" }), 0, true),
        (
            json!({ "clickhouse": false, "database": true, "redis": true, "success": true, "version": "1.0.0" }),
            75,
            false,
        ),
    ] {
        let url = server::serve(move |_| server::json(200, &body));
        let (found, document) = workspace.json_with(&["health"], &[("DATABUDDY_API_URL", &url)]);
        assert_eq!(
            (found, &document["healthy"]),
            (code, &json!(healthy)),
            "{document:#}"
        );
    }
}

#[test]
fn doctor_names_each_part_and_its_remedy() {
    let workspace = TestWorkspace::with_examples();
    let (code, document) = workspace.json(&["doctor", "--sandbox"]);
    assert_eq!((code, &document["ok"]), (0, &json!(true)), "{document:#}");
    let parts: Vec<&str> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["part"].as_str().unwrap())
        .collect();
    assert_eq!(
        parts,
        [
            "server",
            "types",
            "key",
            "query",
            "clock",
            "store",
            "destination ./out/lake",
            "destination ./out/one-off",
            "mail"
        ]
    );
    assert!(
        workspace.files("out").is_empty(),
        "it leaves nothing behind"
    );

    let url = api(|_| {
        server::json(
            403,
            &json!({ "success": false, "code": "INSUFFICIENT_SCOPE", "error": "no" }),
        )
    });
    workspace.write("databuddy-jobs.yaml", &format!("api: {{ url: '{url}', key: dbdy_x }}\nmail: {{ url: 'smtp://127.0.0.1:1', from: 'a@example.org' }}\n"));
    fs::remove_dir_all(workspace.path().join("out")).unwrap();
    workspace.write("out/lake", "a file where the directory should be");
    let (code, document) = workspace.json(&["doctor"]);
    assert_eq!((code, &document["ok"]), (1, &json!(false)));
    let found = |part: &str| {
        let findings = document["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|f| f["part"] == part)
            .unwrap_or_else(|| panic!("{part} is missing: {document:#}"))
            .clone()
    };
    for part in ["server", "destination ./out/lake", "mail"] {
        assert_eq!(found(part)["ok"], false, "{part}");
        assert!(found(part)["remedy"].is_string(), "{part}");
    }
    assert_eq!(found("key")["ok"], true);
    assert!(!document.to_string().contains("dbdy_x"));
}

#[test]
fn check_online_says_what_only_the_server_knows_at_its_line() {
    let workspace = TestWorkspace::with_examples();
    let (code, document) = workspace.json(&["check", "--online", "--sandbox"]);
    assert_eq!((code, &document["problems"]), (0, &json!([])));
    let served = Served::start(&workspace, &["--generation", "2026-02"]);
    let job = "preset: yesterday\nwebsites: [web_acme_docs, web_nope]\nqueries:\n  - sumary\n  - { parameter: errors, filters: [{ field: country, op: eq, value: DE }] }\n  - { parameter: pages, granularity: hourly }\nexports: [{ format: csv, to: out }]\n";
    workspace.write("jobs/a.yaml", job);
    let (code, document) = workspace.json_with(&["check", "a", "--online"], &served.env());
    assert_eq!(code, 2, "{document:#}");
    let found: Vec<(u64, String)> = document["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["line"].as_u64().unwrap(), p["message"].to_string()))
        .collect();
    let expected = [
        (2, "`web_nope`"),
        (4, "no query type `sumary`"),
        (5, "fails on a filter on `country`"),
        (6, "no hourly rows"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, part), (at, message)) in expected.iter().zip(&found) {
        assert!(
            line == at && message.contains(part),
            "{part} is missing in: {message}"
        );
    }
}

#[test]
fn both_headers_carry_the_key() {
    for (auth, name, value) in [
        ("x-api-key", "x-api-key", "dbdy_x"),
        ("bearer", "authorization", "Bearer dbdy_x"),
    ] {
        let url = server::serve(move |request| {
            let sent = request.headers.iter().any(|(n, v)| n == name && v == value);
            server::json(
                if sent { 200 } else { 401 },
                &json!({ "success": true, "websites": [] }),
            )
        });
        let workspace = TestWorkspace::empty();
        workspace.write(
            "databuddy-jobs.yaml",
            &format!("api: {{ url: '{url}', key: dbdy_x, auth: {auth} }}\n"),
        );
        let (code, document) = workspace.json(&["websites"]);
        assert_eq!(code, 0, "{document}");
    }
}

/// A sandbox as a process; killed when dropped.
struct Served {
    process: Child,
    hello: Value,
}

impl Served {
    fn start(workspace: &TestWorkspace, args: &[&str]) -> Self {
        let args = [&["sandbox", "--listen", "127.0.0.1:0", "--json"], args].concat();
        let mut process = workspace
            .command(&args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let hello = serde_json::from_str(&line).unwrap();
        Self { process, hello }
    }

    /// Settings that use it.
    fn env(&self) -> Vec<(&str, &str)> {
        vec![
            ("DATABUDDY_API_URL", self.hello["url"].as_str().unwrap()),
            (
                "DATABUDDY_BASKET_URL",
                self.hello["basket_url"].as_str().unwrap(),
            ),
            (
                "DATABUDDY_API_KEY",
                self.hello["keys"]["full"].as_str().unwrap(),
            ),
        ]
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        let _ = self.process.wait();
    }
}

/// How many custom events of this name the server counts today.
fn counted(workspace: &TestWorkspace, served: &Served, name: &str) -> u64 {
    let job = format!(
        "preset: today\nwebsites: [web_acme_docs]\nqueries: [{{ name: c, custom: {{ table: events, selects: [{{ field: '*', aggregate: count, alias: n }}], filters: [{{ field: event_name, op: eq, value: {name} }}] }} }}]\nexports: [{{ format: csv, to: counted }}]\n"
    );
    workspace.write("jobs/count.yaml", &job);
    let (code, document) = workspace.json_with(&["run", "count", "--force"], &served.env());
    assert_eq!(code, 0, "{document:#}");
    let file = workspace.files("counted/c").remove(0);
    let csv = fs::read_to_string(workspace.path().join(file)).unwrap();
    csv.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn one_event_is_sent_and_counted_by_a_query() {
    for generation in ["seed", "2026-02"] {
        let workspace = TestWorkspace::empty();
        let served = Served::start(&workspace, &["--generation", generation]);
        let args = [
            "track",
            "--website",
            "web_acme_docs",
            "--name",
            "purchase_of_a_test",
            "--property",
            "value=99.99",
        ];
        let (code, document) = workspace.json_with(&args, &served.env());
        assert_eq!((code, &document["sent"]), (0, &json!(1)), "{document:#}");
        if generation == "seed" {
            assert_eq!(counted(&workspace, &served, "purchase_of_a_test"), 1);
        }
    }
    let workspace = TestWorkspace::empty();
    let output = workspace.run(&[
        "track",
        "--website",
        "w",
        "--name",
        &"x".repeat(129),
        "--sandbox",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 to 128 characters"));
}

#[test]
fn a_file_of_events_is_sent_once_and_its_refused_lines_are_kept() {
    let workspace = TestWorkspace::empty();
    let served = Served::start(&workspace, &[]);
    let mut lines: Vec<String> = (0..250)
        .map(|n| json!({ "name": "imported_in_a_test", "properties": { "n": n } }).to_string())
        .collect();
    lines[120] = "{\"nam\":\"x\"}".to_owned();
    workspace.write("events.jsonl", &lines.join("\n"));
    let args = ["track", "events.jsonl", "--website", "web_acme_docs"];
    let (code, first) = workspace.json_with(&args, &served.env());
    assert_eq!(
        (code, &first["sent"], &first["refused"]),
        (3, &json!(249), &json!(1)),
        "{first:#}"
    );
    let refused = fs::read_to_string(workspace.path().join("events.jsonl.refused.jsonl")).unwrap();
    let refused: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!(refused["line"], 121);
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .contains("unknown key `nam`")
    );
    // Again: nothing is sent; with a line more, that line alone
    let (code, again) = workspace.json_with(&args, &served.env());
    assert_eq!(
        (code, &again["sent"], &again["sent_before"]),
        (0, &json!(0), &json!(250))
    );
    lines.push(json!({ "name": "imported_in_a_test" }).to_string());
    workspace.write("events.jsonl", &lines.join("\n"));
    let (_, more) = workspace.json_with(&args, &served.env());
    assert_eq!(more["sent"], 1);
    assert_eq!(counted(&workspace, &served, "imported_in_a_test"), 250);
    // Without its notes the whole file goes again, and the ids keep it from counting twice
    fs::remove_file(workspace.path().join("events.jsonl.progress.json")).unwrap();
    let (_, whole) = workspace.json_with(&args, &served.env());
    assert_eq!(whole["sent"], 250);
    assert_eq!(counted(&workspace, &served, "imported_in_a_test"), 250);
}

#[test]
fn a_key_that_may_not_track_is_told_so() {
    let workspace = TestWorkspace::empty();
    let served = Served::start(&workspace, &["--generation", "2026-02"]);
    let mut env = served.env();
    env[2].1 = served.hello["keys"]["revoked"].as_str().unwrap();
    let output = workspace
        .command(&["track", "--website", "web_acme_docs", "--name", "x"])
        .envs(env)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_sandbox_says_in_one_line_where_it_is() {
    let served = Served::start(&TestWorkspace::empty(), &[]);
    let hello = &served.hello;
    assert!(
        hello["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    for key in ["full", "query_only", "events_only", "revoked"] {
        assert!(
            hello["keys"][key].as_str().unwrap().starts_with("dbdy_"),
            "{key}"
        );
    }
    assert!(
        hello["websites"].as_array().unwrap().len() >= 3
            && hello["links"].as_array().unwrap().len() >= 2
    );
}

#[test]
fn every_type_of_the_seed_is_exported() {
    let workspace = TestWorkspace::empty();
    let site = "summary, pages, traffic, browser_name, os_name, device_types, countries, cities, errors, performance, sessions, custom_events, profiles, outbound_links, engagement";
    let links = [
        "link_total_clicks",
        "link_clicks_by_day",
        "link_top_referrers",
        "link_top_countries",
        "link_top_devices",
        "link_top_browsers",
    ];
    let links: Vec<String> = links
        .iter()
        .map(|name| format!("{{ parameter: {name}, link: link_launch }}"))
        .collect();
    let job = format!(
        "preset: last_7_full_days\nwebsites: [web_acme_docs]\nqueries: [{site}, {}]\nexports: [{{ format: parquet, to: out, per: window, pii: allow, path: '{{{{ query }}}}/{{{{ start }}}}' }}]\n",
        links.join(", ")
    );
    workspace.write("jobs/all.yaml", &job);
    for generation in ["seed", "2026-02"] {
        let served = Served::start(&workspace, &["--generation", generation]);
        let _ = fs::remove_dir_all(workspace.path().join("out"));
        let (code, document) = workspace.json_with(&["run", "all"], &served.env());
        assert_eq!(code, 0, "{generation}: {}", document["runs"][0]["error"]);
        for step in document["runs"][0]["steps"].as_array().unwrap() {
            assert!(step["rows"].as_u64().unwrap() > 0, "{generation}: {step}");
        }
    }
}

#[test]
fn links_and_custom_queries_are_exported() {
    let workspace = TestWorkspace::empty();
    let tables = ["events", "sessions", "profiles", "errors", "performance"];
    let mut queries: Vec<String> = tables.iter().map(|table| format!("{{ name: {table}, custom: {{ table: {table}, selects: [{{ field: '*', aggregate: count, alias: n }}] }} }}")).collect();
    queries.push("{ name: numbers, custom: { table: sessions, selects: [{ field: duration, aggregate: sum }, { field: duration, aggregate: avg }, { field: duration, aggregate: max }, { field: duration, aggregate: min }, { field: anonymous_id, aggregate: uniq }], group_by: [country] } }".to_owned());
    queries.push(
        "{ name: clicks, parameter: link_clicks_by_day, link: [link_launch, link_newsletter] }"
            .to_owned(),
    );
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_docs]\nqueries: [{}]\nexports: [{{ format: csv, to: out }}]\n",
        queries.join(", ")
    );
    workspace.write("jobs/more.yaml", &job);
    let (code, document) = workspace.json(&["run", "more", "--sandbox"]);
    let run = &document["runs"][0];
    assert_eq!(code, 0, "{}", run["error"]);
    assert_eq!(run["requests"], 8);
    let of_links: Vec<&Value> = run["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| !a["link_id"].is_null())
        .collect();
    assert_eq!(of_links.len(), 2);
    assert!(of_links[0]["website_id"].is_null());
    let file = workspace.files("out/numbers").remove(0);
    let csv = fs::read_to_string(workspace.path().join(file)).unwrap();
    assert!(
        csv.starts_with(
            "country,sum_duration,avg_duration,max_duration,min_duration,uniq_anonymous_id\r\n"
        ),
        "{csv}"
    );
    assert!(csv.lines().count() > 3, "{csv}");
}

#[test]
fn hourly_and_daily_rows_are_exported() {
    let workspace = TestWorkspace::empty();
    let job = "preset: yesterday\nwebsites: [web_acme_docs]\nqueries: [{ name: hours, parameter: summary, granularity: hourly }, { name: days, parameter: summary, granularity: daily, preset: last_7_full_days }]\nexports: [{ format: csv, to: out, per: window, path: '{{ query }}/{{ start }}' }]\n";
    workspace.write("jobs/more.yaml", job);
    let (code, document) = workspace.json(&["run", "more", "--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    let rows: Vec<u64> = document["runs"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["rows"].as_u64().unwrap())
        .collect();
    assert!(rows[0] > 12 && rows[1] == 7, "{rows:?}");
}

#[test]
fn filters_of_every_operator_reach_the_server() {
    let workspace = TestWorkspace::empty();
    let filters = [
        ("all", ""),
        ("eq", "{ field: path, op: eq, value: /pricing }"),
        ("ne", "{ field: path, op: ne, value: /pricing }"),
        ("contains", "{ field: path, op: contains, value: blog }"),
        (
            "not_contains",
            "{ field: path, op: not_contains, value: blog }",
        ),
        (
            "starts_with",
            "{ field: path, op: starts_with, value: /blog }",
        ),
        ("in", "{ field: path, op: in, value: [/pricing, /about] }"),
        (
            "not_in",
            "{ field: path, op: not_in, value: [/pricing, /about] }",
        ),
    ];
    let queries: Vec<String> = filters
        .iter()
        .map(|(name, filter)| format!("{{ name: {name}, parameter: pages, filters: [{filter}] }}"))
        .collect();
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_docs]\nqueries: [{}]\nexports: [{{ format: csv, to: out }}]\n",
        queries.join(", ")
    );
    workspace.write("jobs/more.yaml", &job);
    let (code, document) = workspace.json(&["run", "more", "--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    let paths = |name: &str| -> Vec<String> {
        let file = workspace.files(&format!("out/{name}")).remove(0);
        let csv = fs::read_to_string(workspace.path().join(file)).unwrap();
        let mut paths: Vec<String> = csv
            .lines()
            .skip(1)
            .map(|l| l.split(',').next().unwrap().to_owned())
            .collect();
        paths.sort();
        paths
    };
    let all = paths("all");
    let expected = |keep: &dyn Fn(&str) -> bool| -> Vec<String> {
        all.iter().filter(|p| keep(p)).cloned().collect()
    };
    assert_eq!(paths("eq"), ["/pricing"]);
    assert_eq!(paths("ne"), expected(&|p| p != "/pricing"));
    assert_eq!(paths("contains"), expected(&|p| p.contains("blog")));
    assert_eq!(paths("not_contains"), expected(&|p| !p.contains("blog")));
    assert_eq!(paths("starts_with"), expected(&|p| p.starts_with("/blog")));
    assert_eq!(paths("in"), ["/about", "/pricing"]);
    assert_eq!(
        paths("not_in"),
        expected(&|p| p != "/pricing" && p != "/about")
    );
}

/// Everything that the seed document names.
const SEED: &[&str] = &[
    "read:data",
    "write:data",
    "read:websites",
    "manage:websites",
    "/v1/query/websites",
    "/v1/query/types",
    "include_meta",
    "/v1/query?website_id",
    "/v1/query?link_id",
    "/v1/query/custom",
    "/batch",
    "/health",
    "x-api-key",
    "Bearer",
    "parameters",
    "startDate",
    "endDate",
    "limit",
    "filters",
    "granularity",
    "today",
    "yesterday",
    "last_7d",
    "last_14d",
    "last_30d",
    "last_90d",
    "this_week",
    "last_week",
    "this_month",
    "last_month",
    "this_year",
    "summary",
    "pages",
    "traffic",
    "browser_name",
    "os_name",
    "device_types",
    "countries",
    "cities",
    "errors",
    "performance",
    "sessions",
    "custom_events",
    "profiles",
    "outbound_links",
    "engagement",
    "link_total_clicks",
    "link_clicks_by_day",
    "link_top_referrers",
    "link_top_countries",
    "link_top_devices",
    "link_top_browsers",
    "eq",
    "ne",
    "contains",
    "starts_with",
    "in",
    "not_in",
    "type",
    "name",
    "anonymousId",
    "sessionId",
    "timestamp",
    "properties",
    "events",
    "count",
    "uniq",
    "sum",
    "avg",
    "max",
    "min",
    "groupBy",
    "AUTH_REQUIRED",
    "ACCESS_DENIED",
    "INVALID_API_KEY",
    "INSUFFICIENT_SCOPE",
    "RATE_LIMITED",
];

#[test]
fn the_coverage_page_names_everything_and_only_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/api-coverage.md")).unwrap();
    let codes: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let is_word = |c: char| c.is_alphanumeric() || "_:-".contains(c);
    for word in SEED {
        let named = if word.contains('/') {
            codes.iter().any(|code| code.contains(word))
        } else {
            codes.iter().any(|code| {
                code.split(|c| !is_word(c))
                    .any(|part| part.trim_matches(':') == *word)
            })
        };
        assert!(named, "`{word}` is missing");
    }
    let mut sources = String::new();
    let mut open = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let is_test = |code: &str| {
        code.len() > 20
            && code
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && code.matches('_').count() >= 3
    };
    let mut tests = 0;
    for code in page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| is_test(code))
    {
        assert!(
            sources.contains(&format!("fn {code}(")),
            "there is no test `{code}`"
        );
        tests += 1;
    }
    assert!(tests > 25, "only {tests} tests are named");
}

#[test]
fn a_broken_job_file_keeps_nobody_from_what_needs_no_jobs() {
    let workspace = TestWorkspace::with_examples();
    let (code, document) = workspace.json(&["run", "nightly-export", "--sandbox"]);
    assert_eq!(code, 0, "{document:#}");
    let id = document["runs"][0]["id"].as_str().unwrap();
    workspace.write("jobs/broken.yaml", "queries: [");
    for args in [
        &["runs"][..],
        &["show", id],
        &["cancel", id],
        &["pause", "nightly-export"],
        &["pause", "broken"],
        &["resume", "broken"],
        &["resend", id],
        &["vacuum"],
    ] {
        let args = [args, &["--sandbox"]].concat();
        let (code, document) = workspace.json(&args);
        assert_eq!(code, 0, "{args:?}: {document:#}");
    }
    let output = workspace.run(&["pause", "brokn", "--sandbox"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("did you mean `broken`?"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}
