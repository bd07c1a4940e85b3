//! What a run store promises, the same for `SQLite` and for Postgres.

use std::{collections::BTreeSet, future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use databuddy_jobs::{
    domain::run::{
        ArtifactRecord, DeliveryRecord, DeliveryState, RunRecord, RunState, StepRecord, StepState,
        Trigger, WindowRecord,
    },
    secret::Secret,
    store::{
        Again, Attempt, Begin, Cancellation, Change, Claimed, DeliveryKey, Ended, Found, Handing,
        NewRun, News, Notice, Occasion, Planned, Queued, Receivers, RunOutcome, Runner, Sign,
        Spent, Store, StoreError,
    },
};
use futures::future::join_all;

use crate::postgres;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("store_a_run_comes_back_as_it_was_saved", || {
        both(comes_back);
    }),
    ("store_a_tick_has_one_run_however_many_plan_it", || {
        both(one_run_a_tick);
    }),
    (
        "store_a_watermark_that_moved_meanwhile_is_not_moved_again",
        || both(watermark),
    ),
    (
        "store_many_watermarks_move_at_once_but_for_those_that_moved_meanwhile",
        || both(many_watermarks),
    ),
    ("store_a_waiting_run_goes_to_one_runner", || both(one_claim)),
    (
        "store_a_claim_looks_past_runs_that_this_runner_may_not_take",
        || both(past_others),
    ),
    ("store_a_backlog_of_one_job_keeps_no_other_waiting", || {
        both(backlog);
    }),
    (
        "store_a_job_runs_once_at_a_time_and_urgent_runs_go_first",
        || both(order),
    ),
    ("store_labels_restrict_who_may_take_a_run", || both(labels)),
    (
        "store_a_silent_runners_run_is_taken_over_and_its_writes_are_fenced_off",
        || both(takeover),
    ),
    ("store_a_run_handed_back_waits_until_its_time", || {
        both(hand_back);
    }),
    ("store_an_interrupted_attempt_does_not_count", || {
        both(interrupted);
    }),
    (
        "store_a_run_that_takes_every_runner_down_is_given_up",
        || both(poison),
    ),
    ("store_runs_are_cancelled_wherever_they_stand", || {
        both(cancel);
    }),
    ("store_a_paused_job_is_not_planned", || both(pause)),
    ("store_of_many_that_ask_at_once_one_sends", || {
        both(one_sends);
    }),
    ("store_a_mail_of_a_runner_that_died_is_unknown", || {
        both(unknown_mail);
    }),
    ("store_a_lease_excludes_others_until_it_ends", || {
        both(lease);
    }),
    ("store_backfills_remember_their_units", || both(backfills)),
    ("store_a_change_of_outcome_is_told_once", || both(outcomes)),
    ("store_what_nobody_could_be_told_is_told_later", || {
        both(notices);
    }),
    (
        "store_outcomes_that_follow_each_other_do_not_try_a_dead_receiver_for_ever",
        || both(tries),
    ),
    (
        "store_each_success_is_told_in_order_and_the_last_sign_of_life",
        || both(successes),
    ),
    (
        "store_missed_ticks_are_recorded_with_what_is_to_be_told_of_them",
        || both(missed),
    ),
    ("store_runners_are_counted_while_they_live", || {
        both(runners);
    }),
    ("store_many_programs_migrate_at_once", migrate_at_once),
    (
        "store_a_backup_of_postgres_knows_what_was_sent",
        back_up_and_restore,
    ),
    (
        "store_tables_of_the_next_major_version_are_declined",
        || both(declined),
    ),
];

type Test = fn(Place) -> Pin<Box<dyn Future<Output = ()>>>;

/// Where a store is, so that it can be opened several times.
#[derive(Clone)]
enum Place {
    Sqlite(std::path::PathBuf),
    Postgres(String),
}

impl Place {
    async fn try_open(&self) -> Result<Store, StoreError> {
        match self {
            Self::Sqlite(file) => Store::open(file).await,
            Self::Postgres(url) => Store::open_postgres(&Secret::new(url)).await,
        }
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite://{}", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }
}

fn both(test: Test) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(test(Place::Sqlite(folder.path().join("s.db"))));
    let database = postgres::database();
    runtime.block_on(test(Place::Postgres(database)));
}

/// Makes a test of an async function's body.
macro_rules! test {
    ($name:ident, $place:ident, $body:block) => {
        fn $name($place: Place) -> Pin<Box<dyn Future<Output = ()>>> {
            Box::pin(async move { $body })
        }
    };
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-11-23T12:00:00Z")
}

fn record(id: &str, job: &str, trigger: Trigger, state: RunState) -> RunRecord {
    RunRecord {
        id: id.to_owned(),
        job: job.to_owned(),
        tick: "2026-11-23T13:00:00+01:00".to_owned(),
        state,
        trigger,
        window: WindowRecord {
            start: "2026-11-16".to_owned(),
            end: "2026-11-22".to_owned(),
            timezone: "UTC".to_owned(),
        },
        attempts: 0,
        requests: 0,
        retries: 0,
        rows: 0,
        duration_ms: 0,
        steps: Vec::new(),
        artifacts: Vec::new(),
        deliveries: Vec::new(),
        error: None,
    }
}

