//! Rate limits in the ways in which servers of the API have counted.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Counting {
    /// Each window begins at nothing.
    Fixed,
    /// The last window counts by the part of it that lies within the length of one; refused requests do not count.
    Sliding,
    /// Every request of the last window's length counts, refused ones too; the reset is always a whole window away.
    Log,
}

impl Counting {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed window",
            Self::Sliding => "sliding window",
            Self::Log => "log of requests",
        }
    }
}

/// A limit and what was asked so far.
#[derive(Debug)]
pub(crate) struct Rate {
    counting: Counting,
    pub(crate) limit: usize,
    window: Duration,
    /// Of the present window; none before the first request.
    start: Option<Instant>,
    before: usize,
    now: usize,
    log: VecDeque<Instant>,
}

/// What one request is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) is_allowed: bool,
    pub(crate) remaining: usize,
    pub(crate) reset_in: Duration,
}

impl Rate {
    pub(crate) fn new(counting: Counting, limit: usize, window: Duration) -> Self {
        Self {
            counting,
            limit,
            window,
            start: None,
            before: 0,
            now: 0,
            log: VecDeque::new(),
        }
    }

    /// Counts a request.
    pub(crate) fn ask(&mut self, at: Instant) -> Verdict {
        if self.counting == Counting::Log {
            self.log.retain(|asked| at - *asked < self.window);
            let asked = self.log.len();
            self.log.push_back(at);
            return self.verdict(asked, self.window);
        }
        let mut start = *self.start.get_or_insert(at);
        while at - start >= self.window {
            start += self.window;
            self.before = std::mem::take(&mut self.now);
        }
        self.start = Some(start);
        let left = self.window.saturating_sub(at - start);
        let carried = match self.counting {
            Counting::Sliding => self.before * millis(left) / millis(self.window),
            _ => 0,
        };
        let verdict = self.verdict(carried + self.now, left);
        self.now += usize::from(verdict.is_allowed);
        verdict
    }

    fn verdict(&self, asked: usize, reset_in: Duration) -> Verdict {
        Verdict {
            is_allowed: asked < self.limit,
            remaining: self.limit.saturating_sub(asked + 1),
            reset_in,
        }
    }
}

fn millis(duration: Duration) -> usize {
    usize::try_from(duration.as_millis()).expect("a window is a matter of minutes")
}
