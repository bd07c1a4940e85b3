//! The scheduler service, as a process.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::{
    failures::{api, full_disk, rows},
    server,
    workspace::TestWorkspace,
};

/// A `serve` at work; killed when dropped.
struct Service {
    child: Child,
    address: String,
    /// What it says on standard error, line by line.
    said: mpsc::Receiver<String>,
}

impl Service {
    fn start(workspace: &TestWorkspace) -> Self {
        Self::start_with(workspace, &[])
    }

    fn start_with(workspace: &TestWorkspace, env: &[(&str, &str)]) -> Self {
        let mut child = workspace
            .command(&["serve", "-v"])
            .env("DATABUDDY_JOBS_WEB_LISTEN", "127.0.0.1:0")
            .envs(env.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, said) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let mut service = Self {
            child,
            address: String::new(),
            said,
        };
        let line = service.hear("listening on http://");
        line.rsplit("http://")
            .next()
            .unwrap()
            .clone_into(&mut service.address);
        service
    }

    /// Waits for a line with these words.
    fn hear(&self, words: &str) -> String {
        let mut heard = Vec::new();
        loop {
            let Ok(line) = self.said.recv() else {
                panic!("`{words}` was not said, but: {heard:#?}");
            };
            if line.contains(words) {
                return line;
            }
            heard.push(line);
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn end(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }

    /// Status and body of a page.
    fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let token = token.map_or_else(String::new, |t| format!("authorization: Bearer {t}\r\n"));
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\n{token}connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: u32, name: &str) {
    let kill = Command::new("kill")
        .args([name, &process.to_string()])
        .status();
    assert!(kill.unwrap().success());
}

fn workspace(url: &str) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    let settings = format!("api: {{ url: '{url}', key: k }}\n");
    workspace.write("databuddy-jobs.yaml", &settings);
    workspace
}

fn job(keys: &str, to: &str) -> String {
    format!(
        "{keys}\npreset: yesterday\nqueries: [top_pages]\nexports: [{{ format: csv, to: out/{to} }}]\n"
    )
}

const EACH_SECOND: &str = "schedule: { cron: '* * * * * *', overlap: queue }";

/// Waits until the runs of the store are so; each look starts a process, so that nothing spins.
fn wait_for(workspace: &TestWorkspace, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    loop {
        let (_, mut document) = workspace.json(&["runs", "--limit", "1000"]);
        let Value::Array(runs) = document["runs"].take() else {
            panic!("{document:#}");
        };
        if is_so(&runs) {
            return runs;
        }
    }
}

fn of<'a>(runs: &'a [Value], key: &str, value: &str) -> Vec<&'a Value> {
    runs.iter().filter(|run| run[key] == value).collect()
}

#[test]
fn due_jobs_run_once_a_tick_until_a_signal_ends_the_service() {
    let (tell, told) = mpsc::channel();
    let url = api(move |request| {
        let _ = tell.send(());
        rows(request)
    });
    let workspace = workspace(&url);
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    let asleep = format!("{EACH_SECOND}\nenabled: false");
    workspace.write("jobs/asleep.yaml", &job(&asleep, "asleep"));
    let service = Service::start(&workspace);
    for _ in 0..3 {
        told.recv().unwrap();
    }
    assert_eq!(service.end(), Some(0));
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
            matches!(run["state"].as_str(), Some("succeeded" | "queued")),
            "{run:#}"
        );
    }
    assert!(workspace.files("out/asleep").is_empty());
}

#[test]
fn a_tick_due_while_the_job_still_runs_is_recorded_as_skipped() {
    let (tell, told) = mpsc::channel();
    let url = api(move |_| {
        let _ = tell.send(());
        None
    });
    let workspace = workspace(&url);
    workspace.write(
        "jobs/slow.yaml",
        &job("schedule: { cron: '* * * * * *' }", "slow"),
    );
    let service = Service::start(&workspace);
    told.recv().unwrap();
    let runs = wait_for(&workspace, |runs| of(runs, "state", "skipped").len() >= 2);
    assert_eq!(of(&runs, "state", "running").len(), 1);
    assert!(runs[0]["error"].as_str().unwrap().contains("overlap: skip"));
    drop(service);
}

