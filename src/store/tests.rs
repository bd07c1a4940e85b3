//! The promises of the store, against real files.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};

use super::*;
use crate::domain::run::{
    ArtifactRecord, DeliveryRecord, DeliveryState, RunRecord, RunState, StepRecord, StepState,
    Trigger, WindowRecord,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn record(id: &str, trigger: Trigger) -> RunRecord {
    RunRecord {
        id: id.to_owned(),
        job: "weekly".to_owned(),
        tick: "2026-11-23T08:00:00+01:00".to_owned(),
        state: RunState::Running,
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

fn step(state: StepState, rows: u64) -> StepRecord {
    StepRecord {
        query: "pages".to_owned(),
        website_id: Some("web_1".to_owned()),
        link_id: None,
        start: "2026-11-16".to_owned(),
        end: "2026-11-22".to_owned(),
        state,
        rows,
        error: None,
    }
}

async fn create(store: &Store, id: &str, trigger: Trigger) -> bool {
    let record = record(id, trigger);
    let (tick, now) = (at("2026-11-23T07:00:00Z"), at("2026-11-23T07:00:01Z"));
    let run = NewRun {
        tick,
        definition_hash: "h",
        process: None,
        record: &record,
        now,
    };
    store.create_run(run).await.unwrap()
}

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

fn handing(run: &str, force: bool) -> Handing<'_> {
    Handing {
        run,
        place: 0,
        subject: "S",
        again: if force { Again::Always } else { Again::No },
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

async fn begin(store: &Store, run: &str, force: bool, now: &str) -> Begin {
    let id = |number| format!("m{number}@x");
    store
        .begin_delivery(&key(), handing(run, force), id, at(now))
        .await
        .unwrap()
}

/// How a sending of the run `a` ended.
async fn finish(store: &Store, number: u32, state: DeliveryState, now: &str) {
    let end = Ended {
        key: &key(),
        number,
        handing: handing("a", false),
        record: &ended(state),
    };
    store.finish_deliveries(&[end], at(now)).await.unwrap();
}

#[tokio::test]
async fn a_scheduled_run_is_unique_for_its_tick_and_a_manual_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    assert!(create(&store, "a", Trigger::Schedule).await);
    assert!(!create(&store, "b", Trigger::CatchUp).await);
    assert!(create(&store, "c", Trigger::Manual).await);
    assert!(create(&store, "d", Trigger::Manual).await);
}

#[tokio::test]
async fn a_run_comes_back_as_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/s.db");
    let store = Store::open(&file).await.unwrap();
    assert!(create(&store, "abc", Trigger::Manual).await);
    assert_eq!(
        store
            .start_attempt("abc", at("2026-11-23T07:00:02Z"))
            .await
            .unwrap()
            .number,
        1
    );
    let mut run = record("abc", Trigger::Manual);
    run.state = RunState::PartiallySucceeded;
    run.error = Some("half".to_owned());
    run.attempts = 1;
    (run.requests, run.retries, run.rows, run.duration_ms) = (3, 1, 7, 412);
    run.steps = vec![step(StepState::Succeeded, 7), step(StepState::Failed, 0)];
    run.steps[1].error = Some("ECONNREFUSED".to_owned());
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
    let end = at("2026-11-23T07:00:03Z");
    store.end_run(&run, None, end).await.unwrap();
    store.close().await;
    let store = Store::open(&file).await.unwrap();
    match store.find_run("ab").await.unwrap() {
        Found::One(found) => assert_eq!(*found, run),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.runs(Some("weekly"), 9).await.unwrap(), [run.clone()]);
    assert_eq!(store.last_runs().await.unwrap(), [run.clone()]);
    assert!(store.runs(Some("other"), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_declined() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.db");
    let store = Store::open(&file).await.unwrap();
    sqlx::query("INSERT INTO schema_version (version) VALUES (1001)")
        .execute(store.pool())
        .await
        .unwrap();
    store.close().await;
    let error = Store::open(&file).await.unwrap_err();
    assert!(error.to_string().contains("version 1001"), "{error}");
}

#[tokio::test]
async fn of_sixteen_that_ask_at_once_one_sends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.db");
    let first = Store::open(&file).await.unwrap();
    create(&first, "a", Trigger::Manual).await;
    let second = Store::open(&file).await.unwrap();
    create(&second, "b", Trigger::Manual).await;
    let asks = (0..16).map(|n| {
        let (store, run) = [(&first, "a"), (&second, "b")][n % 2];
        async move { begin(store, run, false, "2026-11-23T07:00:02Z").await }
    });
    let answers = futures::future::join_all(asks).await;
    assert_eq!(
        answers.iter().filter(|a| **a == Begin::Send(1)).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|a| **a == Begin::InFlight).count(),
        15
    );
}

#[tokio::test]
async fn a_mail_of_a_killed_run_is_unknown_and_not_sent_again_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    create(&store, "a", Trigger::Manual).await;
    assert_eq!(
        begin(&store, "a", false, "2026-11-23T07:00:02Z").await,
        Begin::Send(1)
    );
    create(&store, "b", Trigger::Manual).await;
    // Two minutes later the run has given no sign of life
    for _ in 0..2 {
        let again = begin(&store, "b", false, "2026-11-23T07:03:00Z").await;
        assert!(matches!(again, Begin::Unknown { .. }), "{again:?}");
    }
    assert_eq!(
        begin(&store, "b", true, "2026-11-23T07:04:00Z").await,
        Begin::Send(2)
    );
}

#[tokio::test]
async fn a_sent_mail_stays_sent_and_a_refused_one_may_go_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let now = "2026-11-23T07:00:02Z";
    create(&store, "a", Trigger::Manual).await;
    assert_eq!(begin(&store, "a", false, now).await, Begin::Send(1));
    finish(&store, 1, DeliveryState::Refused, now).await;
    assert_eq!(begin(&store, "a", false, now).await, Begin::Send(2));
    finish(&store, 2, DeliveryState::Sent, now).await;
    let sent = Begin::AlreadySent {
        subject: "S".to_owned(),
        message_id: "m2@x".to_owned(),
    };
    assert_eq!(begin(&store, "a", false, now).await, sent);
}

