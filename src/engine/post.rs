//! Handing letters over: each recipient at most once, by the ledger.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    EngineError, Event,
    courier::{Courier, Failed, Mailer},
    delivery::{Begun, Sent, ending, id_of, key, not_sent, record, unsettled, website_key},
    stored::{Posting, StoredMail},
    work::{Progress, Work},
};
use crate::{
    domain::{
        channel::is_channel,
        recipients::identity,
        run::{DeliveryRecord, DeliveryState},
    },
    mail::{Failure, Message, Refusal},
    store::{Begin, DeliveryKey, Ended, Handing, Next},
};

/// What a letter says that a silent channel was not asked to take.
const SILENT: &str = "not handed over: an earlier message of this run was not answered in time; `resend RUN --failed` sends it";

/// What an attempt left for the next one.
#[derive(Default)]
struct Left {
    postings: Vec<Posting>,
    /// The longest pause that a receiver asked for.
    pause: Option<Duration>,
}

/// A message that was handed over, of which the ledger does not know yet how that ended.
struct Handed {
    letter: Arc<StoredMail>,
    ends: Vec<(Begun, DeliveryRecord)>,
}

impl Work<'_> {
    /// Hands every posting over. What a receiver would not take for now is tried again, as often as
    /// the job says.
    pub(super) async fn post(
        &self,
        mailer: Option<Mailer<'_>>,
        mut open: Vec<Posting>,
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let mut silent = BTreeSet::new();
        loop {
            let left = self.post_all(mailer, open, &mut silent, progress);
            let left = left.await?;
            let again = left.postings;
            let first = again.first().map(|posting| posting.recipients[0].0);
            let why = first.and_then(|place| progress.deliveries[place].error.clone());
            let Some(why) = why.filter(|_| self.may_retry(progress)) else {
                progress.temporary |= !again.is_empty();
                progress.errors.extend(unsettled(&progress.deliveries));
                return Ok(());
            };
            let recipients = again.iter().map(|posting| posting.recipients.len()).sum();
            let asked = left.pause.unwrap_or_default();
            self.pause_for(asked, progress, recipients, &why).await?;
            self.start_attempt(progress).await?;
            open = again;
        }
    }

    /// Tries every posting once, mails first: they do not wait for channels that answer late or never.
    /// A channel that takes nothing for now is not asked again for its other letters; one that did not
    /// answer in time is `silent`, and not asked again within the run: every letter would wait as long.
    async fn post_all(
        &self,
        mailer: Option<Mailer<'_>>,
        mut open: Vec<Posting>,
        silent: &mut BTreeSet<String>,
        progress: &mut Progress,
    ) -> Result<Left, EngineError> {
        open.sort_by_key(|posting| is_channel(&posting.recipients[0].1));
        let mut left = Left::default();
        let is_last = !self.may_retry(progress);
        let mut down: HashMap<String, String> = HashMap::new();
        let mut handed: Option<Handed> = None;
        for posting in open {
            if self.stop.is_cancelled() {
                self.settle(handed.take()).await?;
                return Err(EngineError::Cancelled);
            }
            let to = &posting.recipients[0].1;
            let failed = if silent.contains(to) {
                Some((Failure::Settings, SILENT.to_owned()))
            } else {
                down.get(to).map(|why| (Failure::NotYet, why.clone()))
            };
            let sent = if let Some(failed) = failed {
                self.settle(handed.take()).await?;
                self.not_ready(&posting, &failed).await?
            } else {
                let posted = self.post_one(mailer, &posting, &mut handed, is_last);
                match posted.await {
                    Ok(sent) => sent,
                    Err(error) => {
                        // How the last message ended is known, whatever has failed since
                        self.settle(handed.take()).await?;
                        return Err(error);
                    }
                }
            };
            let mut again = Vec::new();
            for sent in sent {
                self.engine.events.tell(&Event::DeliveryDone(&sent.record));
                if sent.is_silent {
                    silent.insert(sent.record.to.clone());
                }
                if sent.again {
                    let (to, why) = (&sent.record.to, &sent.record.error);
                    if is_channel(to) {
                        down.insert(to.clone(), why.clone().unwrap_or_default());
                    }
                    again.push((sent.place, to.clone()));
                    left.pause = left.pause.max(sent.pause);
                }
                progress.deliveries[sent.place] = sent.record;
            }
            if !again.is_empty() {
                left.postings.push(Posting {
                    recipients: again,
                    ..posting
                });
            }
        }
        self.settle(handed).await?;
        Ok(left)
    }

    /// One message to those of its recipients that have not had it. The ledger hears how the message
    /// before ended when this one begins, and of this one with the next: it waits for the disk once.
    async fn post_one(
        &self,
        mailer: Option<Mailer<'_>>,
        posting: &Posting,
        before: &mut Option<Handed>,
        is_last: bool,
    ) -> Result<Vec<Sent>, EngineError> {
        let letter = &posting.letter;
        let courier = self.courier(mailer, posting);
        let domain = courier.domain();
        if !courier.is_ready() {
            self.settle(before.take()).await?;
        }
        // The ledger says `pending` as shortly as possible: a program that dies while it connects
        // leaves no doubt
        if let Err(failed) = courier.ready().await {
            self.settle(before.take()).await?;
            return self.not_ready(posting, &failed).await;
        }
        let (begun, mut results) = self.begin(posting, &domain, before).await?;
        let Some(first) = begun.first() else {
            self.note(&results).await?;
            return Ok(results);
        };
        let id = id_of(letter, &first.key, first.number, &domain);
        // It holds the whole dialogue with a server: large, and rarely alive
        let answer = Box::pin(self.hand_over(&courier, letter, &begun, &id, is_last)).await;
        let ends: Vec<Sent> = begun
            .iter()
            .map(|begun| ending(letter, begun, &id, &answer))
            .collect();
        let records = ends.iter().map(|sent| sent.record.clone());
        *before = Some(Handed {
            letter: Arc::clone(letter),
            ends: begun.into_iter().zip(records).collect(),
        });
        // Not between the beginning and the handing over: a failure there would leave a doubt
        self.note(&results).await?;
        results.extend(ends);
        Ok(results)
    }

    /// Records what is said of recipients who are sent nothing.
    async fn note(&self, others: &[Sent]) -> Result<(), EngineError> {
        let store = &self.engine.store;
        for sent in others {
            let records = std::slice::from_ref(&sent.record);
            store.save_deliveries(self.run, sent.place, records).await?;
        }
        Ok(())
    }

    /// Those of a posting's recipients whose delivery begins, and what is to be said of the others.
    async fn begin(
        &self,
        posting: &Posting,
        domain: &str,
        before: &mut Option<Handed>,
    ) -> Result<(Vec<Begun>, Vec<Sent>), EngineError> {
        let (letter, store) = (&*posting.letter, &self.engine.store);
        let keys = posting.recipients.iter().map(|(_, to)| key(letter, to));
        let keys: Vec<DeliveryKey> = keys.collect();
        let ids = keys
            .iter()
            .map(|key| move |number| id_of(letter, key, number, domain));
        let ids: Vec<_> = ids.collect();
        let places = posting.recipients.iter().map(|(place, _)| *place);
        let next: Vec<Next<'_>> = keys
            .iter()
            .zip(&ids)
            .zip(places)
            .map(|((key, message_id), place)| Next {
                key,
                handing: self.handing(letter, place),
                message_id,
            })
            .collect();
        let now = self.engine.clock.now();
        let ended = before.as_ref().map_or_else(Vec::new, |h| self.ended(h));
        let turned = store.turn_over(&ended, &next, now).await;
        drop(ended);
        // The ledger knows how that ended, or cannot be told
        *before = None;
        let answers = turned?;
        let (mut begun, mut others) = (Vec::new(), Vec::new());
        for (((place, to), key), answer) in posting.recipients.iter().zip(keys.clone()).zip(answers)
        {
            let place = *place;
            if let Begin::Send(number) = answer {
                begun.push(Begun {
                    place,
                    to: to.clone(),
                    key,
                    number,
                });
                continue;
            }
            others.push(Sent {
                place,
                record: not_sent(letter, to, answer),
                again: false,
                pause: None,
                is_silent: false,
            });
        }
        Ok((begun, others))
    }

    /// Tells the ledger how the last message ended.
    async fn settle(&self, handed: Option<Handed>) -> Result<(), EngineError> {
        let Some(handed) = handed else { return Ok(()) };
        let (store, now) = (&self.engine.store, self.engine.clock.now());
        Ok(store.finish_deliveries(&self.ended(&handed), now).await?)
    }

    fn ended<'h>(&'h self, handed: &'h Handed) -> Vec<Ended<'h>> {
        let ended = handed.ends.iter().map(|(begun, record)| Ended {
            key: &begun.key,
            number: begun.number,
            handing: self.handing(&handed.letter, begun.place),
            record,
        });
        ended.collect()
    }

    /// One message to all that are given; the last time also to some of them.
    async fn hand_over(
        &self,
        courier: &Courier<'_>,
        letter: &StoredMail,
        begun: &[Begun],
        id: &str,
        is_last: bool,
    ) -> Result<Vec<Refusal>, Failed> {
        let first = &begun[0];
        match courier {
            Courier::Mail(mailer) => {
                let message = self.message(mailer, letter, &first.to, id.to_owned());
                let addresses: Vec<&str> = begun.iter().map(|begun| begun.to.as_str()).collect();
                let sending = mailer.transport.send_to(&message, &addresses, is_last);
                Ok(sending.await?)
            }
            Courier::Channel(channel) => self.engine.post_to(channel, letter, first, id).await,
            Courier::None(why) => Err((Failure::Settings, (*why).to_owned()).into()),
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
                pause: None,
                is_silent: false,
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
            content: Arc::clone(&letter.content),
            message_id,
            list_id: format!("{report}.{}.databuddy-jobs", letter.job),
            unsubscribe: self.engine.settings.mail_unsubscribe.clone(),
            date: self.engine.clock.now(),
        }
    }
}