/// Runs statements on the store of a project.
fn sql(workspace: &TestWorkspace, statements: &[&str]) {
    sql_in(workspace, ".databuddy-jobs/state.db", statements);
}

fn sql_in(workspace: &TestWorkspace, file: &str, statements: &[&str]) {
    let file = workspace.path().join(file);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}", file.display());
        let pool = sqlx::AnyPool::connect(&url).await.unwrap();
        for statement in statements {
            let statement = sqlx::AssertSqlSafe((*statement).to_owned());
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        pool.close().await;
    });
}

#[test]
fn old_runs_are_forgotten_and_what_was_sent_is_not() {
    let workspace = TestWorkspace::with_examples();
    let run = ["run", "weekly-report", "--sandbox"];
    let first = workspace.json(&run).1;
    assert_eq!(
        first["runs"][0]["deliveries"][0]["state"], "sent",
        "{first:#}"
    );
    workspace.json(&run);
    let age = |days: i64| {
        format!(
            "UPDATE runs SET created_ms = created_ms - {days} * 86400000 WHERE id = '{}'",
            first["runs"][0]["id"].as_str().unwrap()
        )
    };
    let store = ".databuddy-jobs/sandbox/state.db";
    sql_in(&workspace, store, &[&age(399)]);
    assert_eq!(
        workspace.json(&["vacuum", "--sandbox"]).1["runs_removed"],
        0
    );
    sql_in(&workspace, store, &[&age(2)]);
    assert_eq!(
        workspace.json(&["vacuum", "--sandbox"]).1["runs_removed"],
        1
    );
    assert_eq!(
        workspace.json(&["runs", "--sandbox"]).1["runs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let again = workspace.json(&run).1;
    assert_eq!(again["runs"][0]["deliveries"][0]["state"], "already_sent");
}

#[test]
fn a_store_that_was_backed_up_while_it_ran_knows_what_was_sent() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    let service = Service::start(&workspace);
    wait_for(&workspace, |runs| of(runs, "state", "succeeded").len() >= 2);
    let backup = workspace.path().join("backup.db");
    sql(
        &workspace,
        &[&format!("VACUUM INTO '{}'", backup.display())],
    );
    assert_eq!(service.end(), Some(0));
    let state = workspace.path().join(".databuddy-jobs/state.db");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", state.display()));
    }
    std::fs::copy(&backup, &state).unwrap();
    let runs = wait_for(&workspace, |_| true);
    let kept = of(&runs, "state", "succeeded").len();
    assert!(kept >= 2, "{runs:#?}");
    // The ticks since the backup are made up for, each once
    let service = Service::start(&workspace);
    let runs = wait_for(&workspace, |runs| {
        of(runs, "state", "succeeded").len() > kept + 2
    });
    let ticks: BTreeSet<&str> = runs
        .iter()
        .map(|run| run["tick"].as_str().unwrap())
        .collect();
    assert_eq!(ticks.len(), runs.len());
    assert_eq!(service.end(), Some(0));
}

/// Moves the watermark of a job back.
fn set_watermark(workspace: &TestWorkspace, job: &str, back: chrono::TimeDelta) {
    let ms = back.num_milliseconds();
    let set =
        format!("UPDATE schedules SET watermark_ms = watermark_ms - {ms} WHERE job = '{job}'");
    sql(workspace, &[&set]);
}

