//! A planner at its looks, by a clock that the test sets, beside others that use the store.

use std::{
    fs,
    sync::{Mutex, atomic::Ordering},
};

use chrono::TimeDelta;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    api::{Client, ClientOptions},
    clock::Clock,
    config::{Environment, Options, Settings, load},
    engine::{Events, HEAVY},
    store::Store,
};

/// A planner of one job that is due each minute, and what it works with.
struct Scene {
    planner: Planner,
    engine: Engine,
    status: Status,
    now: Arc<Mutex<DateTime<Utc>>>,
    #[expect(dead_code, reason = "gone with it")]
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        let job = "schedule: { cron: '* * * * *', overlap: queue }\npreset: yesterday\nqueries: [summary]\nexports: [{ format: csv, to: out }]\n";
        fs::write(folder.path().join("jobs/due.yaml"), job).unwrap();
        let env = Environment::from_pairs([]);
        let project = load(folder.path(), &env, &Options::default()).unwrap();
        let now = Arc::new(Mutex::new("2026-11-23T12:00:30Z".parse().unwrap()));
        let read = Arc::clone(&now);
        let clock = Clock::of(move || *read.lock().unwrap());
        let engine = engine(folder.path(), project.settings, clock).await;
        let mut planner = Planner::default();
        for job in project.jobs {
            planner.put(job);
        }
        Self {
            planner,
            engine,
            status: Status::default(),
            now,
            folder,
        }
    }

    /// What the service does every few seconds.
    async fn look(&mut self) {
        self.planner.refresh(&self.engine).await.unwrap();
        self.plan().await;
    }

    /// What it does in between.
    async fn plan(&mut self) {
        let planned = self.planner.plan(&self.engine, &self.status);
        planned.await.unwrap();
    }

    fn pass(&self, seconds: i64) {
        *self.now.lock().unwrap() += TimeDelta::seconds(seconds);
    }

    fn queued(&self) -> u64 {
        self.status.ticks_queued.load(Ordering::Relaxed)
    }
}

async fn engine(root: &std::path::Path, settings: Settings, clock: Clock) -> Engine {
    let options = ClientOptions {
        url: settings.api_url.clone(),
        key: None,
        bearer: false,
        requests_per_minute: 1,
        custom_per_minute: 1,
        max_in_flight: 1,
        gzip: true,
        user_agent: "databuddy-jobs/test".to_owned(),
    };
    let client = Client::new(options, clock.clone());
    Engine {
        root: root.to_owned(),
        store: Arc::new(Store::open(&root.join("s.db")).await.unwrap()),
        settings: Arc::new(settings),
        basket: client.clone(),
        client,
        destinations: Arc::default(),
        transport: None,
        source: "sandbox".to_owned(),
        clock,
        events: Events::new(|_| {}),
        server: Arc::default(),
        sizes: Arc::default(),
        tellings: TaskTracker::new(),
        heavy: Arc::new(Semaphore::new(HEAVY)),
        gives_way: false,
    }
}

#[tokio::test]
async fn a_job_that_was_paused_and_resumed_between_two_looks_is_due_at_its_next_tick() {
    let mut scene = Scene::new().await;
    scene.look().await;
    scene.pass(60);
    scene.plan().await;
    assert_eq!(scene.queued(), 1);
    scene.look().await;
    // Paused when it is due: its watermark does not move, and it is seen why
    let store = Arc::clone(&scene.engine.store);
    let now = scene.engine.clock.now();
    store.pause("due", now).await.unwrap();
    scene.pass(60);
    scene.plan().await;
    assert_eq!(scene.queued(), 1);
    // At the next look all is as at the one before
    store.resume("due").await.unwrap();
    scene.look().await;
    scene.pass(60);
    scene.plan().await;
    assert_eq!(scene.queued(), 3);
}