fn queued(id: &str, job: &str, tick: DateTime<Utc>, priority: i64) -> Queued {
    Queued {
        record: record(id, job, Trigger::Schedule, RunState::Queued),
        tick,
        not_before: tick,
        priority,
        runs_on: Vec::new(),
        definition_hash: "h".to_owned(),
    }
}

async fn claim(store: &Store, runner: &str, limit: usize, now: DateTime<Utc>) -> Vec<String> {
    let claimed = store
        .claim(runner, None, &[], limit, |_| true, now)
        .await
        .unwrap();
    claimed.into_iter().map(|run| run.id).collect()
}

/// The attempt that begins when the most urgent run is claimed.
async fn claim_one(store: &Store, runner: &str, now: DateTime<Utc>) -> Option<Attempt> {
    let claimed = store.claim(runner, None, &[], 1, |_| true, now).await;
    claimed.unwrap().first().map(|run| run.attempt)
}

async fn find(store: &Store, id: &str) -> RunRecord {
    match store.find_run(id).await.unwrap() {
        Found::One(run) => *run,
        other => panic!("{other:?}"),
    }
}

test!(comes_back, place, {
    let store = place.open().await;
    let mut run = record("abc", "weekly", Trigger::Manual, RunState::Running);
    let new = NewRun {
        tick: noon(),
        definition_hash: "h",
        process: None,
        record: &run,
        now: noon(),
    };
    assert!(store.create_run(new).await.unwrap());
    assert_eq!(
        store.start_attempt("abc", noon()).await.unwrap(),
        attempt(1, 1)
    );
    run.state = RunState::PartiallySucceeded;
    run.error = Some("half".to_owned());
    run.attempts = 1;
    (run.requests, run.retries, run.rows, run.duration_ms) = (3, 1, 7, 412);
    let step = |state, rows, error: Option<&str>| StepRecord {
        query: "pages".to_owned(),
        website_id: Some("web_1".to_owned()),
        link_id: None,
        start: "2026-11-16".to_owned(),
        end: "2026-11-22".to_owned(),
        state,
        rows,
        error: error.map(str::to_owned),
    };
    run.steps = vec![
        step(StepState::Succeeded, 7, None),
        step(StepState::Failed, 0, Some("“no” ü")),
    ];
    run.artifacts = vec![ArtifactRecord {
        query: "pages".to_owned(),
        website_id: Some("web_1".to_owned()),
        link_id: None,
        path: "out/x.parquet".to_owned(),
        rows: 7,
        bytes: 812,
        sha256: "ab".to_owned(),
        written: true,
    }];
    run.deliveries = vec![DeliveryRecord {
        report: "weekly".to_owned(),
        website_id: Some("web_1".to_owned()),
        to: "ann@example.org".to_owned(),
        subject: "S".to_owned(),
        state: DeliveryState::AlreadySent,
        message_id: "m1@x".to_owned(),
        error: None,
    }];
    store.end_run(&run, None, noon()).await.unwrap();
    store.close().await;
    let store = place.open().await;
    assert_eq!(find(&store, "ab").await, run);
    assert_eq!(store.runs(Some("weekly"), 9).await.unwrap(), [run.clone()]);
    assert_eq!(store.last_runs().await.unwrap(), [run]);
    assert!(store.runs(Some("other"), 9).await.unwrap().is_empty());
});

fn planned(job: &str, id: &str, seen: Option<DateTime<Utc>>, tick: DateTime<Utc>) -> Planned {
    Planned {
        job: job.to_owned(),
        seen,
        watermark: tick,
        fingerprint: "f".to_owned(),
        runs: vec![queued(id, job, tick, 0)],
    }
}

test!(one_run_a_tick, place, {
    let stores = join_all((0..4).map(|_| place.open())).await;
    let ids: Vec<String> = (0..64).map(|n| format!("run{n}")).collect();
    let plans = ids.iter().enumerate().map(|(n, id)| {
        let plan = [planned("weekly", id, None, noon())];
        let store = &stores[n % 4];
        async move { store.plan(&plan, noon()).await.unwrap()[0] }
    });
    let moved = join_all(plans).await;
    assert_eq!(moved.iter().filter(|moved| **moved).count(), 1);
    assert_eq!(stores[0].runs(None, 99).await.unwrap().len(), 1);
    // A tick whose run exists does not get a second one, wherever the watermark stands
    assert!(
        !stores[0]
            .enqueue(&queued("late", "weekly", noon(), 0), noon())
            .await
            .unwrap()
    );
});

test!(watermark, place, {
    let store = place.open().await;
    let (one, two) = (noon(), noon() + TimeDelta::hours(1));
    assert_eq!(
        store
            .plan(&[planned("a", "1", None, one)], one)
            .await
            .unwrap(),
        [true]
    );
    let again = [
        planned("a", "2", Some(one), two),
        planned("a", "3", Some(one), two + TimeDelta::hours(1)),
    ];
    assert_eq!(store.plan(&again, two).await.unwrap(), [true, false]);
    let seen = &store.watermarks().await.unwrap()["a"];
    assert_eq!(
        (seen.at, seen.fingerprint.as_str(), seen.is_paused),
        (two, "f", false)
    );
    assert_eq!(store.runs(None, 9).await.unwrap().len(), 2);
});

