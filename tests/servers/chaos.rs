//! Runners that are killed, stopped, cut off from their store and started again at random, while jobs
//! are due each second and months of missed ticks are made up for: every tick has one run, nothing is
//! written or sent twice, nothing is lost.
//!
//! The clock of the test is the work that gets done: it waits for runs that end. How much is done to
//! the runners says `DATABUDDY_JOBS_CHAOS` (a number of blows), their order its `_SEED`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use sqlx::{AnyPool, Row};

use crate::{
    Test, postgres,
    proxy::Proxy,
    server::{self, Request},
    sink,
    workspace::TestWorkspace,
};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("chaos_three_runners_on_one_postgres", three_on_postgres),
    ("chaos_one_runner_on_sqlite", one_on_sqlite),
];

/// Days of ticks that were missed before anything runs.
const DAYS: usize = 12;

/// Runs that make up for them.
const HISTORY_RUNS: i64 = 24;

const RECIPIENTS: [&str; 2] = ["ann@example.org", "bob@example.org"];

/// Jobs that are due each second.
const SECONDS: [&str; 3] = ["second-a", "second-b", "second-c"];

/// Jobs that make up for missed days, with a mail for each.
const HISTORIES: [&str; 2] = ["history-a", "history-b"];

fn number(name: &str, default: u64) -> u64 {
    let found = std::env::vars().find(|(key, _)| key == name);
    found.map_or(default, |(_, value)| value.parse().unwrap())
}

fn answer(request: &Request) -> server::Answer {
    match request.path.split('?').next().unwrap() {
        "/v1/query/types" => server::json(
            200,
            &json!({ "success": true, "types": ["top_pages"], "configs": {} }),
        ),
        "/v1/query/websites" => server::json(
            200,
            &json!({ "success": true, "websites": [{ "id": "web_1", "name": "One", "domain": "one.example" }] }),
        ),
        _ => server::data(
            request,
            |_, day| json!([{ "name": format!("/{day}"), "pageviews": 3 }]),
        ),
    }
}

/// Where the store is, and how the test looks into it.
struct Store {
    /// The address that each runner has, through a proxy of its own where there is one.
    urls: Vec<String>,
    proxies: Vec<Proxy>,
    runtime: tokio::runtime::Runtime,
    pool: AnyPool,
}

impl Store {
    fn new(urls: Vec<String>, proxies: Vec<Proxy>, own: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        sqlx::any::install_default_drivers();
        let pool = runtime.block_on(AnyPool::connect(own)).unwrap();
        Self {
            urls,
            proxies,
            runtime,
            pool,
        }
    }

    fn rows(&self, sql: &'static str) -> Vec<sqlx::any::AnyRow> {
        self.runtime
            .block_on(sqlx::query(sql).fetch_all(&self.pool))
            .unwrap()
    }

    fn count(&self, sql: &'static str) -> i64 {
        self.rows(sql)[0].get(0)
    }

    /// Runs that ended.
    fn ended(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM runs WHERE state IN ('succeeded', 'partially_succeeded', 'failed')")
    }

    /// Waits until so many further runs have ended.
    fn wait_for(&self, further: i64) {
        let enough = self.ended() + further;
        while self.ended() < enough {
            std::thread::yield_now();
        }
    }
}

/// One runner of the fleet; killed when dropped.
struct Runner(Child);

