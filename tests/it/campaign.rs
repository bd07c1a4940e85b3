//! A thousand runs against a sandbox in which something goes wrong one time in five: the files of a
//! run are those of a run without faults, or they are not there and the run says why.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use databuddy_jobs::{
    api::{Client, ClientOptions},
    clock::Clock,
    config::{Environment, Options, load},
    domain::{
        run::{RunState, StepState, Trigger},
        schedule::Tick,
    },
    engine::{Engine, Events, HEAVY, Order},
    sandbox::{FAULT_KINDS, Fault, FaultKind, Sandbox, SandboxOptions, start},
    secret::Secret,
    store::Store,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::workspace::TestWorkspace;

const NOW: &str = "2026-11-23T07:04:36Z";

/// The files of a lake by path, without manifests.
type Files = BTreeMap<String, Vec<u8>>;

async fn sandbox(state: &Path, faults: Vec<Fault>) -> Sandbox {
    let now = NOW.parse().unwrap();
    let options = SandboxOptions {
        state_dir: state.to_owned(),
        now: Arc::new(move || now),
        requests_per_minute: 0,
        custom_requests_per_minute: 0,
        faults,
        fault_seed: 7,
        fault_retry_after_secs: 0,
        fault_delay: Duration::from_millis(1),
        ..SandboxOptions::default()
    };
    start(options).await.unwrap()
}

/// An engine whose lake and store lie in `workspace`.
async fn engine(workspace: &TestWorkspace, url: &str) -> Engine {
    let clock = Clock::fixed(NOW.parse().unwrap());
    let options = ClientOptions {
        url: url.parse().unwrap(),
        key: Some(Secret::new("dbdy_sandbox_full")),
        bearer: false,
        requests_per_minute: 1_000_000,
        custom_per_minute: 1_000_000,
        max_in_flight: 8,
        gzip: true,
        user_agent: "databuddy-jobs/test".to_owned(),
    };
    let client = Client::new(options, clock.clone());
    let project = load(
        workspace.path(),
        &Environment::from_pairs([]),
        &Options::default(),
    )
    .unwrap();
    Engine {
        root: workspace.path().to_owned(),
        store: Arc::new(Store::open(&project.settings.store).await.unwrap()),
        settings: Arc::new(project.settings),
        basket: client.clone(),
        client: client.with_backoff(Duration::from_micros(100)),
        destinations: Arc::default(),
        transport: None,
        source: "sandbox".to_owned(),
        clock,
        events: Events::new(|_| {}),
        server: Arc::default(),
        sizes: Arc::default(),
        heavy: Arc::new(Semaphore::new(HEAVY)),
        gives_way: false,
    }
}

/// One run of the job, into an empty lake: its state, how many steps failed, and the files.
async fn run(engine: &Engine, workspace: &TestWorkspace) -> (RunState, usize, Files) {
    let lake = workspace.path().join("lake");
    let _ = fs::remove_dir_all(&lake);
    let project = load(
        workspace.path(),
        &Environment::from_pairs([]),
        &Options::default(),
    )
    .unwrap();
    let order = Order::of(Tick(NOW.parse().unwrap()), Trigger::Manual);
    let mut engine = engine.clone();
    engine.server = Arc::default();
    let outcome = engine
        .run(&project.jobs[0], &order, &CancellationToken::new())
        .await
        .unwrap()
        .unwrap();
    let record = outcome.record;
    let failed = record
        .steps
        .iter()
        .filter(|s| s.state == StepState::Failed)
        .count();
    if record.state != RunState::Succeeded {
        assert!(
            record.error.as_ref().is_some_and(|e| !e.is_empty()),
            "{record:#?}"
        );
    }
    let files = workspace.contents("lake");
    let files = files
        .into_iter()
        .map(|(path, bytes)| (path.display().to_string(), bytes));
    let files: Files = files
        .filter(|(path, _)| !path.contains("_manifests") && !path.contains("_schemas"))
        .collect();
    assert_eq!(files.len(), record.artifacts.len());
    (record.state, failed, files)
}

fn workspace(job: &str) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    workspace.write("jobs/faulty.yaml", job);
    workspace
}

/// Runs the job so often under the fault; how many runs succeeded and how many did not.
async fn campaign(
    job: &str,
    state: &Path,
    kind: FaultKind,
    runs: usize,
    steps: usize,
) -> (usize, usize) {
    let workspace = workspace(job);
    let calm = sandbox(state, Vec::new()).await;
    let (_, _, expected) = run(&engine(&workspace, calm.url()).await, &workspace).await;
    assert_eq!(expected.len(), steps);
    calm.stop().await;
    let fault = Fault {
        kind,
        probability: 0.2,
    };
    let faulty = sandbox(state, vec![fault]).await;
    let engine = engine(&workspace, faulty.url()).await;
    let (mut good, mut bad) = (0, 0);
    for _ in 0..runs {
        let (state, failed, files) = run(&engine, &workspace).await;
        for (path, bytes) in &files {
            assert!(
                expected[path] == *bytes,
                "{kind:?}: {path} differs from that of a run without faults"
            );
        }
        if state == RunState::Succeeded {
            assert_eq!(files.len(), expected.len());
            good += 1;
        } else {
            assert!(failed > 0 || files.is_empty(), "{kind:?}: {state:?}");
            bad += 1;
        }
    }
    faulty.stop().await;
    (good, bad)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_ever_makes_a_wrong_file() {
    let state = tempfile::tempdir().unwrap();
    let job = "\
preset: yesterday
websites: [web_acme_tiny]
queries: [summary, pages, countries, { name: custom, custom: { table: events, selects: [{ field: '*', aggregate: count, alias: n }] } }]
retry: { attempts: 2, backoff: 0s }
exports: [{ format: parquet, to: lake }]
";
    let mut done = 0;
    for (name, kind) in FAULT_KINDS {
        if kind == FaultKind::RepeatPage {
            continue;
        }
        let (good, bad) = campaign(job, state.path(), kind, 141, 4).await;
        assert!(
            good > 100,
            "{name}: {good} of {} runs succeeded",
            good + bad
        );
        done += good + bad;
    }
    // Only a result of more than a page can have its first page repeated
    let pages = "\
preset: last_30_full_days
websites: [web_acme_shop]
queries: [sessions]
retry: { attempts: 1 }
exports: [{ format: parquet, to: lake, per: window, path: '{{ query }}/{{ start }}' }]
";
    let (good, bad) = campaign(pages, state.path(), FaultKind::RepeatPage, 13, 1).await;
    assert!(bad > 0 && good > 0, "{good} good, {bad} bad");
    done += good + bad;
    assert_eq!(done, 1000);
}
