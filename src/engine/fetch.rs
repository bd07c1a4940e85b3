//! Fetching the steps of a plan, and again those that failed for a passing reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{
    FutureExt,
    stream::{self, BoxStream, StreamExt},
};
use serde_json::Value;

use super::{
    Engine, EngineError, Event,
    run::one_line,
    step::{Fetching, StepWork},
    work::{Progress, Work},
};
use crate::{
    api::{ApiError, Complete, PartError, PartResult},
    domain::{
        request::Request,
        run::{StepRecord, StepState},
    },
    export::{ManifestColumn, Staged},
    plan::{Plan, Section},
};

/// Requests that may fail one after the other while the guilty part of one is sought, beyond those
/// that the search itself needs: then it is the server that fails.
const PATIENCE: u32 = 8;

/// The rows of one step.
#[derive(Debug)]
pub(super) struct Data {
    /// How many.
    pub(super) count: u64,
    /// Whether the answer is known to hold them all.
    pub(super) complete: Complete,
    /// A hash of what they say.
    pub(super) content: String,
    /// What they come to.
    pub(super) totals: BTreeMap<String, f64>,
    /// Complete files that nobody sees yet.
    pub(super) files: Vec<StagedFile>,
    /// As JSON, where a report is made of them.
    pub(super) rows: Vec<Value>,
}

/// A complete file that nobody sees yet.
#[derive(Debug)]
pub(super) struct StagedFile {
    /// Index into the plan's artifacts.
    pub(super) artifact: usize,
    pub(super) staged: Staged,
    pub(super) columns: Vec<ManifestColumn>,
}

/// Why a step has no rows.
#[derive(Debug, Clone)]
pub(super) struct StepError {
    /// One line.
    pub(super) message: String,
    /// Whether a further attempt may help.
    pub(super) retryable: bool,
}

impl StepError {
    /// One that no further attempt changes.
    pub(super) fn last(message: String) -> Self {
        Self {
            message,
            retryable: false,
        }
    }

    /// A request that failed as a whole.
    pub(super) fn of_api(error: &ApiError) -> Self {
        Self {
            message: one_line(error),
            retryable: error.is_worth_an_attempt(),
        }
    }
}

impl From<PartError> for StepError {
    fn from(error: PartError) -> Self {
        Self {
            message: error.message,
            retryable: error.retryable,
        }
    }
}

/// The result of one step.
pub(super) type Fetched = Result<Data, StepError>;

/// For each request the results of its steps, as they come.
pub(super) type Answers<'a> = BoxStream<'a, Vec<(usize, Fetched)>>;

impl Work<'_> {
    /// Fetches every step, in the order of the plan; failed ones again, as often as the job says.
    pub(super) async fn fetch(
        &self,
        fetching: Fetching<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<Fetched>, EngineError> {
        let plan = fetching.plan;
        let mut results: Vec<Option<Fetched>> = plan.steps.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..plan.steps.len()).collect();
        loop {
            self.engine.events.tell(&Event::AttemptStarted {
                number: progress.attempts,
                steps: open.len(),
            });
            let mut answers = self.engine.ask(fetching, &open);
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
    StepError::last("the answer did not hold it".to_owned())
}

impl Engine {
    /// Asks for the given steps, several requests at once: for each request the results of its steps.
    pub(super) fn ask<'a>(&'a self, fetching: Fetching<'a>, open: &[usize]) -> Answers<'a> {
        let plan = fetching.plan;
        let in_reports: BTreeSet<usize> = plan.sections.iter().flat_map(Section::steps).collect();
        let requests = self.sizes.pack(plan, fetching.job, self.catalog(), open);
        let at_once = usize::try_from(self.settings.max_in_flight).unwrap_or(1);
        let in_reports = Arc::new(in_reports);
        let mut asks = Vec::new();
        for request in requests {
            let in_reports = Arc::clone(&in_reports);
            let ask = async move { self.ask_one(fetching, request, &in_reports).await };
            asks.push(ask.boxed());
        }
        stream::iter(asks).buffer_unordered(at_once.max(1)).boxed()
    }

    /// One request; where it fails as a whole, its halves, until the guilty part stands alone and
    /// everything healthy is kept.
    async fn ask_one(
        &self,
        fetching: Fetching<'_>,
        request: Request,
        in_reports: &BTreeSet<usize>,
    ) -> Vec<(usize, Fetched)> {
        let mut results = Vec::new();
        let mut patience = request.part_ids().len().ilog2() + PATIENCE;
        let full = patience;
        let mut open = vec![request];
        while let Some(request) = open.pop() {
            self.give_way(fetching.job).await;
            let error = match self.client.query(&request).await {
                Ok(parts) => {
                    patience = full;
                    self.read_parts(fetching, &request, parts, in_reports, &mut results)
                        .await;
                    continue;
                }
                Err(error) => error,
            };
            let halves = request.halves();
            if halves.is_some() {
                patience = patience.saturating_sub(1);
            }
            match halves.filter(|_| error.may_be_one_part() && patience > 0) {
                Some((first, second)) => {
                    if error.is_about_size() {
                        self.sizes.learn_parts(first.part_ids().len());
                    }
                    tracing::warn!(
                        parts = request.part_ids().len(),
                        error = %one_line(&error),
                        "the request failed as a whole and is asked for in halves"
                    );
                    open.extend([second, first]);
                }
                None => results.extend(self.fail_parts(fetching.plan, &request, &error)),
            }
        }
        results
    }

    async fn read_parts(
        &self,
        fetching: Fetching<'_>,
        request: &Request,
        parts: Vec<(String, PartResult)>,
        in_reports: &BTreeSet<usize>,
        results: &mut Vec<(usize, Fetched)>,
    ) {
        for (part_id, page) in parts {
            let Some(index) = Plan::step_of(&part_id) else {
                continue;
            };
            let step = &fetching.plan.steps[index];
            let result = match page {
                Err(error) => Err(StepError::from(error)),
                Ok(page) => {
                    self.sizes.learn_bytes(step, page.0.len());
                    let work = StepWork {
                        engine: self,
                        fetching,
                        index,
                        request,
                        part_id: &part_id,
                        wants_json: in_reports.contains(&index),
                    };
                    work.go(page).await
                }
            };
            self.tell_step(fetching.plan, index, &result);
            results.push((index, result));
        }
    }

    /// A request that failed as a whole fails each of its parts.
    fn fail_parts(
        &self,
        plan: &Plan,
        request: &Request,
        error: &ApiError,
    ) -> Vec<(usize, Fetched)> {
        let parts = request.part_ids().into_iter().filter_map(Plan::step_of);
        parts
            .map(|index| {
                let result = Err(StepError::of_api(error));
                self.tell_step(plan, index, &result);
                (index, result)
            })
            .collect()
    }

    fn tell_step(&self, plan: &Plan, index: usize, result: &Fetched) {
        let step = &plan.steps[index];
        self.events.tell(&Event::StepDone {
            query: &step.query,
            target: step.target.id(),
            outcome: result
                .as_ref()
                .map(|data| data.count)
                .map_err(|error| error.message.as_str()),
        });
    }
}
