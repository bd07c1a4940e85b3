//! Who is told of the outcome of runs.

use crate::secret::Secret;

/// Who is told of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// Mail addresses, one message each.
    Email(Vec<String>),
    /// A Databuddy event, through the tracking API.
    Event {
        /// The website's id.
        website: String,
        /// The event's name, 1 to 128 characters.
        name: String,
    },
    /// An address that takes JSON.
    Webhook {
        /// Where to.
        url: Secret,
        /// What messages are signed with.
        secret: Option<Secret>,
    },
    /// An incoming webhook as Slack has them.
    Slack(Secret),
}

/// What a job tells of its runs, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Asked for after every success; a secret address.
    pub ping: Option<Secret>,
    /// Told when a job begins to fail, and once a day while it does.
    pub on_failure: Vec<Hook>,
    /// Told when it works again.
    pub on_recovery: Vec<Hook>,
    /// Told of every success.
    pub on_success: Vec<Hook>,
}
