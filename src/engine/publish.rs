//! Publishing the files of a run: unit by unit, each file in place whole, the manifest last.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{
    FutureExt,
    future::BoxFuture,
    stream::{self, StreamExt},
};

use super::{
    EngineError, Event,
    columns::Columns,
    fetch::{Fetched, StagedFile},
    put::{Done, Put},
    replaced::Replaced,
    run::one_line,
    work::{Progress, Work},
};
use crate::{
    domain::{
        job::Format,
        run::{StepState, Trigger},
        window::Window,
    },
    export::{Destination, Journal, Manifest, ManifestFile, ManifestWindow, Missing, Version},
    plan::{Plan, PlannedArtifact, Step},
};

/// Files that are put in place at once: of a bucket each takes a round trip.
const AT_ONCE: usize = 8;

/// How often a manifest is merged into one that somebody else has written meanwhile.
const MERGES: usize = 4;

/// The files that one manifest lists, with their places in the plan.
type Units<'a> = BTreeMap<(&'a str, String), Vec<(usize, &'a PlannedArtifact)>>;

/// Complete files that nobody sees yet, by their place in the plan.
type StagedFiles = BTreeMap<usize, StagedFile>;

/// What is published, and what it is made of.
#[derive(Clone, Copy)]
struct Publishing<'a> {
    plan: &'a Plan,
    columns: &'a Columns,
    fetched: &'a [Fetched],
}

/// What the files of a unit are compared with, and where they go.
#[derive(Clone, Copy)]
struct Unit<'a> {
    destination: &'a Destination,
    name: &'a str,
    old: Option<&'a Manifest>,
}