#[test]
fn ticks_missed_while_nothing_ran_are_made_up_for_as_the_job_says() {
    let workspace = workspace(&api(rows));
    // Twelve hours from now, so that no tick falls into the test
    let hour = chrono::DateTime::from_timestamp(
        std::fs::metadata(workspace.path())
            .unwrap()
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .cast_signed()
            + 12 * 3600,
        0,
    );
    let hour = hour.unwrap().format("%H").to_string();
    for rule in ["none", "latest", "all"] {
        let keys = format!("schedule: {{ cron: '0 {hour} * * *', catch_up: {rule} }}");
        workspace.write(&format!("jobs/{rule}.yaml"), &job(&keys, rule));
    }
    let service = Service::start(&workspace);
    while service.get("/readyz", None).0 != 200 {}
    assert_eq!(service.end(), Some(0));
    let names = ["none", "latest", "all"];
    for name in names {
        set_watermark(&workspace, name, chrono::TimeDelta::days(3));
    }
    let service = Service::start(&workspace);
    let runs = wait_for(&workspace, |runs| {
        of(runs, "state", "succeeded").len() == 4 && of(runs, "state", "skipped").len() == 2
    });
    assert_eq!(service.end(), Some(0));
    let states = |name: &str| {
        let mut runs: Vec<(&str, &str)> = of(&runs, "job", name)
            .into_iter()
            .map(|run| {
                (
                    run["tick"].as_str().unwrap(),
                    run["state"].as_str().unwrap(),
                )
            })
            .collect();
        runs.sort_unstable();
        runs.into_iter().map(|(_, state)| state).collect::<Vec<_>>()
    };
    assert_eq!(states("none"), ["skipped"]);
    assert_eq!(states("latest"), ["skipped", "succeeded"]);
    assert_eq!(states("all"), ["succeeded"; 3]);
    assert!(runs.iter().all(|run| run["trigger"] == "catch_up"));
    let skipped = of(&runs, "state", "skipped");
    assert!(skipped.iter().all(|run| {
        run["error"]
            .as_str()
            .unwrap()
            .contains("were missed while nothing ran")
    }));
    // Each reports the days of its own tick
    let windows: BTreeSet<&str> = of(&runs, "job", "all")
        .iter()
        .map(|run| run["window"]["end"].as_str().unwrap())
        .collect();
    assert_eq!(windows.len(), 3);
}

#[test]
fn job_files_are_taken_up_changed_and_dropped_while_the_service_runs() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/one.yaml", &job(EACH_SECOND, "one"));
    let service = Service::start(&workspace);
    wait_for(&workspace, |runs| !of(runs, "job", "one").is_empty());
    workspace.write("jobs/two.yaml", &job(EACH_SECOND, "two"));
    workspace.write("jobs/one.yaml", "schedule: { cron: 'no' }\n");
    service.hear("its last good version is used");
    let broken = wait_for(&workspace_of(&workspace), |runs| {
        !of(runs, "job", "two").is_empty()
    });
    assert!(
        service
            .get("/metrics", None)
            .1
            .contains("databuddy_jobs_jobs_broken 1\n")
    );
    // The broken one goes on as it was
    let before = of(&broken, "job", "one").len();
    wait_for(&workspace_of(&workspace), |runs| {
        of(runs, "job", "one").len() > before
    });
    std::fs::remove_file(workspace.path().join("jobs/two.yaml")).unwrap();
    workspace.write("jobs/one.yaml", &job(EACH_SECOND, "elsewhere"));
    service.hear("removed");
    service.hear("taken up");
    while workspace.files("out/elsewhere").is_empty() {
        let _ = service.get("/healthz", None);
    }
    assert!(
        service
            .get("/metrics", None)
            .1
            .contains("databuddy_jobs_jobs_broken 0\n")
    );
    assert_eq!(service.end(), Some(0));
}

