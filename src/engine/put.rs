//! One file on its way: compared with the one that lies there, put in place, and its revision noted.

use super::{
    EngineError, Event,
    columns::Columns,
    fetch::{Data, StagedFile, StepError},
    revision::{changes, describe},
    run::one_line,
    work::Work,
};
use crate::{
    api::Complete,
    domain::{job::Export, run::ArtifactRecord},
    export::{Destination, Manifest, ManifestFile, Revision},
    plan::{PlannedArtifact, Step},
};

/// What came of a file: its entry in the manifest and its record, or why there is none.
pub(super) type Done<'a> = (
    &'a PlannedArtifact,
    Result<(ManifestFile, ArtifactRecord), String>,
);

/// One file on its way.
#[derive(Clone, Copy)]
pub(super) struct Put<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) columns: &'a Columns,
    pub(super) artifact: &'a PlannedArtifact,
    pub(super) step: &'a Step,
    pub(super) old: Option<&'a Manifest>,
}

impl<'a> Put<'a> {
    pub(super) fn export(&self) -> &'a Export {
        &self.work.job.exports[self.artifact.export]
    }

    #[cfg(feature = "delta")]
    pub(super) fn is_delta(&self) -> bool {
        self.export().format == crate::domain::job::Format::Delta
    }

    /// The rows and the staged file, or why there is nothing to publish.
    pub(super) fn ready(
        &self,
        data: Result<&'a Data, &StepError>,
        file: Option<StagedFile>,
    ) -> Result<(&'a Data, StagedFile), String> {
        let data = data.map_err(|error| error.message.clone())?;
        if let Some(why) = self.columns.refused(self.export(), &self.step.query) {
            return Err(why);
        }
        if data.complete == Complete::Unproven {
            tracing::warn!(
                query = %self.step.query,
                of = self.step.target.id(),
                "a second page was needed, and the server's order is not total: rows may be missing; the manifest says `complete: unproven`"
            );
        }
        Ok((data, file.ok_or("its file was not staged")?))
    }

    /// Publishes the staged file, unless one that says the same lies there already.
    pub(super) async fn publish(
        self,
        destination: &Destination,
        data: &Data,
        file: StagedFile,
    ) -> Vec<Done<'a>> {
        let done = self.put(destination, data, file).await;
        vec![(self.artifact, done.map_err(|error| one_line(&error)))]
    }

    async fn put(
        &self,
        destination: &Destination,
        data: &Data,
        staged: StagedFile,
    ) -> Result<(ManifestFile, ArtifactRecord), EngineError> {
        if let Some(file) = self.unchanged(destination, data).await? {
            let record = self.record(&file, false);
            return Ok((file, record));
        }
        let mut file = self.manifest_file(data, &staged);
        let listed = self.listed();
        let is_there = listed.is_some_and(|old| old.sha256 == file.sha256)
            && !self.work.order.force
            && destination.matches(&file).await?;
        if !is_there {
            if let Some(old) = listed {
                self.revise(old, &mut file);
            }
            let path = &self.artifact.path;
            self.work.check_lease()?;
            destination.publish(staged.staged, path).await?;
        }
        let record = self.record(&file, !is_there);
        Ok((file, record))
    }

    /// The entry of the staged file.
    pub(super) fn manifest_file(&self, data: &Data, file: &StagedFile) -> ManifestFile {
        let revisions = self.listed().map(|old| old.revisions.clone());
        ManifestFile {
            query: self.step.query.clone(),
            parameter: self.step.parameter.clone(),
            website_id: self.step.target.website_id().map(str::to_owned),
            link_id: self.step.target.link_id().map(str::to_owned),
            path: self.artifact.path.clone(),
            format: self.export().format.name().to_owned(),
            rows: file.staged.rows,
            bytes: file.staged.bytes,
            sha256: file.staged.sha256.clone(),
            definition_hash: Some(self.work.job.definition_hash.clone()),
            content: Some(data.content.clone()),
            columns: file.columns.clone(),
            complete: complete(data).to_owned(),
            totals: data.totals.clone(),
            revisions: revisions.unwrap_or_default(),
        }
    }

    /// The entry of the file in the manifest that lies there.
    pub(super) fn listed(&self) -> Option<&'a ManifestFile> {
        let format = self.export().format.name();
        let mut files = self.old.into_iter().flat_map(|old| &old.files);
        files.find(|file| {
            let is_same_partition = format == "delta"
                && file.format == format
                && file.query == self.step.query
                && file.website_id.as_deref() == self.step.target.website_id()
                && file.link_id.as_deref() == self.step.target.link_id();
            file.path == self.artifact.path || is_same_partition
        })
    }

    /// The listed file, where it says the same already and lies there whole.
    pub(super) async fn unchanged(
        &self,
        destination: &Destination,
        data: &Data,
    ) -> Result<Option<ManifestFile>, EngineError> {
        // Another definition may want the same rows in another form: then bytes are compared
        let hash = &self.work.job.definition_hash;
        let same = |file: &&ManifestFile| {
            file.definition_hash.as_ref() == Some(hash)
                && file.content.as_deref() == Some(&data.content)
                && file.parameter == self.step.parameter
        };
        let listed = self.listed().filter(same);
        match listed.filter(|_| !self.work.order.force) {
            Some(listed) if destination.matches(listed).await? => Ok(Some(ManifestFile {
                complete: complete(data).to_owned(),
                ..listed.clone()
            })),
            _ => Ok(None),
        }
    }

    /// Notes in the manifest, and tells, what an answer that differs from the last one changes.
    pub(super) fn revise(&self, old: &ManifestFile, file: &mut ManifestFile) {
        if old.content.is_none() || old.content == file.content {
            return;
        }
        let changed = changes(old, file);
        let text = describe(&self.step.window, &changed);
        self.work.engine.events.tell(&Event::Revised {
            query: &self.step.query,
            target: self.step.target.id(),
            change: &text,
        });
        let tick = self.work.order.tick().0;
        file.revisions.push(Revision {
            number: old.revisions.last().map_or(1, |last| last.number + 1),
            tick: tick.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            sha256_before: old.sha256.clone(),
            changed,
        });
        let surplus = file.revisions.len().saturating_sub(Revision::KEPT);
        file.revisions.drain(..surplus);
    }

    pub(super) fn record(&self, file: &ManifestFile, written: bool) -> ArtifactRecord {
        let to = &self.export().to_label;
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

/// As manifests say it.
fn complete(data: &Data) -> &'static str {
    match data.complete {
        Complete::Proven => "proven",
        Complete::Unproven => "unproven",
    }
}
