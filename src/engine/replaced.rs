//! Files that lay under other names before their job changed: they go once the new manifest is in
//! place. A journal beside the manifest names them before it is written, and another the files that come
//! before their manifest, so that what a kill leaves is removed by the next run of the job.

use std::collections::{BTreeMap, BTreeSet};

use super::{EngineError, run::one_line, work::Work};
use crate::{
    export::{Destination, Journal, Manifest, ManifestFile},
    plan::Plan,
};

/// For each listed path the manifests that list it, by their paths.
type Listings = BTreeMap<String, Vec<String>>;

/// What one run may remove, and what it must not.
pub(super) struct Replaced<'a> {
    work: &'a Work<'a>,
    plan: &'a Plan,
    /// By label of the destination; read where a file is to be removed.
    listings: BTreeMap<String, Listings>,
}

impl<'a> Replaced<'a> {
    pub(super) fn new(work: &'a Work<'a>, plan: &'a Plan) -> Self {
        Self {
            work,
            plan,
            listings: BTreeMap::new(),
        }
    }

    /// Removes what runs that were killed have left to be removed, in every destination of the plan.
    /// `units` are those that this run holds. What cannot be removed now waits for the next run.
    pub(super) async fn sweep(&mut self, units: &BTreeSet<String>) -> Result<(), EngineError> {
        let mut seen = BTreeSet::new();
        for artifact in &self.plan.artifacts {
            let export = &self.work.job.exports[artifact.export];
            if !seen.insert(&export.to) {
                continue;
            }
            let destination = self.work.engine.destination(self.work.job, export)?;
            let to = &export.to_label;
            for unit in destination.journals(Journal::Begun).await? {
                // Who writes other units may have another store, where no lease is seen
                if units.contains(&unit) {
                    self.clear(&destination, to, (Journal::Begun, &unit), true)
                        .await;
                }
            }
            for unit in destination.journals(Journal::Replaced).await? {
                let is_ours = units.contains(&unit);
                if is_ours || self.is_free(&unit).await? {
                    self.clear(&destination, to, (Journal::Replaced, &unit), is_ours)
                        .await;
                }
            }
        }
        Ok(())
    }

    /// Whether no other run is at work on a unit.
    async fn is_free(&self, unit: &str) -> Result<bool, EngineError> {
        let lease = self.work.lease_of(unit);
        Ok(self.work.engine.store.lease_holder(&lease).await?.is_none())
    }

    /// The entries of a manifest whose partition the new files fill under other names. Where one of the
    /// files that the plan makes of a partition is missing, all its old ones stay.
    pub(super) fn of(
        &self,
        destination: &Destination,
        unit: &str,
        old: &Manifest,
        new: &Manifest,
    ) -> Result<Vec<ManifestFile>, EngineError> {
        let new_paths: BTreeSet<&str> = new.files.iter().map(|file| file.path.as_str()).collect();
        let candidates: Vec<&ManifestFile> = old
            .files
            .iter()
            .filter(|old| !new_paths.contains(old.path.as_str()))
            .filter(|old| new.files.iter().any(|new| new.is_of_the_data_of(old)))
            .collect();
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let planned = self.planned()?;
        let gone = candidates.into_iter().filter(|old| {
            let wanted = self.plan.artifacts.iter().filter(|artifact| {
                let export = &self.work.job.exports[artifact.export];
                let step = &self.plan.steps[artifact.step];
                self.plan.unit_of(artifact, export.per) == unit
                    && step.query == old.query
                    && step.target.website_id() == old.website_id.as_deref()
                    && step.target.link_id() == old.link_id.as_deref()
                    && self.is_to(artifact.export, destination)
            });
            let came = new.files.iter().filter(|new| new.is_of_the_data_of(old));
            came.count() >= wanted.count() && !planned.contains(&destination.location(&old.path))
        });
        Ok(gone.cloned().collect())
    }

    fn is_to(&self, export: usize, destination: &Destination) -> bool {
        let export = &self.work.job.exports[export];
        let other = self.work.engine.destination(self.work.job, export);
        other.is_ok_and(|other| other.location("") == destination.location(""))
    }

    /// Where every file of the plan lies: none of these is removed, whichever export makes it.
    fn planned(&self) -> Result<BTreeSet<String>, EngineError> {
        let mut planned = BTreeSet::new();
        for artifact in &self.plan.artifacts {
            let export = &self.work.job.exports[artifact.export];
            let destination = self.work.engine.destination(self.work.job, export)?;
            planned.insert(destination.location(&artifact.path));
        }
        Ok(planned)
    }

    /// Removes what the journal of a unit names, as far as no manifest lists it. A failure is told, and
    /// the journal stays.
    pub(super) async fn clear(
        &mut self,
        destination: &Destination,
        to: &str,
        named: (Journal, &str),
        is_ours: bool,
    ) {
        if let Err(error) = self.try_clear(destination, to, named, is_ours).await {
            tracing::warn!(to, unit = named.1, error = %one_line(&error), "files under their old names could not be removed; the next run tries again");
        }
    }

    async fn try_clear(
        &mut self,
        destination: &Destination,
        to: &str,
        (journal, unit): (Journal, &str),
        is_ours: bool,
    ) -> Result<(), EngineError> {
        let named = destination.read_journal(journal, unit).await?;
        let manifest = destination.read_manifest(unit).await?.0;
        let is_listed = |file: &ManifestFile| {
            let mut files = manifest.iter().flat_map(|manifest| &manifest.files);
            files.any(|listed| listed.path == file.path)
        };
        let (waiting, gone): (Vec<_>, Vec<_>) = named.into_iter().partition(is_listed);
        for file in gone {
            if self.may_go(destination, to, &file).await? {
                tracing::info!(
                    to,
                    path = file.path,
                    "removed: the manifest of its unit does not list it"
                );
                destination.remove(&file.path).await?;
            }
        }
        // The manifest did not come: whoever writes the unit next finds out again what it replaces
        if waiting.is_empty() || is_ours {
            destination.remove_journal(journal, unit).await?;
        }
        Ok(())
    }

    /// Whether a file is still the one that was replaced, and nobody else's.
    async fn may_go(
        &mut self,
        destination: &Destination,
        to: &str,
        file: &ManifestFile,
    ) -> Result<bool, EngineError> {
        // Readers of a table of Delta follow its log
        if file.format == "delta" || !file.is_below_its_destination() {
            return Ok(false);
        }
        if self.planned()?.contains(&destination.location(&file.path)) {
            return Ok(false);
        }
        if !self.listings.contains_key(to) {
            let listings = destination.listings().await?;
            self.listings.insert(to.to_owned(), listings);
        }
        // Runs of this job and others may have written them since
        for manifest in self.listings[to].get(&file.path).into_iter().flatten() {
            if destination.lists(manifest, &file.path).await? {
                return Ok(false);
            }
        }
        Ok(destination.matches(file).await?)
    }
}
