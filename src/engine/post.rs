//! Handing letters over: each recipient at most once, by the ledger.

use super::{
    EngineError, Event,
    courier::{Courier, Mailer},
    outgoing::BUNDLE,
    stored::{Posting, StoredMail},
    work::{Progress, Work},
};
use crate::{
    domain::{
        channel::is_channel,
        recipients::identity,
        run::{DeliveryRecord, DeliveryState},
    },
    mail::{Failure, Message, Refusal, message_id},
    store::{Begin, DeliveryKey, Handing},
};

/// What came of one try to send to one recipient.
struct Sent {
    place: usize,
    record: DeliveryRecord,
    /// Whether it may work a little later.
    again: bool,
}

/// A recipient whose delivery the ledger has begun.
pub(super) struct Begun {
    place: usize,
    to: String,
    key: DeliveryKey,
    pub(super) number: u32,
}

impl Work<'_> {
    /// Hands every posting over. What a mail server would not take for now is tried again, as often
    /// as the job says.
    pub(super) async fn post(
        &self,
        mailer: Option<Mailer<'_>>,
        mut open: Vec<Posting>,
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        loop {
            let mut again = Vec::new();
            for posting in open {
                if self.stop.is_cancelled() {
                    return Err(EngineError::Cancelled);
                }
                let mut left = Vec::new();
                for sent in self.post_one(mailer, &posting).await? {
                    self.engine.events.tell(&Event::DeliveryDone(&sent.record));
                    if sent.again {
                        left.push((sent.place, sent.record.to.clone()));
                    }
                    progress.deliveries[sent.place] = sent.record;
                }
                if !left.is_empty() {
                    again.push(Posting {
                        recipients: left,
                        ..posting
                    });
                }
            }
            let first = again.first().map(|posting| posting.recipients[0].0);
            let why = first.and_then(|place| progress.deliveries[place].error.clone());
            let Some(why) = why.filter(|_| self.may_retry(progress)) else {
                progress.temporary |= !again.is_empty();
                progress.errors.extend(unsettled(&progress.deliveries));
                return Ok(());
            };
            let recipients = again.iter().map(|posting| posting.recipients.len()).sum();
            self.pause(progress, recipients, &why).await?;
            self.start_attempt(progress).await?;
            open = again;
        }
    }

    /// One message to those of its recipients that have not had it.
    async fn post_one(
        &self,
        mailer: Option<Mailer<'_>>,
        posting: &Posting,
    ) -> Result<Vec<Sent>, EngineError> {
        let (letter, store) = (&*posting.letter, &self.engine.store);
        let courier = self.courier(mailer, posting);
        let domain = courier.domain();
        let mut results = Vec::new();
        let mut begun = Vec::new();
        // The ledger says `pending` as shortly as possible: a program that dies while it connects
        // leaves no doubt
        if let Err(failed) = courier.ready().await {
            return self.not_ready(posting, &failed).await;
        }
        for (place, to) in &posting.recipients {
            let key = key(letter, to);
            let id_of = |number| id_of(letter, &key, number, &domain);
            let handing = self.handing(letter, *place);
            let now = self.engine.clock.now();
            match store.begin_delivery(&key, handing, id_of, now).await? {
                Begin::Send(number) => begun.push(Begun {
                    place: *place,
                    to: to.clone(),
                    key,
                    number,
                }),
                other => {
                    let record = not_sent(letter, to, other);
                    let records = std::slice::from_ref(&record);
                    store.save_deliveries(self.run, *place, records).await?;
                    results.push(Sent {
                        place: *place,
                        record,
                        again: false,
                    });
                }
            }
        }
        let Some(first) = begun.first() else {
            return Ok(results);
        };
        let id = id_of(letter, &first.key, first.number, &domain);
        // It holds the whole dialogue with a server: large, and rarely alive
        let handed = Box::pin(self.hand_over(&courier, letter, &begun, &id)).await;
        for begun in &begun {
            let sent = ending(letter, begun, &id, &handed);
            let handing = self.handing(letter, begun.place);
            let now = self.engine.clock.now();
            let (key, number) = (&begun.key, begun.number);
            let finish = store.finish_delivery(key, number, handing, &sent.record, now);
            finish.await?;
            results.push(sent);
        }
        Ok(results)
    }

    /// One message to all that are given.
    async fn hand_over(
        &self,
        courier: &Courier<'_>,
        letter: &StoredMail,
        begun: &[Begun],
        id: &str,
    ) -> Result<Vec<Refusal>, (Failure, String)> {
        let first = &begun[0];
        match courier {
            Courier::Mail(mailer) => {
                let message = self.message(mailer, letter, &first.to, id.to_owned());
                let addresses: Vec<&str> = begun.iter().map(|begun| begun.to.as_str()).collect();
                mailer.transport.send_to(&message, &addresses).await
            }
            Courier::Channel(channel) => self.engine.post_to(channel, letter, first, id).await,
            Courier::None(why) => Err((Failure::Settings, (*why).to_owned())),
        }
    }

    /// There is no server to hand anything to. What went out before still did.
    async fn not_ready(
        &self,
        posting: &Posting,
        (failure, why): &(Failure, String),
    ) -> Result<Vec<Sent>, EngineError> {
        let (letter, store) = (&*posting.letter, &self.engine.store);
        let mut results = Vec::new();
        for (place, to) in &posting.recipients {
            let (key, now) = (key(letter, to), self.engine.clock.now());
            let so_far = store.delivery_so_far(&key, self.again(), now).await?;
            let again = so_far.is_none() && *failure == Failure::NotYet;
            let record = so_far.map_or_else(
                || DeliveryRecord {
                    error: Some(why.clone()),
                    ..record(letter, to, DeliveryState::Pending)
                },
                |begin| not_sent(letter, to, begin),
            );
            let records = std::slice::from_ref(&record);
            store.save_deliveries(self.run, *place, records).await?;
            results.push(Sent {
                place: *place,
                record,
                again,
            });
        }
        Ok(results)
    }

    fn handing<'l>(&'l self, letter: &'l StoredMail, place: usize) -> Handing<'l> {
        Handing {
            run: self.run,
            place,
            subject: &letter.subject,
            again: self.again(),
        }
    }

    fn message(
        &self,
        mailer: &Mailer<'_>,
        letter: &StoredMail,
        to: &str,
        message_id: String,
    ) -> Message {
        let (report, site) = (&letter.report, website_key(letter));
        let end = &letter.window.end;
        let (to, cc, bcc) = match &letter.together {
            None => (vec![to.to_owned()], Vec::new(), Vec::new()),
            Some(all) => (all.to.clone(), all.cc.clone(), all.bcc.clone()),
        };
        let name = to.first().map(|to| identity(to)).unwrap_or_default();
        Message {
            label: format!("{end}_{report}_{site}_{name}"),
            from: mailer.from.to_owned(),
            to,
            cc,
            bcc,
            subject: letter.subject.clone(),
            html: letter.html.clone(),
            text: letter.text.clone(),
            images: letter.images.clone(),
            attachments: letter.attachments.clone(),
            message_id,
            list_id: format!("{report}.{}.databuddy-jobs", letter.job),
            unsubscribe: self.engine.settings.mail_unsubscribe.clone(),
            date: self.engine.clock.now(),
        }
    }
}

