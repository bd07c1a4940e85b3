//! The pace of one rate budget: what is allowed by the settings, by the server and by a 429.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{allowance::Allowance, window::Window};

/// The minute of the budget, with half a second for the way: a server that counts by the minute
/// must not see two of our minutes overlap.
const MINUTE: Duration = Duration::from_millis(60_500);

/// How long a request waits for the first answer, which may say how many are allowed.
const PATIENCE: Duration = Duration::from_millis(1_000);

/// How much of a rate budget is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests that count at present, those on their way included.
    pub used: usize,
    /// Requests allowed in any `window`: what the settings say, or what the server says where that is
    /// fewer.
    pub allowed: usize,
    /// A minute, or the server's window where that is what holds requests back.
    pub window: Duration,
    /// How long until one more may go; zero where one may go at once.
    pub wait: Duration,
}

/// When requests of one budget may go.
#[derive(Debug)]
pub(super) struct Pace {
    /// Requests in any minute, of all who share them.
    limit: usize,
    /// How many share them.
    sharers: usize,
    /// When the last requests of the own limit went out.
    sent: VecDeque<Instant>,
    /// Requests that are not answered yet.
    open: usize,
    /// Nobody goes before this.
    paused_until: Instant,
    /// Whether a query was answered, with or without a word on rates.
    is_answered: bool,
    /// What the server's answers say of its window.
    window: Option<Window>,
}

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            limit: per_minute.max(1) as usize,
            sharers: 1,
            sent: VecDeque::new(),
            open: 0,
            paused_until: Instant::now(),
            is_answered: false,
            window: None,
        }
    }

    /// The instant from which one more request may go. Before then it is worth another look when
    /// something is answered.
    pub(super) fn room_at(&mut self, now: Instant) -> Instant {
        let mut at = self.paused_until.max(now);
        let limit = self.own_limit();
        while self.sent.len() > limit {
            self.sent.pop_front();
        }
        if self.sent.len() == limit
            && let Some(first) = self.sent.front()
        {
            at = at.max(*first + MINUTE);
        }
        match &mut self.window {
            Some(window) => at.max(window.room_at(now, self.open)),
            // The first goes alone: it tells whether there is room for more
            None if self.open > 0 && !self.is_answered => {
                let last = self.sent.back().copied().unwrap_or(now);
                at.max(last + PATIENCE)
            }
            None => at,
        }
    }

    /// A request goes out.
    pub(super) fn send(&mut self, now: Instant) {
        self.sent.push_back(now);
        self.open += 1;
    }

    /// A query that went out at `sent` is answered.
    pub(super) fn answered(&mut self, said: Option<&Allowance>, sent: Instant, now: Instant) {
        self.is_answered = true;
        let Some(said) = said else {
            return self.ended(now);
        };
        self.open -= 1;
        let window = self.window.get_or_insert_with(|| Window::new(said, now));
        window.answered(said, sent, now, self.open);
    }

    /// A request has no answer, or one that says nothing of queries.
    pub(super) fn ended(&mut self, now: Instant) {
        self.open -= 1;
        if let Some(window) = &mut self.window {
            window.ended(now);
        }
    }

    /// Nobody asks for this long.
    pub(super) fn pause(&mut self, wait: Duration, now: Instant) {
        self.paused_until = self.paused_until.max(now + wait);
    }

    /// The server allows fewer than was thought.
    pub(super) fn lower(&mut self, per_minute: u32) {
        self.limit = self.limit.min(per_minute.max(1) as usize);
    }

    /// So many programs use the same key: each keeps to its part.
    pub(super) fn share(&mut self, sharers: usize) {
        self.sharers = sharers.max(1);
    }

    fn own_limit(&self) -> usize {
        (self.limit / self.sharers).max(1)
    }

    /// How much is used.
    pub(super) fn rate(&mut self, now: Instant) -> Rate {
        let wait = self.room_at(now).saturating_duration_since(now);
        let ours = self.sent.iter().filter(|at| **at + MINUTE > now).count();
        let minute = Rate {
            used: ours,
            allowed: self.own_limit(),
            window: Duration::from_secs(60),
            wait,
        };
        let Some(window) = &self.window else {
            return minute;
        };
        let theirs = Rate {
            used: window.used(now, self.open).min(window.limit()),
            allowed: window.limit(),
            window: window.length(),
            wait,
        };
        let per_second = |rate: &Rate| rate.allowed as f64 / rate.window.as_secs_f64();
        if per_second(&theirs) < per_second(&minute) {
            theirs
        } else {
            minute
        }
    }
}