#[test]
fn a_job_file_that_would_write_the_files_of_another_job_waits_until_it_does_not() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/one.yaml", &job(EACH_SECOND, "one"));
    let service = Service::start(&workspace);
    wait_for(&workspace, |runs| !of(runs, "job", "one").is_empty());
    workspace.write("jobs/two.yaml", &job(EACH_SECOND, "one"));
    let said = service.hear("its last good version is used");
    for words in ["jobs/two.yaml:4:", "the job `one` would write"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // What is logged first is seen there a little later
    let wait_for_broken = |count: usize| {
        let line = format!("databuddy_jobs_jobs_broken {count}\n");
        while !service.get("/metrics", None).1.contains(&line) {}
    };
    wait_for_broken(1);
    workspace.write("jobs/one.yaml", &job(EACH_SECOND, "elsewhere"));
    let seen = workspace_of(&workspace);
    wait_for(&seen, |runs| !of(runs, "job", "two").is_empty());
    wait_for_broken(0);
    assert_eq!(service.end(), Some(0));
    let own = |path: &std::path::PathBuf| path.starts_with("out/one/_manifests/two");
    assert!(workspace.files("out/one").iter().any(own));
}

#[test]
fn settings_are_read_again_on_a_signal_and_what_needs_a_restart_is_named() {
    let url = api(rows);
    let workspace = workspace(&url);
    let settings = |url: &str, folder: &str| {
        format!(
            "api: {{ url: '{url}', key: k }}\nmail: {{ url: 'dir:out/{folder}', from: jobs@example.org }}\n"
        )
    };
    workspace.write("databuddy-jobs.yaml", &settings(&url, "one"));
    let keys = format!("{EACH_SECOND}\non_success: [{{ email: [ops@example.org] }}]");
    workspace.write("jobs/due.yaml", &job(&keys, "due"));
    let service = Service::start(&workspace);
    let wait_for_mail = |folder: &str| {
        while workspace.files(folder).is_empty() {
            let _ = service.get("/healthz", None);
        }
    };
    wait_for_mail("out/one");
    // Another address is not gone to while the service runs
    let other = settings("http://127.0.0.1:1", "two");
    workspace.write("databuddy-jobs.yaml", &other);
    service.signal("-HUP");
    let line = service.hear("needs a restart");
    assert!(line.contains("api.url"), "{line}");
    service.hear("the settings were read again");
    wait_for_mail("out/two");
    workspace.write("databuddy-jobs.yaml", "mail: { url: 3 }\n");
    service.signal("-HUP");
    service.hear("the settings are broken: those before stay");
    workspace.write("databuddy-jobs.yaml", &settings(&url, "three"));
    service.signal("-HUP");
    service.hear("the settings were read again");
    wait_for_mail("out/three");
    assert_eq!(service.end(), Some(0));
}

/// The same store, seen by a project whose job files are whole.
fn workspace_of(workspace: &TestWorkspace) -> TestWorkspace {
    let other = TestWorkspace::empty();
    let store = workspace.path().join(".databuddy-jobs/state.db");
    let settings = format!(
        "api: {{ key: k }}\nstore: {{ url: 'sqlite://{}' }}\n",
        store.display()
    );
    other.write("databuddy-jobs.yaml", &settings);
    other.write("jobs/other.yaml", &job("", "x"));
    other
}

#[test]
fn a_paused_job_has_no_ticks_until_it_is_resumed() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    workspace.write("jobs/beside.yaml", &job(EACH_SECOND, "beside"));
    let service = Service::start(&workspace);
    wait_for(&workspace, |runs| !runs.is_empty());
    assert_eq!(workspace.json(&["pause", "due"]).0, 0);
    let (_, listed) = workspace.json(&["list"]);
    let paused: Vec<bool> = listed["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["paused"].as_bool().unwrap())
        .collect();
    assert_eq!(paused, [false, true]);
    let runs = wait_for(&workspace, |_| true);
    let (due, beside) = (
        of(&runs, "job", "due").len(),
        of(&runs, "job", "beside").len(),
    );
    let runs = wait_for(&workspace, |runs| {
        of(runs, "job", "beside").len() >= beside + 4
    });
    assert!(of(&runs, "job", "due").len() <= due + 1, "{runs:#?}");
    let (_, resumed) = workspace.json(&["resume", "due"]);
    assert_eq!(resumed["paused"], false);
    let due = of(&runs, "job", "due").len();
    wait_for(&workspace, |runs| of(runs, "job", "due").len() >= due + 3);
    assert_eq!(service.end(), Some(0));
}

