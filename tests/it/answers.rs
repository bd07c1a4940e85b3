//! Answers that are odd in their form: nothing of them reaches a file, and nothing goes on for ever.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::{
    failures::api,
    server::{Answer, Request},
    workspace::TestWorkspace,
};

/// Runs a job of one query against a server that answers so, by the number of the page and of the try of
/// that page, from 1; exit code, the run, and how often the server was asked.
fn run(
    answer: impl Fn(&Request, u64, usize) -> String + Send + Sync + 'static,
) -> (i32, Value, usize, TestWorkspace) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let tries = [const { AtomicUsize::new(0) }; 4];
    let url = api(move |request| -> Answer {
        // A test must end also where the program would not
        if counted.fetch_add(1, Ordering::Relaxed) > 20 {
            return None;
        }
        let page = request.body["page"].as_u64().unwrap_or(1);
        let turn = tries[usize::try_from(page).unwrap()].fetch_add(1, Ordering::Relaxed) + 1;
        Some((200, String::new(), answer(request, page, turn)))
    });
    let workspace = TestWorkspace::empty();
    let settings = format!("api: {{ url: '{url}', key: k }}\n");
    workspace.write("databuddy-jobs.yaml", &settings);
    workspace.write(
        "jobs/x.yaml",
        "preset: yesterday\nqueries: [top_pages]\nretry: { attempts: 1 }\ntimeout: 1m\nexports: [{ format: jsonl, to: lake }]\n",
    );
    let (code, mut document) = workspace.json(&["run", "x", "--at", "2026-11-20"]);
    let asked = asked.load(Ordering::Relaxed);
    (code, document["runs"][0].take(), asked, workspace)
}

fn id(request: &Request) -> &Value {
    &request.body["parameters"][0]["id"]
}

fn usual(request: &Request, rows: &[Value]) -> String {
    let part = json!({ "parameter": id(request), "success": true, "data": rows });
    json!({ "success": true, "data": [part] }).to_string()
}

/// The part before the word that says whether it is good.
fn reversed(request: &Request, rows: &[Value]) -> String {
    let part = json!({ "data": rows, "parameter": id(request), "success": true });
    json!({ "data": [part], "success": true }).to_string()
}

fn full_page(more: impl Fn(usize) -> Value) -> Vec<Value> {
    let rows = (0..10_000).map(|n| json!({ "name": format!("/{n}"), "more": more(n) }));
    rows.collect()
}

#[test]
fn a_page_in_another_form_keeps_the_columns_of_those_before() {
    for last in [
        json!({ "name": "/last" }),
        json!({ "name": "/last", "more": null }),
    ] {
        let (code, run, asked, _) = run(move |request, page, _| match page {
            1 => usual(request, &full_page(|n| json!(n))),
            _ => reversed(request, std::slice::from_ref(&last)),
        });
        assert_eq!((code, &run["rows"]), (0, &json!(10_001)), "{run:#}");
        assert_eq!(asked, 2);
    }
}

#[test]
fn a_page_that_is_asked_for_again_is_held_to_the_types_of_those_before() {
    let (code, run, _, workspace) = run(|request, page, turn| match (page, turn) {
        (1, _) => usual(request, &full_page(|_| json!("text"))),
        (_, 1) => "{\"success\":true,\"requ".to_owned(),
        _ => usual(request, &[json!({ "name": "/last", "more": { "a": 1 } })]),
    });
    let error = run["steps"][0]["error"].as_str().unwrap();
    assert!(
        code == 1 && error.contains("`more`") && error.contains("nested"),
        "{error}"
    );
    assert!(
        workspace
            .files("lake")
            .iter()
            .all(|f| f.extension().unwrap() != "jsonl")
    );
}

#[test]
fn a_value_that_does_not_fit_does_not_hide_that_the_answer_is_no_good_one() {
    let (code, run, _, _) = run(|request, page, turn| match (page, turn) {
        (1, _) => usual(request, &full_page(|_| json!("text"))),
        (_, 1) => usual(request, &[json!({ "name": "/", "more": { "a": 1 } })])
            .replace("}]}]}", "}]}],\"success\":false}"),
        _ => usual(request, &[json!({ "name": "/last", "more": "fits" })]),
    });
    assert_eq!((code, &run["rows"]), (0, &json!(10_001)), "{run:#}");
}

#[test]
fn an_answer_of_many_levels_is_an_error_and_the_program_goes_on() {
    for (before, after) in [
        ("\"z\":", ","),
        (
            "\"data\":[{\"parameter\":\"p\",\"success\":true,\"data\":[{\"a\":",
            "}]}],",
        ),
    ] {
        let (code, run, _, _) = run(move |_, _, _| {
            let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
            format!("{{\"success\":true,{before}{deep}{after}\"x\":1}}")
        });
        assert!(matches!(code, 1 | 75), "{code}");
        let error = run["steps"][0]["error"].as_str().unwrap();
        assert!(error.contains("deeper than 128 levels"), "{error}");
    }
}

#[test]
fn rows_beside_an_error_are_not_taken() {
    let (code, run, _, _) = run(|request, _, _| {
        let part = json!({ "parameter": id(request), "success": true, "data": [{ "name": "/" }], "error": "cut off" });
        json!({ "success": true, "data": [part] }).to_string()
    });
    assert_eq!(code, 75, "{run:#}");
    assert!(
        run["steps"][0]["error"]
            .as_str()
            .unwrap()
            .contains("cut off")
    );
}

#[test]
fn half_a_character_of_a_text_that_javascript_has_cut_is_no_reason_to_fail() {
    let (code, run, _, workspace) = run(|request, page, _| match page {
        1 => usual(request, &full_page(|n| json!(n.to_string())))
            .replace("\"9999\"", r#""cut \ud83d""#),
        _ => {
            usual(request, &[json!({ "name": "x", "more": "MORE" })]).replace("MORE", r"\ud83d cut")
        }
    });
    assert_eq!(code, 0, "{run:#}");
    let file = workspace
        .files("lake")
        .into_iter()
        .find(|f| f.extension().unwrap() == "jsonl");
    let text = std::fs::read_to_string(workspace.path().join(file.unwrap())).unwrap();
    assert!(text.contains("\"cut \u{fffd}\"") && text.contains("\"\u{fffd} cut\""));
}
