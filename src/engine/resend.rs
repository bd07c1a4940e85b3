//! Sending the stored mails of a run again: a run of its own that asks the API for nothing.

use std::{collections::BTreeSet, sync::Arc};

use chrono::DateTime;

use super::{
    Engine, EngineError, Order,
    delivery::key,
    stored::{Posting, StoredMail},
    work::{Progress, Work},
};
use crate::{
    domain::{
        run::{DeliveryState, RunRecord, Trigger, WindowRecord},
        schedule::Tick,
    },
    store::Again,
};

/// Which deliveries of a run are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Every one, also those that arrived.
    All,
    /// Those that surely did not arrive, or may not have.
    Lacking {
        /// What was refused, or not handed over.
        failed: bool,
        /// What may have been sent.
        unknown: bool,
    },
}

/// Stored mails that are sent again.
#[derive(Debug)]
pub struct Resend {
    postings: Vec<Posting>,
    pub(super) window: WindowRecord,
    pub(super) again: Again,
}

impl Resend {
    /// How many mails it sends.
    pub fn count(&self) -> usize {
        self.postings.iter().map(|p| p.recipients.len()).sum()
    }
}

impl Engine {
    /// The order to send stored mails of a run again, by what the ledger says of them now.
    ///
    /// # Errors
    /// The store or the archive cannot be read, or does not keep the mails any more.
    pub async fn order_resend(
        &self,
        run: &RunRecord,
        selection: Selection,
    ) -> Result<Order, EngineError> {
        let now = self.clock.now();
        let mut postings: Vec<Posting> = Vec::new();
        let mut place = 0;
        let letters = self.archived(run).await?;
        for (delivery, letter) in run.deliveries.iter().zip(letters) {
            if delivery.state == DeliveryState::Skipped {
                continue;
            }
            let Some(letter) = letter else {
                return Err(EngineError::NotKept {
                    run: run.id.clone(),
                });
            };
            let state = self
                .store
                .delivery_state(&key(&letter, &delivery.to), now)
                .await?;
            if !selection.takes(state) {
                continue;
            }
            let recipient = (place, delivery.to.clone());
            place += 1;
            match postings.last_mut() {
                Some(last) if is_same_message(&last.letter, &letter) => {
                    last.recipients.push(recipient);
                }
                _ => postings.push(Posting {
                    letter,
                    hash: None,
                    recipients: vec![recipient],
                }),
            }
        }
        let archive = self.archive();
        for posting in &mut postings {
            let kept = posting.letter.keep(&archive, now.into());
            posting.hash = Some(kept.map_err(EngineError::Archive)?);
        }
        let tick = DateTime::parse_from_rfc3339(&run.tick).map_or(now, |tick| tick.to_utc());
        Ok(Order {
            resend: Some(Arc::new(Resend {
                postings,
                window: run.window.clone(),
                again: selection.again(),
            })),
            ..Order::of(Tick(tick), Trigger::Manual)
        })
    }
}

/// One message goes to all of them.
fn is_same_message(a: &StoredMail, b: &StoredMail) -> bool {
    a.together.is_some() && a == b
}

impl Selection {
    fn takes(self, state: Option<DeliveryState>) -> bool {
        let Self::Lacking { failed, unknown } = self else {
            return true;
        };
        match state {
            None | Some(DeliveryState::Refused) => failed,
            Some(DeliveryState::Unknown | DeliveryState::Pending) => unknown,
            Some(_) => false,
        }
    }

    fn again(self) -> Again {
        match self {
            Self::All => Again::Always,
            Self::Lacking { unknown: true, .. } => Again::WhereUnknown,
            Self::Lacking { unknown: false, .. } => Again::No,
        }
    }
}

impl Work<'_> {
    /// Posts stored mails under the lease of their reports.
    pub(super) async fn resend(
        &self,
        resend: &Resend,
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        self.start_attempt(progress).await?;
        if resend.postings.is_empty() {
            return Ok(());
        }
        let all = resend.postings.iter().flat_map(|posting| {
            let report = posting.letter.report.as_str();
            let recipients = posting.recipients.iter();
            recipients.map(move |(_, to)| (report, to.as_str()))
        });
        let mailer = self.mailer_of(all)?;
        let (start, end) = (&resend.window.start, &resend.window.end);
        let unit = format!("reports {start}_{end}");
        self.lock(&BTreeSet::from([unit])).await?;
        self.announce(&resend.postings, progress).await?;
        let posted = self.post(mailer, resend.postings.clone(), progress).await;
        if let Some(mailer) = mailer {
            mailer.transport.close().await;
        }
        posted
    }

    /// Whether an earlier sending counts.
    pub(super) fn again(&self) -> Again {
        match &self.order.resend {
            Some(resend) => resend.again,
            None if self.order.force => Again::Always,
            None => Again::No,
        }
    }
}
