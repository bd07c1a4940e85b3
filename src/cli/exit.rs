//! The exit codes of the contract.

use crate::{
    domain::run::RunState,
    engine::{EngineError, Outcome, Remedy},
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
            RunState::Failed => Self::of_remedy(outcome.remedy),
            RunState::Cancelled => Self::Failed,
        }
    }

    /// What an error that ends a command means.
    pub(super) fn of_error(error: &EngineError) -> Self {
        match error {
            EngineError::Cancelled => Self::Interrupted,
            error => Self::of_remedy(Some(error.remedy())),
        }
    }

    fn of_remedy(remedy: Option<Remedy>) -> Self {
        match remedy {
            Some(Remedy::Wait) => Self::Temporary,
            Some(Remedy::Input) => Self::WrongInput,
            Some(Remedy::Other) | None => Self::Failed,
        }
    }
}
