//! Reports: rendered once a website, delivered once a recipient.

use std::cmp::Ordering;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineError, Event, Order,
    fetch::{Data, Fetched},
    run::{Progress, one_line},
};
use crate::{
    domain::{
        job::{Job, ReportSpec},
        run::{DeliveryRecord, DeliveryState},
        schedule::Tick,
        website::Website,
    },
    mail::{Failure, Message, domain_of, message_id},
    plan::{Plan, Section},
    report::{Rendered, daily, metrics},
    store::{Begin, DeliveryKey},
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

/// The lists of the weekly report: title, query, and the names that generations give the column.
const LISTS: [(&str, &str, &[&str]); 4] = [
    ("Top pages", "pages", &["path", "name"]),
    ("Top sources", "traffic", &["source", "name", "referrer"]),
    (
        "Top countries",
        "countries",
        &["country_name", "country", "name"],
    ),
    ("Devices", "device_types", &["device_type", "name"]),
];

/// The tiles of the weekly report: label, metric, kind of change.
const TILES: [(&str, &str, &str); 4] = [
    ("Visitors", "visitors", "count"),
    ("Page views", "pageviews", "count"),
    ("Sessions", "sessions", "count"),
    ("Bounce rate", "bounce_rate", "rate"),
];

impl Engine {
    /// Renders and delivers every report whose data is complete.
    #[expect(
        clippy::too_many_arguments,
        reason = "the floor's one hand-over from fetching"
    )]
    pub(super) async fn deliver(
        &self,
        job: &Job,
        order: &Order,
        plan: &Plan,
        fetched: &[Fetched],
        run: &str,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) -> Result<(), EngineError> {
        let templates = self.templates(job)?;
        for (report, (spec, template)) in job.reports.iter().zip(&templates).enumerate() {
            for (index, website) in plan.websites.iter().enumerate() {
                let sections: Vec<&Section> = plan
                    .sections
                    .iter()
                    .filter(|s| s.report == report && s.website == index)
                    .collect();
                if sections
                    .iter()
                    .any(|s| s.steps().any(|step| fetched[step].is_err()))
                {
                    progress.errors.push(format!(
                        "the report `{}` of {} was not sent: its data is incomplete",
                        spec.name, website.id
                    ));
                    continue;
                }
                let rendered = match template
                    .render(&self.context(job, spec, plan, website, &sections, fetched, run))
                {
                    Ok(rendered) => rendered,
                    Err(error) => {
                        progress.errors.push(one_line(&error));
                        continue;
                    }
                };
                for to in &spec.to {
                    if stop.is_cancelled() {
                        return Err(EngineError::Cancelled);
                    }
                    let record = self
                        .deliver_one(
                            job, order, plan, spec, website, &rendered, to, run, progress,
                        )
                        .await?;
                    self.events.tell(&Event::DeliveryDone(&record));
                    progress.deliveries.push(record);
                }
            }
        }
        Ok(())
    }

    /// One message to one recipient, at most once.
    #[expect(
        clippy::too_many_arguments,
        clippy::too_many_lines,
        reason = "one sequence: ask the ledger, hand over, record"
    )]
    async fn deliver_one(
        &self,
        job: &Job,
        order: &Order,
        plan: &Plan,
        spec: &ReportSpec,
        website: &Website,
        rendered: &Rendered,
        to: &str,
        run: &str,
        progress: &mut Progress,
    ) -> Result<DeliveryRecord, EngineError> {
        let missing = |setting| EngineError::MailNotConfigured {
            report: spec.name.clone(),
            setting,
        };
        let transport = self.transport.as_ref().ok_or_else(|| missing("mail.url"))?;
        let from = self
            .settings
            .mail_from
            .as_deref()
            .ok_or_else(|| missing("mail.from"))?;
        let key = delivery_key(job, plan, spec, website, to);
        let domain = domain_of(from);
        let parts = [
            &key.job,
            &key.report,
            &key.website_id,
            &key.window_start,
            &key.window_end,
            &key.timezone,
            &key.recipient,
        ];
        let id_of = |number: u32| message_id(&parts.map(String::as_str), number, &domain);
        let mut record = DeliveryRecord {
            report: spec.name.clone(),
            website_id: Some(website.id.clone()),
            to: to.to_owned(),
            subject: rendered.subject.clone(),
            state: DeliveryState::Sent,
            message_id: String::new(),
        };
        let begin = self.store.begin_delivery(
            &key,
            run,
            &rendered.subject,
            id_of,
            order.force,
            self.clock.now(),
        );
        let number = match begin.await? {
            Begin::Send(number) => number,
            Begin::AlreadySent {
                subject,
                message_id,
            } => {
                return Ok(DeliveryRecord {
                    subject,
                    message_id,
                    state: DeliveryState::AlreadySent,
                    ..record
                });
            }
            Begin::Unknown {
                subject,
                message_id,
            } => {
                progress.errors.push(format!("whether `{}` of {} reached {to} is unknown; it is not sent again by itself: ask, then use --force", spec.name, website.id));
                return Ok(DeliveryRecord {
                    subject,
                    message_id,
                    state: DeliveryState::Unknown,
                    ..record
                });
            }
            Begin::InFlight => {
                return Ok(DeliveryRecord {
                    state: DeliveryState::Pending,
                    ..record
                });
            }
        };
        record.message_id = id_of(number);
        let message = Message {
            from: from.to_owned(),
            to: to.to_owned(),
            subject: rendered.subject.clone(),
            html: rendered.html.clone(),
            text: rendered.text.clone(),
            message_id: record.message_id.clone(),
            list_id: format!("{}.{}.databuddy-jobs", spec.name, job.name),
            unsubscribe: self.settings.mail_unsubscribe.clone(),
            date: self.clock.now(),
        };
        let mut error = None;
        if let Err((failure, why)) = transport.send(&message).await {
            progress.errors.push(format!("mail to {to}: {why}"));
            progress.temporary |= failure == Failure::NotSent;
            error = Some(why);
            record.state = match failure {
                Failure::Refused => DeliveryState::Refused,
                Failure::NotSent => DeliveryState::Pending,
                Failure::Unknown => DeliveryState::Unknown,
            };
        }
        self.store
            .finish_delivery(
                &key,
                number,
                record.state,
                error.as_deref(),
                self.clock.now(),
            )
            .await?;
        Ok(record)
    }

    /// The reports of a job as they would be sent, outside the ledger.
    ///
    /// # Errors
    /// The server or a template refuses, or a step has no rows.
    pub async fn preview(&self, job: &Job, tick: Tick) -> Result<Vec<Page>, EngineError> {
        let plan = self.plan(job, tick).await?;
        let mut results: Vec<Option<Fetched>> = plan.steps.iter().map(|_| None).collect();
        let all: Vec<usize> = (0..plan.steps.len()).collect();
        self.attempt(job, &plan, &all, &mut results, &CancellationToken::new())
            .await?;
        let mut fetched = Vec::new();
        for result in results {
            match result {
                Some(Ok(data)) => fetched.push(Ok(data)),
                Some(Err(error)) => return Err(EngineError::Incomplete(error.message)),
                None => {
                    return Err(EngineError::Incomplete(
                        "a part of the answer is missing".to_owned(),
                    ));
                }
            }
        }
        let mut pages = Vec::new();
        for (report, (spec, template)) in job.reports.iter().zip(&self.templates(job)?).enumerate()
        {
            for (index, website) in plan.websites.iter().enumerate() {
                let sections: Vec<&Section> = plan
                    .sections
                    .iter()
                    .filter(|s| s.report == report && s.website == index)
                    .collect();
                let context =
                    self.context(job, spec, &plan, website, &sections, &fetched, "preview");
                pages.push(Page {
                    report: spec.name.clone(),
                    website_id: website.id.clone(),
                    rendered: template.render(&context)?,
                });
            }
        }
        Ok(pages)
    }

    /// What a template sees.
    #[expect(
        clippy::too_many_arguments,
        reason = "a context is made of all of them"
    )]
    fn context(
        &self,
        job: &Job,
        spec: &ReportSpec,
        plan: &Plan,
        website: &Website,
        sections: &[&Section],
        fetched: &[Fetched],
        run: &str,
    ) -> Value {
        let window = |w: &crate::domain::window::Window| {
            json!({
                "start": w.start, "end": w.end, "days": w.days(), "timezone": w.timezone.name(), "label": w.label(),
            })
        };
        let data = |step: usize| fetched[step].as_ref().ok();
        let rows = |step: usize| data(step).map_or(&[][..], |d: &Data| d.rows.as_slice());
        let mut q = Map::new();
        for section in sections {
            let days = plan.steps[section.current].window;
            q.insert(section.query.clone(), json!({
                "rows": rows(section.current),
                "current": metrics(rows(section.current)),
                "previous": section.previous.map(|step| metrics(rows(step))).unwrap_or_default(),
                "daily": section.daily.map(|step| daily(rows(step), days.start, days.end)).unwrap_or_default(),
            }));
        }
        let q = Value::Object(q);
        json!({
            "metrics": tiles(&q), "days": bars(&q), "lists": lists(&q),
            "q": q,
            "job": { "name": job.name, "description": job.description },
            "report": { "name": spec.name },
            "run": { "id": run, "made_at": self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true) },
            "website": { "id": website.id, "name": website.display_name(), "domain": website.domain },
            "window": window(&plan.window),
            "previous": plan.previous.as_ref().map(window),
        })
    }
}

