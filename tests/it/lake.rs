//! The lake: its manifests tell what is wrong with it, and what is missing.

use std::fs;

use serde_json::{Value, json};

use crate::workspace::TestWorkspace;

/// A lake of the days before these ticks.
fn lake(ticks: &[&str], more: &str) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_tiny]\nqueries: [summary, pages]\nexports: [{{ format: parquet, to: lake }}]\n{more}"
    );
    workspace.write("jobs/nightly.yaml", &job);
    for tick in ticks {
        let (code, document) = workspace.json(&["run", "nightly", "--sandbox", "--at", tick]);
        assert_eq!(code, 0, "{document:#}");
    }
    workspace
}

fn problems(workspace: &TestWorkspace) -> (i32, Vec<String>) {
    let (code, document) = workspace.json(&["verify", "nightly", "--sandbox"]);
    let list = document["problems"].as_array().unwrap();
    let text = |p: &Value| {
        format!(
            "{} {}",
            p["path"].as_str().unwrap(),
            p["problem"].as_str().unwrap()
        )
    };
    (code, list.iter().map(text).collect())
}

#[test]
fn rows_in_another_order_and_floats_with_other_last_digits_write_nothing_again() {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let url = crate::failures::api(move |request| {
        let mut rows = vec![
            json!({ "name": "/a", "percentage": 14.470_000_000_000_1 }),
            json!({ "name": "/b", "percentage": 3 }),
        ];
        match turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => {}
            1 => {
                rows[0]["percentage"] = json!(14.470_000_000_000_102);
                rows.reverse();
            }
            _ => rows[0]["percentage"] = json!(14.5),
        }
        let id = &request.body["parameters"][0]["id"];
        crate::server::json(
            200,
            &json!({ "success": true, "data": [{ "parameter": id, "success": true, "data": rows }] }),
        )
    });
    let workspace = TestWorkspace::empty();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    workspace.write(
        "jobs/a.yaml",
        "preset: yesterday\nqueries: [top_pages]\nexports: [{ format: csv, to: lake }]\n",
    );
    let run = || workspace.json(&["run", "a"]).1["runs"][0]["artifacts"][0].clone();
    let first = run();
    let before = workspace.contents("lake");
    let second = run();
    assert_eq!(
        (&first["written"], &second["written"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(first["sha256"], second["sha256"]);
    assert_eq!(workspace.contents("lake"), before);
    assert_eq!(run()["written"], true);
}

#[test]
fn verify_finds_a_file_that_is_missing_shortened_or_changed() {
    let workspace = lake(&["2026-11-20", "2026-11-21"], "");
    assert_eq!(problems(&workspace), (0, Vec::new()));
    let file = |query: &str, day: &str| {
        workspace.path().join(format!(
            "lake/{query}/website_id=web_acme_tiny/day={day}/data.parquet"
        ))
    };
    fs::remove_file(file("pages", "2026-11-19")).unwrap();
    let summary = file("summary", "2026-11-19");
    let bytes = fs::read(&summary).unwrap();
    fs::write(&summary, &bytes[..bytes.len() - 1]).unwrap();
    let summary = file("summary", "2026-11-20");
    let mut bytes = fs::read(&summary).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&summary, bytes).unwrap();
    let (code, found) = problems(&workspace);
    assert_eq!(code, 1);
    assert_eq!(found.len(), 3, "{found:#?}");
    for (place, part) in ["it is missing", "bytes, the manifest says", "SHA-256"]
        .iter()
        .enumerate()
    {
        assert!(found[place].contains(part), "{found:#?}");
    }
    // Running the days again mends them
    for tick in ["2026-11-20", "2026-11-21"] {
        workspace.json(&["run", "nightly", "--sandbox", "--at", tick]);
    }
    assert_eq!(problems(&workspace), (0, Vec::new()));
}

#[test]
fn gaps_names_days_that_were_never_written_and_days_that_were_not_over() {
    let yesterday = |workspace: &TestWorkspace| {
        let (_, plan) = workspace.json(&["plan", "nightly", "--sandbox"]);
        plan["plans"][0]["window"]["end"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let workspace = lake(&[], "");
    let day: chrono::NaiveDate = yesterday(&workspace).parse().unwrap();
    let at = |back: u64| (day - chrono::Days::new(back)).to_string();
    // The days four and one before yesterday, and yesterday itself
    for tick in [3, 0] {
        workspace.json(&["run", "nightly", "--sandbox", "--at", &at(tick)]);
    }
    workspace.json(&["run", "nightly", "--sandbox"]);
    let (code, document) = workspace.json(&["gaps", "nightly", "--sandbox"]);
    let units: Vec<&str> = document["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["unit"].as_str().unwrap())
        .collect();
    assert_eq!((code, units), (1, vec![at(3).as_str(), at(2).as_str()]));
    for tick in [2, 1] {
        workspace.json(&["run", "nightly", "--sandbox", "--at", &at(tick)]);
    }
    let (code, document) = workspace.json(&["gaps", "nightly", "--sandbox"]);
    assert_eq!((code, &document["gaps"]), (0, &json!([])));
}

#[test]
fn a_query_and_a_website_that_came_into_a_job_later_are_gaps_of_the_days_before() {
    let workspace = lake(&["2026-11-20", "2026-11-21"], "");
    let job = fs::read_to_string(workspace.path().join("jobs/nightly.yaml")).unwrap();
    let more = job.replace("queries: [", "queries: [browsers, ");
    assert_ne!(job, more);
    workspace.write("jobs/nightly.yaml", &more);
    workspace.json(&["run", "nightly", "--sandbox", "--at", "2026-11-21"]);
    let why = |day: &str| {
        let (_, document) = workspace.json(&["gaps", "nightly", "--sandbox"]);
        let gaps = document["gaps"].as_array().unwrap().clone();
        let gap = gaps.into_iter().find(|gap| gap["unit"] == day);
        gap.map(|gap| gap["why"].as_str().unwrap().to_owned())
    };
    let before = why("2026-11-19").unwrap();
    assert!(before.contains("`browsers` of web_acme_tiny"), "{before}");
    assert_eq!(why("2026-11-20"), None);
    let range = ["--from", "2026-11-19", "--to", "2026-11-19"];
    workspace.json(&[&["backfill", "nightly", "--sandbox"][..], &range].concat());
    assert_eq!(why("2026-11-19"), None);
    // A website that the job names is expected of every day, one that a pattern finds is not
    for (websites, is_gap) in [("[web_acme_tiny, web_acme_docs]", true), ("['*']", false)] {
        workspace.write(
            "jobs/nightly.yaml",
            &more.replace("[web_acme_tiny]", websites),
        );
        workspace.json(&["run", "nightly", "--sandbox", "--at", "2026-11-21"]);
        assert_eq!(why("2026-11-19").is_some(), is_gap, "{websites}");
    }
}

#[test]
fn windows_of_different_lengths_expect_nothing_of_each_other() {
    let workspace = TestWorkspace::empty();
    let job = "preset: yesterday\nwebsites: [web_acme_tiny]\nqueries:\n  - { name: week, parameter: summary, preset: last_iso_week }\n  - { name: month, parameter: pages, preset: last_month }\nexports: [{ format: csv, to: lake, per: window }]\n";
    workspace.write("jobs/nightly.yaml", job);
    for tick in ["2026-11-20", "2026-11-21"] {
        let (code, document) = workspace.json(&["run", "nightly", "--sandbox", "--at", tick]);
        assert_eq!(code, 0, "{document:#}");
    }
    let (_, document) = workspace.json(&["gaps", "nightly", "--sandbox"]);
    let gaps = document["gaps"].to_string();
    assert!(!gaps.contains("lacks"), "{document:#}");
}

#[test]
fn a_newest_day_of_some_websites_is_a_gap_and_so_is_a_lake_that_is_not_there() {
    let workspace = lake(&["2026-11-20"], "");
    let job = fs::read_to_string(workspace.path().join("jobs/nightly.yaml")).unwrap();
    let two = job.replace("[web_acme_tiny]", "[web_acme_tiny, web_acme_docs]");
    workspace.write("jobs/nightly.yaml", &two);
    workspace.json(&["run", "nightly", "--sandbox", "--at", "2026-11-20"]);
    let some = ["--at", "2026-11-21", "--website", "web_acme_tiny"];
    workspace.json(&[&["run", "nightly", "--sandbox"][..], &some].concat());
    let gaps = || workspace.json(&["gaps", "nightly", "--sandbox"]);
    let (code, document) = gaps();
    assert!(
        code == 1 && document["gaps"][0].to_string().contains("of web_acme_docs"),
        "{document:#}"
    );
    fs::remove_dir_all(workspace.path().join("lake")).unwrap();
    let (code, document) = gaps();
    assert!(
        code == 1 && document["gaps"].to_string().contains("no manifest"),
        "{document:#}"
    );
    assert_eq!(problems(&workspace).0, 1);
}

#[test]
fn a_manifest_that_cannot_be_read_keeps_no_other_day_from_being_filled_in() {
    let workspace = lake(&["2026-11-20"], "");
    let broken = "lake/_manifests/nightly/2026-11-20.json";
    workspace.write(broken, "{");
    let range = ["--from", "2026-11-19", "--to", "2026-11-21"];
    let args = [&["backfill", "nightly", "--sandbox"][..], &range].concat();
    let output = workspace.run(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("_manifests/nightly/2026-11-20.json"),
        "{said}"
    );
    let later = "lake/_manifests/nightly/2026-11-21.json";
    assert!(workspace.path().join(later).exists());
}

#[test]
fn a_destination_that_cannot_be_written_keeps_no_other_from_it() {
    let workspace = lake(&[], "");
    let job = fs::read_to_string(workspace.path().join("jobs/nightly.yaml")).unwrap();
    let two = job.replace("exports: [", "exports: [{ format: csv, to: broken }, ");
    workspace.write("jobs/nightly.yaml", &two);
    workspace.write("broken/_manifests/nightly/2026-11-19.json", "{");
    let (code, document) = workspace.json(&["run", "nightly", "--sandbox", "--at", "2026-11-20"]);
    assert_eq!(code, 3, "{document:#}");
    let error = document["runs"][0]["error"].as_str().unwrap();
    assert!(error.contains("2026-11-19.json"), "{error}");
    let there = workspace
        .path()
        .join("lake/_manifests/nightly/2026-11-19.json");
    assert!(there.exists());
}

#[test]
fn lookback_restates_days_and_settle_decides_when_they_are_final() {
    let workspace = lake(&["2026-11-21T03:00:00Z"], "lookback: 2\nsettle: 6h\n");
    let manifest = |day: &str| -> Value {
        let file = workspace
            .path()
            .join(format!("lake/_manifests/nightly/{day}.json"));
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    assert_eq!(manifest("2026-11-18")["final"], true);
    assert_eq!(manifest("2026-11-19")["final"], true);
    // Three hours after its end the last day has not settled
    assert_eq!(manifest("2026-11-20")["final"], false);
    workspace.json(&[
        "run",
        "nightly",
        "--sandbox",
        "--at",
        "2026-11-21T06:00:00Z",
    ]);
    assert_eq!(manifest("2026-11-20")["final"], true);
}

#[test]
fn a_file_that_is_gone_and_a_manifest_that_is_broken_are_gaps_and_hide_no_others() {
    let workspace = lake(&["2026-11-20", "2026-11-21"], "");
    let gone = "lake/summary/website_id=web_acme_tiny/day=2026-11-19/data.parquet";
    fs::remove_file(workspace.path().join(gone)).unwrap();
    workspace.write("lake/_manifests/nightly/2026-11-18.json", "{");
    let (code, document) = workspace.json(&["gaps", "nightly", "--sandbox"]);
    let gaps = document["gaps"].as_array().unwrap();
    let why = |unit: &str| {
        let gap = gaps.iter().find(|gap| gap["unit"] == unit);
        gap.unwrap()["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(code, 1, "{document:#}");
    assert!(
        why("2026-11-19").contains("summary/website_id"),
        "{document:#}"
    );
    assert!(why("2026-11-18").contains("cannot be read"), "{document:#}");
    let (code, document) = workspace.json(&["verify", "nightly", "--sandbox"]);
    assert_eq!(
        (code, document["problems"].as_array().unwrap().len()),
        (1, 2),
        "{document:#}"
    );
    fs::remove_file(
        workspace
            .path()
            .join("lake/_manifests/nightly/2026-11-18.json"),
    )
    .unwrap();
    let range = ["--from", "2026-11-19", "--to", "2026-11-20"];
    let args = [&["backfill", "nightly", "--sandbox"][..], &range].concat();
    let (code, document) = workspace.json(&args);
    assert_eq!((code, &document["skipped"]), (0, &json!(1)), "{document:#}");
    assert!(workspace.path().join(gone).exists());
}

#[test]
fn no_file_is_without_columns() {
    let workspace = TestWorkspace::empty();
    let custom = |name: &str, more: &str| {
        format!(
            "{{ name: {name}, custom: {{ table: events, selects: [{{ field: time_on_page, aggregate: max }}]{more} }} }}"
        )
    };
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_tiny]\nqueries: [{}, {}]\nexports: [{{ format: parquet, to: lake }}, {{ format: csv, to: text }}]\n",
        custom("one_row", ""),
        custom("no_row", ", group_by: [path]"),
    );
    workspace.write("jobs/nightly.yaml", &job);
    // The sandbox has nothing of that day, and nobody knows what such a column holds
    run(&workspace, "2026-01-02");
    let (code, document) = workspace.json(&["verify", "nightly", "--sandbox"]);
    assert_eq!((code, &document["files"]), (0, &json!(4)), "{document:#}");
    // A day that says it, and again one that does not
    run(&workspace, "2026-11-20");
    run(&workspace, "2026-01-03");
    let names = |query: &str, day: &str| {
        let path = format!("text/{query}/website_id=web_acme_tiny/day={day}/data.csv");
        let text = fs::read_to_string(workspace.path().join(path)).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    assert_eq!(names("no_row", "2026-01-01"), "query");
    let known = names("no_row", "2026-11-19");
    assert!(known.starts_with("path,"), "{known}");
    assert_eq!(names("no_row", "2026-01-02"), known);
    let (code, document) = workspace.json(&["verify", "nightly", "--sandbox"]);
    assert_eq!((code, &document["files"]), (0, &json!(12)), "{document:#}");
}

/// A lake whose job has changed its export since the first night.
fn changed(export: &str) -> TestWorkspace {
    let workspace = lake(&["2026-11-20"], "");
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_tiny]\nqueries: [summary, pages]\nexports: [{export}]\n"
    );
    workspace.write("jobs/nightly.yaml", &job);
    workspace
}

fn run(workspace: &TestWorkspace, tick: &str) {
    let (code, document) = workspace.json(&["run", "nightly", "--sandbox", "--at", tick]);
    assert_eq!(code, 0, "{document:#}");
}

/// The paths of all data files, and of those that the manifest of a day lists.
fn files(workspace: &TestWorkspace, day: &str) -> (Vec<String>, Vec<String>) {
    let lake = workspace.path().join("lake");
    let text = |path: &std::path::PathBuf| {
        let below = path.strip_prefix(&lake).unwrap_or(path);
        below
            .to_string_lossy()
            .trim_start_matches("lake/")
            .to_owned()
    };
    let there = workspace.files("lake");
    let mut there: Vec<String> = there.iter().map(text).collect();
    there.retain(|path| !path.starts_with('_'));
    there.sort();
    let manifest = lake.join(format!("_manifests/nightly/{day}.json"));
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let listed = manifest["files"].as_array().unwrap().iter();
    let listed = listed.map(|file| file["path"].as_str().unwrap().to_owned());
    (there, listed.collect())
}

#[test]
fn files_under_old_names_go_when_path_or_format_of_an_export_change() {
    for export in [
        "{ format: parquet, to: lake, path: '{{ query }}/{{ date }}-{{ website.id }}' }",
        "{ format: csv, to: lake }",
        "{ format: csv, to: lake, compression: gzip }",
    ] {
        let workspace = changed(export);
        run(&workspace, "2026-11-20");
        let (there, listed) = files(&workspace, "2026-11-19");
        assert_eq!((there.len(), &there), (2, &listed), "{export}");
        assert_eq!(problems(&workspace), (0, Vec::new()));
        assert!(
            !workspace
                .path()
                .join("lake/_manifests/nightly/.replaced/2026-11-19.json")
                .exists()
        );
    }
}

#[test]
fn files_that_something_else_lists_stay_when_an_export_changes() {
    // The old file is one of two exports now
    let workspace = changed("{ format: parquet, to: lake }, { format: csv, to: lake }");
    run(&workspace, "2026-11-20");
    assert_eq!(files(&workspace, "2026-11-19").0.len(), 4);
    // Another job lists the old file
    let workspace = changed("{ format: csv, to: lake }");
    let manifests = workspace.path().join("lake/_manifests");
    let text = fs::read_to_string(manifests.join("nightly/2026-11-19.json")).unwrap();
    workspace.write("lake/_manifests/other/2026-11-19.json", &text);
    run(&workspace, "2026-11-20");
    let (there, listed) = files(&workspace, "2026-11-19");
    assert_eq!((there.len(), listed.len()), (4, 2), "{there:?}");
    // Somebody has put another file in the place of the old one
    let workspace = changed("{ format: csv, to: lake }");
    let old = "lake/summary/website_id=web_acme_tiny/day=2026-11-19/data.parquet";
    workspace.write(old, "mine");
    run(&workspace, "2026-11-20");
    assert_eq!(files(&workspace, "2026-11-19").0.len(), 3);
    assert!(workspace.path().join(old).exists());
}

#[test]
fn a_run_that_was_killed_before_it_removed_old_files_leaves_them_to_the_next_one() {
    let workspace = changed("{ format: csv, to: lake }");
    let lake = workspace.path().join("lake");
    let manifest = fs::read(lake.join("_manifests/nightly/2026-11-19.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let old = workspace.contents("lake");
    run(&workspace, "2026-11-20");
    // As a kill between manifest and removal leaves it
    for (path, content) in old {
        let path = if path.is_absolute() {
            path
        } else {
            workspace.path().join(path)
        };
        if path.extension().is_some_and(|e| e == "parquet") {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
    let journal = "lake/_manifests/nightly/.replaced/2026-11-19.json";
    workspace.write(journal, &manifest["files"].to_string());
    assert_eq!(files(&workspace, "2026-11-19").0.len(), 4);
    run(&workspace, "2026-11-21");
    let (there, _) = files(&workspace, "2026-11-19");
    assert!(
        there.iter().all(|path| path.contains("/data.csv")),
        "{there:?}"
    );
    assert_eq!(there.len(), 4);
    assert!(!workspace.path().join(journal).exists());
    assert_eq!(problems(&workspace), (0, Vec::new()));
}