test!(many_watermarks, place, {
    let store = place.open().await;
    let (one, two) = (noon(), noon() + TimeDelta::hours(1));
    let job = |n: usize| format!("job{n:02}");
    let all = |seen, tick, first: usize| -> Vec<Planned> {
        let each = (0..23).map(|n| planned(&job(n), &format!("r{:03}", first + n), seen, tick));
        each.collect()
    };
    let mut marks = store.marks().await.unwrap();
    let new = all(None, one, 0);
    assert_eq!(store.plan(&new, one).await.unwrap(), [true; 23]);
    for job in &new {
        marks.moved(job);
    }
    assert_eq!(store.marks().await.unwrap(), marks);
    // Others move one on, pause one, and know one that is new here
    let other = [planned(&job(5), "other", Some(one), two)];
    assert_eq!(store.plan(&other, two).await.unwrap(), [true]);
    store.pause(&job(20), two).await.unwrap();
    assert_ne!(store.marks().await.unwrap(), marks);
    let mut marks = store.marks().await.unwrap();
    let mut moves = all(Some(one), two, 100);
    moves[8].seen = None;
    moves.push(planned("new", "r200", None, two));
    let moved = store.plan(&moves, two).await.unwrap();
    let wanted: Vec<bool> = (0..24).map(|n| ![5, 8, 20].contains(&n)).collect();
    assert_eq!(moved, wanted);
    for (job, _) in moves.iter().zip(&moved).filter(|(_, moved)| **moved) {
        marks.moved(job);
    }
    assert_eq!(store.marks().await.unwrap(), marks);
    let seen = store.watermarks().await.unwrap();
    let at = |name: &str| seen[name].at;
    assert_eq!((at("job05"), at("job08"), at("job20")), (two, one, one));
    assert!(
        wanted
            .iter()
            .take(23)
            .enumerate()
            .all(|(n, moved)| !moved || at(&job(n)) == two)
    );
    let runs = store.runs(None, 99).await.unwrap();
    let ids: BTreeSet<String> = runs.into_iter().map(|run| run.id).collect();
    let mut expected: BTreeSet<String> = (0..23).map(|n| format!("r{n:03}")).collect();
    expected.extend((0..24).filter(|n| wanted[*n]).map(|n| match n {
        23 => "r200".to_owned(),
        n => format!("r{:03}", 100 + n),
    }));
    expected.insert("other".to_owned());
    assert_eq!(ids, expected);
});

test!(past_others, place, {
    let store = place.open().await;
    // Many that this runner does not know come first, and many of one job
    for n in 0..40 {
        let run = queued(&format!("a{n:02}"), &format!("unknown{n}"), noon(), 0);
        assert!(store.enqueue(&run, noon()).await.unwrap());
        let tick = noon() - TimeDelta::minutes(n);
        let run = queued(&format!("b{n:02}"), "often", tick, 1);
        assert!(store.enqueue(&run, noon()).await.unwrap());
    }
    let last = queued("c", "last", noon(), 2);
    assert!(store.enqueue(&last, noon()).await.unwrap());
    let is_known = |run: &Claimed| !run.job.starts_with("unknown");
    let claim = store.claim("me", None, &[], 2, is_known, noon());
    let claimed = claim.await.unwrap();
    let ids: Vec<&str> = claimed.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, ["b39", "c"]);
});

test!(one_claim, place, {
    let store = place.open().await;
    for n in 0..30 {
        let run = queued(&format!("r{n}"), &format!("job{n}"), noon(), 0);
        assert!(store.enqueue(&run, noon()).await.unwrap());
    }
    let stores = join_all((0..4).map(|_| place.open())).await;
    let claims = (0..12).map(|n| {
        let store = &stores[n % 4];
        async move { claim(store, &format!("runner{n}"), 3, noon()).await }
    });
    let claimed: Vec<String> = join_all(claims).await.concat();
    let distinct: BTreeSet<&String> = claimed.iter().collect();
    assert_eq!((claimed.len(), distinct.len()), (30, 30));
});

test!(order, place, {
    let store = place.open().await;
    let later = noon() + TimeDelta::seconds(1);
    for run in [
        queued("export", "export", noon(), 1),
        queued("mail2", "mail", later, 0),
        queued("mail1", "mail", noon(), 0),
        queued("future", "future", later + TimeDelta::hours(1), 0),
    ] {
        assert!(store.enqueue(&run, noon()).await.unwrap());
    }
    assert_eq!(claim(&store, "r", 9, later).await, ["mail1", "export"]);
    assert_eq!(claim(&store, "r", 9, later).await, Vec::<String>::new());
    let done = record("mail1", "mail", Trigger::Schedule, RunState::Succeeded);
    store.end_run(&done, None, later).await.unwrap();
    assert_eq!(claim(&store, "r", 9, later).await, ["mail2"]);
});

test!(labels, place, {
    let store = place.open().await;
    let mut run = queued("a", "a", noon(), 0);
    run.runs_on = vec!["inside".to_owned(), "gpu".to_owned()];
    assert!(store.enqueue(&run, noon()).await.unwrap());
    let take = async |labels: &[&str]| {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        store
            .claim("r", None, &labels, 9, |_| true, noon())
            .await
            .unwrap()
            .len()
    };
    assert_eq!(take(&[]).await, 0);
    assert_eq!(take(&["side", "in"]).await, 0);
    assert_eq!(take(&["outside", "gpu"]).await, 1);
});

