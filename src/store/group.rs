//! Group commit: in `SQLite`, entries of callers who are there at the same time share one transaction
//! and one wait for the disk. Nobody is answered before the commit that holds his entry.
//!
//! Callers take turns. The first begins a transaction and writes, each who waits behind it writes into
//! the same one, and whoever comes round again first commits for all. Where one entry fails, or its
//! caller gives up half-way, all of it is undone, and every other is written again in a transaction of
//! its own, as if there had been no group. Postgres does this by itself, over its connections.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, OnceLock},
};

use sqlx::{
    Any, AnyConnection, Transaction,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Store, StoreError, open::Backend, plan::query};

/// Something that is written as a whole. It may be written more than once, if it was undone before.
pub(super) trait Entry: Sync {
    /// What its caller hears.
    type Answer: Send;

    /// Whether it reads first what nobody may change until it has written; else it begins with a
    /// change of the one row on which all depends.
    const READS_FIRST: bool = false;

    /// Whether it is a single statement, which needs no `BEGIN` and `COMMIT` around it: each is a way to
    /// the server and back.
    const IS_ONE_STATEMENT: bool = false;

    /// Writes it. A failure undoes all of it.
    fn write(
        &self,
        store: &Store,
        tx: &mut AnyConnection,
    ) -> impl Future<Output = Result<Self::Answer, StoreError>> + Send;
}

/// Whose turn it is to write in this process, and the transaction that waits for its commit. One after
/// the other is fair, which writers that knock at a locked `SQLite` again and again are not.
#[derive(Debug, Default)]
pub(super) struct Turns {
    open: Arc<Mutex<Option<Group>>>,
}

type Turn = OwnedMutexGuard<Option<Group>>;

/// A transaction that holds entries of several callers.
#[derive(Debug)]
struct Group {
    tx: Transaction<'static, Any>,
    end: End,
    members: usize,
}

/// Whether a group was committed; unset while it is open.
type End = Arc<OnceLock<bool>>;

impl Group {
    async fn commit(self) {
        let Self { tx, end, .. } = self;
        let is_committed = match tx.commit().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "changes could not be committed together: each is made by itself");
                false
            }
        };
        let _ = end.set(is_committed);
    }

    /// Rolls it back; its members write again.
    fn undo(self) {
        let Self { tx, end, .. } = self;
        drop(tx);
        let _ = end.set(false);
    }
}

impl Turns {
    async fn next(&self) -> Turn {
        Arc::clone(&self.open).lock_owned().await
    }
}

/// Puts a group back when it is to stay, and undoes it otherwise: its caller may go away at any time.
struct Held<'a> {
    turn: &'a mut Turn,
    group: Option<Group>,
}

impl Held<'_> {
    fn keep(mut self) -> End {
        let group = self.group.take().expect("it is kept once");
        let end = Arc::clone(&group.end);
        **self.turn = Some(group);
        end
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            group.undo();
        }
    }
}

/// Commits the group that is open, if one is.
async fn settle(mut turn: Turn) -> Turn {
    if let Some(group) = turn.take() {
        group.commit().await;
    }
    turn
}

/// Goes on whether or not anybody waits: a commit of which nobody knows how it ended could be made
/// twice, and what was written is not left open when its caller goes away.
pub(super) async fn surely<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let done = tokio::spawn(work).await;
    done.expect("it does not panic, and ends with the runtime only")
}

impl Store {
    /// Writes an entry, and answers when it is on the disk.
    pub(super) async fn enter<E: Entry>(&self, entry: E) -> Result<E::Answer, StoreError> {
        if self.backend == Backend::Sqlite
            && let Some(answer) = self.enter_together(&entry).await?
        {
            return Ok(answer);
        }
        self.enter_alone(&entry).await
    }

    async fn enter_alone<E: Entry>(&self, entry: &E) -> Result<E::Answer, StoreError> {
        if E::IS_ONE_STATEMENT && self.backend == Backend::Postgres {
            let mut connection = self.pool.acquire().await.map_err(self.wrap())?;
            return entry.write(self, &mut connection).await;
        }
        let mut tx = if E::READS_FIRST {
            self.begin_write().await?
        } else {
            self.begin_change().await?
        };
        let answer = entry.write(self, &mut tx).await?;
        tx.commit().await.map_err(self.wrap())?;
        Ok(answer)
    }

    /// `None`: it was undone with others, and is to be written again.
    async fn enter_together<E: Entry>(&self, entry: &E) -> Result<Option<E::Answer>, StoreError> {
        let mut turn = self.turns.next().await;
        let group = match turn.take() {
            Some(group) => group,
            None => self.begin_group().await?,
        };
        let mut held = Held {
            turn: &mut turn,
            group: Some(group),
        };
        let group = held.group.as_mut().expect("it was put there just now");
        group.members += 1;
        let is_alone = group.members == 1;
        let answer = match entry.write(self, &mut group.tx).await {
            Ok(answer) => answer,
            Err(error) if is_alone => return Err(error),
            Err(_) => return Ok(None),
        };
        let end = held.keep();
        drop(turn);
        let (turns, mine) = (Arc::clone(&self.turns.open), Arc::clone(&end));
        surely(async move {
            let turn = turns.lock_owned().await;
            if mine.get().is_none() {
                settle(turn).await;
            }
        })
        .await;
        Ok(end.get().copied().unwrap_or(false).then_some(answer))
    }

    /// Two statements with the same values; the rows of the first, as the second gives none. `SQLite`
    /// hears both at once: a message to its thread and back takes longer than a statement.
    pub(super) async fn both<'q>(
        &self,
        tx: &mut AnyConnection,
        statements: [String; 2],
        bind: impl Fn(Query<'q, Any, AnyArguments>) -> Query<'q, Any, AnyArguments> + Send,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let [first, second] = statements;
        if self.backend == Backend::Sqlite {
            let both = bind(query(format!("{first}; {second}")));
            return both.fetch_all(&mut *tx).await.map_err(self.wrap());
        }
        let rows = bind(query(first)).fetch_all(&mut *tx).await;
        let rows = rows.map_err(self.wrap())?;
        let done = bind(query(second)).execute(&mut *tx).await;
        done.map_err(self.wrap())?;
        Ok(rows)
    }

    async fn begin_group(&self) -> Result<Group, StoreError> {
        Ok(Group {
            tx: self.begin().await?,
            end: End::default(),
            members: 0,
        })
    }

    /// The turn to write alone, in `SQLite`; what others wrote before is committed.
    pub(super) async fn turn(&self) -> Option<OwnedTurn> {
        if self.backend == Backend::Postgres {
            return None;
        }
        let turn = self.turns.next().await;
        if turn.is_none() {
            return Some(OwnedTurn(turn));
        }
        Some(OwnedTurn(surely(settle(turn)).await))
    }
}

/// Nobody else writes in this process until it is dropped.
#[derive(Debug)]
pub(super) struct OwnedTurn(#[expect(dead_code, reason = "held, not looked at")] Turn);

/// A transaction that writes, alone.
#[derive(Debug)]
pub(super) struct Writing {
    // Dropped in this order: the next one finds the database free
    tx: Transaction<'static, Any>,
    turn: Option<OwnedTurn>,
}

impl Writing {
    pub(super) fn new(tx: Transaction<'static, Any>, turn: Option<OwnedTurn>) -> Self {
        Self { tx, turn }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        let Self { tx, turn } = self;
        let done = tx.commit().await;
        drop(turn);
        done
    }
}

impl Deref for Writing {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.tx
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.tx
    }
}

#[cfg(test)]
mod tests;
