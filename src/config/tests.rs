//! Settings and jobs from real files.

use super::*;
use crate::domain::query::Source;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn load_with(files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Project, Problems> {
    let folder = project(files);
    load(
        folder.path(),
        &Environment::from_pairs(env.iter().copied()),
        &Options::default(),
    )
}

/// The problems of one job file, as (line, column, message and hint).
fn problems_of(text: &str) -> Vec<(usize, usize, String)> {
    let problems = load_with(&[("jobs/a.yaml", text)], &[]).unwrap_err();
    let one = |p: &Problem| {
        let hint = p.hint.clone().unwrap_or_default();
        (p.line, p.column, format!("{} | {hint}", p.message))
    };
    problems.iter().map(one).collect()
}

const FINE: &str = "preset: yesterday\nqueries: [summary]\n";

#[test]
fn a_file_with_ten_mistakes_reports_ten_problems_in_one_pass() {
    let text = "\
descripton: Nightly
schedule:
  cron: '0 25 * * *'
  timezone: Europe/Berln
websites: 7
preset: yesterdy
slack: x
queries:
  - pages
  - name: blog
    parameter: pages
    filters: [{ field: pth, op: startswith, value: /blog }]
    limit: 0
exports:
  - format: parquett
    to: s4://bucket/x
    queries: [page]
timeout: soon
";
    let found = problems_of(text);
    let expected = [
        (1, 1, "unknown key `descripton`", "`description`"),
        (3, 12, "`25` is no hour", "day-of-week"),
        (4, 13, "unknown time zone `Europe/Berln`", "`Europe/Berlin`"),
        (5, 11, "`websites` must be `all` or a list or a mapping", ""),
        (6, 9, "unknown preset `yesterdy`", "`yesterday`"),
        (7, 1, "unknown key `slack`", ""),
        (12, 33, "`op` cannot be `startswith`", "`starts_with`"),
        (13, 12, "`limit` must lie between 1", ""),
        (15, 13, "`format` cannot be `parquett`", "`parquet`"),
        (16, 9, "`s4://` is no destination", "write a directory"),
        (18, 10, "`soon` is no duration", "30s"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, column, message, hint), (at, place, text)) in expected.iter().zip(&found) {
        assert_eq!((line, column), (at, place), "{text}");
        assert!(text.contains(message) && text.contains(hint), "{text}");
    }
}

#[test]
fn keys_that_are_right_alone_and_wrong_together_are_found_in_one_pass() {
    let text = "\
preset: yesterday
window: { start: 2026-02-01, end: 2026-01-01 }
queries:
  - { name: blog, parameter: pages, filters: [{ field: browser, op: in, value: Chrome }] }
  - { name: blog, parameter: top_pages, columns: { pageview: int64 } }
exports:
  - { format: csv, to: out, path: '{{ query }}/x', queries: [blgo] }
  - { format: csv, to: ./out, path: '{{query}}/{{ date }}' }
  - { format: csv, to: out, path: '{{ query }}/{{ date }}', compression: snappy }
reports:
  - { template: weekly, to: [ann@example.org, Ann <ANN@example.org>] }
  - { template: weekly, to: [bob@example.org] }
";
    let found = problems_of(text);
    let expected = [
        (2, "exclude each other"),
        (4, "`browser` is no filter field"),
        (4, "`in` takes a list"),
        (5, "two queries are called `blog`"),
        (5, "no column `pageview` | did you mean `pageviews`"),
        (7, "lacks {{ date }}"),
        (7, "no query `blgo` | did you mean `blog`"),
        (9, "both write the files of `blog`"),
        (9, "snappy is for Parquet"),
        (11, "named twice"),
        (12, "two reports are called `weekly`"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, part), (at, _, text)) in expected.iter().zip(&found) {
        assert_eq!(line, at, "{text}");
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn what_yaml_itself_gets_wrong_is_found_with_its_place() {
    for (text, line, part) in [
        (
            "preset: yesterday\npreset: today\nqueries: [summary]\n",
            2,
            "`preset` is set twice",
        ),
        ("preset: [yesterday\nqueries: [summary]\n", 2, "no YAML"),
        (
            "preset: yesterday\nqueries: [summary]\n---\npreset: today\n",
            3,
            "second document",
        ),
        (
            "base: &b { x: 1 }\n<<: *b\npreset: yesterday\nqueries: [summary]\n",
            2,
            "merge keys",
        ),
        ("- preset\n", 1, "`the file` must be a mapping"),
        ("", 0, "lacks `queries`"),
        (
            "preset: yesterday\n",
            1,
            "lacks `queries` | add `queries: [summary, pages]`",
        ),
        ("queries: [summary]\n", 1, "lacks `preset` or `window`"),
        (
            "preset: yesterday\nqueries: [summary]\nretry: { attempts: '3' }\n",
            3,
            "remove the quotes",
        ),
        (
            "preset: yesterday\nqueries: [summary]\nenabled: yes\n",
            3,
            "`enabled` must be true or false",
        ),
        ("preset: yesterday\nqueries: []\n", 2, "is empty"),
    ] {
        let found = problems_of(text);
        let hit = found.iter().find(|(_, _, message)| {
            message
                .replace("the file must", "`the file` must")
                .contains(part)
        });
        let hit = hit.unwrap_or_else(|| panic!("{part} is missing in: {found:#?}"));
        assert_eq!(hit.0, line, "{found:#?}");
    }
    let deep = format!("queries: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(
        problems_of(&deep)[0].2.contains("levels"),
        "nesting is limited"
    );
}

#[test]
fn a_file_with_a_byte_order_mark_is_read() {
    let text = format!("\u{feff}{FINE}");
    assert_eq!(
        load_with(&[("jobs/a.yaml", &text)], &[])
            .unwrap()
            .jobs
            .len(),
        1
    );
}

#[test]
fn defaults_and_environment_reach_the_job_and_secrets_do_not_print() {
    let files = [
        (
            "databuddy-jobs.yaml",
            "api: { key: '${KEY}' }\ndefaults: { schedule: { timezone: Europe/Berlin }, retry: { attempts: 7 } }",
        ),
        (
            "jobs/a.yaml",
            "schedule: { cron: '0 2 * * *' }\npreset: yesterday\nqueries: [summary]\napi: { key: '${OWN}' }",
        ),
        ("jobs/b.yaml", FINE),
    ];
    let env = [("KEY", "dbdy_secret"), ("OWN", "dbdy_own")];
    let project = load_with(&files, &env).unwrap();
    let (a, b) = (&project.jobs[0], &project.jobs[1]);
    assert_eq!(a.timezone, chrono_tz::Tz::Europe__Berlin);
    assert_eq!(a.retry.attempts, 7);
    assert_eq!(a.api_key.as_ref().unwrap().expose(), "dbdy_own");
    // A job without a schedule gets none from the defaults, but their zone
    assert!(b.schedule.is_none());
    assert_eq!(b.timezone, chrono_tz::Tz::Europe__Berlin);
    let printed = format!("{:?}{:?}", project.settings, project.jobs);
    assert!(!printed.contains("dbdy_"), "{printed}");
}

#[test]
fn problems_never_show_a_secret() {
    let files = [
        (
            "databuddy-jobs.yaml",
            "api: { key: dbdy_literal, auth: cookie }\nmail: { url: 'smtp://u:geheim@h', from: 'no address' }\n",
        ),
        ("jobs/a.yaml", "preset: '${PRESET}'\nqueries: [summary]\n"),
    ];
    let text = load_with(&files, &[("PRESET", "dbdy_from_env")])
        .unwrap_err()
        .to_string();
    for secret in ["dbdy_", "geheim"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(
        text.contains("`auth` cannot be `cookie`") && text.contains("unknown preset `***`"),
        "{text}"
    );
}

#[test]
fn positions_survive_defaults_and_the_command_line() {
    let files = [
        (
            "databuddy-jobs.yaml",
            "defaults:\n  retry: { attempts: 3 }\n  timeout: later\n",
        ),
        (
            "jobs/a.yaml",
            "preset: yesterday\nqueries: [summary]\nenabled: 1\n",
        ),
    ];
    let folder = project(&files);
    let options = Options {
        set: vec![
            ("retry.backoff".to_owned(), "never".to_owned()),
            ("queries.7".to_owned(), "pages".to_owned()),
        ],
        ..Options::default()
    };
    let problems = load(folder.path(), &Environment::from_pairs([]), &options).unwrap_err();
    let text = problems.to_string();
    assert_eq!(problems.iter().count(), 4, "{text}");
    for part in [
        "--set retry.backoff=never: `never` is no duration",
        "--set queries.7=pages: the list has no place `7`",
        "databuddy-jobs.yaml:3:12: `later` is no duration",
        "a.yaml:3:10: `enabled` must be true or false",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn a_value_cannot_change_the_structure() {
    let files = [(
        "jobs/a.yaml",
        "description: '${D}'\npreset: yesterday\nqueries: [summary]",
    )];
    let project = load_with(&files, &[("D", "x\nenabled: false")]).unwrap();
    assert!(project.jobs[0].enabled);
    assert_eq!(project.jobs[0].description, "x\nenabled: false");
}

#[test]
fn a_missing_variable_and_an_unknown_job_are_problems() {
    let found = problems_of("description: ${NOPE}\npreset: yesterday\nqueries: [summary]");
    assert_eq!((found[0].0, found[0].1), (1, 14));
    assert!(found[0].2.contains("`NOPE`"), "{found:?}");
    let folder = project(&[("jobs/nightly.yaml", FINE)]);
    let options = Options {
        only: vec!["nigthly".to_owned()],
        ..Options::default()
    };
    let problems = load(folder.path(), &Environment::from_pairs([]), &options).unwrap_err();
    assert!(
        problems.to_string().contains("did you mean `nightly`"),
        "{problems}"
    );
}

#[test]
fn two_jobs_that_would_write_the_same_files_are_a_problem() {
    let job = format!("{FINE}exports: [{{ format: csv, to: out }}]\n");
    let problems = load_with(&[("jobs/a.yaml", &job), ("jobs/b.yaml", &job)], &[]).unwrap_err();
    let text = problems.to_string();
    assert!(
        text.contains("b.yaml:3:") && text.contains("`a` would write the same files"),
        "{text}"
    );
}

#[test]
fn a_path_cannot_lie_where_the_program_keeps_manifests_locks_and_unfinished_files() {
    for path in [
        "_manifests/a/{{ query }}-{{ date }}",
        "/_schemas/{{ query }}/{{ date }}",
        "x/.databuddy-jobs.a.{{ query }}{{ date }}",
    ] {
        let exports = format!("exports: [{{ format: csv, to: out, path: '{path}' }}]\n");
        let found = problems_of(&format!("{FINE}{exports}"));
        assert!(found[0].2.contains("what it needs itself"), "{found:?}");
    }
}

#[test]
fn a_query_type_that_only_a_server_may_know_is_a_warning() {
    let job = "preset: yesterday\nqueries: [sumary]\nexports: [{ format: csv, to: out }]\n";
    let project = load_with(&[("jobs/a.yaml", job)], &[]).unwrap();
    let warning = &project.warnings[0];
    assert_eq!((warning.line, warning.column), (2, 11));
    assert_eq!(warning.hint.as_deref(), Some("did you mean `summary`?"));
}

#[test]
fn settings_report_every_problem_with_its_place() {
    let text = "api:\n  urll: https://x\n  days: UTC\n  max_in_flight: 99\nstore: { url: 'mysql://x' }\nweb: { listen: here }\n";
    let problems =
        load_with(&[("databuddy-jobs.yaml", text), ("jobs/a.yaml", FINE)], &[]).unwrap_err();
    let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6], "{problems}");
}

/// Sets each key of the schema to its default: the job must be the same as without the key.
#[test]
fn the_defaults_of_the_schema_are_those_of_the_code() {
    let base = serde_json::json!({
        "schedule": { "cron": "0 2 * * *" }, "preset": "yesterday", "queries": [{ "parameter": "pages" }],
        "exports": [{ "format": "csv", "to": "out" }], "reports": [{ "template": "weekly", "to": ["a@example.org"], "together": true, "attach": [{ "query": "pages" }] }],
    });
    let schema = job_schema();
    let mut checked = 0;
    for (place, definition) in [
        ("", "/properties"),
        ("/retry", "/$defs/RetryKeys/properties"),
        ("/schedule", "/$defs/ScheduleKeys/properties"),
        ("/schedule/dst", "/$defs/DstKeys/properties"),
        ("/exports/0", "/$defs/ExportKeys/properties"),
        ("/reports/0", "/$defs/ReportKeys/properties"),
        ("/reports/1/to/0", "/$defs/ChannelKeys/properties"),
        ("/reports/0/attach/0", "/$defs/AttachKeys/properties"),
        ("/queries/0", "/$defs/LongQuery/properties"),
    ] {
        for (key, entry) in schema.pointer(definition).unwrap().as_object().unwrap() {
            let Some(default) = entry
                .get("default")
                .filter(|d| !d.is_null() && !d.is_object())
            else {
                continue;
            };
            let mut job = base.clone();
            if place == "/retry" {
                job["retry"] = serde_json::json!({});
            }
            if place == "/schedule/dst" {
                job["schedule"]["dst"] = serde_json::json!({});
            }
            let under = job.pointer_mut(place).unwrap().as_object_mut().unwrap();
            under.entry(key.clone()).or_insert(default.clone());
            let [with, without] = [&job, &base].map(|job| {
                let folder = project(&[("jobs/a.yaml", &job.to_string())]);
                let project = load(
                    folder.path(),
                    &Environment::from_pairs([]),
                    &Options::default(),
                );
                let mut job = project.unwrap().jobs.remove(0);
                job.definition_hash.clear();
                format!("{job:?}").replace(folder.path().to_str().unwrap(), "")
            });
            assert_eq!(with, without, "{place}/{key}");
            checked += 1;
        }
    }
    assert!(
        checked >= 10,
        "only {checked} defaults were found in the schema"
    );
}

/// Every example of the schema is accepted where it stands.
#[test]
fn the_examples_of_the_schema_are_valid() {
    let base = serde_json::json!({
        "preset": "yesterday", "queries": [{ "parameter": "pages", "filters": [{ "field": "path", "op": "starts_with", "value": "/blog" }] }, "summary",
            { "name": "c", "custom": { "table": "events", "selects": [{ "field": "*", "aggregate": "count" }], "filters": [{ "field": "x", "op": "gte", "value": 1 }] } },
            { "name": "l", "parameter": "link_clicks_by_day", "link": "l1" }],
        "schedule": { "cron": "0 2 * * *" }, "window": { "start": "2026-01-01", "end": "2026-01-31" },
        "exports": [{ "format": "parquet", "to": "out" }], "reports": [{ "template": "weekly", "to": ["a@example.org"], "together": true, "attach": [{ "query": "summary" }] },
            { "name": "posted", "template": "weekly", "to": [{ "webhook": "https://h.example/a" }] }], "websites": {}, "api": {}, "retry": {},
        "on_failure": [{ "email": ["a@example.org"], "event": { "website": "w", "name": "n" }, "webhook": "https://h.example/a" }],
    });
    let schema = job_schema();
    let mut checked = 0;
    for (place, definition) in [
        ("", "/properties"),
        ("/schedule", "/$defs/ScheduleKeys/properties"),
        ("/window", "/$defs/DaysKeys/properties"),
        ("/on_failure/0", "/$defs/HookKeys/properties"),
        ("/on_failure/0/event", "/$defs/EventKeys/properties"),
        ("/api", "/$defs/JobApiKeys/properties"),
        ("/websites", "/$defs/WebsiteLists/properties"),
        ("/exports/0", "/$defs/ExportKeys/properties"),
        ("/reports/0", "/$defs/ReportKeys/properties"),
        ("/queries/0", "/$defs/LongQuery/properties"),
        ("/queries/0/filters/0", "/$defs/FilterKeys/properties"),
        ("/queries/2/custom", "/$defs/CustomKeys/properties"),
        (
            "/queries/2/custom/selects/0",
            "/$defs/SelectKeys/properties",
        ),
        (
            "/queries/2/custom/filters/0",
            "/$defs/CustomFilterKeys/properties",
        ),
        ("/queries/3", "/$defs/LongQuery/properties"),
    ] {
        for (key, entry) in schema.pointer(definition).unwrap().as_object().unwrap() {
            // Keys that go with types of links, or of websites, are tried where they belong
            let is_entry = ["/queries/0", "/queries/3"].contains(&place);
            if is_entry && (place == "/queries/3") != (key == "link") {
                continue;
            }
            for example in entry["examples"].as_array().into_iter().flatten() {
                let mut job = base.clone();
                job.pointer_mut(place).unwrap()[key] = example.clone();
                if key == "slack" && place == "/reports/1/to/0" {
                    let channel = job.pointer_mut(place).unwrap();
                    channel.as_object_mut().unwrap().remove("webhook");
                }
                // Of the two that exclude each other, the one under test stays
                job.as_object_mut()
                    .unwrap()
                    .remove(if key == "window" || place == "/window" {
                        "preset"
                    } else {
                        "window"
                    });
                if key == "name" && place == "/queries/0" || key == "queries" {
                    job["exports"] = serde_json::json!([]);
                }
                let folder = project(&[("jobs/a.yaml", &job.to_string())]);
                let env = Environment::from_pairs([("OTHER_KEY", "k")]);
                if let Err(problems) = load(folder.path(), &env, &Options::default()) {
                    panic!("{place}/{key}: {example}: {problems}");
                }
                checked += 1;
            }
        }
    }
    assert!(
        checked >= 25,
        "only {checked} examples were found in the schema"
    );
}

#[test]
fn a_custom_query_and_links_are_read_and_their_mistakes_found() {
    let job = "\
preset: yesterday
queries:
  - name: us_pages
    custom:
      table: events
      selects: [{ field: '*', aggregate: count, alias: views }, { field: anonymous_id, aggregate: uniq }]
      filters: [{ field: country, operator: eq, value: US }]
      groupBy: [path]
    columns: { views: int64 }
  - { name: campaign, parameter: link_clicks_by_day, link: [l1, l2] }
exports: [{ format: csv, to: out }]
";
    let project = load_with(&[("jobs/a.yaml", job)], &[]).unwrap();
    assert!(project.warnings.is_empty(), "{:?}", project.warnings);
    let queries = &project.jobs[0].queries;
    let Source::Custom(custom) = &queries[0].source else {
        panic!("{queries:?}")
    };
    let body = custom.body("events").to_string();
    assert_eq!(
        body,
        r#"{"table":"events","selects":[{"field":"*","aggregate":"count","alias":"views"},{"field":"anonymous_id","aggregate":"uniq","alias":"uniq_anonymous_id"}],"filters":[{"field":"country","operator":"eq","value":"US"}],"groupBy":["path"]}"#
    );
    assert_eq!(queries[1].links, ["l1", "l2"]);

    let found = problems_of("\
preset: yesterday
queries:
  - { name: a, custom: { table: events, selects: [{ field: '*', aggregate: sum }] } }
  - { name: b, custom: { table: events, selects: [] }, filters: [{ field: path, op: eq, value: x }] }
  - { name: c, parameter: pages, custom: { table: events, selects: [{ field: '*', aggregate: count }] } }
  - { name: d }
  - link_total_clicks
  - { name: e, parameter: pages, link: l1 }
  - { name: f, custom: { table: events, selects: [{ field: x, aggregate: median }], group_by: [a, b, c, d, e, f] } }
");
    let expected = [
        (4, "`selects` is empty"),
        (9, "`aggregate` cannot be `median`"),
        (9, "`group_by` has 6 entries"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, part), (at, _, text)) in expected.iter().zip(&found) {
        assert!(line == at && text.contains(part), "{text}");
    }

    let found = problems_of("\
preset: yesterday
queries:
  - { name: a, custom: { table: events, selects: [{ field: '*', aggregate: sum }] } }
  - { name: b, custom: { table: events, selects: [{ field: '*', aggregate: count }] }, filters: [{ field: path, op: eq, value: x }] }
  - { name: c, parameter: pages, custom: { table: events, selects: [{ field: '*', aggregate: count }] } }
  - { name: d }
  - link_total_clicks
  - { name: e, parameter: pages, link: l1 }
exports: [{ format: csv, to: out }]
");
    let expected = [
        (3, "`*` can be counted"),
        (4, "`filters` does not apply to a custom query"),
        (4, "`path` is no filter field"),
        (5, "exclude each other"),
        (6, "lacks `parameter` or `custom`"),
        (7, "add `link: ID`"),
        (8, "remove `link`"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, part), (at, _, text)) in expected.iter().zip(&found) {
        assert!(
            line == at && text.contains(part),
            "{part} is missing in: {text}"
        );
    }
}

#[test]
fn stores_and_destinations_that_do_not_fit_each_other_are_found_at_their_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("jobs")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "jobs/a.yaml",
        "preset: yesterday
queries: [summary]
exports:
  - { format: csv, to: 's3://lake/a' }
  - { format: csv, to: 'az://blobs' }
  - { format: csv, to: 'gs://lake2' }
",
    );
    write(
        "databuddy-jobs.yaml",
        "stores:
  lake:
    account: acme
    access_key_id: AKIDEXAMPLE
    session_token: secret-token-1
  lake2:
    endpont: http://x
  lake3: {}
",
    );
    let problems = |env: &[(&str, &str)]| {
        let env = Environment::from_pairs(env.iter().copied());
        let loaded = load(folder.path(), &env, &Options::default());
        let problems = loaded.unwrap_err();
        let text = problems.render();
        let found: Vec<_> = problems
            .iter()
            .map(|p| (p.line, p.message.clone()))
            .collect();
        (found, text)
    };
    let (_, text) = problems(&[]);
    assert!(text.contains("unknown key `endpont`") && text.contains("did you mean `endpoint`?"));
    write(
        "databuddy-jobs.yaml",
        "stores:
  lake:
    account: acme
    access_key_id: AKIDEXAMPLE
    session_token: secret-token-1
  lake3: {}
",
    );
    let (found, text) = problems(&[]);
    let expected = [
        (4, "`access_key_id` lacks its `secret_access_key`"),
        (
            3,
            "`account` is of Azure Blob Storage, and `s3://lake/a` is S3",
        ),
        (5, "`az://blobs` lacks its storage account"),
    ];
    for (line, message) in expected {
        assert!(found.contains(&(line, message.to_owned())), "{found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(
        text.contains("`stores.blobs.account`") && !text.contains("AKIDEXAMPLE"),
        "{text}"
    );

    // The environment may name the account; an entry that nothing uses is a slip
    write("databuddy-jobs.yaml", "stores:\n  lake3: {}\n");
    let env = Environment::from_pairs([("AZURE_STORAGE_ACCOUNT_NAME", "acme")]);
    let project = load(folder.path(), &env, &Options::default()).unwrap();
    assert_eq!(project.warnings.len(), 1, "{:#?}", project.warnings);
    let warning = &project.warnings[0];
    assert_eq!(
        (warning.line, warning.message.as_str()),
        (2, "no job writes to the bucket `lake3`")
    );
    assert_eq!(warning.hint.as_deref(), Some("did you mean `lake`?"));
}

#[test]
fn an_entry_of_stores_reaches_the_settings_and_its_secrets_do_not_print() {
    let folder = tempfile::tempdir().unwrap();
    let text = "stores:
  lake:
    bucket: real-lake
    endpoint: http://127.0.0.1:9000
    region: eu-central-1
    path_style: false
    access_key_id: AKIDEXAMPLE
    secret_access_key: very-secret
    session_token: token-secret
  vault: { account: acme, sas_token: sas-secret }
  g: { service_account: keys/g.json }
";
    std::fs::write(folder.path().join("databuddy-jobs.yaml"), text).unwrap();
    let (_, settings) = load_settings(folder.path(), &Environment::from_pairs([]), false).unwrap();
    let lake = &settings.stores["lake"];
    assert_eq!(lake.bucket.as_deref(), Some("real-lake"));
    assert_eq!(lake.path_style, Some(false));
    let keys = lake.keys.as_ref().unwrap();
    assert_eq!(keys.secret_access_key.expose(), "very-secret");
    let file = settings.stores["g"].service_account.as_ref().unwrap();
    assert_eq!(*file, folder.path().join("keys/g.json"));
    let shown = format!("{settings:?}");
    for secret in ["very-secret", "token-secret", "sas-secret", "AKIDEXAMPLE"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