fn attempt(number: u32, spent: u32) -> Attempt {
    Attempt { number, spent }
}

test!(takeover, place, {
    let (cut_off, other) = (place.open().await, place.open().await);
    let run = queued("a", "a", noon(), 0);
    assert!(cut_off.enqueue(&run, noon()).await.unwrap());
    let begun = claim_one(&cut_off, "one", noon()).await;
    assert_eq!(begun, Some(attempt(1, 1)));
    let ttl = Duration::from_secs(600);
    assert!(
        cut_off
            .acquire_lease("job:a x", "a", noon(), ttl)
            .await
            .unwrap()
    );
    let late = noon() + TimeDelta::seconds(61);
    let dead = other.running().await.unwrap().remove(0);
    assert!(dead.alive_until < late);
    // It gave a sign of life after it was seen: it is not taken from it
    assert_eq!(
        cut_off
            .heartbeat("a", noon() + TimeDelta::seconds(30))
            .await
            .unwrap(),
        Sign::GoesOn
    );
    assert!(!other.abandon(&dead, late).await.unwrap());
    let dead = other.running().await.unwrap().remove(0);
    let late = late + TimeDelta::seconds(60);
    assert!(other.abandon(&dead, late).await.unwrap());
    let begun = claim_one(&other, "two", late).await;
    assert_eq!(begun, Some(attempt(2, 1)));
    assert!(
        other
            .acquire_lease("job:a x", "a", late, ttl)
            .await
            .unwrap()
    );
    // Nothing that the first runner still says counts
    let is_over =
        |result: Result<(), StoreError>| matches!(result, Err(StoreError::TakenOver { .. }));
    assert!(is_over(cut_off.heartbeat("a", late).await.map(|_| ())));
    assert!(is_over(cut_off.start_attempt("a", late).await.map(|_| ())));
    assert!(is_over(cut_off.save_artifacts("a", 0, &[]).await));
    assert!(is_over(
        cut_off
            .hand_back("a", late, Spent::Nothing, None, late)
            .await
    ));
    let done = record("a", "a", Trigger::Schedule, RunState::Failed);
    assert!(is_over(
        cut_off.end_run(&done, None, late).await.map(|_| ())
    ));
    let begun = cut_off
        .begin_delivery(&key(), handing("a"), |n| format!("m{n}"), late)
        .await;
    assert!(is_over(begun.map(|_| ())));
    assert_eq!(cut_off.renew_leases("a", late, ttl).await.unwrap(), 0);
    assert!(
        !cut_off
            .acquire_lease("job:a x", "a", late, ttl)
            .await
            .unwrap()
    );
    cut_off.release_leases("a").await.unwrap();
    assert_eq!(other.renew_leases("a", late, ttl).await.unwrap(), 1);
    let done = record("a", "a", Trigger::Schedule, RunState::Succeeded);
    other.end_run(&done, None, late).await.unwrap();
    assert_eq!(find(&other, "a").await.state, RunState::Succeeded);
});

test!(hand_back, place, {
    let store = place.open().await;
    assert!(
        store
            .enqueue(&queued("a", "a", noon(), 0), noon())
            .await
            .unwrap()
    );
    assert_eq!(claim(&store, "r", 1, noon()).await, ["a"]);
    let later = noon() + TimeDelta::minutes(5);
    store
        .hand_back("a", later, Spent::Attempt, Some("away"), noon())
        .await
        .unwrap();
    let waiting = find(&store, "a").await;
    assert_eq!(
        (waiting.state, waiting.error.as_deref()),
        (RunState::Queued, Some("away"))
    );
    assert!(
        claim(&store, "r", 1, later - TimeDelta::seconds(1))
            .await
            .is_empty()
    );
    assert_eq!(claim(&store, "r", 1, later).await, ["a"]);
    // One that somebody has cancelled meanwhile does not wait again
    let asked = store.cancel("a", later).await.unwrap();
    assert_eq!(asked, Cancellation::Asked);
    store
        .hand_back("a", later, Spent::Nothing, None, later)
        .await
        .unwrap();
    assert_eq!(find(&store, "a").await.state, RunState::Cancelled);
    let much_later = later + TimeDelta::hours(1);
    assert!(claim(&store, "r", 1, much_later).await.is_empty());
});

test!(backlog, place, {
    let store = place.open().await;
    // Of a job that this runner may not take, and more urgent
    for n in 0..700 {
        let run = queued(&format!("a{n:03}"), "a", noon() + TimeDelta::seconds(n), 0);
        assert!(store.enqueue(&run, noon()).await.unwrap());
    }
    let run = queued("b", "b", noon(), 5);
    assert!(store.enqueue(&run, noon()).await.unwrap());
    let claimed = store
        .claim(
            "r",
            None,
            &[],
            2,
            |run| run.job != "a",
            noon() + TimeDelta::hours(1),
        )
        .await
        .unwrap();
    let ids: Vec<&str> = claimed.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, ["b"]);
});

