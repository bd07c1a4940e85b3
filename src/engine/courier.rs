//! How a report is handed over: by mail, or to a channel.

use std::time::Duration;

use super::{Engine, EngineError, stored::Posting, work::Work};
use crate::{
    domain::channel::{Channel, is_channel},
    mail::{Failure, Transport, domain_of},
};

/// The sender and where mails go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mailer<'a> {
    pub(super) transport: &'a Transport,
    pub(super) from: &'a str,
}

/// How a posting is handed over.
pub(super) enum Courier<'a> {
    Mail(Mailer<'a>),
    Channel(&'a Channel),
    /// There is none, for the reason given.
    None(&'static str),
}

/// A handing over that failed.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// In words.
    pub(super) why: String,
    /// How long the receiver wants to be left alone.
    pub(super) pause: Option<Duration>,
    /// Whether it is a channel that took the message and did not answer in time.
    pub(super) is_silent: bool,
}

/// In Message-IDs of what is no mail.
const NO_DOMAIN: &str = "webhook";

impl Engine {
    /// What is needed to send a report.
    pub(super) fn mailer(&self, report: &str) -> Result<Mailer<'_>, EngineError> {
        let missing = |setting| EngineError::MailNotConfigured {
            report: report.to_owned(),
            setting,
        };
        let transport = self.transport.as_deref();
        let from = self.settings.mail_from.as_deref();
        Ok(Mailer {
            transport: transport.ok_or_else(|| missing("mail.url"))?,
            from: from.ok_or_else(|| missing("mail.from"))?,
        })
    }
}

impl From<(Failure, String)> for Failed {
    fn from((failure, why): (Failure, String)) -> Self {
        Self {
            failure,
            why,
            pause: None,
            is_silent: false,
        }
    }
}

impl Courier<'_> {
    /// In its Message-IDs.
    pub(super) fn domain(&self) -> String {
        match self {
            Self::Mail(mailer) => domain_of(mailer.from),
            Self::Channel(_) | Self::None(_) => NO_DOMAIN.to_owned(),
        }
    }

    /// Whether [`ready`](Self::ready) would ask nobody.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Mail(mailer) => mailer.transport.is_ready(),
            Self::Channel(_) | Self::None(_) => true,
        }
    }

    /// Until this has worked nothing can have been sent.
    pub(super) async fn ready(&self) -> Result<(), (Failure, String)> {
        match self {
            Self::Mail(mailer) => mailer.transport.ready().await,
            Self::Channel(_) => Ok(()),
            Self::None(why) => Err((Failure::Settings, (*why).to_owned())),
        }
    }
}

impl Work<'_> {
    /// What is needed to mail reports, each given by its name and a recipient; `None`: no mail is among them.
    pub(super) fn mailer_of<'r>(
        &self,
        mut all: impl Iterator<Item = (&'r str, &'r str)>,
    ) -> Result<Option<Mailer<'_>>, EngineError> {
        let mail = all.find(|(_, to)| !is_channel(to));
        mail.map(|(report, _)| self.engine.mailer(report))
            .transpose()
    }

    pub(super) fn courier<'w>(
        &'w self,
        mailer: Option<Mailer<'w>>,
        posting: &Posting,
    ) -> Courier<'w> {
        let (_, to) = &posting.recipients[0];
        if !is_channel(to) {
            let missing = "no mail is configured";
            return mailer.map_or(Courier::None(missing), Courier::Mail);
        }
        // Another report may sign messages to the same address otherwise
        let letter = &posting.letter;
        let reports = self.job.reports.iter();
        let mut channels = reports
            .filter(|report| report.name == letter.report)
            .flat_map(|report| &report.channels);
        let found = channels.find(|channel| channel.label() == *to);
        found.map_or(
            Courier::None(
                "the job names no such channel any more: its address is kept nowhere else",
            ),
            Courier::Channel,
        )
    }
}
