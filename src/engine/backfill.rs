//! A range of windows, filled in afterwards: in pieces that use the rate budget well, resumable after
//! a kill, and never in the way of other runs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Engine, EngineError, Event, Order, Outcome};
use crate::{
    domain::{
        job::Job,
        run::{RunState, Trigger},
        schedule::Tick,
    },
    export::{ExportError, Manifest},
    plan::{Plan, PlannedArtifact, ticks_of_range},
};

/// Units of one piece: a month of days, which one request a website can carry.
const PIECE_UNITS: usize = 31;

/// What is to be filled in.
#[derive(Debug, Clone)]
pub struct Backfill {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// Which of its windows.
    pub only: Only,
    /// The newest window first.
    pub newest_first: bool,
    /// Write even what is there already.
    pub force: bool,
    /// Send reports too.
    pub reports: bool,
}

/// Which windows of a range are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Those that lack a manifest, or a file in it.
    Missing,
    /// Those whose manifest says that a step failed.
    Failed,
    /// All of them.
    All,
}

/// What a backfill did.
#[derive(Debug)]
pub struct Filled {
    /// Units of the range (days, or windows).
    pub units: usize,
    /// Units that were there, or not asked for.
    pub skipped: usize,
    /// Units that an earlier call of the same backfill had done.
    pub resumed: usize,
    /// A run for each piece.
    pub outcomes: Vec<Outcome>,
}

/// Ticks with the units that they are to write.
struct Piece {
    ticks: Vec<Tick>,
    units: BTreeSet<String>,
}

impl Engine {
    /// Fills a range of windows in, piece by piece.
    ///
    /// # Errors
    /// The job cannot be planned, the lake or the store cannot be read. What goes wrong in a piece is
    /// in its outcome, and the next piece is tried all the same.
    pub async fn backfill(
        &self,
        job: &Job,
        backfill: &Backfill,
        cancel: &CancellationToken,
    ) -> Result<Filled, EngineError> {
        let mut engine = self.for_job(job);
        engine.gives_way = true;
        let days = self.settings.api_days;
        let ticks = ticks_of_range(job, days, backfill.from, backfill.to, self.clock.now());
        let all = engine.units_by_tick(job, &ticks, backfill).await?;
        let mut wanted: BTreeSet<String> =
            all.iter().flat_map(|(_, units)| units.clone()).collect();
        let units = wanted.len();
        if backfill.only != Only::All {
            engine
                .drop_those_there(job, &ticks, backfill, &mut wanted)
                .await?;
        }
        let skipped = units - wanted.len();
        let key = self.key_of(job, backfill);
        // What is missing or failed the lake itself says
        let done = match backfill.only {
            Only::All => self.store.backfilled(&key).await?,
            Only::Missing | Only::Failed => BTreeSet::new(),
        };
        let before = wanted.len();
        wanted.retain(|unit| !done.contains(unit));
        let resumed = before - wanted.len();
        let pieces = pieces(all, wanted, backfill);
        let total = pieces.iter().map(|piece| piece.units.len()).sum();
        let mut filled = Filled {
            units,
            skipped,
            resumed,
            outcomes: Vec::new(),
        };
        let mut at = 0;
        for piece in pieces {
            self.events.tell(&Event::Backfilling {
                units_done: at,
                units: total,
            });
            at += piece.units.len();
            let outcome = engine.fill(job, backfill, &piece, cancel).await?;
            if backfill.only == Only::All && outcome.record.state == RunState::Succeeded {
                let units = piece.units.iter();
                self.store.note_backfilled(&key, units).await?;
            }
            filled.outcomes.push(outcome);
            if cancel.is_cancelled() {
                return Ok(filled);
            }
        }
        let is_ok = |o: &Outcome| o.record.state == RunState::Succeeded;
        if filled.outcomes.iter().all(is_ok) {
            self.store.forget_backfill(&key).await?;
        }
        Ok(filled)
    }

    /// One piece.
    async fn fill(
        &self,
        job: &Job,
        backfill: &Backfill,
        piece: &Piece,
        cancel: &CancellationToken,
    ) -> Result<Outcome, EngineError> {
        let order = Order {
            ticks: piece.ticks.clone(),
            trigger: Trigger::Backfill,
            force: backfill.force,
            only: Some(piece.units.clone()),
            reports: backfill.reports,
            claimed: None,
            resend: None,
        };
        let outcome = self.run(job, &order, cancel).await?;
        Ok(outcome.expect("only scheduled runs exist once a tick"))
    }

    /// What makes two calls the same backfill.
    fn key_of(&self, job: &Job, backfill: &Backfill) -> String {
        let Backfill {
            from,
            to,
            only,
            force,
            reports,
            ..
        } = backfill;
        let text = format!(
            "{} {} {:?} {} {:?} {from} {to} {only:?} {force} {reports}",
            job.name, job.definition_hash, job.websites, self.source, self.settings.api_days
        );
        hex::encode(Sha256::digest(text))
    }