test!(interrupted, place, {
    let store = place.open().await;
    let run = queued("a", "a", noon(), 0);
    assert!(store.enqueue(&run, noon()).await.unwrap());
    // However often it is interrupted: that costs it nothing
    for number in 1..=30 {
        let begun = claim_one(&store, "r", noon()).await;
        assert_eq!(begun, Some(attempt(number, 1)));
        let back = store.hand_back("a", noon(), Spent::Nothing, None, noon());
        back.await.unwrap();
    }
    assert_eq!(claim(&store, "r", 1, noon()).await, ["a"]);
    store.end_attempt("a", Some("no"), noon()).await.unwrap();
    // What was ended before it goes back has failed
    let back = store.hand_back("a", noon(), Spent::Nothing, None, noon());
    back.await.unwrap();
    let begun = claim_one(&store, "r", noon()).await;
    assert_eq!(begun, Some(attempt(32, 2)));
    // Within the claim another one may follow
    store.end_attempt("a", Some("no"), noon()).await.unwrap();
    let begun = store.start_attempt("a", noon()).await.unwrap();
    assert_eq!(begun, attempt(33, 3));
});

test!(poison, place, {
    let store = place.open().await;
    let run = queued("a", "a", noon(), 0);
    assert!(store.enqueue(&run, noon()).await.unwrap());
    let mut now = noon();
    let mut deaths = 0;
    while let Some(begun) = claim_one(&store, "r", now).await {
        assert_eq!(begun.spent, 1);
        now += TimeDelta::hours(1);
        let dead = store.running().await.unwrap().remove(0);
        assert!(store.abandon(&dead, now).await.unwrap());
        deaths += 1;
    }
    let given_up = find(&store, "a").await;
    assert_eq!((deaths, given_up.state), (10, RunState::Failed));
    assert!(given_up.error.unwrap().contains("given up"));
});

test!(cancel, place, {
    let store = place.open().await;
    for id in ["waits", "runs"] {
        assert!(
            store
                .enqueue(&queued(id, id, noon(), 0), noon())
                .await
                .unwrap()
        );
    }
    assert_eq!(
        store.cancel("waits", noon()).await.unwrap(),
        Cancellation::Done
    );
    assert_eq!(claim(&store, "r", 9, noon()).await, ["runs"]);
    let other = place.open().await;
    assert_eq!(
        other.cancel("runs", noon()).await.unwrap(),
        Cancellation::Asked
    );
    assert_eq!(
        store.heartbeat("runs", noon()).await.unwrap(),
        Sign::Cancelled
    );
    assert_eq!(
        other.cancel("waits", noon()).await.unwrap(),
        Cancellation::Over
    );
    // Of a dead runner nobody is left to be asked
    let dead = other.running().await.unwrap().remove(0);
    assert!(
        other
            .abandon(&dead, noon() + TimeDelta::hours(1))
            .await
            .unwrap()
    );
    assert_eq!(find(&other, "runs").await.state, RunState::Cancelled);
});

test!(pause, place, {
    let store = place.open().await;
    store.pause("a", noon()).await.unwrap();
    assert!(store.watermarks().await.unwrap()["a"].is_paused);
    let later = noon() + TimeDelta::hours(1);
    let plan = [planned("a", "1", Some(noon()), later)];
    assert_eq!(store.plan(&plan, later).await.unwrap(), [false]);
    assert!(store.resume("a").await.unwrap());
    assert!(!store.resume("a").await.unwrap());
    assert_eq!(store.plan(&plan, later).await.unwrap(), [true]);
});

fn key() -> DeliveryKey {
    DeliveryKey {
        job: "weekly".to_owned(),
        report: "weekly".to_owned(),
        website_id: "web_1".to_owned(),
        window_start: "2026-11-16".to_owned(),
        window_end: "2026-11-22".to_owned(),
        timezone: "UTC".to_owned(),
        recipient: "ann@example.org".to_owned(),
    }
}

fn handing(run: &str) -> Handing<'_> {
    Handing {
        run,
        place: 0,
        subject: "S",
        again: Again::No,
    }
}

fn ended(state: DeliveryState) -> DeliveryRecord {
    DeliveryRecord {
        report: "weekly".to_owned(),
        website_id: Some("web_1".to_owned()),
        to: "ann@example.org".to_owned(),
        subject: "S".to_owned(),
        state,
        message_id: "m2@x".to_owned(),
        error: None,
    }
}

async fn begin(store: &Store, run: &str, now: DateTime<Utc>) -> Begin {
    let id = |number| format!("m{number}@x");
    store
        .begin_delivery(&key(), handing(run), id, now)
        .await
        .unwrap()
}

test!(one_sends, place, {
    let stores = join_all((0..4).map(|_| place.open())).await;
    let runs = ["a", "b", "c", "d"];
    for (store, run) in stores.iter().zip(runs) {
        let waiting = queued(run, run, noon(), 0);
        assert!(store.enqueue(&waiting, noon()).await.unwrap());
        assert_eq!(claim(store, run, 1, noon()).await, [run]);
    }
    let asks = (0..16).map(|n| begin(&stores[n % 4], runs[n % 4], noon()));
    let answers = join_all(asks).await;
    assert_eq!(
        answers.iter().filter(|a| **a == Begin::Send(1)).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|a| **a == Begin::InFlight).count(),
        15
    );
    stores[0]
        .finish_deliveries(
            &[Ended {
                key: &key(),
                number: 1,
                handing: handing("a"),
                record: &ended(DeliveryState::Sent),
            }],
            noon(),
        )
        .await
        .unwrap();
    assert!(matches!(
        begin(&stores[0], "a", noon()).await,
        Begin::AlreadySent { .. }
    ));
});

