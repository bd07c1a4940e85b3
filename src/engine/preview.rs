//! The reports of a job as they would be sent, outside store and ledger.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Attached, Engine, EngineError, Order,
    channel::preview_body,
    columns::Columns,
    context::Origin,
    fetch::{Fetched, StepError},
    render::{Form, Letters},
    step::Fetching,
    stored::StoredMail,
};
use crate::{
    domain::{
        channel::ChannelKind,
        job::{Job, ReportSpec},
        run::{RunRecord, Trigger},
        schedule::Tick,
    },
    plan::Plan,
    report::Rendered,
};

/// A rendered report of one website, or of all of them.
#[derive(Debug)]
pub struct Page {
    /// The report's name.
    pub report: String,
    /// The website; `None`: all of the job.
    pub website_id: Option<String>,
    /// Subject, HTML and text.
    pub rendered: Arc<Rendered>,
    /// Files that go with it.
    pub attachments: Arc<[Attached]>,
    /// Why a run would not send it, in words.
    pub held: Option<String>,
    /// What the channels of the report would be sent: `slack` or `webhook`, each once.
    pub channels: Vec<(&'static str, Value)>,
}

impl Engine {
    /// Renders every report of a job. Sends and records nothing.
    ///
    /// # Errors
    /// The server or a template refuses, or a report lacks rows that it cannot do without.
    pub async fn preview(&self, job: &Job, tick: Tick) -> Result<Vec<Page>, EngineError> {
        let plan = self.plan(job, &Order::of(tick, Trigger::Manual)).await?;
        let fetched = self.fetch_once(job, &plan).await;
        let origin = Origin {
            job,
            plan: &plan,
            fetched: &fetched,
            run: "preview",
        };
        let (forms, never) = (self.forms(job)?, CancellationToken::new());
        let Letters { letters, errors } = self.letters(origin, &forms, &[], &never).await?;
        if letters.is_empty() && !errors.is_empty() {
            let why = fetched.iter().filter_map(|step| step.as_ref().err());
            let why = why.map(|error| error.message.clone()).chain(errors);
            return Err(EngineError::Incomplete(why.collect::<Vec<_>>().join("; ")));
        }
        let pages = letters.into_iter().map(|letter| Page {
            report: letter.spec.name.clone(),
            website_id: letter.website.map(|website| website.id.clone()),
            channels: channels(letter.spec, &letter.rendered.subject, &letter.context),
            rendered: letter.rendered,
            attachments: letter.attachments,
            held: letter.held,
        });
        Ok(pages.collect())
    }

    /// Renders the reports of a run again, from the data that was kept of them. As long as their
    /// templates are the same, so are the bytes.
    ///
    /// # Errors
    /// The data is not kept any more, or the job has no such report, or its template refuses.
    pub async fn preview_again(
        &self,
        job: &Job,
        run: &RunRecord,
    ) -> Result<Vec<Page>, EngineError> {
        let forms = self.forms(job)?;
        let mut pages: Vec<Page> = Vec::new();
        for mail in self.archived(run).await?.into_iter().flatten() {
            let is_same =
                |page: &Page| (&page.report, &page.website_id) == (&mail.report, &mail.website_id);
            if pages.iter().any(is_same) {
                continue;
            }
            let mut forms = job.reports.iter().zip(&forms);
            let found = forms.find(|(spec, _)| spec.name == mail.report);
            let (spec, form) = found.ok_or_else(|| {
                EngineError::Incomplete(format!("the job has no report `{}` any more", mail.report))
            })?;
            pages.push(again(&mail, spec, form)?);
        }
        if pages.is_empty() {
            return Err(EngineError::NotKept {
                run: run.id.clone(),
            });
        }
        Ok(pages)
    }

    /// The rows of every step, asked for once and written nowhere.
    async fn fetch_once(&self, job: &Job, plan: &Plan) -> Vec<Fetched> {
        let columns = Columns::default();
        let fetching = Fetching {
            job,
            plan,
            columns: &columns,
            staging: None,
        };
        let all: Vec<usize> = (0..plan.steps.len()).collect();
        let mut results: Vec<Option<Fetched>> = plan.steps.iter().map(|_| None).collect();
        let mut answers = self.ask(fetching, &all);
        while let Some(answer) = answers.next().await {
            for (index, result) in answer {
                results[index] = Some(result);
            }
        }
        drop(answers);
        let lacking = || Err(StepError::last("the answer lacks a part".to_owned()));
        let results = results.into_iter();
        results
            .map(|result| result.unwrap_or_else(lacking))
            .collect()
    }
}

/// One body for each kind of the report's channels.
fn channels(spec: &ReportSpec, subject: &str, context: &Value) -> Vec<(&'static str, Value)> {
    let kinds = [ChannelKind::Slack, ChannelKind::Webhook].into_iter();
    let is_used = |kind: &ChannelKind| spec.channels.iter().any(|channel| channel.kind == *kind);
    kinds
        .filter(is_used)
        .map(|kind| (kind.name(), preview_body(kind, subject, context)))
        .collect()
}

fn again(mail: &StoredMail, spec: &ReportSpec, form: &Form) -> Result<Page, EngineError> {
    let context: Value = serde_json::from_str(&mail.context).map_err(|error| {
        EngineError::Incomplete(format!("what was kept cannot be read: {error}"))
    })?;
    let attached = mail.content.attachments.iter().map(|file| Attached {
        name: file.name.clone(),
        mime: file.mime.clone(),
        bytes: file.bytes.clone(),
    });
    let rendered = form.render(&context)?;
    Ok(Page {
        report: mail.report.clone(),
        website_id: mail.website_id.clone(),
        channels: channels(spec, &rendered.subject, &context),
        rendered: Arc::new(rendered),
        attachments: attached.collect(),
        held: None,
    })
}