    /// The units that each tick writes.
    async fn units_by_tick(
        &self,
        job: &Job,
        ticks: &[Tick],
        backfill: &Backfill,
    ) -> Result<Vec<(Tick, BTreeSet<String>)>, EngineError> {
        let mut all = Vec::new();
        for tick in ticks {
            let plan = self.plan(job, &order_of(&[*tick], backfill)).await?;
            let units = plan.artifacts.iter();
            let mut units: BTreeSet<String> = units
                .map(|artifact| plan.unit_of(artifact, job.exports[artifact.export].per))
                .collect();
            if backfill.reports && !plan.deliveries.is_empty() {
                units.insert(plan.report_unit());
            }
            all.push((*tick, units));
        }
        Ok(all)
    }

    /// Takes away what need not be filled in.
    async fn drop_those_there(
        &self,
        job: &Job,
        ticks: &[Tick],
        backfill: &Backfill,
        wanted: &mut BTreeSet<String>,
    ) -> Result<(), EngineError> {
        if ticks.is_empty() {
            return Ok(());
        }
        let plan = self.plan(job, &order_of(ticks, backfill)).await?;
        let mut lacking = BTreeSet::new();
        let mut there: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for ((export, unit), artifacts) in expected(job, &plan) {
            let export = &job.exports[export];
            let destination = self.destination(job, export)?;
            if backfill.only == Only::Missing && !there.contains_key(&*export.to_label) {
                let listed = destination.list("").await?.into_iter();
                let paths = listed.map(|file| file.path).collect();
                there.insert(&export.to_label, paths);
            }
            let manifest = match destination.read_manifest(&unit).await {
                Ok((manifest, _)) => manifest,
                // The run of that window says so; it keeps no other from being filled in
                Err(ExportError::Manifest { path, .. }) => {
                    tracing::warn!(unit, path, "the manifest cannot be read");
                    lacking.insert(unit);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let is_wanted = match (backfill.only, manifest) {
                (Only::All, _) => true,
                (Only::Missing, manifest) => {
                    manifest.is_none_or(|m| lacks(&m, &plan, &artifacts, &there[&*export.to_label]))
                }
                (Only::Failed, manifest) => manifest.is_some_and(|m| !m.missing.is_empty()),
            };
            if is_wanted {
                lacking.insert(unit);
            }
        }
        wanted.retain(|unit| lacking.contains(unit) || plan.is_report_unit(unit));
        Ok(())
    }
}

/// The files that a plan writes, by export and unit.
fn expected<'a>(job: &Job, plan: &'a Plan) -> BTreeMap<(usize, String), Vec<&'a PlannedArtifact>> {
    let mut expected: BTreeMap<(usize, String), Vec<&PlannedArtifact>> = BTreeMap::new();
    for artifact in &plan.artifacts {
        let unit = plan.unit_of(artifact, job.exports[artifact.export].per);
        let files = expected.entry((artifact.export, unit)).or_default();
        files.push(artifact);
    }
    expected
}

/// Whether a file is not listed, by its path or by its partition of a Delta table, or does not lie there.
fn lacks(
    manifest: &Manifest,
    plan: &Plan,
    artifacts: &[&PlannedArtifact],
    there: &BTreeSet<String>,
) -> bool {
    artifacts.iter().any(|artifact| {
        let step = &plan.steps[artifact.step];
        !manifest.files.iter().any(|file| {
            let is_partition = file.format == "delta"
                && file.query == step.query
                && file.website_id.as_deref() == step.target.website_id()
                && file.link_id.as_deref() == step.target.link_id();
            (file.path == artifact.path && there.contains(&file.path)) || is_partition
        })
    })
}

fn order_of(ticks: &[Tick], backfill: &Backfill) -> Order {
    Order {
        ticks: ticks.to_vec(),
        trigger: Trigger::Backfill,
        force: backfill.force,
        only: None,
        reports: backfill.reports,
        claimed: None,
        resend: None,
    }
}

/// Ticks in pieces of a month of units; with reports one tick a piece, because a mail is of one window.
fn pieces(
    mut all: Vec<(Tick, BTreeSet<String>)>,
    mut wanted: BTreeSet<String>,
    backfill: &Backfill,
) -> Vec<Piece> {
    if backfill.newest_first {
        all.reverse();
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open = Piece {
        ticks: Vec::new(),
        units: BTreeSet::new(),
    };
    for (tick, units) in all {
        let new: BTreeSet<String> = units
            .into_iter()
            .filter(|unit| wanted.remove(unit))
            .collect();
        if new.is_empty() {
            continue;
        }
        let is_full = backfill.reports || open.units.len() + new.len() > PIECE_UNITS;
        if is_full && !open.units.is_empty() {
            let full = std::mem::replace(
                &mut open,
                Piece {
                    ticks: Vec::new(),
                    units: BTreeSet::new(),
                },
            );
            pieces.push(full);
        }
        open.ticks.push(tick);
        open.units.extend(new);
    }
    if !open.units.is_empty() {
        pieces.push(open);
    }
    for piece in &mut pieces {
        piece.ticks.sort();
    }
    pieces
}