fn back_up_and_restore() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::Postgres(postgres::database());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let run = async |store: &Store, id: &str| {
        let waiting = queued(id, id, noon(), 0);
        assert!(store.enqueue(&waiting, noon()).await.unwrap());
        assert_eq!(claim(store, "r", 1, noon()).await, [id]);
    };
    // One connection pool of each phase: `pg_restore` drops the tables beneath a store
    runtime.block_on(async {
        let store = place.open().await;
        run(&store, "a").await;
        assert_eq!(begin(&store, "a", noon()).await, Begin::Send(1));
        let (key, sent) = (key(), ended(DeliveryState::Sent));
        let (number, handing) = (1, handing("a"));
        let end = Ended {
            key: &key,
            number,
            handing,
            record: &sent,
        };
        let end = [end];
        let finish = store.finish_deliveries(&end, noon());
        finish.await.unwrap();
        let done = record("a", "a", Trigger::Schedule, RunState::Succeeded);
        store.end_run(&done, None, noon()).await.unwrap();
        run(&store, "under-way").await;
        postgres::back_up(&place.url(), &file);
        run(&store, "later").await;
        store.close().await;
    });
    postgres::restore(&place.url(), &file);
    runtime.block_on(async {
        let store = place.open().await;
        assert_eq!(find(&store, "a").await.state, RunState::Succeeded);
        let later = store.find_run("later").await.unwrap();
        assert!(matches!(later, Found::None), "{later:?}");
        let under_way = store.running().await.unwrap().remove(0);
        assert_eq!(under_way.id, "under-way");
        let late = noon() + TimeDelta::hours(1);
        assert!(store.abandon(&under_way, late).await.unwrap());
        assert_eq!(claim(&store, "r", 1, late).await, ["under-way"]);
        let again = begin(&store, "under-way", late).await;
        assert!(matches!(again, Begin::AlreadySent { .. }), "{again:?}");
    });
}

test!(unknown_mail, place, {
    let (first, second) = (place.open().await, place.open().await);
    assert!(
        first
            .enqueue(&queued("a", "a", noon(), 0), noon())
            .await
            .unwrap()
    );
    claim(&first, "one", 1, noon()).await;
    assert_eq!(begin(&first, "a", noon()).await, Begin::Send(1));
    let late = noon() + TimeDelta::hours(1);
    let dead = second.running().await.unwrap().remove(0);
    assert!(second.abandon(&dead, late).await.unwrap());
    assert_eq!(claim(&second, "two", 1, late).await, ["a"]);
    // The same run, by another runner: what the first was sending may have gone out
    assert!(matches!(
        begin(&second, "a", late).await,
        Begin::Unknown { .. }
    ));
});

test!(lease, place, {
    let store = place.open().await;
    let ttl = Duration::from_secs(60);
    let later = noon() + TimeDelta::seconds(61);
    assert!(
        store
            .acquire_lease("job:x", "a", noon(), ttl)
            .await
            .unwrap()
    );
    assert!(
        !store
            .acquire_lease("job:x", "b", noon(), ttl)
            .await
            .unwrap()
    );
    assert!(store.acquire_lease("job:x", "b", later, ttl).await.unwrap());
    assert_eq!(store.renew_leases("a", later, ttl).await.unwrap(), 0);
    assert_eq!(store.renew_leases("b", later, ttl).await.unwrap(), 1);
    store.release_leases("b").await.unwrap();
    let racers = (0..8).map(|n| {
        let (store, owner) = (&store, format!("r{n}"));
        async move {
            store
                .acquire_lease("job:y", &owner, noon(), ttl)
                .await
                .unwrap()
        }
    });
    assert_eq!(
        join_all(racers)
            .await
            .into_iter()
            .filter(|won| *won)
            .count(),
        1
    );
});

test!(backfills, place, {
    let store = place.open().await;
    let units = ["2026-11-01".to_owned(), "2026-11-02".to_owned()];
    store.note_backfilled("b", units.iter()).await.unwrap();
    store.note_backfilled("b", units.iter()).await.unwrap();
    assert_eq!(store.backfilled("b").await.unwrap().len(), 2);
    store.forget_backfill("b").await.unwrap();
    assert!(store.backfilled("b").await.unwrap().is_empty());
});

/// A run by hand from its beginning to its end, with what that means for its job.
async fn end(
    store: &Store,
    (job, run): (&str, &str),
    has_failed: bool,
    also: &'static [News],
    now: DateTime<Utc>,
) -> Change {
    let state = if has_failed {
        RunState::Failed
    } else {
        RunState::Succeeded
    };
    let begun = record(run, job, Trigger::Manual, RunState::Running);
    let new = NewRun {
        tick: now,
        definition_hash: "h",
        process: None,
        record: &begun,
        now,
    };
    assert!(store.create_run(new).await.unwrap());
    let outcome = RunOutcome {
        run,
        job,
        has_failed: Some(has_failed),
        also,
    };
    let ended = RunRecord { state, ..begun };
    store.end_run(&ended, Some(outcome), now).await.unwrap()
}

