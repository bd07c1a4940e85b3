//! Which columns the files of a run have: the schema locks of its destinations, and what its answers
//! add to them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use super::{
    Engine, EngineError,
    constants::{constants, query_column},
    fetch::StepError,
    run::one_line,
};
use crate::{
    domain::{
        job::{Drift, Export, Format, Job, Nested, Pii},
        personal::is_personal,
        query::{ColumnType, Query, Source},
    },
    export::{Destination, FoundColumn, SchemaLock, Version},
    plan::{Plan, PlannedArtifact, Step},
    table::{
        Column, Known, SESSION_EVENTS, Shape, ShapedColumn, TableBuilder, known_columns,
        known_custom_columns,
    },
};

/// The schema locks of a run, by label of the destination and query.
#[derive(Debug, Default)]
pub(super) struct Columns(BTreeMap<(String, String), Entry>);

#[derive(Debug)]
struct Entry {
    destination: Destination,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lock: SchemaLock,
    /// As it was read.
    before: SchemaLock,
    version: Version,
    /// Columns that are known without asking, in their order.
    known: Vec<String>,
    /// Why no file of the query may be written.
    refused: Option<String>,
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

/// What the columns of a file add to a lock, as soon as its step is complete.
#[derive(Debug)]
pub(super) struct Growth {
    key: (String, String),
    known: Vec<String>,
    found: Vec<FoundColumn>,
}

impl Columns {
    /// Reads the locks of every file of the plan.
    ///
    /// # Errors
    /// A destination cannot be read.
    pub(super) async fn read(
        engine: &Engine,
        job: &Job,
        plan: &Plan,
        force: bool,
    ) -> Result<Self, EngineError> {
        let mut entries = BTreeMap::new();
        for artifact in &plan.artifacts {
            let export = &job.exports[artifact.export];
            let query = query_of(job, &plan.steps[artifact.step]);
            let key = (export.to_label.clone(), query.name.clone());
            if entries.contains_key(&key) {
                continue;
            }
            let destination = engine.destination(job, export)?;
            let (lock, version) = destination.read_lock(&query.name).await?;
            let before = lock.unwrap_or_else(|| SchemaLock::new(&job.name, &query.name));
            let mut state = State {
                lock: before.clone(),
                before,
                version,
                known: Vec::new(),
                refused: None,
            };
            state.apply_pins(export, query, force);
            entries.insert(
                key,
                Entry {
                    destination,
                    state: Mutex::new(state),
                },
            );
        }
        Ok(Self(entries))
    }

    /// What is known of a step's columns before its first row: those under the locks come first and
    /// keep their types.
    pub(super) fn known(&self, engine: &Engine, job: &Job, step: &Step) -> Known {
        let query = query_of(job, step);
        let base = base(engine, query, step);
        let locks: Vec<SchemaLock> = self
            .0
            .iter()
            .filter(|((_, name), _)| *name == query.name)
            .map(|(_, entry)| entry.state().before_with_forced_types())
            .filter(|lock| lock.version > 0)
            .collect();
        if locks.is_empty() {
            return base;
        }
        let mut known = Known {
            columns: Vec::new(),
            kinds: base.kinds,
        };
        for column in base.columns {
            if let Some(kind) = column.kind {
                known.kinds.entry(column.name).or_insert(kind);
            }
        }
        for column in locks.iter().flat_map(|lock| &lock.columns) {
            // How an export writes events is its own affair
            let kind = match ColumnType::parse(&column.kind) {
                Some(ColumnType::SessionEvents) => Some(ColumnType::Json),
                kind => kind,
            };
            if known.columns.iter().all(|c| c.name != column.name) {
                known.columns.push(Column {
                    name: column.name.clone(),
                    kind,
                });
            }
        }
        known
    }

