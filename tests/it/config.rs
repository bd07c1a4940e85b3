//! Settings and job files through the real program.

use std::{fs, path::Path};

use crate::workspace::TestWorkspace;

fn repository(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = TestWorkspace::with_examples().run(args);
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_reference_pages_are_those_that_the_program_writes() {
    let jobs = printed(&["schema", "--markdown", "jobs"]);
    assert_eq!(
        repository("docs/jobs.md"),
        jobs,
        "run `databuddy-jobs schema --markdown jobs > docs/jobs.md`"
    );
    let types = printed(&["schema", "--markdown", "types"]);
    assert_eq!(
        repository("docs/query-types.md"),
        types,
        "run `databuddy-jobs schema --markdown types > docs/query-types.md`"
    );
    let settings = printed(&["schema", "--markdown", "settings"]);
    assert!(
        repository("docs/settings.md").contains(&settings),
        "put the output of `schema --markdown settings` into docs/settings.md"
    );
}

#[test]
fn the_schema_is_a_json_schema_that_refuses_unknown_keys() {
    let schema: serde_json::Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert!(
        schema["$schema"]
            .as_str()
            .unwrap()
            .contains("json-schema.org")
    );
    assert_eq!(schema["required"], serde_json::json!(["queries"]));
}

#[test]
fn check_reports_every_problem_of_every_file_for_people_and_for_machines() {
    let workspace = TestWorkspace::with_examples();
    workspace.write("databuddy-jobs.yaml", "api: { kee: x }\n");
    workspace.write("jobs/broken.yaml", "preset: yesterdy\nqueris: [summary]\n");
    let output = workspace.run(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    for part in [
        "databuddy-jobs.yaml:1:8: unknown key `kee`",
        "broken.yaml:1:9: unknown preset `yesterdy`",
        "    1 | preset: yesterdy",
        "      |         ^^^^^^^^",
        "hint: did you mean `queries`?",
        "3 problems",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let (code, document) = workspace.json(&["check"]);
    assert_eq!(code, 2);
    let problems = document["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 3);
    assert_eq!(
        (problems[1]["line"].as_u64(), problems[1]["column"].as_u64()),
        (Some(1), Some(9))
    );
}

#[test]
fn check_finds_misspelt_arguments_and_queries_in_templates_before_anything_runs() {
    let workspace = TestWorkspace::with_examples();
    let job = "preset: yesterday\nqueries: [summary]\nreports:\n  - template: own\n    to: [a@example.org]\n";
    workspace.write("jobs/own.yaml", job);
    let html = "<p>\n{{ top(qury=q.summary) }} {{ 1 | num(decimls=2) }}\n</p>";
    for (name, text) in [
        (
            "report.yaml",
            "queries: { summary: {} }\noptional: { events: {} }",
        ),
        ("subject.txt", "x"),
        ("body.html", html),
        ("body.txt", "x"),
    ] {
        workspace.write(&format!("templates/own/{name}"), text);
    }
    let refused = |parts: &[&str]| {
        let output = workspace.run(&["check"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    };
    refused(&[
        "templates/own/body.html:2:4: top(…): there is no argument `qury`: did you mean `query`?",
        "    2 | {{ top(qury=q.summary) }}",
        "templates/own/body.html:2:34: num(…): there is no argument `decimls`",
        "2 problems",
    ]);
    let names = "{{ q.sumary.rows }}\n{{ q.events.rows }}{% if q.goals is defined %}x{% endif %}";
    workspace.write("templates/own/body.html", names);
    refused(&[
        "templates/own/body.html:1:6: `q.sumary` is no query of this report",
        "templates/own/body.html:2:6: the job has no query `events`",
        "2 problems",
    ]);
    workspace.write("templates/own/body.html", "{{ q.summary.rows | length }}");
    assert_eq!(workspace.run(&["check"]).status.code(), Some(0));
}

#[test]
fn check_finds_a_template_that_is_missing_broken_or_lacks_its_queries() {
    let workspace = TestWorkspace::with_examples();
    let job = |template: &str| {
        format!(
            "preset: yesterday\nqueries: [summary]\nreports:\n  - template: {template}\n    to: [a@example.org]\n"
        )
    };
    workspace.write("jobs/lacking.yaml", &job("weekly"));
    workspace.write("jobs/missing.yaml", &job("monthly"));
    workspace.write("jobs/broken.yaml", &job("broken"));
    for (name, text) in [
        ("report.yaml", "queries: {}"),
        ("subject.txt", "x"),
        ("body.html", "{{ unclosed"),
        ("body.txt", "x"),
    ] {
        workspace.write(&format!("templates/broken/{name}"), text);
    }
    let output = workspace.run(&["check"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in [
        "lacking.yaml:4:15: the template `weekly` needs a query named `pages`",
        "missing.yaml:4:15: ",
        "broken.yaml:4:15: ",
        "body.html",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}