test!(outcomes, place, {
    let store = place.open().await;
    let note = async |failed: bool, hours: i64| {
        let now = noon() + TimeDelta::hours(hours);
        end(&store, ("a", &format!("a{hours}")), failed, &[], now).await
    };
    let since = noon();
    assert_eq!(note(false, -1).await, Change::None);
    assert_eq!(note(true, 0).await, Change::Fails);
    assert_eq!(note(true, 1).await, Change::None);
    assert_eq!(
        note(true, 24).await,
        Change::StillFails { failures: 3, since }
    );
    assert_eq!(note(true, 25).await, Change::None);
    assert_eq!(
        note(false, 26).await,
        Change::Recovered { failures: 4, since }
    );
    assert_eq!(note(false, 27).await, Change::None);
    let runs: Vec<String> = (0..8).map(|n| format!("b{n}")).collect();
    let notes = runs
        .iter()
        .map(|run| end(&store, ("b", run), true, &[], noon()));
    let told = join_all(notes)
        .await
        .into_iter()
        .filter(|change| *change == Change::Fails);
    assert_eq!(told.count(), 1);
});

fn minutes(minutes: i64) -> DateTime<Utc> {
    noon() + TimeDelta::minutes(minutes)
}

fn notice(run: &str, news: News) -> Notice {
    let run = run.to_owned();
    Notice { run, news }
}

/// What is to be told of job `a`, to whom nothing failed just now.
async fn take(store: &Store, occasion: Occasion, now: DateTime<Utc>) -> Option<Notice> {
    let failed = BTreeSet::new();
    let taken = store.take_notice("a", occasion, &failed, now).await;
    taken.unwrap()
}

test!(notices, place, {
    let (store, other) = (place.open().await, place.open().await);
    let note = async |run: &str, has_failed: bool, at: i64| {
        end(&store, ("a", run), has_failed, &[], minutes(at)).await
    };
    let fails = notice("1", News::Outcome(Change::Fails));
    note("1", true, 0).await;
    // One tells; what could not be told is tried again, less and less often
    let asks = [&store, &other].map(|store| take(store, Occasion::Time, minutes(0)));
    let taken: Vec<_> = join_all(asks).await.into_iter().flatten().collect();
    assert_eq!(taken, std::slice::from_ref(&fails));
    assert!(other.jobs_to_tell(minutes(2)).await.unwrap().is_empty());
    store.end_notice(&fails, false).await.unwrap();
    for (at, is_due) in [(0, false), (1, true)] {
        let jobs = store.jobs_to_tell(minutes(at)).await.unwrap();
        assert_eq!(jobs == ["a"], is_due, "{at}");
    }
    assert_eq!(take(&store, Occasion::Time, minutes(0)).await, None);
    let retaken = take(&store, Occasion::Time, minutes(1)).await;
    assert_eq!(retaken.as_ref(), Some(&fails));
    store.end_notice(&fails, false).await.unwrap();
    for (at, is_due) in [(2, false), (3, true)] {
        let jobs = store.jobs_to_tell(minutes(at)).await.unwrap();
        assert_eq!(jobs == ["a"], is_due, "{at}");
    }
    // Whoever took it and died has told nobody
    for (store, at) in [(&store, 3), (&other, 8)] {
        let retaken = take(store, Occasion::Time, minutes(at)).await;
        assert_eq!(retaken.as_ref(), Some(&fails));
    }
    other.end_notice(&fails, false).await.unwrap();
    // A day later one message says it all, and then that it works again, once
    let day = 24 * 60;
    note("2", true, 10).await;
    let since = noon();
    let still = Change::StillFails { failures: 3, since };
    assert_eq!(note("3", true, day).await, still);
    let recovered = note("4", false, day + 1).await;
    for told in [("3", still), ("4", recovered)].map(|(run, c)| notice(run, News::Outcome(c))) {
        let taken = take(&store, Occasion::Time, minutes(day + 2)).await;
        assert_eq!(taken.as_ref(), Some(&told));
        store.end_notice(&told, true).await.unwrap();
    }
    assert_eq!(take(&store, Occasion::News, minutes(day + 9)).await, None);
    // After a week nobody wants to know
    note("5", true, day + 10).await;
    assert_eq!(take(&store, Occasion::News, minutes(9 * day)).await, None);
});

test!(tries, place, {
    let store = place.open().await;
    end(&store, ("a", "1"), true, &[], minutes(0)).await;
    let fails = notice("1", News::Outcome(Change::Fails));
    let (mut at_once, mut later) = (0, Vec::new());
    while take(&store, Occasion::News, minutes(0)).await.is_some() {
        store.end_notice(&fails, false).await.unwrap();
        at_once += 1;
    }
    // However many outcomes follow each other: from then on it is tried when it is time
    for at in 1..=200 {
        if take(&store, Occasion::News, minutes(at)).await.is_some() {
            store.end_notice(&fails, false).await.unwrap();
            later.push(at);
        }
    }
    assert_eq!((at_once, later), (5, vec![16, 48, 112]));
});

