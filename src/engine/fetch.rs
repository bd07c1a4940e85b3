//! Fetching the steps of a plan, and again those that failed for a passing reason.

use std::{collections::BTreeSet, pin::Pin};

use arrow::record_batch::RecordBatch;
use futures::{
    Stream,
    stream::{self, StreamExt},
};
use serde_json::Value;

use super::{
    Engine, EngineError, Event,
    run::one_line,
    work::{Progress, Work},
};
use crate::{
    api::{Complete, PartError, Rows},
    domain::{
        job::Job,
        query::{Limit, Source},
        request::Request,
        run::{StepRecord, StepState},
    },
    plan::{Plan, Section, Step},
    table::{TableBuilder, known_columns, known_custom_columns},
};

/// The rows of one step.
#[derive(Debug)]
pub(super) struct Data {
    /// How many.
    pub(super) count: u64,
    /// Whether the answer is known to hold them all.
    pub(super) complete: Complete,
    /// As a table, where a file is made of them.
    pub(super) table: Option<RecordBatch>,
    /// As JSON, where a report is made of them.
    pub(super) rows: Vec<Value>,
}

/// Why a step has no rows.
#[derive(Debug)]
pub(super) struct StepError {
    /// One line.
    pub(super) message: String,
    /// Whether a further attempt may help.
    pub(super) retryable: bool,
}

/// The result of one step.
pub(super) type Fetched = Result<Data, StepError>;

/// For each request the results of its steps, as they come.
pub(super) type Answers<'a> = Pin<Box<dyn Stream<Item = Vec<(usize, Fetched)>> + Send + 'a>>;

impl Work<'_> {
    /// Fetches every step, in the order of the plan; failed ones again, as often as the job says.
    pub(super) async fn fetch(
        &self,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Result<Vec<Fetched>, EngineError> {
        let mut results: Vec<Option<Fetched>> = plan.steps.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..plan.steps.len()).collect();
        loop {
            self.engine.events.tell(&Event::AttemptStarted {
                number: progress.attempts,
                steps: open.len(),
            });
            let mut answers = self.engine.ask(self.job, plan, &open);
            while let Some(answer) = self
                .stop
                .run_until_cancelled(answers.next())
                .await
                .ok_or(EngineError::Cancelled)?
            {
                let done: Vec<usize> = answer.iter().map(|(index, _)| *index).collect();
                for (index, result) in answer {
                    record(&mut progress.steps[index], &result);
                    results[index] = Some(result);
                }
                let steps = done.iter().map(|index| (*index, &progress.steps[*index]));
                self.engine.store.save_steps(self.run, steps).await?;
            }
            drop(answers);
            let retryable = |i: &usize| matches!(&results[*i], Some(Err(e)) if e.retryable);
            open.retain(retryable);
            let Some(first) = open.first() else { break };
            if !self.may_retry(progress) {
                progress.temporary = true;
                break;
            }
            let why = progress.steps[*first].error.clone().unwrap_or_default();
            self.pause(progress, open.len(), &why).await?;
            self.start_attempt(progress).await?;
        }
        for (step, result) in progress.steps.iter_mut().zip(&mut results) {
            let result = result.get_or_insert_with(|| Err(lacking()));
            record(step, result);
        }
        Ok(results
            .into_iter()
            .map(|r| r.unwrap_or_else(|| Err(lacking())))
            .collect())
    }
}

fn record(step: &mut StepRecord, result: &Fetched) {
    match result {
        Ok(data) => {
            step.state = StepState::Succeeded;
            step.rows = data.count;
            step.error = None;
        }
        Err(error) => {
            step.state = StepState::Failed;
            step.rows = 0;
            step.error = Some(error.message.clone());
        }
    }
}

fn lacking() -> StepError {
    StepError {
        message: "the answer did not hold it".to_owned(),
        retryable: false,
    }
}

