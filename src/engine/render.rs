//! Reports from fetched rows to mails that can be sent.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineError,
    attach::attachments,
    context::{About, Origin},
    outgoing::{Attached, Outgoing},
    run::one_line,
    work::{Progress, Work},
};
use crate::{
    domain::{
        job::{Job, OnError, ReportSpec},
        run::{ArtifactRecord, DeliveryRecord, DeliveryState},
        website::Website,
    },
    plan::Plan,
    report::{Condition, Rendered, ReportError, Template},
};

/// What the subject of a mail that lacks a section begins with, unless its template has begun it with
/// a bracket: in its own language.
const INCOMPLETE: &str = "[incomplete]";

/// A report, rendered, before its recipients.
#[derive(Debug, Clone)]
pub(super) struct Letter<'a> {
    pub(super) about: About,
    pub(super) spec: &'a ReportSpec,
    pub(super) website: Option<&'a Website>,
    pub(super) rendered: Arc<Rendered>,
    pub(super) attachments: Arc<[Attached]>,
    pub(super) context: Arc<Value>,
    /// Why it is not sent, in words.
    pub(super) held: Option<String>,
}

/// The letters of a job, and why others could not be written.
#[derive(Debug, Default)]
pub(super) struct Letters<'a> {
    pub(super) letters: Vec<Letter<'a>>,
    pub(super) errors: Vec<String>,
}

/// The mails of a run.
#[derive(Debug, Default)]
pub(super) struct Rendering<'a> {
    pub(super) outgoing: Vec<Outgoing<'a>>,
    /// Those that are deliberately not sent.
    pub(super) skipped: Vec<DeliveryRecord>,
}

/// Why a letter is not there.
enum Unwritten {
    Because(String),
    /// The run is to end.
    Stopped,
}

impl From<String> for Unwritten {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

/// What renders a report.
#[derive(Debug)]
pub(super) struct Form {
    template: Template,
    when: Option<Condition>,
}

impl Work<'_> {
    /// Each report of the plan for each of its recipients.
    pub(super) async fn render<'p>(
        &'p self,
        origin: Origin<'p>,
        progress: &mut Progress,
    ) -> Result<Rendering<'p>, EngineError> {
        let forms = self.engine.forms(self.job)?;
        let written = self
            .engine
            .letters(origin, &forms, &progress.artifacts, self.stop)
            .await?;
        progress.errors.extend(written.errors);
        let mut rendering = Rendering::default();
        for letter in written.letters {
            for delivery in &origin.plan.deliveries {
                if (delivery.report, delivery.website)
                    != (letter.about.report, letter.about.website)
                {
                    continue;
                }
                let outgoing = Outgoing {
                    spec: letter.spec,
                    website: letter.website,
                    to: delivery.to.clone(),
                    rendered: Arc::clone(&letter.rendered),
                    attachments: Arc::clone(&letter.attachments),
                    context: Arc::clone(&letter.context),
                };
                match &letter.held {
                    None => rendering.outgoing.push(outgoing),
                    Some(why) => rendering.skipped.push(skipped(&outgoing, why)),
                }
            }
        }
        Ok(rendering)
    }
}

impl Engine {
    /// What the reports of a job are rendered with.
    pub(super) fn forms(&self, job: &Job) -> Result<Vec<Arc<Form>>, EngineError> {
        let templates = self.templates(job)?.into_iter().zip(&job.reports);
        let form = |(template, spec): (Template, &ReportSpec)| {
            Ok(Arc::new(Form {
                template,
                when: condition(spec)?,
            }))
        };
        templates.map(form).collect()
    }

    /// Writes each letter of the plan once.
    ///
    /// # Errors
    /// It is stopped before the last.
    pub(super) async fn letters<'p>(
        &self,
        origin: Origin<'p>,
        forms: &[Arc<Form>],
        exported: &[ArtifactRecord],
        stop: &CancellationToken,
    ) -> Result<Letters<'p>, EngineError> {
        let mut written = Letters::default();
        for about in abouts(origin.plan) {
            let form = &forms[about.report];
            match self.letter(origin, about, form, exported, stop).await {
                Ok((letter, errors)) => {
                    written.letters.push(letter);
                    written.errors.extend(errors);
                }
                Err(Unwritten::Because(why)) => written.errors.push(why),
                Err(Unwritten::Stopped) => return Err(EngineError::Cancelled),
            }
        }
        Ok(written)
    }

    async fn letter<'p>(
        &self,
        origin: Origin<'p>,
        about: About,
        form: &Arc<Form>,
        exported: &[ArtifactRecord],
        stop: &CancellationToken,
    ) -> Result<(Letter<'p>, Vec<String>), Unwritten> {
        let spec = origin.spec(about);
        check_sections(origin, about)?;
        let of_report = |error: ReportError| {
            format!(
                "the report `{}` of {} was not sent: {}",
                spec.name,
                origin.name(about),
                one_line(&error)
            )
        };
        let files = attachments(origin, about, exported, &self.root).map_err(of_report)?;
        let context = Arc::new(self.context(origin, about, &files.told));
        let written = form.write(&context, stop).await;
        let written = written.ok_or(Unwritten::Stopped)?;
        let (held, rendered) = written.map_err(of_report)?;
        let letter = Letter {
            about,
            spec,
            website: origin.website(about),
            rendered: Arc::new(rendered),
            attachments: files.files.into(),
            context,
            held,
        };
        Ok((letter, files.errors))
    }
}