test!(successes, place, {
    let store = place.open().await;
    let also: &[News] = &[News::Succeeded, News::Ping];
    for (run, at) in [("1", 0), ("2", 1), ("3", 2)] {
        end(&store, ("a", run), false, also, minutes(at)).await;
    }
    // Each success, one after the other, and the last sign of life; nobody is asked twice at a time
    let first = notice("1", News::Succeeded);
    let ping = notice("3", News::Ping);
    let taken = take(&store, Occasion::News, minutes(2)).await;
    assert_eq!(taken.as_ref(), Some(&first));
    store.end_notice(&first, false).await.unwrap();
    let failed = BTreeSet::from([Receivers::OnSuccess]);
    let taken = store.take_notice("a", Occasion::News, &failed, minutes(2));
    assert_eq!(taken.await.unwrap().as_ref(), Some(&ping));
    store.end_notice(&ping, false).await.unwrap();
    // A failure since takes the sign of life back, and no success
    end(&store, ("a", "4"), true, &[], minutes(3)).await;
    let mut told = Vec::new();
    while let Some(notice) = take(&store, Occasion::Time, minutes(5)).await {
        store.end_notice(&notice, true).await.unwrap();
        told.push((notice.run, notice.news));
    }
    let succeeded = |run: &str| (run.to_owned(), News::Succeeded);
    let failed = ("4".to_owned(), News::Outcome(Change::Fails));
    let wanted = [succeeded("1"), succeeded("2"), succeeded("3"), failed];
    assert_eq!(told, wanted);
    // Where nobody answers for long, the last hundred are kept
    for n in 0..105 {
        let run = format!("run-{n:03}");
        let also = &[News::Succeeded];
        end(&store, ("a", &run), false, also, minutes(10 + n)).await;
    }
    let mut told = Vec::new();
    while let Some(notice) = take(&store, Occasion::Time, minutes(200)).await {
        store.end_notice(&notice, true).await.unwrap();
        if notice.news == News::Succeeded {
            told.push(notice.run);
        }
    }
    let kept = (told.len(), told[0].as_str(), told[99].as_str());
    assert_eq!(kept, (100, "run-005", "run-104"));
});

test!(missed, place, {
    let store = place.open().await;
    let watermark = |seen, at, runs| Planned {
        seen,
        watermark: at,
        runs,
        ..planned("a", "r", seen, at)
    };
    let skipped = Queued {
        record: record("m", "a", Trigger::CatchUp, RunState::Skipped),
        ..queued("m", "a", minutes(1), 0)
    };
    let first = watermark(None, minutes(0), Vec::new());
    store.plan(&[first], minutes(0)).await.unwrap();
    // Of a watermark that somebody else moved nothing is told
    let late = watermark(Some(minutes(-9)), minutes(2), vec![skipped.clone()]);
    assert_eq!(store.plan(&[late], minutes(2)).await.unwrap(), [false]);
    assert_eq!(take(&store, Occasion::News, minutes(2)).await, None);
    let moved = watermark(Some(minutes(0)), minutes(2), vec![skipped]);
    assert_eq!(store.plan(&[moved], minutes(2)).await.unwrap(), [true]);
    let missed = notice("m", News::Missed);
    let taken = take(&store, Occasion::Time, minutes(2)).await;
    assert_eq!(taken, Some(missed));
});

test!(runners, place, {
    let store = place.open().await;
    let runner = |id: &str| Runner {
        id: id.to_owned(),
        name: "host".to_owned(),
        labels: vec!["inside".to_owned()],
        started: noon(),
    };
    assert_eq!(store.sign_in(&runner("a"), noon()).await.unwrap(), 1);
    assert_eq!(store.sign_in(&runner("b"), noon()).await.unwrap(), 2);
    assert_eq!(store.sign_in(&runner("b"), noon()).await.unwrap(), 2);
    assert_eq!(store.runners(noon()).await.unwrap()[0], runner("a"));
    let late = noon() + TimeDelta::seconds(61);
    assert_eq!(store.sign_in(&runner("b"), late).await.unwrap(), 1);
    store.sign_out("b", late).await.unwrap();
    assert!(store.runners(noon()).await.unwrap().is_empty());
});

fn migrate_at_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database();
    runtime.block_on(async {
        for place in [
            Place::Sqlite(folder.path().join("s.db")),
            Place::Postgres(database),
        ] {
            for opened in join_all((0..8).map(|_| place.try_open())).await {
                assert!(opened.unwrap().runs(None, 1).await.unwrap().is_empty());
            }
        }
    });
}

test!(declined, place, {
    place.open().await.close().await;
    let insert = async |version: i64| {
        let pool = sqlx::AnyPool::connect(&place.url()).await.unwrap();
        let sql = "INSERT INTO schema_version (version) VALUES ($1)";
        sqlx::query(sql).bind(version).execute(&pool).await.unwrap();
        pool.close().await;
    };
    // What a newer program only added does not disturb this one
    insert(999).await;
    assert!(place.try_open().await.is_ok());
    insert(1000).await;
    let error = place.try_open().await.unwrap_err();
    assert!(error.to_string().contains("version 1000"), "{error}");
});
