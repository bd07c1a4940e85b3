//! Runs and what belongs to them, as the store keeps them and `--json` prints them.

use serde::{Deserialize, Serialize};

/// Defines an enum whose names in SQL and JSON are given once.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Its name in SQL, JSON and on the screen.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of that name, or `None`.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

named! {
    /// The state of a run.
    RunState {
        /// Accepted, not started.
        Queued = "queued",
        /// An attempt is under way.
        Running = "running",
        /// Everything is done.
        Succeeded = "succeeded",
        /// Some steps failed; the rest is published.
        PartiallySucceeded = "partially_succeeded",
        /// Nothing, or not enough, could be done.
        Failed = "failed",
        /// Interrupted by a person, a signal or the timeout.
        Cancelled = "cancelled",
        /// Deliberately not run.
        Skipped = "skipped",
    }
}

named! {
    /// Why a run exists.
    Trigger {
        /// Its tick was due.
        Schedule = "schedule",
        /// Its tick was due while nothing ran.
        CatchUp = "catch_up",
        /// Somebody, or somebody's cron, asked for it.
        Manual = "manual",
        /// It is part of a range of windows.
        Backfill = "backfill",
    }
}

named! {
    /// The state of a step.
    StepState {
        /// Planned; its rows have not come yet.
        Pending = "pending",
        /// Its rows are here and fit.
        Succeeded = "succeeded",
        /// It gave no rows; `error` says why.
        Failed = "failed",
        /// The run ended before it.
        Cancelled = "cancelled",
    }
}

named! {
    /// The state of a delivery.
    DeliveryState {
        /// Recorded, and about to be handed over.
        Pending = "pending",
        /// The mail server or folder has taken it.
        Sent = "sent",
        /// An earlier run of the same window sent it.
        AlreadySent = "already_sent",
        /// The mail server will not take it.
        Refused = "refused",
        /// The connection or the program died after handing it over: it may have been sent.
        Unknown = "unknown",
        /// Deliberately not sent: the report's `when` does not hold. The subject says so.
        Skipped = "skipped",
    }
}

/// One run in full: the document that `run --json`, `runs --json` and `show --json` print.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Ten characters, unique in the store; a unique beginning is enough to name it.
    pub id: String,
    /// The job's name.
    pub job: String,
    /// The instant the run is for, with the offset of the schedule's zone (RFC 3339).
    pub tick: String,
    /// Its state.
    pub state: RunState,
    /// Why it exists.
    pub trigger: Trigger,
    /// The days it reports on.
    pub window: WindowRecord,
    /// Attempts begun.
    pub attempts: u32,
    /// Query requests answered, over all attempts; reading the catalogue and the websites is not counted.
    pub requests: u64,
    /// Requests that had to be sent again.
    pub retries: u64,
    /// Rows of all steps.
    pub rows: u64,
    /// From the start to the end of the run.
    pub duration_ms: u64,
    /// In the order of the plan.
    pub steps: Vec<StepRecord>,
    /// Every file of the window.
    pub artifacts: Vec<ArtifactRecord>,
    /// Every mail of the window.
    pub deliveries: Vec<DeliveryRecord>,
    /// Why the run failed, was cancelled or skipped; one line.
    pub error: Option<String>,
}

/// The days of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The first day, `YYYY-MM-DD`.
    pub start: String,
    /// The last day.
    pub end: String,
    /// The zone whose days these are.
    pub timezone: String,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The query's name.
    pub query: String,
    /// The website asked for.
    pub website_id: Option<String>,
    /// The link asked for.
    pub link_id: Option<String>,
    /// The first day asked for.
    pub start: String,
    /// The last day asked for.
    pub end: String,
    /// Its state.
    pub state: StepState,
    /// Rows of the answer; 0 where it failed.
    pub rows: u64,
    /// Why it failed; one line.
    pub error: Option<String>,
}

/// One file of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// The query's name.
    pub query: String,
    /// The website it is about.
    pub website_id: Option<String>,
    /// The link it is about.
    pub link_id: Option<String>,
    /// Where it lies, as the job spells its destination.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
    /// Whether this run wrote it; `false`: it was there with the same bytes.
    pub written: bool,
}

/// One sending of a report to one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The report's name.
    pub report: String,
    /// The website it is about.
    pub website_id: Option<String>,
    /// The recipient.
    pub to: String,
    /// The subject line.
    pub subject: String,
    /// Its state.
    pub state: DeliveryState,
    /// Without angle brackets; empty where nothing was handed over.
    pub message_id: String,
    /// Why it was not sent, or is unknown; one line.
    pub error: Option<String>,
}