#[test]
fn a_run_is_cancelled_from_another_process() {
    let (tell, told) = mpsc::channel();
    let url = api(move |_| {
        let _ = tell.send(());
        None
    });
    let workspace = workspace(&url);
    workspace.write(
        "jobs/slow.yaml",
        &job("schedule: { cron: '* * * * * *' }", "slow"),
    );
    let service = Service::start(&workspace);
    told.recv().unwrap();
    let runs = wait_for(&workspace, |runs| !of(runs, "state", "running").is_empty());
    let id = of(&runs, "state", "running")[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    workspace.write(
        "jobs/slow.yaml",
        &job("schedule: { cron: '0 0 1 1 *' }", "slow"),
    );
    let (code, answer) = workspace.json(&["cancel", &id]);
    assert_eq!((code, answer["outcome"].as_str()), (0, Some("asked")));
    let runs = wait_for(&workspace, |runs| {
        !of(runs, "state", "cancelled").is_empty()
    });
    assert_eq!(of(&runs, "state", "cancelled")[0]["id"], id.as_str());
    assert!(workspace.files("out").is_empty());
    drop(service);
}

#[test]
fn a_run_by_hand_is_left_to_the_service() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/by-hand.yaml", &job("", "by-hand"));
    let (code, queued) = workspace.json(&["run", "by-hand", "--queue"]);
    let run = &queued["runs"][0];
    assert_eq!(
        (code, run["state"].as_str(), run["trigger"].as_str()),
        (0, Some("queued"), Some("manual"))
    );
    assert!(workspace.files("out").is_empty());
    let service = Service::start(&workspace);
    let runs = wait_for(&workspace, |runs| runs[0]["state"] == "succeeded");
    assert_eq!(runs[0]["id"], run["id"]);
    assert!(!workspace.files("out/by-hand").is_empty());
    assert_eq!(service.end(), Some(0));
}

#[test]
fn what_waits_of_a_job_whose_file_went_while_nothing_ran_is_cancelled() {
    let workspace = workspace(&api(rows));
    for name in ["gone", "kept"] {
        workspace.write(&format!("jobs/{name}.yaml"), &job("", name));
        assert_eq!(workspace.json(&["run", name, "--queue"]).0, 0);
    }
    std::fs::remove_file(workspace.path().join("jobs/gone.yaml")).unwrap();
    let service = Service::start(&workspace);
    let over = |run: &Value| run["state"] != "queued" && run["state"] != "running";
    let runs = wait_for(&workspace, |runs| runs.iter().all(over));
    let (gone, kept) = (of(&runs, "job", "gone")[0], of(&runs, "job", "kept")[0]);
    assert_eq!(kept["state"], "succeeded");
    assert_eq!(
        (&gone["state"], &gone["error"]),
        (&"cancelled".into(), &"its job has no file any more".into())
    );
    assert_eq!(service.end(), Some(0));
}

#[test]
fn what_nobody_could_be_told_is_told_while_the_service_runs() {
    let (tell, told) = mpsc::channel();
    let is_up = std::sync::Arc::new(AtomicBool::new(false));
    let up = std::sync::Arc::clone(&is_up);
    let hook = server::serve(move |request: &server::Request| {
        if up.load(Ordering::Relaxed) {
            let _ = tell.send(request.body["subject"].as_str().unwrap().to_owned());
        }
        server::json(
            if up.load(Ordering::Relaxed) { 200 } else { 500 },
            &Value::Null,
        )
    });
    let workspace = workspace(&api(|_| {
        let answer = serde_json::json!({ "success": false, "error": "no", "code": "FORBIDDEN" });
        server::json(403, &answer)
    }));
    let keys = format!("on_failure: [{{ webhook: '{hook}/' }}]");
    workspace.write("jobs/by-hand.yaml", &job(&keys, "by-hand"));
    assert_eq!(workspace.json(&["run", "by-hand"]).0, 1);
    is_up.store(true, Ordering::Relaxed);
    // A minute later
    sql(&workspace, &["UPDATE notices SET due_ms = due_ms - 60000"]);
    let service = Service::start(&workspace);
    assert_eq!(told.recv().unwrap(), "by-hand fails");
    assert_eq!(service.end(), Some(0));
    assert!(told.try_recv().is_err(), "it is told once");
}

