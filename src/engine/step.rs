//! One step from its answer to complete files that nobody sees yet. Download, parsing and encoding
//! overlap; at most a few pages are held at once.

use std::path::Path;

use arrow::{array::Array, record_batch::RecordBatch};
use serde::{Deserialize as _, de::SeqAccess};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    Engine,
    columns::{Columns, Growth, query_of},
    fetch::{Data, Fetched, StagedFile, StepError},
    run::one_line,
};
use crate::{
    api::{Next, Page, Pages, TakeRows},
    domain::{
        job::Job,
        query::{Limit, Source},
        request::Request,
    },
    export::{FileStyle, ManifestColumn, Stage},
    plan::{Plan, PlannedArtifact, Step},
    table::{
        Column, Content, Known, Shape, TableBuilder, TableError, Totals, rarely_repeating,
        row_hashes, sort_by_date,
    },
};

/// Batches that wait for the encoder: with these, a slow disk stops the download.
const WAITING_BATCHES: usize = 1;

/// What fetching needs beyond the engine.
#[derive(Clone, Copy)]
pub(super) struct Fetching<'a> {
    pub(super) job: &'a Job,
    pub(super) plan: &'a Plan,
    pub(super) columns: &'a Columns,
    /// Where files are staged; `None`: no files are made (a preview).
    pub(super) staging: Option<&'a Path>,
}

/// A step whose first page has come.
pub(super) struct StepWork<'a> {
    pub(super) engine: &'a Engine,
    pub(super) fetching: Fetching<'a>,
    /// Index into the plan's steps.
    pub(super) index: usize,
    pub(super) request: &'a Request,
    pub(super) part_id: &'a str,
    /// Whether a report is made of its rows.
    pub(super) wants_json: bool,
}

/// Why the pages could not become files.
enum Failure {
    Step(StepError),
    /// A later page has columns that the files began without: they begin again with these.
    Grown(Vec<Column>),
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

/// The rows so far.
struct Rows {
    table: TableBuilder,
    pages: Pages,
    content: Content,
    totals: Totals,
    json: Vec<Value>,
    wants_json: bool,
    /// The last page, where it was read in one pass.
    page: Option<Result<(RecordBatch, Next), StepError>>,
    /// The most rows that the job wants.
    wanted: usize,
    taken: usize,
}

impl StepWork<'_> {
    /// Reads all pages, from the first one on.
    pub(super) async fn go(&self, mut first: Page) -> Fetched {
        let fetching = self.fetching;
        if let Some(why) = fetching.columns.refused_before(&self.step().query) {
            return Err(StepError::last(why));
        }
        let mut known = fetching
            .columns
            .known(self.engine, fetching.job, self.step());
        loop {
            match self.read(first, known.clone()).await {
                Ok(data) => return Ok(data),
                Err(Failure::Step(error)) => return Err(error),
                Err(Failure::Grown(columns)) if columns != known.columns => {
                    known.columns = columns;
                }
                Err(Failure::Grown(_)) => {
                    return Err(StepError::last(
                        "its pages differ in their columns".to_owned(),
                    ));
                }
            }
            first = self.page(1).await?;
        }
    }

    fn step(&self) -> &Step {
        &self.fetching.plan.steps[self.index]
    }

    async fn read(&self, first: Page, known: Known) -> Result<Data, Failure> {
        let query = query_of(self.fetching.job, self.step());
        let rows = Rows {
            table: TableBuilder::new(&query.name, known),
            pages: Pages::of(self.request, self.part_id),
            content: Content::default(),
            totals: Totals::default(),
            json: Vec::new(),
            wants_json: self.wants_json,
            page: None,
            wanted: match query.limit {
                Limit::All => usize::MAX,
                Limit::Rows(rows) => rows as usize,
            },
            taken: 0,
        };
        let (rows, batch, next) = read_page(rows, first).await?;
        let (mut shapes, growth) = self.shapes(&rows.table, &batch, next)?;
        let unlike = rarely_repeating(&batch);
        for file in &mut shapes {
            file.style.unlike.clone_from(&unlike);
        }
        if batch.num_rows() > 0 {
            let columns = self.fetching.columns;
            columns.report_vanished(self.step(), &rows.table);
        }
        let data = match next {
            Next::Done(_) => self.write_one(rows, shapes, batch, next).await?,
            Next::Page(_) => self.read_on(rows, shapes, batch, next).await?,
        };
        self.fetching.columns.grow(growth)?;
        Ok(data)
    }

    /// The only page. All rows are here: their order can be that of their dates.
    async fn write_one(
        &self,
        rows: Rows,
        mut shapes: Vec<ShapedFile>,
        batch: RecordBatch,
        next: Next,
    ) -> Result<Data, Failure> {
        let sorted = sort_by_date(&batch);
        for file in &mut shapes {
            let shape = &file.shape;
            file.style.sorted_by = sorted
                .as_ref()
                .and_then(|_| shape.schema().index_of("date").ok());
        }
        let batch = sorted.unwrap_or(batch);
        let staging = self.fetching.staging.map(Path::to_owned);
        let written = spawn_blocking(move || {
            let mut files = Files::new(shapes, staging.as_deref())?;
            files.write(&batch)?;
            files.finish()
        });
        let files = joined(written).await?;
        Ok(rows.into_data(next, files))
    }