impl Engine {
    /// Asks for the given steps, several requests at once: for each request the results of its steps.
    pub(super) fn ask<'a>(&'a self, job: &'a Job, plan: &'a Plan, open: &[usize]) -> Answers<'a> {
        let in_files: BTreeSet<usize> = plan.artifacts.iter().map(|a| a.step).collect();
        let in_reports: BTreeSet<usize> = plan.sections.iter().flat_map(Section::steps).collect();
        let catalog = &self
            .server
            .get()
            .expect("the plan was made from it")
            .catalog;
        let requests = plan.requests_for(job, catalog, open);
        let at_once = usize::try_from(self.settings.max_in_flight).unwrap_or(1);
        let answers = stream::iter(requests)
            .map(move |request| async move { (self.client.query(&request).await, request) })
            .buffer_unordered(at_once.max(1));
        Box::pin(answers.map(move |(answer, request)| {
            let results = match answer {
                Ok(parts) => parts
                    .into_iter()
                    .filter_map(|(id, rows)| Some((Plan::step_of(&id)?, rows.map_err(failed))))
                    .collect(),
                Err(error) => failed_parts(&request, &error),
            };
            let finish = |(index, rows): (usize, Result<Rows, StepError>)| {
                let step = &plan.steps[index];
                let (table, json) = (in_files.contains(&index), in_reports.contains(&index));
                let result = rows.and_then(|rows| self.data(job, step, &rows, table, json));
                self.events.tell(&Event::StepDone {
                    query: &step.query,
                    target: step.target.id(),
                    outcome: result
                        .as_ref()
                        .map(|d| d.count)
                        .map_err(|e| e.message.as_str()),
                });
                (index, result)
            };
            results.into_iter().map(finish).collect()
        }))
    }

    /// Rows as a table and as JSON, as far as anything is made of them.
    fn data(&self, job: &Job, step: &Step, rows: &Rows, table: bool, json: bool) -> Fetched {
        let no_retry = |message: String| StepError {
            message,
            retryable: false,
        };
        let query = job.queries.iter().find(|q| q.name == step.query);
        let query = query.expect("a step is made from a query of its job");
        let wanted = match query.limit {
            Limit::All => usize::MAX,
            Limit::Rows(rows) => rows as usize,
        };
        let catalog = &self
            .server
            .get()
            .expect("the plan was made from it")
            .catalog;
        let batch = if table {
            let pins = &query.columns;
            let known = match &query.source {
                Source::Custom(custom) => known_custom_columns(custom, pins),
                Source::Parameter(_) => {
                    known_columns(&step.parameter, catalog, pins, step.granularity)
                }
            };
            let mut builder = TableBuilder::new(&step.query, known);
            for page in &rows.pages {
                builder
                    .push_page(page.get().as_bytes())
                    .map_err(|e| no_retry(one_line(&e)))?;
            }
            let batch = builder.finish().map_err(|e| no_retry(one_line(&e)))?;
            Some(batch.slice(0, batch.num_rows().min(wanted)))
        } else {
            None
        };
        let mut values = Vec::new();
        if json {
            for page in &rows.pages {
                let page: Vec<Value> =
                    serde_json::from_str(page.get()).map_err(|e| no_retry(one_line(&e)))?;
                values.extend(page);
            }
            values.truncate(wanted);
        }
        Ok(Data {
            count: rows.count.min(wanted as u64),
            complete: rows.complete,
            table: batch,
            rows: values,
        })
    }
}

fn failed(error: PartError) -> StepError {
    StepError {
        message: error.message,
        retryable: error.retryable,
    }
}

/// A request that failed as a whole fails each of its parts.
fn failed_parts(
    request: &Request,
    error: &crate::api::ApiError,
) -> Vec<(usize, Result<Rows, StepError>)> {
    let message = one_line(error);
    let retryable = error.is_worth_an_attempt();
    request
        .part_ids()
        .into_iter()
        .filter_map(Plan::step_of)
        .map(|index| {
            (
                index,
                Err(StepError {
                    message: message.clone(),
                    retryable,
                }),
            )
        })
        .collect()
}