#[test]
fn a_run_that_was_taken_from_here_is_not_taken_up_before_it_has_ended_here() {
    let (tell, told) = mpsc::channel();
    let workspace = workspace(&api(move |request| {
        if request.body.to_string().contains("2026-01-05") {
            let _ = tell.send(());
            return None;
        }
        rows(request)
    }));
    let settings = std::fs::read_to_string(workspace.path().join("databuddy-jobs.yaml")).unwrap();
    // It does not notice during the test
    let settings = format!("{settings}runner: {{ lease: 1h }}\n");
    workspace.write("databuddy-jobs.yaml", &settings);
    let days = "window: { start: 2026-01-05, end: 2026-01-05 }";
    let slow = job("", "slow").replace("preset: yesterday", days);
    workspace.write("jobs/slow.yaml", &slow);
    workspace.write("jobs/beside.yaml", &job(EACH_SECOND, "beside"));
    workspace.json(&["run", "slow", "--queue"]);
    let service = Service::start(&workspace);
    told.recv().unwrap();
    // As if its runner were cut off
    let queued =
        "UPDATE runs SET state = 'queued', fence = fence + 1, runner = NULL, process = NULL,
        not_before_ms = 0 WHERE job = 'slow'";
    sql(&workspace, &[queued]);
    let ended = |runs: &[Value]| {
        let beside = of(runs, "job", "beside");
        beside
            .iter()
            .filter(|run| run["state"] == "succeeded")
            .count()
    };
    let before = ended(&wait_for(&workspace, |_| true));
    let runs = wait_for(&workspace, |runs| ended(runs) >= before + 3);
    assert_eq!(of(&runs, "job", "slow")[0]["state"], "queued");
    assert!(told.try_recv().is_err());
    // Another runner may take it up
    let other = Service::start(&workspace);
    told.recv().unwrap();
    drop((service, other));
}

#[test]
fn a_run_by_hand_that_was_killed_is_told_by_the_service() {
    let (tell, told) = mpsc::channel();
    let hook = server::serve(move |request: &server::Request| {
        let _ = tell.send(request.body.clone());
        server::json(200, &Value::Null)
    });
    let (begin, begun) = mpsc::channel();
    let workspace = workspace(&api(move |_| {
        let _ = begin.send(());
        None
    }));
    let keys = format!("on_failure: [{{ webhook: '{hook}/' }}]");
    workspace.write("jobs/by-hand.yaml", &job(&keys, "by-hand"));
    let mut run = workspace.command(&["run", "by-hand"]).spawn().unwrap();
    begun.recv().unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    let service = Service::start(&workspace);
    let body = told.recv().unwrap();
    assert_eq!(body["subject"], "by-hand fails");
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .contains("was stopped before")
    );
    assert_eq!(service.end(), Some(0));
}

