//! The scheduler service, as a process.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    sync::mpsc,
};

use crate::{
    failures::{api, rows},
    workspace::TestWorkspace,
};

#[test]
fn due_jobs_run_once_a_tick_until_a_signal_ends_the_service() {
    let (tell, told) = mpsc::channel();
    let url = api(move |request| {
        let _ = tell.send(());
        rows(request)
    });
    let workspace = TestWorkspace::with_examples();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: k }}\n"),
    );
    let job = |enabled| {
        format!(
            "schedule: {{ cron: '* * * * * *' }}\nenabled: {enabled}\npreset: yesterday\nqueries: [top_pages]\nexports: [{{ format: csv, to: out/{enabled} }}]\n"
        )
    };
    workspace.write("jobs/due.yaml", &job(true));
    workspace.write("jobs/asleep.yaml", &job(false));
    let mut service = workspace
        .command(&["serve"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..3 {
        told.recv().unwrap();
    }
    let kill = Command::new("kill")
        .args(["-TERM", &service.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(service.wait().unwrap().code(), Some(0));
    let (_, document) = workspace.json(&["runs"]);
    let runs = document["runs"].as_array().unwrap();
    assert!(runs.len() >= 3, "{document:#}");
    let ticks: BTreeSet<&str> = runs.iter().map(|r| r["tick"].as_str().unwrap()).collect();
    assert_eq!(ticks.len(), runs.len(), "each tick has one run");
    for run in runs {
        assert_eq!(
            (run["job"].as_str(), run["trigger"].as_str()),
            (Some("due"), Some("schedule"))
        );
        assert!(
            matches!(run["state"].as_str(), Some("succeeded" | "cancelled")),
            "{run:#}"
        );
    }
    assert!(workspace.files("out/false").is_empty());
}