    /// Further pages, with an encoder beside.
    async fn read_on(
        &self,
        mut rows: Rows,
        shapes: Vec<ShapedFile>,
        mut batch: RecordBatch,
        mut next: Next,
    ) -> Result<Data, Failure> {
        let _heavy = self.engine.heavy.acquire().await;
        let (send, mut waiting) = mpsc::channel::<RecordBatch>(WAITING_BATCHES);
        let staging = self.fetching.staging.map(Path::to_owned);
        let encoder = spawn_blocking(move || {
            let mut files = Files::new(shapes, staging.as_deref())?;
            while let Some(batch) = waiting.blocking_recv() {
                files.write(&batch)?;
            }
            files.finish()
        });
        let schema = batch.schema();
        // A place is waited for before the next page is asked for: a slow disk stops the download.
        // There is none any more where the encoder has ended early, which says why
        while let Ok(place) = send.reserve().await {
            if batch.schema() != schema {
                let columns = rows.table.columns().map(|(name, kind)| Column {
                    name: name.to_owned(),
                    kind,
                });
                return Err(Failure::Grown(columns.collect()));
            }
            place.send(batch);
            let Next::Page(number) = next else { break };
            // The last batch is being encoded while this page is on its way
            if send.reserve().await.is_err() {
                break;
            }
            (rows, batch, next) = self.next_page(rows, number).await?;
        }
        drop(send);
        let files = joined(encoder).await?;
        Ok(rows.into_data(next, files))
    }

    /// A further page, read as it comes; in two steps where its JSON is kept.
    async fn next_page(
        &self,
        rows: Rows,
        number: u32,
    ) -> Result<(Rows, RecordBatch, Next), StepError> {
        if rows.wants_json {
            return read_page(rows, self.page(number).await?).await;
        }
        self.engine.give_way(self.fetching.job).await;
        let client = &self.engine.client;
        let asked = client.query_rows(self.request, self.part_id, number, rows);
        let (mut rows, part) = asked.await.map_err(|error| StepError::of_api(&error))?;
        part?;
        let lacking = || Err(StepError::last("a page lacks its rows".to_owned()));
        let (batch, next) = rows.page.take().unwrap_or_else(lacking)?;
        Ok((rows, batch, next))
    }

    async fn page(&self, number: u32) -> Result<Page, StepError> {
        self.engine.give_way(self.fetching.job).await;
        let client = &self.engine.client;
        let asked = client.query_page(self.request, self.part_id, number);
        let page = asked.await.map_err(|error| StepError::of_api(&error))?;
        Ok(page?)
    }

    /// The files of the step, with what each is made of, and what they add to the locks.
    fn shapes(
        &self,
        table: &TableBuilder,
        first: &RecordBatch,
        next: Next,
    ) -> Result<(Vec<ShapedFile>, Vec<Growth>), StepError> {
        let Fetching {
            job, plan, columns, ..
        } = self.fetching;
        if self.fetching.staging.is_none() {
            return Ok((Vec::new(), Vec::new()));
        }
        let has = |name: &str| match next {
            Next::Done(_) => first
                .column_by_name(name)
                .is_some_and(|column| column.null_count() < column.len()),
            // Later pages may have values where the first has none
            Next::Page(_) => true,
        };
        let artifacts = plan.artifacts.iter().enumerate();
        let ours = artifacts.filter(|(_, artifact)| artifact.step == self.index);
        ours.map(|(place, artifact)| {
            let shaped = columns.shape(self.engine, job, self.step(), artifact, table, &has);
            let (shape, growth) = shaped?;
            let file = ShapedFile {
                artifact: place,
                shape,
                style: self.style(artifact),
            };
            Ok((file, growth))
        })
        .collect()
    }

    fn style(&self, artifact: &PlannedArtifact) -> FileStyle {
        let export = &self.fetching.job.exports[artifact.export];
        FileStyle {
            format: export.format,
            compression: export.compression,
            level: export.level,
            csv: export.csv.clone(),
            metadata: self.metadata(),
            unlike: Vec::new(),
            sorted_by: None,
        }
    }