#[test]
fn a_store_whose_disk_was_full_goes_on_once_there_is_room_and_loses_no_tick() {
    let workspace = workspace(&api(rows));
    let settings = std::fs::read_to_string(workspace.path().join("databuddy-jobs.yaml")).unwrap();
    let settings = format!("{settings}runner: {{ lease: 3s }}\n");
    workspace.write("databuddy-jobs.yaml", &settings);
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    let shim = full_disk(&workspace);
    let full = workspace.path().join("full");
    let env = [
        ("LD_PRELOAD", shim.to_str().unwrap()),
        ("FULL_DISK", "/.databuddy-jobs/state.db"),
        ("FULL_DISK_WHILE", full.to_str().unwrap()),
    ];
    let service = Service::start_with(&workspace, &env);
    let succeeded = |runs: &[Value]| of(runs, "state", "succeeded").len();
    wait_for(&workspace, |runs| succeeded(runs) >= 2);
    workspace.write("full", "");
    for _ in 0..3 {
        let line = service.hear("the store could not be used");
        assert!(
            line.contains("full") && line.contains("free space"),
            "{line}"
        );
    }
    let before = wait_for(&workspace, |_| true).len();
    std::fs::remove_file(full).unwrap();
    let runs = wait_for(&workspace, |runs| succeeded(runs) >= before + 4);
    assert_eq!(service.end(), Some(0));
    let mut ticks: Vec<DateTime<Utc>> = runs
        .iter()
        .map(|run| run["tick"].as_str().unwrap().parse().unwrap())
        .collect();
    ticks.sort();
    for pair in ticks.windows(2) {
        assert_eq!(pair[1] - pair[0], TimeDelta::seconds(1), "{ticks:?}");
    }
    for run in &runs {
        let is_whole = matches!(
            run["state"].as_str(),
            Some("succeeded" | "queued" | "running")
        );
        assert!(is_whole, "{run:#}");
    }
}

#[test]
fn a_run_that_was_killed_runs_again_for_the_same_tick() {
    let (tell, told) = mpsc::channel();
    let hangs = AtomicBool::new(true);
    let url = api(move |request| {
        let _ = tell.send(());
        if hangs.swap(false, Ordering::Relaxed) {
            return None;
        }
        rows(request)
    });
    let workspace = workspace(&url);
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    let mut service = Service::start(&workspace);
    told.recv().unwrap();
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    // It is over for nobody: it waits for whoever comes
    let runs = wait_for(&workspace, |_| true);
    let killed = runs.last().unwrap().clone();
    assert_eq!(
        (killed["state"].as_str(), &killed["attempts"]),
        (Some("queued"), &Value::from(1))
    );
    let service = Service::start(&workspace);
    let runs = wait_for(&workspace, |runs| {
        runs.last().unwrap()["state"] == "succeeded"
    });
    let again = runs.last().unwrap();
    assert_eq!(
        (&again["id"], &again["tick"]),
        (&killed["id"], &killed["tick"])
    );
    assert_eq!(again["attempts"], 2);
    assert_eq!(service.end(), Some(0));
}

#[test]
fn what_does_not_end_in_time_is_handed_back() {
    let (tell, told) = mpsc::channel();
    let url = api(move |_| {
        let _ = tell.send(());
        None
    });
    let workspace = workspace(&url);
    workspace.write(
        "jobs/slow.yaml",
        &job("schedule: { cron: '* * * * * *' }", "slow"),
    );
    let mut service = Service::start(&workspace);
    told.recv().unwrap();
    service.signal("-TERM");
    service.hear("runs under way may end");
    service.signal("-TERM");
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    let runs = wait_for(&workspace, |_| true);
    assert!(of(&runs, "state", "running").is_empty(), "{runs:#?}");
    assert_eq!(of(&runs, "state", "queued").len(), 1);
    assert!(workspace.files(".databuddy-jobs/staging").is_empty());
}

