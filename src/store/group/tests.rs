//! Entries that share a transaction: each is answered for itself, and not before it is on the disk.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sqlx::AnyConnection;
use tokio::{sync::Semaphore, task::JoinHandle};

use super::*;

/// A line that is written down, and what happens meanwhile.
#[derive(Clone)]
struct Line {
    text: &'static str,
    /// After it is written, so many permits are needed to go on.
    gate: Arc<Semaphore>,
    fails: bool,
    times: Arc<AtomicUsize>,
}

fn line(text: &'static str) -> Line {
    Line {
        text,
        gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        fails: false,
        times: Arc::default(),
    }
}

impl Entry for Line {
    type Answer = &'static str;

    async fn write(
        &self,
        store: &Store,
        tx: &mut AnyConnection,
    ) -> Result<&'static str, StoreError> {
        self.times.fetch_add(1, Ordering::Relaxed);
        let sql = "INSERT INTO suppressions (address, reason, added_ms) VALUES ($1, '', 0)";
        sqlx::query(sql)
            .bind(self.text)
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        self.gate.acquire().await.unwrap().forget();
        if self.fails {
            return Err(store.unknown("word", self.text));
        }
        Ok(self.text)
    }
}

async fn open(folder: &tempfile::TempDir) -> Arc<Store> {
    Arc::new(Store::open(&folder.path().join("s.db")).await.unwrap())
}

fn spawn(store: &Arc<Store>, line: &Line) -> JoinHandle<Result<&'static str, StoreError>> {
    let (store, line) = (Arc::clone(store), line.clone());
    tokio::spawn(async move { store.enter(line).await })
}

/// Lets everybody come as far as he can.
async fn queue_up() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// All of them while somebody else has the turn, so that they are written together.
async fn spawn_together(
    store: &Arc<Store>,
    lines: &[Line],
) -> Vec<JoinHandle<Result<&'static str, StoreError>>> {
    let turn = store.turns.next().await;
    let mut all = Vec::new();
    for line in lines {
        all.push(spawn(store, line));
        queue_up().await;
    }
    drop(turn);
    all
}

async fn lines(store: &Store) -> Vec<String> {
    let all = store.suppressions().await.unwrap();
    let mut all: Vec<String> = all.into_iter().map(|s| s.address).collect();
    all.sort();
    all
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit_that_holds_his_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let (first, mut last) = (line("first"), line("last"));
    last.gate = Arc::new(Semaphore::new(0));
    let mut all = spawn_together(&store, &[first.clone(), last.clone()]).await;
    while last.times.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    queue_up().await;
    // The first is written, in the transaction that the last keeps open
    assert_eq!(first.times.load(Ordering::Relaxed), 1);
    assert!(!all[0].is_finished());
    assert!(lines(&store).await.is_empty());
    last.gate.add_permits(1);
    assert_eq!(all.remove(0).await.unwrap().unwrap(), "first");
    assert_eq!(lines(&store).await, ["first", "last"]);
    assert_eq!(all.remove(0).await.unwrap().unwrap(), "last");
    let times = [&first, &last].map(|line| line.times.load(Ordering::Relaxed));
    assert_eq!(times, [1, 1]);
}

#[tokio::test]
async fn an_error_in_a_group_undoes_only_its_own_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let (before, mut wrong, twice, after) = (line("a"), line("b"), line("a"), line("d"));
    wrong.fails = true;
    // One fails by itself, one in the database: a line stands there once
    let all = [before.clone(), wrong, twice, after];
    let mut answers = Vec::new();
    for answer in spawn_together(&store, &all).await {
        answers.push(answer.await.unwrap().map_err(|error| error.to_string()));
    }
    assert!(
        answers[1].as_ref().unwrap_err().contains("`b`"),
        "{answers:?}"
    );
    // Which of the two that are the same comes first is open once they are written by themselves
    let same = [&answers[0], &answers[2]];
    assert_eq!(
        same.iter().filter(|answer| answer.is_ok()).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(answers[3].as_ref().unwrap(), &"d");
    assert_eq!(lines(&store).await, ["a", "d"]);
    assert!(
        before.times.load(Ordering::Relaxed) > 1,
        "it was not in the group"
    );
}

#[tokio::test]
async fn who_gives_up_half_way_undoes_only_his_own_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let (stays, mut goes) = (line("stays"), line("goes"));
    goes.gate = Arc::new(Semaphore::new(0));
    let mut all = spawn_together(&store, &[stays.clone(), goes.clone()]).await;
    while goes.times.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    all[1].abort();
    assert_eq!(all.remove(0).await.unwrap().unwrap(), "stays");
    assert_eq!(lines(&store).await, ["stays"]);
    assert_eq!(stays.times.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_its_caller_has_left_keeps_nobody_from_writing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let (gone, next) = (line("gone"), line("next"));
    let turn = store.turns.next().await;
    let caller = spawn(&store, &gone);
    queue_up().await;
    // Somebody who wants the turn for himself comes next, and finds the transaction of the first open
    let alone = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.begin_write().await.unwrap().commit().await })
    };
    queue_up().await;
    drop(turn);
    while gone.times.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    alone.await.unwrap().unwrap();
    assert_eq!(spawn(&store, &next).await.unwrap().unwrap(), "next");
    assert!(lines(&store).await.contains(&"next".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_each_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let texts: Vec<&'static str> = (0..300)
        .map(|n| &*Box::leak(format!("{n:03}").into_boxed_str()))
        .collect();
    let all: Vec<_> = texts
        .iter()
        .map(|text| spawn(&store, &line(text)))
        .collect();
    // Callers that go away at any point leave whole entries, or none
    for each in all.iter().skip(200) {
        each.abort();
    }
    for (text, answer) in texts.iter().zip(all).take(200) {
        assert_eq!(answer.await.unwrap().unwrap(), *text);
    }
    let found = lines(&store).await;
    assert!(found.len() >= 200, "{}", found.len());
    assert!(
        texts[..200]
            .iter()
            .all(|text| found.contains(&(*text).to_owned()))
    );
}
