//! The exit codes of the contract.

use crate::{
    domain::run::RunState,
    engine::{EngineError, Outcome},
};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exit {
    /// Done, also when nothing was left to do.
    Done,
    /// Some steps failed, the rest is published.
    Partly,
    /// Temporary failure, worth running again.
    Temporary,
    /// Failed.
    Failed,
    /// Wrong input: arguments, settings, jobs.
    WrongInput,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::WrongInput => 2,
            Self::Partly => 3,
            Self::Temporary => 75,
            Self::Interrupted => 130,
        }
    }

    /// The end of one run. A run that was stopped by its own timeout counts as failed.
    pub(super) fn of_outcome(outcome: &Outcome, interrupted: bool) -> Self {
        match outcome.record.state {
            RunState::Queued | RunState::Running | RunState::Succeeded | RunState::Skipped => {
                Self::Done
            }
            RunState::PartiallySucceeded => Self::Partly,
            RunState::Cancelled if interrupted => Self::Interrupted,
            RunState::Failed if outcome.temporary => Self::Temporary,
            RunState::Failed | RunState::Cancelled => Self::Failed,
        }
    }

    /// What an error that ends a command means.
    pub(super) fn of_error(error: &EngineError) -> Self {
        match error {
            EngineError::Plan(_)
            | EngineError::NoKey
            | EngineError::MailNotConfigured { .. }
            | EngineError::Report(_) => Self::WrongInput,
            EngineError::Cancelled => Self::Interrupted,
            error if error.is_temporary() => Self::Temporary,
            _ => Self::Failed,
        }
    }
}