    /// What a Parquet file says of itself: its identity, and nothing that depends on who wrote it or when.
    fn metadata(&self) -> Vec<(String, String)> {
        let (job, step) = (self.fetching.job, self.step());
        let query = query_of(job, step);
        let parameter = match query.source {
            Source::Parameter(_) => step.parameter.clone(),
            Source::Custom(_) => format!("custom {}", step.parameter),
        };
        let window = &step.window;
        let mut pairs = vec![
            ("databuddy.job", job.name.clone()),
            ("databuddy.query", step.query.clone()),
            ("databuddy.parameter", parameter),
            ("databuddy.source", self.engine.source.clone()),
            ("databuddy.start", window.start.to_string()),
            ("databuddy.end", window.end.to_string()),
            ("databuddy.timezone", window.timezone.name().to_owned()),
        ];
        if let Some(id) = step.target.website_id() {
            pairs.push(("databuddy.website_id", id.to_owned()));
        }
        if let Some(id) = step.target.link_id() {
            pairs.push(("databuddy.link_id", id.to_owned()));
        }
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

impl Rows {
    /// Takes a page: its rows as a batch, and what follows it.
    fn take(&mut self, page: &Page) -> Result<(RecordBatch, Next), StepError> {
        let read = self.table.read_page(&page.0);
        let batch = read.map_err(|error| StepError {
            message: one_line(&error),
            // Rows that do not parse may have been cut on their way; a value that does not fit was not
            retryable: matches!(error, TableError::NotRows { .. }),
        })?;
        let (batch, next) = self.take_batch(batch)?;
        if self.wants_json {
            let mut json = sonic_rs::Deserializer::from_slice(&page.0).utf8_lossy();
            let values = Vec::<Value>::deserialize(&mut json);
            let mut values = values.map_err(|error| StepError::last(one_line(&error)))?;
            values.truncate(batch.num_rows());
            self.json.append(&mut values);
        }
        Ok((batch, next))
    }

    /// Takes the rows of a page, as many as are wanted.
    fn take_batch(&mut self, mut batch: RecordBatch) -> Result<(RecordBatch, Next), StepError> {
        let hashes = row_hashes(&batch);
        let next = self.pages.take(&hashes).map_err(StepError::from)?;
        let left = self.wanted.saturating_sub(self.taken).min(batch.num_rows());
        self.taken += left;
        self.content.add(&hashes[..left]);
        if left < batch.num_rows() {
            batch = batch.slice(0, left);
        }
        self.totals.add(&batch);
        Ok((batch, next))
    }

    fn into_data(self, next: Next, files: Vec<StagedFile>) -> Data {
        let Next::Done(complete) = next else {
            unreachable!("pages are read until there are no more")
        };
        Data {
            count: self.taken as u64,
            complete,
            content: self.content.to_hex(),
            totals: self.totals.finish(),
            files,
            rows: self.json,
        }
    }
}

impl TakeRows for Rows {
    fn take_rows<'de, A: SeqAccess<'de>>(&mut self, rows: A) -> Result<(), A::Error> {
        self.table.read_rows(rows)
    }

    fn has_refused(&self) -> bool {
        self.table.has_misfit()
    }

    fn forget(&mut self) {
        self.table.forget_page();
    }

    fn end_page(&mut self) {
        let batch = self.table.end_page();
        let batch = batch.map_err(|error| StepError::last(one_line(&error)));
        self.page = Some(batch.and_then(|batch| self.take_batch(batch)));
    }
}

/// Parses a page on a thread of its own.
async fn read_page(mut rows: Rows, page: Page) -> Result<(Rows, RecordBatch, Next), StepError> {
    joined(spawn_blocking(move || {
        let (batch, next) = rows.take(&page)?;
        Ok((rows, batch, next))
    }))
    .await
}

async fn joined<T>(task: JoinHandle<Result<T, StepError>>) -> Result<T, StepError> {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StepError::last("the program is ending".to_owned())),
    }
}

/// A file before its first row.
struct ShapedFile {
    artifact: usize,
    shape: Shape,
    style: FileStyle,
}

/// The files of a step in the making; gone when dropped.
struct Files(Vec<(usize, Shape, Stage)>);

impl Files {
    fn new(shapes: Vec<ShapedFile>, staging: Option<&Path>) -> Result<Self, StepError> {
        let Some(staging) = staging else {
            return Ok(Self(Vec::new()));
        };
        let files = shapes.into_iter().map(|file| {
            let stage = Stage::begin(file.shape.schema(), &file.style, staging);
            let stage = stage.map_err(|error| StepError::last(one_line(&error)))?;
            Ok((file.artifact, file.shape, stage))
        });
        Ok(Self(files.collect::<Result<_, StepError>>()?))
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StepError> {
        for (_, shape, stage) in &mut self.0 {
            let shaped = shape.apply(batch);
            let shaped = shaped.map_err(|error| StepError::last(one_line(&error)))?;
            let written = stage.write(&shaped);
            written.map_err(|error| StepError::last(one_line(&error)))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<StagedFile>, StepError> {
        let files = self.0.into_iter().map(|(artifact, shape, stage)| {
            let columns = shape.schema().fields().iter();
            let columns = columns.map(|field| ManifestColumn::of(field)).collect();
            let staged = stage.finish();
            Ok(StagedFile {
                artifact,
                staged: staged.map_err(|error| StepError::last(one_line(&error)))?,
                columns,
            })
        });
        files.collect()
    }
}