#[tokio::test]
async fn an_end_is_recorded_with_the_next_beginning_and_also_where_nothing_may_begin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.db");
    let store = Store::open(&file).await.unwrap();
    let now = "2026-11-23T07:00:02Z";
    create(&store, "a", Trigger::Manual).await;
    let to = |name: &str| DeliveryKey {
        recipient: format!("{name}@example.org"),
        ..key()
    };
    let id = |number| format!("m{number}@x");
    let next = |key| Next {
        key,
        handing: handing("a", false),
        message_id: &id,
    };
    let sent = ended(DeliveryState::Sent);
    let end = |key| Ended {
        key,
        number: 1,
        handing: handing("a", false),
        record: &sent,
    };
    let (ann, bob, cyd) = (&to("ann"), &to("bob"), &to("cyd"));
    let begun = store.turn_over(&[], &[next(ann)], at(now)).await.unwrap();
    assert_eq!(begun, [Begin::Send(1)]);
    let all = [next(bob), next(ann)];
    let begun = store.turn_over(&[end(ann)], &all, at(now)).await.unwrap();
    assert_eq!(begun[0], Begin::Send(1));
    assert!(matches!(begun[1], Begin::AlreadySent { .. }), "{begun:?}");
    let taken = "UPDATE runs SET fence = fence + 1";
    sqlx::query(taken).execute(store.pool()).await.unwrap();
    let refused = store.turn_over(&[end(bob)], &[next(cyd)], at(now)).await;
    assert!(matches!(refused, Err(StoreError::TakenOver { .. })));
    let state = async |key| store.delivery_state(key, at(now)).await.unwrap();
    assert_eq!(state(bob).await, Some(DeliveryState::Sent));
    assert_eq!(state(cyd).await, None);
}

#[tokio::test]
async fn a_sending_taken_back_leaves_what_another_runner_has_begun_since() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let now = "2026-11-23T07:00:02Z";
    create(&store, "a", Trigger::Manual).await;
    assert_eq!(begin(&store, "a", false, now).await, Begin::Send(1));
    for table in ["runs", "deliveries"] {
        let sql = format!("UPDATE {table} SET fence = fence + 1");
        let taken = sqlx::query(sqlx::AssertSqlSafe(sql));
        taken.execute(store.pool()).await.unwrap();
    }
    finish(&store, 1, DeliveryState::Pending, now).await;
    let state = store.delivery_state(&key(), at(now)).await.unwrap();
    assert_eq!(state, Some(DeliveryState::Pending));
}

