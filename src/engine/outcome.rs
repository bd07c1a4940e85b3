//! Telling people and services of the outcome of runs: without a flood, and never at the cost of the run.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{Engine, EngineError, run::one_line};
use crate::{
    api::Tracking,
    domain::{
        event::TrackedEvent,
        hook::Hook,
        job::Job,
        run::{RunRecord, RunState, Trigger},
    },
    mail::{Content, Failure, Message, domain_of, message_id},
    notify::{Webhook, ping},
    secret::Secret,
    store::{Change, Found, News, Occasion, Receivers, RunOutcome},
};

/// Notifications that may be under way at once; others are told later.
const MOST_TELLINGS: usize = 32;

/// What a run means for its job. One that took too long has failed, whatever its state is called; one
/// that somebody cancelled has not.
pub(super) fn outcome_of<'a>(job: &Job, run: &'a RunRecord, is_timed_out: bool) -> RunOutcome<'a> {
    let has_failed = match run.state {
        _ if run.trigger == Trigger::Backfill => None,
        _ if is_timed_out => Some(true),
        RunState::Succeeded => Some(false),
        RunState::Failed | RunState::PartiallySucceeded => Some(true),
        _ => None,
    };
    RunOutcome {
        run: &run.id,
        job: &run.job,
        has_failed,
        also: match has_failed {
            Some(false) => of_success(job),
            _ => &[],
        },
    }
}

/// Who hears of every success.
fn of_success(job: &Job) -> &'static [News] {
    match (job.hooks.on_success.is_empty(), job.hooks.ping.is_none()) {
        (true, true) => &[],
        (true, false) => &[News::Ping],
        (false, true) => &[News::Succeeded],
        (false, false) => &[News::Succeeded, News::Ping],
    }
}

/// What is told.
struct Text {
    /// One line.
    subject: String,
    /// Some lines.
    text: String,
}

impl Engine {
    /// Tells what is to be told of a job, beside the work: a receiver that never answers keeps no run
    /// waiting. What is not told when the program ends is told when it starts again.
    pub(super) fn tell_beside(&self, job: &Job) {
        if self.tellings.len() >= MOST_TELLINGS {
            tracing::debug!(job = %job.name, "too many notifications are under way: this one waits");
            return;
        }
        let (engine, job) = (self.clone(), job.clone());
        self.tellings.spawn(async move {
            engine.tell_notices(&job, Occasion::News).await;
        });
    }

    /// Tells what is to be told of a job, and was not yet. What fails here is logged, and tried again later:
    /// runs stand as they are.
    pub(super) async fn tell_notices(&self, job: &Job, occasion: Occasion) {
        if let Err(error) = self.try_to_tell(job, occasion).await {
            tracing::warn!(error = %one_line(&error), job = %job.name, "whether somebody must be told could not be found out");
        }
    }

    /// Whoever does not answer is asked once.
    async fn try_to_tell(&self, job: &Job, occasion: Occasion) -> Result<(), EngineError> {
        let store = &self.store;
        let mut failed = BTreeSet::new();
        while let Some(notice) = store
            .take_notice(&job.name, occasion, &failed, self.clock.now())
            .await?
        {
            let is_told = match store.find_run(&notice.run).await? {
                Found::One(run) => self.tell_notice(job, &run, notice.news).await,
                // It was removed since
                Found::None | Found::Many(_) => true,
            };
            store.end_notice(&notice, is_told).await?;
            if !is_told {
                failed.insert(notice.news.receivers());
            }
        }
        Ok(())
    }

    /// Whether somebody was told, or there is nobody to tell.
    async fn tell_notice(&self, job: &Job, run: &RunRecord, news: News) -> bool {
        let hooks = match news.receivers() {
            Receivers::OnFailure => &job.hooks.on_failure,
            Receivers::OnRecovery => &job.hooks.on_recovery,
            Receivers::OnSuccess => &job.hooks.on_success,
            Receivers::Ping => return ping_of(job).await,
        };
        let news = self.news(job, run, &in_words(news));
        self.tell(job, run, hooks, &news).await
    }

    fn news(&self, job: &Job, run: &RunRecord, what: &str) -> Text {
        let mut lines = vec![
            format!("{} {what}.", job.name),
            String::new(),
            format!(
                "run     {} ({})",
                run.id,
                run.state.name().replace('_', " ")
            ),
            format!("tick    {}", run.tick),
            format!(
                "window  {} to {} ({})",
                run.window.start, run.window.end, run.window.timezone
            ),
        ];
        lines.extend(run.error.iter().map(|error| format!("why     {error}")));
        lines.push(String::new());
        lines.push(format!("databuddy-jobs show {}", run.id));
        lines.extend(self.settings.web.public_url.clone());
        Text {
            subject: format!("{} {what}", job.name),
            text: lines.join("\n"),
        }
    }

    /// Whether somebody was told, or there is nobody to tell.
    async fn tell(&self, job: &Job, run: &RunRecord, hooks: &[Hook], news: &Text) -> bool {
        let mut is_told = hooks.is_empty();
        for hook in hooks {
            let told = match hook {
                Hook::Email(addresses) => self.mail_news(job, run, addresses, news).await,
                Hook::Event { website, name } => self.send_event(run, website, name).await,
                Hook::Webhook { url, secret } => {
                    let body = self.webhook_body(job, run, news);
                    self.post(run, news, url, secret.as_ref(), &body).await
                }
                Hook::Slack(url) => self.post(run, news, url, None, &slack_body(news)).await,
            };
            match told {
                Ok(()) => is_told = true,
                Err(why) => {
                    tracing::warn!(job = %job.name, run = %run.id, %why, "a notification failed");
                }
            }
        }
        is_told
    }