/// What makes a delivery one delivery.
pub(super) fn key(letter: &StoredMail, to: &str) -> DeliveryKey {
    DeliveryKey {
        job: letter.job.clone(),
        report: letter.report.clone(),
        website_id: website_key(letter).to_owned(),
        window_start: letter.window.start.clone(),
        window_end: letter.window.end.clone(),
        timezone: letter.window.timezone.clone(),
        recipient: identity(to),
    }
}

fn website_key(letter: &StoredMail) -> &str {
    letter.website_id.as_deref().unwrap_or(BUNDLE)
}

/// A message that several get has one id.
fn id_of(letter: &StoredMail, key: &DeliveryKey, number: u32, domain: &str) -> String {
    let mut parts = key.parts();
    let everybody = letter.together.as_ref().map(|all| {
        let lists = [&all.to, &all.cc, &all.bcc].into_iter().flatten();
        lists.map(|to| identity(to)).collect::<Vec<_>>().join(",")
    });
    if let Some(everybody) = &everybody {
        parts[6] = everybody;
    }
    message_id(&parts, number, domain)
}

fn record(letter: &StoredMail, to: &str, state: DeliveryState) -> DeliveryRecord {
    DeliveryRecord {
        report: letter.report.clone(),
        website_id: letter.website_id.clone(),
        to: to.to_owned(),
        subject: letter.subject.clone(),
        state,
        message_id: String::new(),
        error: None,
    }
}

