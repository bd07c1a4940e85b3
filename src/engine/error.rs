//! What ends a run, or keeps it from starting.

use super::Remedy;
use crate::{
    api::{ApiError, Kind},
    export::ExportError,
    mail::MailError,
    plan::PlanError,
    report::ReportError,
    store::StoreError,
};

/// What ends a run, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The API would not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The job cannot be planned against this server.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The run store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A destination cannot be used.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A Delta table cannot be used.
    #[cfg(feature = "delta")]
    #[error(transparent)]
    Delta(#[from] crate::export::delta::DeltaError),
    /// A template cannot be used.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The mail transport cannot be used.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// A report has nobody to send it.
    #[error("report `{report}` cannot be sent: `{setting}` is not set in databuddy-jobs.yaml")]
    MailNotConfigured {
        /// The report's name.
        report: String,
        /// The missing setting.
        setting: &'static str,
    },
    /// The archive cannot be used.
    #[error("the archive of mails cannot be used")]
    Archive(#[source] std::io::Error),
    /// A mail is not kept any more.
    #[error(
        "the mails of run `{run}` are not kept any more: see `mail.keep`; `run --force` renders and sends them anew"
    )]
    NotKept {
        /// The run.
        run: String,
    },
    /// A test could not be sent.
    #[error("the test to {to} was not sent: {why}")]
    NotSent {
        /// The recipient.
        to: String,
        /// Why.
        why: String,
    },
    /// A preview lacks data.
    #[error("the report cannot be rendered: {0}")]
    Incomplete(String),
    /// There is no key.
    #[error("no API key: set DATABUDDY_API_KEY or `api.key`, or use --sandbox")]
    NoKey,
    /// Another run writes the same days.
    #[error("another run of `{job}` for {window} is under way: wait for it, or see `runs {job}`")]
    Busy {
        /// The job's name.
        job: String,
        /// The window in words.
        window: String,
    },
    /// Somebody else may write the same days now.
    #[error("another runner has taken this run's lease over: nothing more was published here")]
    LeaseLost,
    /// It is to go on later, by whichever runner.
    #[error("waits {seconds} s for its next attempt: {why}")]
    Postponed {
        /// How long.
        seconds: u64,
        /// What failed.
        why: String,
    },
    /// Somebody has cancelled it.
    #[error("cancelled: nothing half-written was left")]
    Unwanted,
    /// Interrupted.
    #[error("interrupted: nothing half-written was left; run it again to finish")]
    Cancelled,
    /// This program has a fault.
    #[error(
        "databuddy-jobs failed while it ran this job, which is a fault of the program: please report it ({what})"
    )]
    Fault {
        /// What it said.
        what: String,
    },
    /// The run took too long.
    #[error("stopped after `timeout` ({seconds} s): nothing half-written was left")]
    TimedOut {
        /// The timeout.
        seconds: u64,
    },
}

impl EngineError {
    /// What a panic said.
    pub(super) fn fault(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Fault {
            what: text.unwrap_or("it did not say what").to_owned(),
        }
    }

    /// Whether the same run may well work a little later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Api(error) => matches!(
                error.kind(),
                Kind::RateLimited | Kind::Unavailable | Kind::Protocol
            ),
            Self::Export(error) => error.is_temporary(),
            Self::Busy { .. } | Self::LeaseLost | Self::Postponed { .. } => true,
            Self::Store(error) => matches!(error, StoreError::TakenOver { .. }),
            _ => false,
        }
    }

    /// What would have to change.
    pub fn remedy(&self) -> Remedy {
        match self {
            error if error.is_temporary() => Remedy::Wait,
            Self::Plan(_) | Self::NoKey | Self::MailNotConfigured { .. } | Self::Report(_) => {
                Remedy::Input
            }
            _ => Remedy::Other,
        }
    }
}