    async fn post(
        &self,
        run: &RunRecord,
        news: &Text,
        url: &Secret,
        secret: Option<&Secret>,
        body: &Value,
    ) -> Result<(), String> {
        let webhook = Webhook {
            url,
            secret,
            id: &message_id(&["outcome", &run.job, &run.id, &news.subject], 1, "webhook"),
            at: self.clock.now(),
        };
        webhook.post(body).await
    }

    fn webhook_body(&self, job: &Job, run: &RunRecord, news: &Text) -> Value {
        json!({
            "subject": news.subject,
            "job": job.name,
            "run": run.id,
            "state": run.state.name(),
            "trigger": run.trigger.name(),
            "tick": run.tick,
            "window": {
                "start": run.window.start, "end": run.window.end, "timezone": run.window.timezone,
            },
            "rows": run.rows,
            "error": run.error,
            "url": self.settings.web.public_url,
        })
    }

    async fn mail_news(
        &self,
        job: &Job,
        run: &RunRecord,
        addresses: &[String],
        news: &Text,
    ) -> Result<(), String> {
        let (Some(transport), Some(from)) = (&self.transport, &self.settings.mail_from) else {
            return Err("`mail.url` and `mail.from` are not both set".to_owned());
        };
        let (mut is_told, mut failed) = (false, None);
        let html = format!("<pre>{}</pre>", escape(&news.text));
        let content = Content::new(html, news.text.clone(), Vec::new(), Vec::new());
        let content = Arc::new(content);
        for to in addresses {
            let key = ["outcome", &job.name, &run.id, &news.subject, to];
            let message = Message {
                from: from.clone(),
                to: vec![to.clone()],
                cc: Vec::new(),
                bcc: Vec::new(),
                subject: news.subject.clone(),
                content: Arc::clone(&content),
                message_id: message_id(&key, 1, &domain_of(from)),
                label: format!("outcome_{}_{}", job.name, run.id),
                list_id: format!("outcome.{}.databuddy-jobs", job.name),
                unsubscribe: self.settings.mail_unsubscribe.clone(),
                date: self.clock.now(),
            };
            let refused = match transport.send(&message).await {
                Ok(refusals) => refusals.into_iter().next().map(|refusal| refusal.why),
                // It may have arrived: told again, it would come twice
                Err((Failure::Unknown, why)) => {
                    tracing::warn!(job = %job.name, run = %run.id, %to, %why, "whether an address was told is unknown");
                    None
                }
                Err((_, why)) => Some(why),
            };
            is_told |= refused.is_none();
            if let Some(why) = refused {
                tracing::warn!(job = %job.name, run = %run.id, %to, %why, "an address was not told");
                failed.get_or_insert(why);
            }
        }
        transport.close().await;
        failed.filter(|_| !is_told).map_or(Ok(()), Err)
    }

    /// Its id derives from the run: told again, it is the same event.
    async fn send_event(&self, run: &RunRecord, website: &str, name: &str) -> Result<(), String> {
        let mut properties = Map::new();
        for (key, value) in [
            ("job", Value::from(run.job.as_str())),
            ("run", Value::from(run.id.as_str())),
            ("state", Value::from(run.state.name())),
            ("rows", Value::from(run.rows)),
            ("window_start", Value::from(run.window.start.as_str())),
            ("window_end", Value::from(run.window.end.as_str())),
        ] {
            properties.insert(key.to_owned(), value);
        }
        let event = TrackedEvent {
            name: name.to_owned(),
            event_id: format!("databuddy-jobs-{}-{name}", run.id),
            anonymous_id: Some("databuddy-jobs".to_owned()),
            session_id: None,
            timestamp_ms: Some(self.clock.now().timestamp_millis()),
            properties,
        };
        let told = |error: EngineError| one_line(&error);
        let tracking = if self.server().await.map_err(told)?.catalog.is_seed() {
            Tracking::Seed
        } else {
            Tracking::Track
        };
        let refused = self.basket.track(website, &[event], tracking).await;
        match refused.map_err(|error| told(error.into()))?.first() {
            Some(refused) => Err(refused.reason.clone()),
            None => Ok(()),
        }
    }
}

/// The same for the dead-man switch.
async fn ping_of(job: &Job) -> bool {
    let Some(url) = &job.hooks.ping else {
        return true;
    };
    let pinged = ping(url).await;
    if let Err(why) = &pinged {
        tracing::warn!(job = %job.name, %why, "the address of `ping` was not told");
    }
    pinged.is_ok()
}

fn in_words(news: News) -> String {
    let utc = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC");
    match news {
        News::Outcome(Change::Recovered { failures, since }) => {
            let since = utc(since);
            format!("works again, after {failures} failed runs since {since}")
        }
        News::Outcome(Change::StillFails { failures, since }) => {
            format!("still fails: {failures} runs since {}", utc(since))
        }
        News::Outcome(Change::Fails | Change::None) => "fails".to_owned(),
        News::InDoubt => "does not know whether a mail arrived".to_owned(),
        News::Missed => "has missed ticks".to_owned(),
        News::Succeeded | News::Ping => "has done its work".to_owned(),
    }
}

/// The same lines as in a mail, as blocks.
fn slack_body(news: &Text) -> Value {
    // Source: Slack's limits of blocks, 150 letters of a header and 3000 of a section
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let lines = escape(&news.text.replace('`', "'"));
    json!({
        "text": news.subject,
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": cut(&news.subject, 150) } },
            { "type": "section", "text": { "type": "mrkdwn", "text": format!("```{}```", cut(&lines, 2900)) } },
        ],
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
