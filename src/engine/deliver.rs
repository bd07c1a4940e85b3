//! Reports: rendered once a website, delivered once a recipient.

use super::{
    EngineError, Event,
    outgoing::{Outgoing, address_of},
    work::{Progress, Work},
};
use crate::{
    domain::{
        job::ReportSpec,
        run::{DeliveryRecord, DeliveryState},
    },
    mail::{Failure, Message, Transport, domain_of, message_id},
    plan::Plan,
    store::{Begin, DeliveryKey},
};

/// What came of one try to send.
struct Sent {
    record: DeliveryRecord,
    /// In words, where it did not work.
    error: Option<String>,
    /// Whether it may work a little later.
    again: bool,
}

/// The sender and where mails go.
struct Mailer<'a> {
    transport: &'a Transport,
    from: &'a str,
}

impl Work<'_> {
    /// Delivers every mail. What a mail server would not take
    /// for now is tried again, as often as the job says.
    pub(super) async fn deliver(
        &self,
        plan: &Plan,
        outgoing: &[Outgoing<'_>],
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let Some(first) = outgoing.first() else {
            return Ok(());
        };
        let mailer = self.mailer(first.spec)?;
        let mut open: Vec<usize> = (0..outgoing.len()).collect();
        let mut errors: Vec<Option<String>> = outgoing.iter().map(|_| None).collect();
        loop {
            let mut again = Vec::new();
            for place in open {
                if self.stop.is_cancelled() {
                    return Err(EngineError::Cancelled);
                }
                let sent = self.send_one(plan, &mailer, &outgoing[place]).await?;
                self.engine.events.tell(&Event::DeliveryDone(&sent.record));
                let record = [sent.record];
                let store = &self.engine.store;
                store.save_deliveries(self.run, place, &record).await?;
                let [record] = record;
                match progress.deliveries.get_mut(place) {
                    Some(before) => *before = record,
                    None => progress.deliveries.push(record),
                }
                if sent.again {
                    again.push(place);
                }
                errors[place] = sent.error;
            }
            let why = again.first().and_then(|place| errors[*place].clone());
            let Some(why) = why.filter(|_| self.may_retry(progress)) else {
                progress.temporary |= !again.is_empty();
                progress.errors.extend(errors.into_iter().flatten());
                return Ok(());
            };
            self.pause(progress, again.len(), &why).await?;
            self.start_attempt(progress).await?;
            open = again;
        }
    }

    fn mailer(&self, spec: &ReportSpec) -> Result<Mailer<'_>, EngineError> {
        let missing = |setting| EngineError::MailNotConfigured {
            report: spec.name.clone(),
            setting,
        };
        let from = self.engine.settings.mail_from.as_deref();
        Ok(Mailer {
            transport: self
                .engine
                .transport
                .as_deref()
                .ok_or_else(|| missing("mail.url"))?,
            from: from.ok_or_else(|| missing("mail.from"))?,
        })
    }

    /// One message to one recipient, at most once.
    async fn send_one(
        &self,
        plan: &Plan,
        mailer: &Mailer<'_>,
        mail: &Outgoing<'_>,
    ) -> Result<Sent, EngineError> {
        let engine = self.engine;
        let key = self.key(plan, mail);
        let domain = domain_of(mailer.from);
        let parts = key.parts();
        let id_of = |number: u32| message_id(&parts, number, &domain);
        let (now, force) = (engine.clock.now(), self.order.force);
        let subject = &mail.rendered.subject;
        let begin = engine
            .store
            .begin_delivery(&key, self.run, subject, id_of, force, now);
        let number = match begin.await? {
            Begin::Send(number) => number,
            other => return Ok(not_sent(mail, other)),
        };
        let message = self.message(plan, mailer, mail, id_of(number));
        let mut sent = Sent {
            record: record(mail, DeliveryState::Sent, message.message_id.clone()),
            error: None,
            again: false,
        };
        if let Err((failure, why)) = mailer.transport.send(&message).await {
            sent.record.state = match failure {
                Failure::Refused => DeliveryState::Refused,
                Failure::NotYet | Failure::Settings => DeliveryState::Pending,
                Failure::Unknown => DeliveryState::Unknown,
            };
            sent.again = failure == Failure::NotYet;
            sent.error = Some(format!("mail to {}: {why}", mail.to.in_words()));
        }
        let (state, error) = (sent.record.state, sent.error.as_deref());
        let finish = engine
            .store
            .finish_delivery(&key, number, state, error, engine.clock.now());
        finish.await?;
        Ok(sent)
    }

    fn message(
        &self,
        plan: &Plan,
        mailer: &Mailer<'_>,
        mail: &Outgoing<'_>,
        message_id: String,
    ) -> Message {
        let (report, site) = (&mail.spec.name, mail.website_key());
        let to = mail.to.in_words();
        let label = format!("{}_{report}_{site}_{}", plan.window.end, address_of(&to));
        Message {
            label,
            from: mailer.from.to_owned(),
            to,
            subject: mail.rendered.subject.clone(),
            html: mail.rendered.html.clone(),
            text: mail.rendered.text.clone(),
            message_id,
            list_id: format!("{}.{}.databuddy-jobs", mail.spec.name, self.job.name),
            unsubscribe: self.engine.settings.mail_unsubscribe.clone(),
            date: self.engine.clock.now(),
        }
    }

    /// What makes this delivery one delivery.
    fn key(&self, plan: &Plan, mail: &Outgoing<'_>) -> DeliveryKey {
        DeliveryKey {
            job: self.job.name.clone(),
            report: mail.spec.name.clone(),
            website_id: mail.website_key().to_owned(),
            window_start: plan.window.start.to_string(),
            window_end: plan.window.end.to_string(),
            timezone: plan.window.timezone.name().to_owned(),
            recipient: address_of(&mail.to.in_words()),
        }
    }
}

fn record(mail: &Outgoing<'_>, state: DeliveryState, message_id: String) -> DeliveryRecord {
    DeliveryRecord {
        report: mail.spec.name.clone(),
        website_id: mail.website.map(|website| website.id.clone()),
        to: mail.to.in_words(),
        subject: mail.rendered.subject.clone(),
        state,
        message_id,
    }
}

/// What the ledger says of a mail that may not be handed over now.
fn not_sent(mail: &Outgoing<'_>, begin: Begin) -> Sent {
    let (state, earlier, error) = match begin {
        Begin::AlreadySent {
            subject,
            message_id,
        } => (
            DeliveryState::AlreadySent,
            Some((subject, message_id)),
            None,
        ),
        Begin::Unknown {
            subject,
            message_id,
        } => {
            let why = format!(
                "whether `{}` of {} reached {} is unknown; it is not sent again by itself: ask, then use --force",
                mail.spec.name,
                mail.website_key(),
                mail.to.in_words()
            );
            (
                DeliveryState::Unknown,
                Some((subject, message_id)),
                Some(why),
            )
        }
        Begin::InFlight | Begin::Send(_) => {
            let why = format!(
                "another run is sending `{}` of {} to {} now",
                mail.spec.name,
                mail.website_key(),
                mail.to.in_words()
            );
            (DeliveryState::Pending, None, Some(why))
        }
    };
    let mut record = record(mail, state, String::new());
    if let Some((subject, message_id)) = earlier {
        record.subject = subject;
        record.message_id = message_id;
    }
    Sent {
        record,
        error,
        again: false,
    }
}