#[tokio::test]
async fn what_a_run_knows_of_its_mails_as_it_ends_is_no_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let now = "2026-11-23T07:00:02Z";
    create(&store, "a", Trigger::Manual).await;
    assert_eq!(begin(&store, "a", false, now).await, Begin::Send(1));
    // The store could not be told when the server had answered
    let run = RunRecord {
        state: RunState::Failed,
        deliveries: vec![DeliveryRecord {
            message_id: "m1@x".to_owned(),
            ..ended(DeliveryState::Sent)
        }],
        ..record("a", Trigger::Manual)
    };
    store.end_run(&run, None, at(now)).await.unwrap();
    let state = store.delivery_state(&key(), at(now)).await.unwrap();
    assert_eq!(state, Some(DeliveryState::Sent));
    let Found::One(run) = store.find_run("a").await.unwrap() else {
        panic!("it was created")
    };
    assert_eq!(run.error, None);
}

#[tokio::test]
async fn nothing_is_handed_over_for_a_run_that_is_not_held_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.db");
    let (store, other) = (
        Store::open(&file).await.unwrap(),
        Store::open(&file).await.unwrap(),
    );
    create(&store, "a", Trigger::Manual).await;
    let now = at("2026-11-23T07:00:02Z");
    let refuses = async |store: &Store, run: &str| {
        let (key, id) = (key(), |number| format!("m{number}@x"));
        let begun = store.begin_delivery(&key, handing(run, false), id, now);
        let begun = begun.await.map(|_| ());
        let named = store.set_mails(run, [(0, "mail")]).await;
        let is_refused = |result| matches!(result, Err(StoreError::TakenOver { .. }));
        (is_refused(begun), is_refused(named))
    };
    assert_eq!(refuses(&other, "a").await, (true, true));
    assert_eq!(refuses(&store, "nobody").await, (true, true));
    assert_eq!(refuses(&store, "a").await, (false, false));
    let done = RunRecord {
        state: RunState::Succeeded,
        ..record("a", Trigger::Manual)
    };
    store.end_run(&done, None, now).await.unwrap();
    assert_eq!(refuses(&store, "a").await, (true, true));
}

#[tokio::test]
async fn a_lease_excludes_others_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let ttl = Duration::from_secs(60);
    let (start, later) = (at("2026-11-23T07:00:00Z"), at("2026-11-23T07:01:01Z"));
    assert!(store.acquire_lease("job:x", "a", start, ttl).await.unwrap());
    assert!(!store.acquire_lease("job:x", "b", start, ttl).await.unwrap());
    assert!(store.acquire_lease("job:x", "b", later, ttl).await.unwrap());
    assert_eq!(store.renew_leases("a", later, ttl).await.unwrap(), 0);
    assert_eq!(store.renew_leases("b", later, ttl).await.unwrap(), 1);
    store.release_leases("b").await.unwrap();
    assert!(store.acquire_lease("job:x", "a", later, ttl).await.unwrap());
}

#[tokio::test]
async fn a_killed_run_is_marked_failed_and_shows_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    create(&store, "a", Trigger::Manual).await;
    let steps = [step(StepState::Pending, 0), step(StepState::Pending, 0)];
    store
        .save_steps("a", steps.iter().enumerate())
        .await
        .unwrap();
    let done = step(StepState::Succeeded, 7);
    store.save_steps("a", [(1, &done)]).await.unwrap();
    let running = store.running().await.unwrap();
    assert_eq!(running[0].id, "a");
    assert!(running[0].alive_until > at("2026-11-23T07:00:30Z"));
    assert!(running[0].alive_until < at("2026-11-23T07:02:00Z"));
    let now = at("2026-11-23T07:05:00Z");
    assert!(store.abandon(&running[0], now).await.unwrap());
    assert!(store.running().await.unwrap().is_empty());
    let run = store.runs(None, 1).await.unwrap().remove(0);
    assert_eq!(run.state, RunState::Failed);
    assert!(run.error.unwrap().contains("stopped before"));
    let states: Vec<_> = run.steps.iter().map(|s| s.state).collect();
    assert_eq!(states, [StepState::Cancelled, StepState::Succeeded]);
}

#[test]
fn the_archive_keeps_each_content_once_and_notices_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::beside(&folder.path().join("state.db"));
    let now = at("2026-11-23T07:00:00Z").into();
    let hash = archive.put(b"a mail", now).unwrap();
    assert_eq!(archive.put(b"a mail", now).unwrap(), hash);
    assert_eq!(archive.get(&hash).unwrap(), b"a mail");
    let path = folder
        .path()
        .join(format!("archive/{}/{hash}.zst", &hash[..2]));
    let other = zstd::encode_all(&b"another"[..], 3).unwrap();
    std::fs::write(&path, other).unwrap();
    assert!(archive.get(&hash).is_err());
    assert!(archive.get("nothing").is_err());
}