impl Form {
    /// The mail, and why it is held where it is, made on a thread of its own: a template may take as
    /// long as it likes, and keeps neither other runs nor the end of its own waiting. `None`: stopped;
    /// what the thread still makes is dropped.
    async fn write(
        self: &Arc<Self>,
        context: &Arc<Value>,
        stop: &CancellationToken,
    ) -> Option<Result<(Option<String>, Rendered), ReportError>> {
        let (form, context) = (Arc::clone(self), Arc::clone(context));
        let writing = spawn_blocking(move || Ok((form.held(&context)?, form.render(&context)?)));
        match stop.run_until_cancelled(writing).await? {
            Ok(written) => Some(written),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The program is ending
            Err(_) => None,
        }
    }

    /// Why its mail is not sent, in words.
    fn held(&self, context: &Value) -> Result<Option<String>, ReportError> {
        match &self.when {
            Some(when) if !when.holds(context)? => {
                Ok(Some(format!("not sent: `when: {}` is false", when.text())))
            }
            _ => Ok(None),
        }
    }

    /// Renders the template; the subject of what is incomplete says so, whatever the template does.
    pub(super) fn render(&self, context: &Value) -> Result<Rendered, ReportError> {
        let mut rendered = self.template.render(context)?;
        let is_incomplete = context["report"]["incomplete"] == true;
        if is_incomplete && !rendered.subject.starts_with('[') {
            rendered.subject = format!("{INCOMPLETE} {}", rendered.subject);
        }
        Ok(rendered)
    }
}

/// The condition of a report, where it has one.
pub(super) fn condition(spec: &ReportSpec) -> Result<Option<Condition>, ReportError> {
    let Some(text) = &spec.when else {
        return Ok(None);
    };
    let parsed = Condition::parse(text);
    let broken = |broken: crate::report::Broken| ReportError::Broken {
        report: spec.name.clone(),
        when: text.clone(),
        why: broken.message,
    };
    parsed.map(Some).map_err(broken)
}

/// Each report and website of the plan's mails, once.
fn abouts(plan: &Plan) -> Vec<About> {
    let mut abouts: Vec<About> = Vec::new();
    for delivery in &plan.deliveries {
        let about = About {
            report: delivery.report,
            website: delivery.website,
        };
        // The mails of one report and website follow each other
        if abouts.last() != Some(&about) {
            abouts.push(about);
        }
    }
    abouts
}

/// Whether the mail can do without what is missing; the reason, where it cannot.
fn check_sections(origin: Origin<'_>, about: About) -> Result<(), String> {
    let spec = origin.spec(about);
    let sections = origin.sections(about);
    let failed = origin.failed(&sections);
    let not_sent = |why: &str| {
        format!(
            "the report `{}` of {} was not sent: {why}",
            spec.name,
            origin.name(about)
        )
    };
    match spec.on_error {
        _ if failed.is_empty() => Ok(()),
        OnError::Fail => Err(not_sent("its data is incomplete")),
        OnError::Omit if failed.len() == sections.len() => {
            Err(not_sent("every section of it failed"))
        }
        OnError::Omit => Ok(()),
    }
}

/// A mail that is deliberately not sent: its subject says why.
fn skipped(mail: &Outgoing<'_>, why: &str) -> DeliveryRecord {
    DeliveryRecord {
        report: mail.spec.name.clone(),
        website_id: mail.website.map(|website| website.id.clone()),
        to: mail.to.in_words(),
        subject: why.to_owned(),
        state: DeliveryState::Skipped,
        message_id: String::new(),
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::run::{RunRecord, RunState},
        engine::run::{caught, conclude},
    };

    fn record() -> RunRecord {
        let record = json!({
            "id": "r", "job": "weekly", "tick": "2026-11-23T07:00:00Z", "state": "running",
            "trigger": "schedule", "window": { "start": "2026-11-16", "end": "2026-11-22", "timezone": "UTC" },
            "attempts": 0, "requests": 0, "retries": 0, "rows": 0, "duration_ms": 0,
            "steps": [], "artifacts": [], "deliveries": [], "error": null,
        });
        serde_json::from_value(record).unwrap()
    }

    #[tokio::test]
    async fn a_fault_of_this_program_while_a_report_is_rendered_is_the_failure_of_its_run() {
        let form = Arc::new(Form {
            template: Template::faulty(),
            when: None,
        });
        let stop = CancellationToken::new();
        let context = Arc::new(json!({}));
        let work = async {
            form.write(&context, &stop).await;
            Ok(())
        };
        let result = caught(work).await;
        let fault = result.as_ref().unwrap_err();
        assert!(
            matches!(fault, EngineError::Fault { what } if what == "a fault on purpose"),
            "{fault}"
        );
        let mut record = record();
        conclude(&mut record, Progress::default(), result);
        assert_eq!(record.state, RunState::Failed);
        let error = record.error.unwrap();
        for words in [
            "fault of the program: please report it",
            "a fault on purpose",
        ] {
            assert!(error.contains(words), "{error}");
        }
    }
}
