//! Fetching the steps of a plan, and again those that failed for a passing reason.

use std::collections::BTreeSet;

use arrow::record_batch::RecordBatch;
use futures::stream::{self, StreamExt};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineError, Event,
    run::{Progress, one_line},
};
use crate::{
    api::{Complete, Retry, Rows},
    domain::{job::Job, query::Limit, request::Request},
    plan::{Plan, Step},
    table::{TableBuilder, known_columns},
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

impl Engine {
    /// Fetches every step, in the order of the plan.
    pub(super) async fn fetch(
        &self,
        job: &Job,
        plan: &Plan,
        run: &str,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) -> Result<Vec<Fetched>, EngineError> {
        let mut results: Vec<Option<Fetched>> = plan.steps.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..plan.steps.len()).collect();
        loop {
            let number = progress.attempts;
            self.events.tell(&Event::AttemptStarted {
                number,
                steps: open.len(),
            });
            self.attempt(job, plan, &open, &mut results, stop).await?;
            let retryable = |i: &usize| matches!(&results[*i], Some(Err(e)) if e.retryable);
            open.retain(retryable);
            if open.is_empty() || progress.attempts >= job.retry.attempts {
                progress.temporary = !open.is_empty();
                break;
            }
            self.pause(job, progress.attempts, open.len(), stop).await?;
            progress.attempts = self.store.start_attempt(run, self.clock.now()).await?;
        }
        let missing = || {
            Err(StepError {
                message: "the answer did not hold it".to_owned(),
                retryable: false,
            })
        };
        Ok(results
            .into_iter()
            .map(|result| result.unwrap_or_else(missing))
            .collect())
    }

    /// One attempt at the open steps.
    pub(super) async fn attempt(
        &self,
        job: &Job,
        plan: &Plan,
        open: &[usize],
        results: &mut [Option<Fetched>],
        stop: &CancellationToken,
    ) -> Result<(), EngineError> {
        let in_files: BTreeSet<usize> = plan.artifacts.iter().map(|a| a.step).collect();
        let in_reports: BTreeSet<usize> = plan
            .sections
            .iter()
            .flat_map(|s| s.steps().collect::<Vec<_>>())
            .collect();
        let requests = plan.requests_for(job, open);
        let at_once = usize::try_from(self.settings.max_in_flight)
            .unwrap_or(1)
            .max(1);
        let mut answers = stream::iter(requests)
            .map(|request| async move { (self.client.query(&request).await, request) })
            .buffer_unordered(at_once);
        while let Some((answer, request)) = stop
            .run_until_cancelled(answers.next())
            .await
            .ok_or(EngineError::Cancelled)?
        {
            for (index, rows) in match answer {
                Ok(parts) => parts
                    .into_iter()
                    .filter_map(|(id, rows)| Some((Plan::step_of(&id)?, rows)))
                    .map(|(index, rows)| {
                        (
                            index,
                            rows.map_err(|e| StepError {
                                message: e.message,
                                retryable: e.retryable,
                            }),
                        )
                    })
                    .collect::<Vec<_>>(),
                Err(error) => failed_parts(&request, &error),
            } {
                let step = &plan.steps[index];
                let data = rows.and_then(|rows| {
                    self.data(
                        job,
                        step,
                        &rows,
                        in_files.contains(&index),
                        in_reports.contains(&index),
                    )
                });
                self.events.tell(&Event::StepDone {
                    query: &step.query,
                    website_id: &step.website_id,
                    outcome: data
                        .as_ref()
                        .map(|d| d.count)
                        .map_err(|e| e.message.as_str()),
                });
                results[index] = Some(data);
            }
        }
        Ok(())
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
            let columns = known_columns(&step.parameter, catalog, &query.columns, step.granularity);
            let mut builder = TableBuilder::new(&step.query, columns);
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

/// A request that failed as a whole fails each of its parts.
fn failed_parts(
    request: &Request,
    error: &crate::api::ApiError,
) -> Vec<(usize, Result<Rows, StepError>)> {
    let message = one_line(error);
    let retryable = !matches!(error.retry_advice(), Retry::No);
    request
        .items
        .iter()
        .flat_map(|item| &item.parts)
        .filter_map(|part| Plan::step_of(&part.id))
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
