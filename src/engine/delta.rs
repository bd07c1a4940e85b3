//! Files of Delta tables: one commit for each query and unit.

use super::{
    EngineError,
    fetch::{Data, StagedFile},
    put::{Done, Put},
    run::one_line,
};
use crate::{
    domain::{
        job::{Export, Per},
        target::Target,
    },
    export::{
        Destination, ManifestFile,
        delta::{
            Change, Definition, Partition, PartitionColumn, PartitionKind, PartitionValue, Table,
            Transaction,
        },
    },
    plan::Step,
};

/// One query's files of one unit, on their way into a table.
pub(super) struct DeltaUnit<'a> {
    pub(super) destination: &'a Destination,
    /// The unit: a day, or both ends of a window.
    pub(super) unit: &'a str,
    pub(super) files: Vec<(Put<'a>, &'a Data, StagedFile)>,
}

impl<'a> DeltaUnit<'a> {
    /// Replaces the partitions of all files by one commit, except of those that say the same already.
    pub(super) async fn publish(self) -> Vec<Done<'a>> {
        let artifacts: Vec<_> = self.files.iter().map(|(put, _, _)| put.artifact).collect();
        match self.commit().await {
            Ok(done) => done,
            Err(error) => {
                let why = one_line(&error);
                let failed = artifacts.into_iter();
                failed
                    .map(|artifact| (artifact, Err(why.clone())))
                    .collect()
            }
        }
    }

    async fn commit(self) -> Result<Vec<Done<'a>>, EngineError> {
        let Some((first, _, _)) = self.files.first() else {
            return Ok(Vec::new());
        };
        let (first_work, query) = (first.work, &first.step.query);
        let job = &first_work.job.name;
        let definition = Definition {
            name: query.clone(),
            description: format!("query `{query}` of the job `{job}`, by databuddy-jobs"),
            partition_by: columns(first.export(), first.step),
        };
        let table = self.destination.delta_table(query, definition)?;
        let app_id = format!("databuddy-jobs/{job}/{query}/{}", self.unit);
        let (mut done, mut changes, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (put, data, staged) in self.files {
            let partition = partition(put.export(), put.step);
            if let Some(listed) = put.unchanged(self.destination, data).await?
                && is_live(&table, &partition, &listed, query).await?
            {
                let record = put.record(&listed, false);
                done.push((put.artifact, Ok((listed, record))));
                continue;
            }
            changes.push(Change::Replace {
                partition: partition.clone(),
                file: staged.staged.path.to_path_buf(),
            });
            changed.push((put, data, staged, partition));
        }
        if changes.is_empty() {
            return Ok(done);
        }
        let seen = table.last_transaction(&app_id).await?;
        let transaction = Transaction {
            app_id,
            version: seen.map_or(1, |version| version + 1),
        };
        first_work.check_lease()?;
        // What this commit put there: a look at the table now might see what another has put since
        let written = table.write(&changes, &transaction).await?;
        for (put, data, staged, partition) in changed {
            let ours = written
                .table_version
                .and_then(|_| table.file_of(&written, &partition));
            let path = ours.map(|file| format!("{query}/{}", file.path));
            let Some(path) = path else {
                let why = "another writer has replaced the partition meanwhile".to_owned();
                done.push((put.artifact, Err(why)));
                continue;
            };
            let mut file = put.manifest_file(data, &staged);
            file.path = path;
            if let Some(old) = put.listed() {
                put.revise(old, &mut file);
            }
            let record = put.record(&file, true);
            done.push((put.artifact, Ok((file, record))));
        }
        Ok(done)
    }
}

async fn is_live(
    table: &Table,
    partition: &Partition,
    listed: &ManifestFile,
    query: &str,
) -> Result<bool, EngineError> {
    let live = table.live_files(partition).await?;
    let path = |path: &str| format!("{query}/{path}");
    Ok(matches!(&live[..], [one] if path(&one.path) == listed.path))
}

fn columns(export: &Export, step: &Step) -> Vec<PartitionColumn> {
    let column = |name: &str, kind| PartitionColumn {
        name: name.to_owned(),
        kind,
    };
    let of = match step.target {
        Target::Website(_) => "website_id",
        Target::Link(_) => "link_id",
    };
    let mut columns = vec![column(of, PartitionKind::Text)];
    match export.per {
        Per::Day => columns.push(column("day", PartitionKind::Date)),
        Per::Window => {
            columns.push(column("window_start", PartitionKind::Date));
            columns.push(column("window_end", PartitionKind::Date));
        }
    }
    columns
}

fn partition(export: &Export, step: &Step) -> Partition {
    let id = PartitionValue::Text(step.target.id().to_owned());
    let (start, end) = (step.window.start, step.window.end);
    Partition(match export.per {
        Per::Day => vec![id, PartitionValue::Date(start)],
        Per::Window => vec![id, PartitionValue::Date(start), PartitionValue::Date(end)],
    })
}
