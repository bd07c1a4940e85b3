//! Publishing files: staged, compared with what lies there, put in place, manifest last.

use std::{collections::BTreeMap, path::Path};

use chrono::TimeDelta;

use super::{
    Engine, EngineError, Event,
    fetch::Fetched,
    run::one_line,
    work::{Progress, Work},
};
use crate::{
    api::Complete,
    domain::{
        job::{Job, Per},
        run::{ArtifactRecord, StepState},
        window::Window,
    },
    export::{Destination, Manifest, ManifestColumn, ManifestFile, ManifestWindow, Missing, stage},
    plan::{Plan, PlannedArtifact, Step},
    table::content_hash,
};

/// The files that one manifest lists.
type Units<'a> = BTreeMap<(&'a Path, String), Vec<&'a PlannedArtifact>>;

impl Work<'_> {
    /// Publishes every file whose step has rows, then the manifests.
    pub(super) async fn publish(
        &self,
        plan: &Plan,
        fetched: &[Fetched],
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let job = self.job;
        let mut units: Units<'_> = BTreeMap::new();
        for artifact in &plan.artifacts {
            let export = &job.exports[artifact.export];
            let unit = unit_name(export.per, &plan.steps[artifact.step].window);
            units.entry((&export.to, unit)).or_default().push(artifact);
        }
        for ((root, unit), artifacts) in units {
            if self.stop.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            let saved = progress.artifacts.len();
            let destination = Destination::directory(root, &job.name)?;
            let old = destination.read_manifest(&unit)?;
            let step = &plan.steps[artifacts[0].step];
            let mut new = self.manifest(&step.window);
            // A manifest of another source is declined before a file is touched
            Manifest::merge(old.clone(), new.clone())?;
            for artifact in artifacts {
                let step = &plan.steps[artifact.step];
                let result = match &fetched[artifact.step] {
                    Err(error) => Err(error.message.clone()),
                    Ok(data) => {
                        let put = Put {
                            engine: self.engine,
                            job,
                            artifact,
                            step,
                            force: self.order.force,
                            old: old.as_ref(),
                        };
                        put.one(&destination, data)
                            .map_err(|error| one_line(&error))
                    }
                };
                match result {
                    Ok((file, record)) => {
                        self.engine.events.tell(&Event::ArtifactDone(&record));
                        progress.artifacts.push(record);
                        new.files.push(file);
                    }
                    Err(error) => {
                        let record = &mut progress.steps[artifact.step];
                        record.state = StepState::Failed;
                        record.rows = 0;
                        record.error.get_or_insert_with(|| error.clone());
                        new.missing.push(Missing {
                            query: step.query.clone(),
                            website_id: step.target.website_id().map(str::to_owned),
                            link_id: step.target.link_id().map(str::to_owned),
                            error,
                        });
                    }
                }
            }
            let merged = Manifest::merge(old, new)?;
            destination.write_manifest(&unit, &merged)?;
            let new = &progress.artifacts[saved..];
            self.engine
                .store
                .save_artifacts(self.run, saved, new)
                .await?;
        }
        Ok(())
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
            window.is_over_at(self.order.tick.0 - settle),
            &self.engine.source,
            &self.job.definition_hash,
        )
    }
}

/// One file on its way.
struct Put<'a> {
    engine: &'a Engine,
    job: &'a Job,
    artifact: &'a PlannedArtifact,
    step: &'a Step,
    force: bool,
    old: Option<&'a Manifest>,
}

impl Put<'_> {
    /// Stages the file and publishes it, unless one that says the same lies there already.
    fn one(
        &self,
        destination: &Destination,
        data: &super::fetch::Data,
    ) -> Result<(ManifestFile, ArtifactRecord), EngineError> {
        let table = data.table.as_ref().expect("a step of a file has a table");
        let complete = match data.complete {
            Complete::Proven => "proven",
            Complete::Unproven => "unproven",
        };
        if data.complete == Complete::Unproven {
            tracing::warn!(
                query = %self.step.query,
                of = self.step.target.id(),
                "a second page was needed, and the server's order is not total: rows may be missing; the manifest says `complete: unproven`"
            );
        }
        let content = content_hash(table);
        if let Some(unchanged) = self.unchanged(destination, &content)? {
            let file = ManifestFile {
                complete: complete.to_owned(),
                ..unchanged
            };
            let record = self.record(&file, false);
            return Ok((file, record));
        }
        let export = &self.job.exports[self.artifact.export];
        let staging = self.engine.root.join(".databuddy-jobs/staging");
        let staged = stage(table, export.format, export.compression, &staging)?;
        let columns = table.schema();
        let columns = columns.fields().iter().map(|f| ManifestColumn::of(f));
        let file = ManifestFile {
            query: self.step.query.clone(),
            parameter: self.step.parameter.clone(),
            website_id: self.step.target.website_id().map(str::to_owned),
            link_id: self.step.target.link_id().map(str::to_owned),
            path: self.artifact.path.clone(),
            format: export.format.extension().to_owned(),
            rows: staged.rows,
            bytes: staged.bytes,
            sha256: staged.sha256.clone(),
            content: Some(content),
            columns: columns.collect(),
            complete: complete.to_owned(),
        };
        let mut files = self.old.into_iter().flat_map(|old| &old.files);
        let listed = files.any(|f| f.path == file.path && f.sha256 == file.sha256);
        let written = self.force || !listed || !destination.matches(&file)?;
        if written {
            destination.publish(&staged, &self.artifact.path)?;
        }
        let record = self.record(&file, written);
        Ok((file, record))
    }

    /// The listed file, where it says the same already and lies there whole.
    fn unchanged(
        &self,
        destination: &Destination,
        content: &str,
    ) -> Result<Option<ManifestFile>, EngineError> {
        // Another definition may want the same rows packed otherwise: then bytes are compared
        let old = self
            .old
            .filter(|old| old.definition_hash == self.job.definition_hash);
        let files = old.into_iter().flat_map(|old| &old.files);
        let same = |f: &&ManifestFile| {
            f.path == self.artifact.path
                && f.content.as_deref() == Some(content)
                && f.parameter == self.step.parameter
        };
        match files.filter(|_| !self.force).find(same) {
            Some(listed) if destination.matches(listed)? => Ok(Some(listed.clone())),
            _ => Ok(None),
        }
    }

    fn record(&self, file: &ManifestFile, written: bool) -> ArtifactRecord {
        let to = &self.job.exports[self.artifact.export].to_label;
        ArtifactRecord {
            query: file.query.clone(),
            website_id: file.website_id.clone(),
            link_id: file.link_id.clone(),
            path: format!("{}/{}", to.trim_end_matches('/'), file.path),
            rows: file.rows,
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            written,
        }
    }
}

/// The manifest's name: the day, or both ends of a window.
fn unit_name(per: Per, window: &Window) -> String {
    match per {
        Per::Day => window.start.to_string(),
        Per::Window => format!("{}_{}", window.start, window.end),
    }
}