impl Work<'_> {
    /// Publishes every file whose step has rows, then the manifests, oldest unit first.
    pub(super) async fn publish(
        &self,
        plan: &Plan,
        columns: &Columns,
        fetched: &mut [Fetched],
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let mut units: Units<'_> = BTreeMap::new();
        for (place, artifact) in plan.artifacts.iter().enumerate() {
            let export = &self.job.exports[artifact.export];
            let unit = plan.unit_of(artifact, export.per);
            let files = units.entry((&export.to_label, unit)).or_default();
            files.push((place, artifact));
        }
        let mut staged: StagedFiles = fetched
            .iter_mut()
            .flatten()
            .flat_map(|data| std::mem::take(&mut data.files))
            .map(|file| (file.artifact, file))
            .collect();
        let publishing = Publishing {
            plan,
            columns,
            fetched,
        };
        self.check_lease()?;
        let mut replaced = Replaced::new(self, plan);
        let held = units.keys().map(|(_, unit)| unit.clone()).collect();
        if let Err(error) = replaced.sweep(&held).await {
            tracing::warn!(error = %one_line(&error), "what earlier runs left to be removed could not be looked for");
        }
        columns.commit().await;
        let mut failed = None;
        for ((to, unit), artifacts) in units {
            if self.stop.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            let saved = progress.artifacts.len();
            let published = self.publish_unit(
                publishing,
                &mut staged,
                &mut replaced,
                (&unit, &artifacts),
                progress,
            );
            match published.await {
                // A destination or a manifest that is broken keeps no other from being written
                Err(EngineError::Export(error)) => {
                    tracing::warn!(%to, unit, error = %one_line(&error), "files could not be published");
                    failed.get_or_insert(EngineError::Export(error));
                }
                published => published?,
            }
            let new = &progress.artifacts[saved..];
            let store = &self.engine.store;
            store.save_artifacts(self.run, saved, new).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// The files of one manifest, and then the manifest.
    async fn publish_unit(
        &self,
        publishing: Publishing<'_>,
        staged: &mut StagedFiles,
        replaced: &mut Replaced<'_>,
        (unit, artifacts): (&str, &[(usize, &PlannedArtifact)]),
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let plan = publishing.plan;
        let (_, first) = artifacts[0];
        let export = &self.job.exports[first.export];
        let destination = self.engine.destination(self.job, export)?;
        let (old, version) = destination.read_manifest(unit).await?;
        self.check_lease()?;
        let mut new = self.manifest(&plan.steps[first.step].window);
        // A manifest of another source is declined before a file is touched
        Manifest::merge(old.clone(), new.clone())?;
        let of_unit = Unit {
            destination: &destination,
            name: unit,
            old: old.as_ref(),
        };
        let begun = self
            .note_new(publishing, staged, of_unit, artifacts)
            .await?;
        let puts = self.puts(publishing, staged, of_unit, artifacts);
        let mut done = stream::iter(puts).buffered(AT_ONCE);
        // What is in hand is finished up to its manifest, unless others may write here now: dropping
        // what is under way leaves the old files, and ends uploads
        while let Some(results) = self
            .lost
            .run_until_cancelled(done.next())
            .await
            .ok_or(EngineError::Cancelled)?
        {
            for (artifact, result) in results {
                match result {
                    Ok((file, record)) => {
                        self.engine.events.tell(&Event::ArtifactDone(&record));
                        progress.artifacts.push(record);
                        new.files.push(file);
                    }
                    Err(error) => {
                        let step = &plan.steps[artifact.step];
                        new.missing.push(missing(step, &error));
                        let record = &mut progress.steps[artifact.step];
                        record.state = StepState::Failed;
                        record.rows = 0;
                        record.error.get_or_insert(error);
                    }
                }
            }
        }
        drop(done);
        // One that could not be put in place may lie there all the same
        let is_listed = |path: &String| new.files.iter().any(|file| file.path == *path);
        let is_over = !begun.is_empty() && begun.iter().all(is_listed);
        let read = (old, version);
        self.check_lease()?;
        let written = write_manifest(&destination, unit, read, new, replaced);
        let written = self.lost.run_until_cancelled(written).await;
        let has_replaced = written.ok_or(EngineError::Cancelled)??;
        self.check_lease()?;
        if is_over {
            destination.remove_journal(Journal::Begun, unit).await?;
        }
        if has_replaced {
            let (to, named) = (&export.to_label, (Journal::Replaced, unit));
            replaced.clear(&destination, to, named, true).await;
        }
        Ok(())
    }

    /// Writes down the files that no manifest lists yet, before the first is put in place: after a kill
    /// nobody would know of those that the job, changed meanwhile, does not write any more. Their
    /// paths.
    async fn note_new(
        &self,
        publishing: Publishing<'_>,
        staged: &StagedFiles,
        unit: Unit<'_>,
        artifacts: &[(usize, &PlannedArtifact)],
    ) -> Result<Vec<String>, EngineError> {
        let new = artifacts.iter().filter_map(|(place, artifact)| {
            let put = Put {
                work: self,
                columns: publishing.columns,
                artifact,
                step: &publishing.plan.steps[artifact.step],
                old: unit.old,
            };
            let data = publishing.fetched[artifact.step].as_ref().ok()?;
            let file = staged.get(place)?;
            // Readers of a table of Delta follow its log
            let is_new = put.export().format != Format::Delta && put.listed().is_none();
            is_new.then(|| put.manifest_file(data, file))
        });
        let new: Vec<ManifestFile> = new.collect();
        if !new.is_empty() {
            let journal = Journal::Begun;
            unit.destination
                .write_journal(journal, unit.name, &new)
                .await?;
        }
        Ok(new.into_iter().map(|file| file.path).collect())
    }

    /// The work on each file of a unit, on those of a Delta table together.
    fn puts<'p>(
        &'p self,
        publishing: Publishing<'p>,
        staged: &mut StagedFiles,
        unit: Unit<'p>,
        artifacts: &[(usize, &'p PlannedArtifact)],
    ) -> Vec<BoxFuture<'p, Vec<Done<'p>>>> {
        let mut puts: Vec<BoxFuture<'p, Vec<Done<'p>>>> = Vec::new();
        #[cfg(feature = "delta")]
        let mut tables: BTreeMap<&str, super::delta::DeltaUnit<'p>> = BTreeMap::new();
        for (place, artifact) in artifacts {
            let put = Put {
                work: self,
                columns: publishing.columns,
                artifact,
                step: &publishing.plan.steps[artifact.step],
                old: unit.old,
            };
            let data = publishing.fetched[artifact.step].as_ref();
            match put.ready(data, staged.remove(place)) {
                Err(why) => puts.push(async move { vec![(put.artifact, Err(why))] }.boxed()),
                #[cfg(feature = "delta")]
                Ok((data, file)) if put.is_delta() => {
                    let table = tables.entry(&put.step.query);
                    let table = table.or_insert_with(|| super::delta::DeltaUnit {
                        destination: unit.destination,
                        unit: unit.name,
                        files: Vec::new(),
                    });
                    table.files.push((put, data, file));
                }
                Ok((data, file)) => puts.push(put.publish(unit.destination, data, file).boxed()),
            }
        }
        #[cfg(feature = "delta")]
        puts.extend(tables.into_values().map(|table| table.publish().boxed()));
        puts
    }

    fn manifest(&self, window: &Window) -> Manifest {
        let settle = TimeDelta::from_std(self.job.settle).unwrap_or(TimeDelta::MAX);
        Manifest::new(
            &self.job.name,
            ManifestWindow {
                start: window.start.to_string(),
                end: window.end.to_string(),
                timezone: window.timezone.name().to_owned(),
            },
            self.seen_at()
                .checked_sub_signed(settle)
                .is_some_and(|seen| window.is_over_at(seen)),
            &self.engine.source,
            &self.job.definition_hash,
        )
    }

    /// When the data counts as seen: at the tick, so that a late run says what one in time would
    /// have said; of windows that are filled in afterwards now.
    fn seen_at(&self) -> DateTime<Utc> {
        match self.order.trigger {
            Trigger::Backfill => self.engine.clock.now(),
            _ => self.order.tick().0,
        }
    }
}

/// Writes the manifest over the one that was read. Where somebody else has written it meanwhile, and
/// the files of this run lie there all the same, both are merged: one of two writers of the same
/// files notices here that it was too late. Whether files under other names are to be removed now,
/// which the unit's journal then says.
async fn write_manifest(
    destination: &Destination,
    unit: &str,
    read: (Option<Manifest>, Version),
    new: Manifest,
    replaced: &Replaced<'_>,
) -> Result<bool, EngineError> {
    let (mut old, mut version) = read;
    let mut has_journal = false;
    for turn in 1.. {
        if let Some(old) = &mut old {
            let gone = replaced.of(destination, unit, old, &new)?;
            old.files.retain(|file| !gone.contains(file));
            if !gone.is_empty() {
                let journal = Journal::Replaced;
                destination.write_journal(journal, unit, &gone).await?;
                has_journal = true;
            }
        }
        let merged = Manifest::merge(old, new.clone())?;
        let written = destination.write_manifest(unit, &merged, &version).await;
        let conflict = match written {
            Err(error) if error.is_conflict() && turn < MERGES => error,
            other => return Ok(other.map(|_| has_journal)?),
        };
        for file in &new.files {
            if !destination.matches(file).await? {
                return Err(conflict.into());
            }
        }
        let Ok(theirs) = destination.read_manifest(unit).await else {
            return Err(conflict.into());
        };
        (old, version) = theirs;
    }
    Ok(has_journal)
}

fn missing(step: &Step, error: &str) -> Missing {
    Missing {
        query: step.query.clone(),
        website_id: step.target.website_id().map(str::to_owned),
        link_id: step.target.link_id().map(str::to_owned),
        error: error.to_owned(),
    }
}
