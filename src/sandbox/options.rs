//! What a sandbox is made of.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::clock::Clock;

/// What a sandbox is made of.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where it listens; port 0 takes a free one. Default: `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// The folder of its database. Default: `.databuddy-jobs/sandbox`.
    pub state_dir: PathBuf,
    /// Decides its rows, with the day. Default: 1.
    pub seed: u64,
    /// The present instant: later events do not show. Default: the machine's clock.
    pub now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// How many days before now it has rows for. Default: 120.
    pub days: u16,
    /// Which server it is like. Default: the seed's.
    pub generation: Generation,
    /// Requests that a key may make in a minute of the clock; 0: any number. Default: 200.
    pub requests_per_minute: u32,
    /// Custom queries that a key may make in a minute; 0: any number. Default: 30.
    pub custom_requests_per_minute: u32,
    /// What goes wrong on purpose. Default: nothing.
    pub faults: Vec<Fault>,
    /// Decides when faults happen.
    pub fault_seed: u64,
    /// `Retry-After` of a rate limit that is a fault, in seconds. Default: 1.
    pub fault_retry_after_secs: u32,
    /// How late a slow answer is. Default: 2 s.
    pub fault_delay: Duration,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        let clock = Clock::system();
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            state_dir: PathBuf::from(".databuddy-jobs/sandbox"),
            seed: 1,
            now: Arc::new(move || clock.now()),
            days: 120,
            generation: Generation::Seed,
            requests_per_minute: 200,
            custom_requests_per_minute: 30,
            faults: Vec::new(),
            fault_seed: 1,
            fault_retry_after_secs: 1,
            fault_delay: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("listen", &self.listen)
            .field("generation", &self.generation)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// The server that a sandbox is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Generation {
    /// The seed document of January 2026; it knows the later names of its data too.
    #[default]
    Seed,
    /// The open-source server of February 2026, with its names, its errors and its traps.
    Server2026_02,
}

impl FromStr for Generation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "seed" => Ok(Self::Seed),
            "2026-02" => Ok(Self::Server2026_02),
            _ => Err(format!("`{text}` is no generation: seed, 2026-02")),
        }
    }
}

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// How often, from 0 to 1.
    pub probability: f64,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// 429 with `Retry-After`.
    RateLimit,
    /// One part of an answer fails, inside a 200.
    PartFailure,
    /// Parts come in another order.
    Reorder,
    /// The body ends in its middle.
    Truncate,
    /// The answer comes late.
    Slow,
    /// A later page holds the rows of the first one.
    RepeatPage,
    /// The connection closes before the answer is whole.
    DropConnection,
    /// The database does not answer.
    DatabaseDown,
}

/// All faults by name.
pub const FAULT_KINDS: [(&str, FaultKind); 8] = [
    ("rate-limit", FaultKind::RateLimit),
    ("part-failure", FaultKind::PartFailure),
    ("reorder", FaultKind::Reorder),
    ("truncate", FaultKind::Truncate),
    ("slow", FaultKind::Slow),
    ("repeat-page", FaultKind::RepeatPage),
    ("drop-connection", FaultKind::DropConnection),
    ("database-down", FaultKind::DatabaseDown),
];

impl FromStr for Fault {
    type Err = String;

    /// `KIND` or `KIND=PROBABILITY`; without one it happens always.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, probability) = text.split_once('=').unwrap_or((text, "1"));
        let kind = FAULT_KINDS.iter().find(|(known, _)| *known == name);
        let (_, kind) = kind.ok_or_else(|| {
            let known: Vec<&str> = FAULT_KINDS.iter().map(|(name, _)| *name).collect();
            format!("`{name}` is no fault: {}", known.join(", "))
        })?;
        let probability = probability.parse().ok();
        let probability = probability
            .filter(|p| (0.0..=1.0).contains(p))
            .ok_or_else(|| format!("the probability in `{text}` must lie between 0 and 1"))?;
        Ok(Self {
            kind: *kind,
            probability,
        })
    }
}
