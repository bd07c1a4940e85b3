//! One letter to one recipient: its key in the ledger, and what is said of how it went.

use std::time::Duration;

use super::{courier::Failed, outgoing::BUNDLE, stored::StoredMail};
use crate::{
    domain::{
        channel::is_channel,
        recipients::identity,
        run::{DeliveryRecord, DeliveryState},
    },
    mail::{Failure, Refusal, message_id},
    store::{Begin, DeliveryKey},
};

/// What came of one try to send to one recipient.
pub(super) struct Sent {
    pub(super) place: usize,
    pub(super) record: DeliveryRecord,
    /// Whether it may work a little later.
    pub(super) again: bool,
    /// How long the receiver wants to be left alone before that.
    pub(super) pause: Option<Duration>,
    /// Whether the receiver has to be waited for in vain.
    pub(super) is_silent: bool,
}

/// A recipient whose delivery the ledger has begun.
pub(super) struct Begun {
    pub(super) place: usize,
    pub(super) to: String,
    pub(super) key: DeliveryKey,
    pub(super) number: u32,
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

pub(super) fn website_key(letter: &StoredMail) -> &str {
    letter.website_id.as_deref().unwrap_or(BUNDLE)
}

/// A message that several get has one id.
pub(super) fn id_of(letter: &StoredMail, key: &DeliveryKey, number: u32, domain: &str) -> String {
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

pub(super) fn record(letter: &StoredMail, to: &str, state: DeliveryState) -> DeliveryRecord {
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
pub(super) fn ending(
    letter: &StoredMail,
    begun: &Begun,
    message_id: &str,
    handed: &Result<Vec<Refusal>, Failed>,
) -> Sent {
    let mut record = record(letter, &begun.to, DeliveryState::Sent);
    message_id.clone_into(&mut record.message_id);
    let (mut again, mut pause) = (false, None);
    match handed {
        Ok(refusals) => {
            let refusal = refusals.iter().find(|r| r.recipient == begun.to);
            if let Some(refusal) = refusal {
                record.state = state_after(refusal.failure);
                again = refusal.failure == Failure::NotYet;
                record.error = Some(refusal.why.clone());
            }
        }
        Err(failed) => {
            record.state = state_after(failed.failure);
            (again, pause) = (failed.failure == Failure::NotYet, failed.pause);
            record.error = Some(failed.why.clone());
        }
    }
    Sent {
        place: begun.place,
        record,
        again,
        pause,
        is_silent: handed.as_ref().is_err_and(|failed| failed.is_silent),
    }
}

fn state_after(failure: Failure) -> DeliveryState {
    match failure {
        Failure::Refused => DeliveryState::Refused,
        Failure::NotYet | Failure::Settings => DeliveryState::Pending,
        Failure::Unknown => DeliveryState::Unknown,
    }
}

/// What the ledger says of a mail that may not be handed over now.
pub(super) fn not_sent(letter: &StoredMail, to: &str, begin: Begin) -> DeliveryRecord {
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
pub(super) fn unsettled(deliveries: &[DeliveryRecord]) -> Vec<String> {
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