/// How the sending ended for one of its recipients.
fn ending(
    letter: &StoredMail,
    begun: &Begun,
    message_id: &str,
    handed: &Result<Vec<Refusal>, (Failure, String)>,
) -> Sent {
    let mut record = record(letter, &begun.to, DeliveryState::Sent);
    message_id.clone_into(&mut record.message_id);
    let mut again = false;
    match handed {
        Ok(refusals) => {
            let refusal = refusals.iter().find(|r| r.recipient == begun.to);
            if let Some(refusal) = refusal {
                record.state = DeliveryState::Refused;
                record.error = Some(refusal.why.clone());
            }
        }
        Err((failure, why)) => {
            record.state = match failure {
                Failure::Refused => DeliveryState::Refused,
                Failure::NotYet | Failure::Settings => DeliveryState::Pending,
                Failure::Unknown => DeliveryState::Unknown,
            };
            again = *failure == Failure::NotYet;
            record.error = Some(why.clone());
        }
    }
    Sent {
        place: begun.place,
        record,
        again,
    }
}

/// What the ledger says of a mail that may not be handed over now.
fn not_sent(letter: &StoredMail, to: &str, begin: Begin) -> DeliveryRecord {
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
        } => (
            DeliveryState::Unknown,
            Some((subject, message_id)),
            Some("an earlier run may have sent it; it is not sent again by itself: ask, then `resend RUN --unknown`".to_owned()),
        ),
        Begin::Suppressed { reason } => (DeliveryState::Refused, None, Some(suppressed(&reason))),
        Begin::InFlight | Begin::Send(_) => (
            DeliveryState::Pending,
            None,
            Some("another run is sending it now".to_owned()),
        ),
    };
    let mut record = record(letter, to, state);
    if let Some((subject, message_id)) = earlier {
        record.subject = subject;
        record.message_id = message_id;
    }
    record.error = error;
    record
}

/// What a delivery says whose recipient is on the list.
const SUPPRESSED: &str = "on the suppression list";

fn suppressed(reason: &str) -> String {
    match reason {
        "" => SUPPRESSED.to_owned(),
        reason => format!("{SUPPRESSED}: {reason}"),
    }
}

/// What a person must know: each reason once, with how many it concerns. A recipient on the
/// suppression list is as somebody wanted it.
fn unsettled(deliveries: &[DeliveryRecord]) -> Vec<String> {
    let mut reasons: Vec<(&str, &DeliveryRecord, usize)> = Vec::new();
    for delivery in deliveries {
        let Some(why) = delivery.error.as_deref() else {
            continue;
        };
        if why.starts_with(SUPPRESSED) {
            continue;
        }
        match reasons
            .iter_mut()
            .find(|(other, first, _)| *other == why && first.state == delivery.state)
        {
            Some((_, _, count)) => *count += 1,
            None => reasons.push((why, delivery, 1)),
        }
    }
    let say = |(why, first, count): (&str, &DeliveryRecord, usize)| {
        let more = match count {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let state = match first.state {
            DeliveryState::Unknown => "whether it was sent is unknown: ",
            _ => "",
        };
        let what = if is_channel(&first.to) {
            "report"
        } else {
            "mail"
        };
        format!("{what} to {}{more}: {state}{why}", first.to)
    };
    reasons.into_iter().map(say).collect()
}