    /// The columns of one file, in the order of the lock, and what they would add to it. A file has
    /// the columns that are known of its query before it is asked, and of others those that `has` a
    /// value: so the same answer gives the same file, whatever other answers have put under the lock.
    ///
    /// # Errors
    /// A column names people, would change its type, or is new where the schema is frozen.
    pub(super) fn shape(
        &self,
        engine: &Engine,
        job: &Job,
        step: &Step,
        artifact: &PlannedArtifact,
        table: &TableBuilder,
        has: &dyn Fn(&str) -> bool,
    ) -> Result<(Shape, Growth), StepError> {
        let refuse = StepError::last;
        let export = &job.exports[artifact.export];
        let key = (export.to_label.clone(), step.query.clone());
        let known = base(engine, query_of(job, step), step);
        let state = self.0[&key].state();
        if let Some(why) = &state.refused {
            return Err(refuse(why.clone()));
        }
        let present: Vec<&str> = table.present().collect();
        let mut found = Vec::new();
        for (name, kind) in table.columns() {
            let Some(kind) = kind else { continue };
            if is_personal(name) && export.pii != Pii::Allow {
                check_personal(step, export, name, kind).map_err(refuse)?;
            }
            found.push(FoundColumn {
                name: name.to_owned(),
                kind: in_file(export, name, kind),
                seen: present.contains(&name),
            });
        }
        let mut lock = state.lock.clone();
        let new = lock.add(&found).map_err(|e| refuse(one_line(&e)))?;
        warn_of_case(step, &lock, &new);
        if export.drift == Drift::Freeze && state.before.version > 0 && !new.is_empty() {
            return Err(refuse(format!(
                "query `{}`: the answer has the new columns {}, and `drift: freeze` takes none: write `drift: evolve` to add them",
                step.query,
                new.join(", "),
            )));
        }
        let place = |name: &str| {
            let mut columns = known.columns.iter();
            columns.position(|column| column.name == name)
        };
        let is_known = |name: &str| place(name).is_some_and(|at| known.columns[at].kind.is_some());
        let in_answer = |name: &str| found.iter().any(|column| column.name == name);
        let before = &state.before;
        let columns = lock.columns.iter().filter(|column| {
            let name = column.name.as_str();
            let is_ours = in_answer(name) || before.kind_of(name).is_some();
            is_known(name) || (is_ours && has(name))
        });
        // The order that the lock will have: its own, then those that are known in their order, new ones by
        // name, whichever answer came first
        let mut columns: Vec<_> = columns.collect();
        columns.sort_by_key(|column| {
            let at = place(&column.name).unwrap_or(usize::MAX);
            (before.place_of(&column.name), at, column.name.clone())
        });
        if columns.is_empty() {
            // A file without columns has no rows to its readers: one of an answer that says nothing of
            // its columns has those of the answers before
            columns.extend(&before.columns);
        }
        let columns = columns.into_iter();
        let columns = columns.filter_map(|column| {
            Some(ShapedColumn {
                name: column.name.clone(),
                kind: ColumnType::parse(&column.kind)?,
                is_hashed: export.pii == Pii::Hash && is_personal(&column.name),
            })
        });
        let columns: Vec<ShapedColumn> = columns.collect();
        let mut constants = constants(export, step, &columns).map_err(refuse)?;
        if columns.is_empty() && constants.is_empty() {
            constants.push(query_column(step));
        }
        let growth = Growth {
            key,
            known: known.columns.iter().map(|c| c.name.clone()).collect(),
            found,
        };
        Ok((Shape::new(columns, constants), growth))
    }

    /// Puts the columns of a complete step under the locks: one that fails after its first page must
    /// leave none behind.
    ///
    /// # Errors
    /// Another step has given one of the columns another type meanwhile; then none is added.
    pub(super) fn grow(&self, growths: Vec<Growth>) -> Result<(), StepError> {
        let refuse = |error| StepError::last(one_line(&error));
        for growth in &growths {
            let mut lock = self.0[&growth.key].state().lock.clone();
            lock.add(&growth.found).map_err(refuse)?;
        }
        for growth in growths {
            let mut state = self.0[&growth.key].state();
            state.lock.add(&growth.found).map_err(refuse)?;
            state.known = growth.known;
        }
        Ok(())
    }

    /// Says which columns an answer with rows lacks that earlier ones had.
    pub(super) fn report_vanished(&self, step: &Step, table: &TableBuilder) {
        let present: Vec<&str> = table.present().collect();
        for ((to, query), entry) in &self.0 {
            if *query != step.query {
                continue;
            }
            let state = entry.state();
            let is_new = |name: &&str| state.before.kind_of(name).is_none();
            for column in state.before.vanished(&present) {
                let same_kind = |name: &&str| {
                    let mut columns = table.columns();
                    let found = columns.find(|(found, _)| found == name);
                    found.is_some_and(|(_, kind)| kind.is_some_and(|k| k.name() == column.kind))
                };
                let renamed = present.iter().copied().filter(is_new).find(same_kind);
                let hint = renamed.map(|name| format!("; renamed to `{name}`?"));
                tracing::warn!(
                    query, to, of = step.target.id(), day = %step.window.start,
                    "the column `{}` is not in the answer any more{}",
                    column.name, hint.unwrap_or_default()
                );
            }
        }
    }

    /// Writes the locks that grew, before any file that needs them. A lock that somebody else has
    /// changed meanwhile is taken over, where both fit together. One that cannot be written is the
    /// answer of [`Columns::refused`] from then on.
    pub(super) async fn commit(&self) {
        for ((to, query), entry) in &self.0 {
            let (lock, version) = {
                let state = entry.state();
                if state.lock == state.before {
                    continue;
                }
                let mut lock = state.lock.clone();
                lock.settle(&state.before, &state.known);
                (lock, state.version.clone())
            };
            if let Err(error) = write_lock(&entry.destination, query, lock, version).await {
                let why = one_line(&error);
                tracing::warn!(to, query, error = %why, "the schema lock could not be written");
                entry.state().refused = Some(why);
            }
        }
    }

    /// Why no file may be made of a query anywhere: what its job demands does not fit a lock.
    pub(super) fn refused_before(&self, query: &str) -> Option<String> {
        let mut entries = self.0.iter().filter(|((_, name), _)| name == query);
        entries.find_map(|(_, entry)| entry.state().refused.clone())
    }