/// What makes this delivery one delivery.
fn delivery_key(
    job: &Job,
    plan: &Plan,
    spec: &ReportSpec,
    website: &Website,
    to: &str,
) -> DeliveryKey {
    DeliveryKey {
        job: job.name.clone(),
        report: spec.name.clone(),
        website_id: website.id.clone(),
        window_start: plan.window.start.to_string(),
        window_end: plan.window.end.to_string(),
        timezone: plan.window.timezone.name().to_owned(),
        recipient: address_of(to),
    }
}

/// The address alone, in lower case: what makes two recipients the same one.
fn address_of(to: &str) -> String {
    let inner = to
        .rsplit_once('<')
        .map_or(to, |(_, rest)| rest.trim_end_matches('>'));
    inner.trim().to_lowercase()
}

fn tiles(q: &Value) -> Vec<Value> {
    let (now, before) = (&q["summary"]["current"], &q["summary"]["previous"]);
    let tile = |(label, name, kind): &(&str, &str, &str)| {
        let value = now[*name].as_f64()?;
        let change = before[*name]
            .as_f64()
            .map(|b| crate::report::change(value, b, kind));
        let value = if *kind == "rate" {
            format!("{value:.1}%")
        } else {
            crate::report::num(value)
        };
        Some(json!({ "label": label, "value": value, "change": change.unwrap_or_default() }))
    };
    TILES.iter().filter_map(tile).collect()
}