impl Runner {
    /// Starts one, and waits until it is there for signals.
    fn start(workspace: &TestWorkspace, url: &str, log: &str) -> Self {
        let path = workspace.path().join(log);
        let starts = || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.matches("scheduled jobs; Ctrl-C stops").count()
        };
        let before = starts();
        let log = fs::OpenOptions::new().create(true).append(true).open(&path);
        let child = workspace
            .command(&["serve", "-v"])
            .env("DATABUDDY_JOBS_STORE", url)
            .env("DATABUDDY_JOBS_WEB_LISTEN", "127.0.0.1:0")
            .stderr(log.unwrap())
            .stdout(Stdio::null())
            .spawn();
        let mut runner = Self(child.unwrap());
        while starts() == before {
            assert!(
                runner.0.try_wait().unwrap().is_none(),
                "{}",
                fs::read_to_string(&path).unwrap()
            );
            std::thread::yield_now();
        }
        runner
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([name, &self.0.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn project(mail_port: u16) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    let url = server::serve(answer);
    workspace.write(
        "databuddy-jobs.yaml",
        &format!(
            "api: {{ url: '{url}', key: k, requests_per_minute: 10000 }}\nmail: {{ url: 'smtp://127.0.0.1:{mail_port}?tls=none', from: jobs@example.org }}\nrunner: {{ lease: 3s, grace: 1s }}\n"
        ),
    );
    workspace.write("templates/day/report.yaml", "queries: { top_pages: {} }\n");
    workspace.write(
        "templates/day/subject.txt",
        "{{ job.name }} {{ window.end }}",
    );
    workspace.write("templates/day/body.html", "<p>{{ window.end }}</p>");
    workspace.write("templates/day/body.txt", "{{ window.end }}");
    for name in SECONDS {
        let job = format!(
            "schedule: {{ cron: '* * * * * *', overlap: queue, catch_up: all }}\npreset: yesterday\nqueries: [top_pages]\nexports: [{{ format: csv, to: out/{name} }}]\n"
        );
        workspace.write(&format!("jobs/{name}.yaml"), &job);
    }
    for name in HISTORIES {
        let to = RECIPIENTS.join(", ");
        let job = format!(
            "schedule: {{ cron: '0 1 * * *', overlap: queue, catch_up: all }}\npreset: yesterday\nqueries: [top_pages]\nexports: [{{ format: csv, to: out/{name} }}]\nreports: [{{ template: day, to: [{to}] }}]\n"
        );
        workspace.write(&format!("jobs/{name}.yaml"), &job);
    }
    workspace
}

fn three_on_postgres() {
    let database = postgres::database();
    let port = database
        .split(':')
        .nth(2)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let proxies: Vec<Proxy> = (0..3)
        .map(|_| Proxy::start(port.parse().unwrap()))
        .collect();
    let urls = proxies
        .iter()
        .map(|proxy| database.replace(port, &proxy.port().to_string()));
    let urls = urls.collect();
    let (mail_port, taken) = sink::start();
    let workspace = project(mail_port);
    migrate(&workspace, &database);
    let store = Store::new(urls, proxies, &database);
    storm(&workspace, &store, &taken);
}

fn one_on_sqlite() {
    let (mail_port, taken) = sink::start();
    let workspace = project(mail_port);
    let url = format!(
        "sqlite://{}",
        workspace.path().join(".databuddy-jobs/state.db").display()
    );
    migrate(&workspace, &url);
    let store = Store::new(vec![url.clone()], Vec::new(), &url);
    storm(&workspace, &store, &taken);
}

/// Makes the tables.
fn migrate(workspace: &TestWorkspace, url: &str) {
    let listed = workspace
        .command(&["list"])
        .env("DATABUDDY_JOBS_STORE", url)
        .output();
    assert!(listed.unwrap().status.success());
}

/// Lets the history jobs have missed their days.
fn go_back(store: &Store) {
    while store.count("SELECT COUNT(*) FROM schedules WHERE job LIKE 'history%'") < 2 {
        std::thread::yield_now();
    }
    let sql = "UPDATE schedules SET watermark_ms = watermark_ms - $1 WHERE job LIKE 'history%'";
    let query = sqlx::query(sql).bind(i64::try_from(DAYS).unwrap() * 86_400_000);
    store.runtime.block_on(query.execute(&store.pool)).unwrap();
}

fn storm(workspace: &TestWorkspace, store: &Store, taken: &sink::Taken) {
    let blows = number("DATABUDDY_JOBS_CHAOS", 6);
    let seed = number("DATABUDDY_JOBS_CHAOS_SEED", 7);
    let mut random = fastrand::Rng::with_seed(seed);
    let logs: Vec<String> = (0..store.urls.len())
        .map(|n| format!("runner{n}.log"))
        .collect();
    let start = |n: usize| Runner::start(workspace, &store.urls[n], &logs[n]);
    let mut runners: Vec<Runner> = (0..store.urls.len()).map(start).collect();
    go_back(store);
    let others = i64::from(store.urls.len() > 1);
    for _ in 0..blows {
        store.wait_for(random.i64(1..12));
        let hit = random.usize(..runners.len());
        match random.u32(0..if others == 1 { 4 } else { 3 }) {
            0 => {
                runners[hit].kill();
                // For some time the others are alone
                store.wait_for(random.i64(0..15) * others);
                runners[hit] = start(hit);
            }
            1 => {
                // Each of the others' seconds counts as one: longer than a lease, or shorter
                runners[hit].signal("-STOP");
                store.wait_for(random.i64(0..25) * others);
                runners[hit].signal("-CONT");
            }
            2 => {
                runners[hit].signal("-TERM");
                runners[hit].0.wait().unwrap();
                store.wait_for(random.i64(0..8) * others);
                runners[hit] = start(hit);
            }
            _ => {
                store.proxies[hit].cut();
                store.wait_for(random.i64(0..25));
                store.proxies[hit].mend();
            }
        }
    }
    // Everybody is well again: what is due gets done. The files of jobs that are due each second are
    // taken away, so that it ends
    for name in SECONDS {
        let job =
            "preset: yesterday\nqueries: [top_pages]\nexports: [{ format: csv, to: out/late }]\n";
        workspace.write(&format!("jobs/{name}.yaml"), &job.replace("late", name));
    }
    while store.count("SELECT COUNT(*) FROM runs WHERE job LIKE 'history%' AND state IN ('succeeded', 'partially_succeeded', 'failed')") < HISTORY_RUNS
        || store.count("SELECT COUNT(*) FROM runs WHERE state IN ('queued', 'running')") > 0
    {
        std::thread::yield_now();
    }
    for mut runner in runners {
        runner.signal("-TERM");
        assert_eq!(runner.0.wait().unwrap().code(), Some(0));
    }
    println!(
        "seed {seed}: {} runs ended, {} of several attempts",
        store.ended(),
        store.count("SELECT COUNT(*) FROM runs WHERE attempts > 1")
    );
    every_tick_ran_once(store);
    nothing_is_written_twice(workspace, store);
    nothing_is_sent_twice(store, taken);
}

fn every_tick_ran_once(store: &Store) {
    let mut ticks: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in store.rows(
        "SELECT job, tick_ms, state, COALESCE(error, '') AS error FROM runs ORDER BY job, tick_ms",
    ) {
        let (job, state, error): (String, String, String) =
            (row.get("job"), row.get("state"), row.get("error"));
        let is_fine =
            state == "succeeded" || (job.starts_with("history") && error.contains("is unknown"));
        assert!(is_fine, "{job}: {state}: {error}");
        ticks.entry(job).or_default().push(row.get("tick_ms"));
    }
    for name in SECONDS {
        let gaps: BTreeSet<i64> = ticks[name]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert_eq!(
            gaps,
            BTreeSet::from([1000]),
            "{name}: each second once, none missing"
        );
    }
    for name in HISTORIES {
        let gaps: BTreeSet<i64> = ticks[name]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert_eq!(
            (ticks[name].len(), gaps),
            (DAYS, BTreeSet::from([86_400_000])),
            "{name}"
        );
    }
}

fn nothing_is_written_twice(workspace: &TestWorkspace, store: &Store) {
    let mut paths = BTreeSet::new();
    for row in store.rows("SELECT path, run_id FROM artifacts WHERE written = 1") {
        let path: String = row.get("path");
        assert!(paths.insert(path.clone()), "{path} was written by two runs");
    }
    for name in HISTORIES {
        let files = workspace.files(&format!("out/{name}"));
        let data: Vec<_> = files
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "csv"))
            .collect();
        assert_eq!(data.len(), DAYS, "{files:?}");
    }
    for name in HISTORIES.iter().chain(&SECONDS) {
        let verified = workspace.command(&["verify", name]).output().unwrap();
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stdout)
        );
    }
    assert!(workspace.files(".databuddy-jobs/staging").is_empty());
}

fn nothing_is_sent_twice(store: &Store, taken: &sink::Taken) {
    let taken = taken.lock().unwrap();
    let twice: Vec<_> = taken.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let mut recorded = 0;
    for row in store.rows("SELECT recipient, subject, state, number FROM deliveries") {
        let key = (
            row.get::<String, _>("recipient"),
            row.get::<String, _>("subject"),
        );
        let (state, number): (String, i64) = (row.get("state"), row.get("number"));
        let arrived = taken.get(&key).copied().unwrap_or(0);
        assert_eq!(number, 1, "{key:?}");
        match state.as_str() {
            "sent" => assert_eq!(arrived, 1, "{key:?}"),
            "unknown" => {}
            other => panic!("{key:?} is {other}"),
        }
        recorded += 1;
    }
    assert_eq!(
        recorded,
        DAYS * 2 * RECIPIENTS.len(),
        "no mail is forgotten"
    );
}