#[test]
fn a_sweep_spares_what_is_named_and_what_was_used_of_late() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::beside(&folder.path().join("state.db"));
    let early = at("2026-11-20T07:00:00Z").into();
    let now = at("2026-11-23T07:00:00Z").into();
    let named = archive.put(b"named", early).unwrap();
    let used = archive.put(b"used again", early).unwrap();
    archive.put(b"used again", now).unwrap();
    let old = archive.put(b"old", early).unwrap();
    let kept = BTreeSet::from([named.clone()]);
    assert_eq!(archive.sweep(&kept, now).unwrap(), 1);
    assert!(archive.get(&named).is_ok() && archive.get(&used).is_ok());
    assert!(archive.get(&old).is_err());
}

#[tokio::test]
async fn a_suppressed_recipient_is_refused_until_the_list_lets_it_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    assert!(create(&store, "a", Trigger::Manual).await);
    let now = "2026-11-23T07:00:00Z";
    let to = key().recipient;
    assert!(store.suppress(&to, "asked us", at(now)).await.unwrap());
    assert!(!store.suppress(&to, "asked twice", at(now)).await.unwrap());
    let suppressed = Begin::Suppressed {
        reason: "asked twice".to_owned(),
    };
    for force in [false, true] {
        assert_eq!(begin(&store, "a", force, now).await, suppressed);
    }
    let state = store.delivery_state(&key(), at(now)).await.unwrap();
    assert_eq!(state, Some(DeliveryState::Refused));
    assert!(store.unsuppress(&to).await.unwrap());
    assert_eq!(begin(&store, "a", false, now).await, Begin::Send(2));
}

#[tokio::test]
async fn a_run_that_goes_on_with_other_mails_pairs_no_recipient_with_the_mail_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    create(&store, "a", Trigger::Manual).await;
    let to = |to: &str, website: &str| DeliveryRecord {
        to: to.to_owned(),
        website_id: Some(website.to_owned()),
        ..ended(DeliveryState::Pending)
    };
    let before = [
        to("ann@example.org", "web_1"),
        to("bob@example.org", "web_2"),
    ];
    store.save_deliveries("a", 0, &before).await.unwrap();
    store
        .set_mails("a", [(0, "of-ann"), (1, "of-bob")])
        .await
        .unwrap();
    // The first website is gone by now
    store.save_deliveries("a", 0, &before[1..]).await.unwrap();
    store.trim_deliveries("a", 1).await.unwrap();
    let Found::One(run) = store.find_run("a").await.unwrap() else {
        panic!("the run is there")
    };
    assert_eq!(run.deliveries, before[1..]);
    assert_eq!(store.mails_of("a").await.unwrap(), [None]);
}

#[tokio::test]
async fn a_run_that_ends_without_knowing_how_a_mail_ended_leaves_it_in_doubt_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    create(&store, "a", Trigger::Manual).await;
    let pending = [ended(DeliveryState::Pending)];
    store.save_deliveries("a", 0, &pending).await.unwrap();
    assert_eq!(
        begin(&store, "a", false, "2026-11-23T07:00:02Z").await,
        Begin::Send(1)
    );
    // The store could not take how the handing over ended
    let mut run = record("a", Trigger::Manual);
    run.state = RunState::Failed;
    run.error = Some("the disk is full".to_owned());
    run.deliveries = pending.to_vec();
    store
        .end_run(&run, None, at("2026-11-23T07:00:03Z"))
        .await
        .unwrap();
    let Found::One(found) = store.find_run("a").await.unwrap() else {
        panic!("the run is there")
    };
    assert_eq!(found.deliveries[0].state, DeliveryState::Unknown);
    assert!(found.error.unwrap().contains("may have been sent"));
    create(&store, "b", Trigger::Manual).await;
    let again = begin(&store, "b", false, "2026-11-23T08:00:00Z").await;
    assert!(matches!(again, Begin::Unknown { .. }), "{again:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    std::fs::write(
        &file,
        "this is no database at all, whatever its name says".repeat(100),
    )
    .unwrap();
    let error = Store::open(&file).await.unwrap_err();
    let StoreError::Database { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("not a database"), "{source}");
}