    /// Why no file of the query may be published in that destination.
    pub(super) fn refused(&self, export: &Export, query: &str) -> Option<String> {
        let entry = self.0.get(&(export.to_label.clone(), query.to_owned()))?;
        entry.state().refused.clone()
    }
}

impl State {
    /// The lock as it was read, with the types that were forced on it: what other answers of this run
    /// have added since is theirs.
    fn before_with_forced_types(&self) -> SchemaLock {
        let mut before = self.before.clone();
        for column in &mut before.columns {
            if let Some(kind) = self.lock.kind_of(&column.name) {
                kind.name().clone_into(&mut column.kind);
            }
        }
        before
    }

    /// What a job demands of types must agree with the lock, or be forced on it.
    fn apply_pins(&mut self, export: &Export, query: &Query, force: bool) {
        let mut wanted: Vec<(&str, ColumnType)> = query
            .columns
            .iter()
            .map(|(name, kind)| (name.as_str(), in_file(export, name, *kind)))
            .collect();
        let events = self.before.kind_of(SESSION_EVENTS);
        if let Some(kind) = events.filter(|kind| kind.is_nested())
            && wanted.iter().all(|(name, _)| *name != SESSION_EVENTS)
        {
            let plain = if kind == ColumnType::SessionEvents && export.nested == Nested::Json {
                ColumnType::Json
            } else {
                kind
            };
            wanted.push((SESSION_EVENTS, in_file(export, SESSION_EVENTS, plain)));
        }
        for (name, kind) in wanted {
            let locked = self.lock.kind_of(name);
            if locked.is_none_or(|locked| locked == kind) {
                continue;
            }
            if force {
                self.lock.change(name, kind);
                continue;
            }
            let column = FoundColumn {
                name: name.to_owned(),
                kind,
                seen: false,
            };
            let error = self.before.clone().add(&[column]).err();
            self.refused = error.map(|error| one_line(&error));
        }
    }
}

/// Names that differ in case alone are one to `DuckDB` and others, which lose the values of one.
fn warn_of_case(step: &Step, lock: &SchemaLock, new: &[String]) {
    for name in new {
        let is_like = |other: &&str| *other != name && other.eq_ignore_ascii_case(name);
        let mut columns = lock.columns.iter().map(|column| column.name.as_str());
        if let Some(other) = columns.find(is_like) {
            tracing::warn!(
                query = %step.query,
                "the columns `{name}` and `{other}` differ in case alone: some readers take them for one"
            );
        }
    }
}

async fn write_lock(
    destination: &Destination,
    query: &str,
    mut lock: SchemaLock,
    version: Version,
) -> Result<(), EngineError> {
    let first = destination.write_lock(query, &lock, &version).await;
    match first {
        Err(error) if error.is_conflict() => {}
        other => return Ok(other.map(|_| ())?),
    }
    let (theirs, version) = destination.read_lock(query).await?;
    if let Some(mut merged) = theirs {
        let ours = lock.columns.iter().filter_map(|column| {
            Some(FoundColumn {
                name: column.name.clone(),
                kind: ColumnType::parse(&column.kind)?,
                seen: column.seen,
            })
        });
        merged.add(&ours.collect::<Vec<_>>())?;
        lock = merged;
    }
    destination.write_lock(query, &lock, &version).await?;
    Ok(())
}

/// The query that a step is made from.
pub(super) fn query_of<'a>(job: &'a Job, step: &Step) -> &'a Query {
    let query = job.queries.iter().find(|q| q.name == step.query);
    query.expect("a step is made from a query of its job")
}

fn base(engine: &Engine, query: &Query, step: &Step) -> Known {
    let pins = &query.columns;
    match &query.source {
        Source::Custom(custom) => known_custom_columns(custom, pins),
        Source::Parameter(_) => {
            known_columns(&step.parameter, engine.catalog(), pins, step.granularity)
        }
    }
}

/// The type of a column in the files of an export.
fn in_file(export: &Export, name: &str, kind: ColumnType) -> ColumnType {
    let is_events = name == SESSION_EVENTS && kind == ColumnType::Json;
    // Delta tables have nested values as text
    if is_events && export.nested == Nested::Struct && export.format != Format::Delta {
        ColumnType::SessionEvents
    } else {
        kind
    }
}

fn check_personal(
    step: &Step,
    export: &Export,
    column: &str,
    kind: ColumnType,
) -> Result<(), String> {
    match export.pii {
        Pii::Allow => Ok(()),
        Pii::Hash if kind == ColumnType::String => Ok(()),
        Pii::Hash => Err(format!(
            "query `{}`: the column `{column}` names people and is {}, which is not hashed: pin it as string (`columns: {{ {column}: string }}`), or write `pii: allow`",
            step.query,
            kind.name()
        )),
        Pii::Refuse => Err(format!(
            "query `{}`: the column `{column}` names people: write `pii: hash` or `pii: allow` in the export, or take the query out of its `queries`",
            step.query
        )),
    }
}