fn bars(q: &Value) -> Vec<Value> {
    let days = q["summary"]["daily"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let value = |day: &Value| day["pageviews"].as_f64().unwrap_or_default();
    let most = days.iter().map(value).fold(1.0, f64::max);
    let bar = |day: &Value| {
        let date = day["date"]
            .as_str()
            .and_then(|d| d.parse::<chrono::NaiveDate>().ok());
        let label = date
            .map(|d| d.format("%a %-d %b").to_string())
            .unwrap_or_default();
        json!({ "label": label, "value": value(day), "share": (value(day) / most * 100.0).round() })
    };
    days.iter().map(bar).collect()
}

fn lists(q: &Value) -> Vec<Value> {
    let list = |(title, query, names): &(&str, &str, &[&str])| {
        let rows = q[*query]["rows"].as_array()?;
        let value = |row: &Value| row["visitors"].as_f64().or(row["pageviews"].as_f64());
        let mut rows: Vec<&Value> = rows.iter().collect();
        rows.sort_by(|a, b| value(b).partial_cmp(&value(a)).unwrap_or(Ordering::Equal));
        let rows = rows.into_iter().take(5).map(|row| {
            let name = names
                .iter()
                .find_map(|n| row[*n].as_str())
                .filter(|n| !n.is_empty());
            json!({ "name": name.unwrap_or("(none)"), "value": value(row).unwrap_or_default() })
        });
        Some(json!({ "title": format!("{title}, by visitors"), "rows": rows.collect::<Vec<_>>() }))
    };
    LISTS.iter().filter_map(list).collect()
}
