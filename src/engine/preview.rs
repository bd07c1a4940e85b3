//! The reports of a job as they would be sent, outside store and ledger.

use futures::StreamExt;

use super::{
    Engine, EngineError, Order, columns::Columns, context::Origin, fetch::Fetched, step::Fetching,
};
use crate::{
    domain::{job::Job, run::Trigger, schedule::Tick},
    report::Rendered,
};

/// A rendered report of one website.
#[derive(Debug)]
pub struct Page {
    /// The report's name.
    pub report: String,
    /// The website.
    pub website_id: String,
    /// Subject, HTML and text.
    pub rendered: Rendered,
}

impl Engine {
    /// Renders every report of a job. Sends and records nothing.
    ///
    /// # Errors
    /// The server or a template refuses, or a step has no rows.
    pub async fn preview(&self, job: &Job, tick: Tick) -> Result<Vec<Page>, EngineError> {
        let plan = self.plan(job, &Order::of(tick, Trigger::Manual)).await?;
        let mut results: Vec<Option<Fetched>> = plan.steps.iter().map(|_| None).collect();
        let all: Vec<usize> = (0..plan.steps.len()).collect();
        let columns = Columns::default();
        let fetching = Fetching {
            job,
            plan: &plan,
            columns: &columns,
            staging: None,
        };
        let mut answers = self.ask(fetching, &all);
        while let Some(answer) = answers.next().await {
            for (index, result) in answer {
                results[index] = Some(result);
            }
        }
        drop(answers);
        let mut fetched = Vec::new();
        for result in results {
            let lacking = || EngineError::Incomplete("the answer lacks a part".to_owned());
            match result.ok_or_else(lacking)? {
                Ok(data) => fetched.push(Ok(data)),
                Err(error) => return Err(EngineError::Incomplete(error.message)),
            }
        }
        let origin = Origin {
            job,
            plan: &plan,
            fetched: &fetched,
            run: "preview",
        };
        let mut pages = Vec::new();
        for (report, (spec, template)) in job.reports.iter().zip(&self.templates(job)?).enumerate()
        {
            for (index, website) in plan.websites.iter().enumerate() {
                let sections = origin.sections(report, index);
                let context = self.context(origin, spec, website, &sections);
                pages.push(Page {
                    report: spec.name.clone(),
                    website_id: website.id.clone(),
                    rendered: template.render(&context)?,
                });
            }
        }
        Ok(pages)
    }
}