#[test]
fn a_run_that_a_restart_interrupts_has_all_its_attempts() {
    let (tell, told) = mpsc::channel();
    let hangs = AtomicBool::new(true);
    let url = api(move |_| {
        let _ = tell.send(());
        if hangs.swap(false, Ordering::Relaxed) {
            return None;
        }
        Some((503, String::new(), "{}".to_owned()))
    });
    let workspace = workspace(&url);
    let keys = "retry: { attempts: 2, backoff: 2h, max_backoff: 3h }";
    workspace.write("jobs/by-hand.yaml", &job(keys, "by-hand"));
    workspace.json(&["run", "by-hand", "--queue"]);
    let mut service = Service::start(&workspace);
    told.recv().unwrap();
    service.signal("-TERM");
    service.hear("runs under way may end");
    service.signal("-TERM");
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    let service = Service::start(&workspace);
    let runs = wait_for(&workspace, |runs| {
        let state = &runs[0]["state"];
        runs[0]["attempts"] == 2 && state != "running"
    });
    let error = runs[0]["error"].as_str().unwrap();
    assert_eq!(runs[0]["state"], "queued", "{error}");
    assert!(error.starts_with("waits 7200 s"), "{error}");
    assert_eq!(service.end(), Some(0));
}

#[test]
fn a_long_retry_waits_in_the_queue_and_not_in_the_runner() {
    let fails = |_: &crate::server::Request| Some((503, String::new(), "{}".to_owned()));
    let workspace = workspace(&api(fails));
    let keys =
        "schedule: { cron: '* * * * * *' }\nretry: { attempts: 3, backoff: 2h, max_backoff: 3h }";
    workspace.write("jobs/due.yaml", &job(keys, "due"));
    let service = Service::start(&workspace);
    let waits = |runs: &[Value]| {
        runs.iter()
            .any(|run| run["state"] == "queued" && run["attempts"] == 1)
    };
    let runs = wait_for(&workspace, waits);
    let run = runs.iter().find(|run| run["attempts"] == 1).unwrap();
    assert!(
        run["error"]
            .as_str()
            .unwrap()
            .starts_with("waits 7200 s for its next attempt"),
        "{run:#}"
    );
    assert!(
        service
            .get("/metrics", None)
            .1
            .contains("databuddy_jobs_runs_under_way 0\n")
    );
    assert_eq!(service.end(), Some(0));
}

#[test]
fn it_says_how_it_is_and_asks_for_the_token() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    let service = Service::start_with(&workspace, &[("DATABUDDY_JOBS_WEB_TOKEN", "s3cret")]);
    wait_for(&workspace, |runs| {
        !of(runs, "state", "succeeded").is_empty()
    });
    assert_eq!(service.get("/healthz", None), (200, "ok\n".to_owned()));
    assert_eq!(service.get("/readyz", None), (200, "ok\n".to_owned()));
    assert_eq!(service.get("/metrics", None).0, 401);
    assert_eq!(service.get("/metrics", Some("wrong")).0, 401);
    assert_eq!(service.get("/elsewhere", None).0, 401);
    assert_eq!(service.get("/elsewhere", Some("s3cret")).0, 404);
    let (status, page) = service.get("/metrics", Some("s3cret"));
    assert_eq!(status, 200);
    assert!(page.contains("databuddy_jobs_jobs 1\n"), "{page}");
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("databuddy_jobs_"), "{line}");
        value.parse::<f64>().unwrap();
    }
    assert!(
        page.contains("databuddy_jobs_runs_ended_total{state=\"succeeded\"}"),
        "{page}"
    );
    assert_eq!(service.end(), Some(0));
}

#[test]
fn it_does_not_listen_beyond_this_machine_without_a_token() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    let output = workspace
        .command(&["serve"])
        .env("DATABUDDY_JOBS_WEB_LISTEN", "0.0.0.0:0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("`web.token`") && said.contains("0.0.0.0:0"),
        "{said}"
    );
}

#[test]
fn systemd_hears_that_it_is_ready_and_lives() {
    let workspace = workspace(&api(rows));
    workspace.write("jobs/due.yaml", &job(EACH_SECOND, "due"));
    let path = workspace.path().join("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let env = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "600000"),
    ];
    let service = Service::start_with(&workspace, &env);
    let hear = |words: &str| loop {
        let mut message = [0; 256];
        let size = socket.recv(&mut message).unwrap();
        if String::from_utf8_lossy(&message[..size]).contains(words) {
            return;
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    service.signal("-TERM");
    hear("STOPPING=1");
    drop(service);
}
