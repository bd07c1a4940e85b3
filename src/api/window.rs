//! The server's window of requests: what it counts, worked out from its headers and what was sent.
//!
//! Servers count in one of three ways, and their headers do not say in which:
//!
//! - **fixed**: so many until the reset, then all anew;
//! - **log**: so many in any window; the reset is always a whole window away;
//! - **sliding**: those since the last reset, plus those of the window before by the share of it that
//!   still overlaps (`@upstash/ratelimit`).
//!
//! So requests are counted in each way, and one more goes where all three have room. That is a burst
//! after a pause, and an even pace from the first reset on. Every estimate errs towards the later:
//! a server that counts nobody but us never has a reason to refuse.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::allowance::Allowance;

/// Windows that servers have, in seconds.
const LENGTHS: [u64; 8] = [1, 10, 15, 30, 60, 300, 600, 3_600];

/// By how much the server's clock may be behind ours.
const CLOCKS_APART: Duration = Duration::from_millis(200);

/// By how much two readings of the first reset may differ.
const ROUNDING: Duration = Duration::from_millis(500);

/// The share of a request that is kept free, for roundings.
const MARGIN: f64 = 0.05;

/// How long a window is taken to be while only a part of it was seen.
const UNSEEN: Duration = Duration::from_secs(60);

/// The window as the server has it.
#[derive(Debug)]
pub(super) struct Window {
    /// Requests in one.
    limit: usize,
    length: Duration,
    /// The end of the first window, while none was seen as a whole.
    first_end: Option<Instant>,
    /// When the present one began: no earlier than it really did.
    start: Instant,
    /// When it ends, as the server says, or will.
    end: Instant,
    /// Whether the server keeps a log: its reset moves on with each answer.
    is_log: bool,
    /// What the server counts, oldest first: ours, and what others have sent with the key.
    counted: VecDeque<Counted>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    /// When it was answered.
    at: Instant,
    /// The end of the window in which it was counted.
    end: Instant,
}

impl Window {
    pub(super) fn new(said: &Allowance, now: Instant) -> Self {
        let mut window = Self {
            limit: said.limit,
            length: length_of(said.reset_in).max(UNSEEN),
            first_end: None,
            start: now,
            end: now,
            is_log: false,
            counted: VecDeque::new(),
        };
        window.begin(window.end_of(said, now), now);
        window.first_end = Some(window.end);
        window
    }

    /// Requests in a window.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How long a window is.
    pub(super) fn length(&self) -> Duration {
        self.length
    }

    /// A request that was sent at `sent` is answered now, while `open` more are on their way.
    pub(super) fn answered(&mut self, said: &Allowance, sent: Instant, now: Instant, open: usize) {
        self.roll(now);
        let end = self.end_of(said, now);
        // The time to a reset is a part of the window, and at its begin the whole
        let length = length_of(said.reset_in);
        let is_first_whole = self.first_end.is_some_and(|first| end > first + ROUNDING);
        if is_first_whole {
            self.first_end = None;
        }
        let is_other = is_first_whole || length > self.length || said.limit != self.limit;
        if is_other {
            (self.limit, self.length) = (said.limit, length);
        }
        let is_next = end > self.end + self.length.mul_f64(0.9);
        let is_between = end > self.end + self.slack() && !is_next;
        self.is_log = !is_other && (self.is_log || is_between);
        // What was sent in this window can end with no other
        let is_moved = sent >= self.start && end + self.slack() < self.end;
        if is_other || is_next || is_moved {
            self.begin(end, now);
        }
        let one = Counted { at: now, end };
        self.counted.push_back(one);
        if self.is_present(end) {
            let known = self.used(sent, open);
            let used = said.limit - said.remaining;
            for _ in known..used {
                self.counted.push_back(one);
            }
        }
    }

    /// A request has an answer that says nothing, or none. It may have been counted.
    pub(super) fn ended(&mut self, now: Instant) {
        self.roll(now);
        let end = self.end;
        self.counted.push_back(Counted { at: now, end });
    }

    /// The instant from which one more request has room, while `open` are on their way. It is now or
    /// before where there is room, and a guess that is worth another look where there is none.
    pub(super) fn room_at(&mut self, now: Instant, open: usize) -> Instant {
        self.roll(now);
        let in_log = self.in_log_at(now, open);
        if self.is_log {
            in_log
        } else {
            in_log.max(self.in_sliding_at(now, open))
        }
    }

    /// What the server counts at present, at most.
    pub(super) fn used(&self, at: Instant, open: usize) -> usize {
        let in_log = self.counted.iter().filter(|one| self.until(one) > at);
        if self.is_log {
            return in_log.count() + open;
        }
        let (before, present) = self.counts();
        let gone = at.saturating_duration_since(self.start);
        let share = 1.0 - gone.div_duration_f64(self.length).min(1.0);
        let overlapping = (before as f64 * share).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, and a share of it"
        )]
        let in_sliding = present + overlapping as usize;
        in_log.count().max(in_sliding) + open
    }

    /// When a log (and with it a fixed window) has room.
    fn in_log_at(&self, now: Instant, open: usize) -> Instant {
        let mut until: Vec<Instant> = self.counted.iter().map(|one| self.until(one)).collect();
        until.retain(|until| *until > now);
        let Some(surplus) = (until.len() + open + 1).checked_sub(self.limit) else {
            return now;
        };
        if surplus == 0 {
            return now;
        }
        until.sort_unstable();
        // Where all are still on their way, an answer decides
        until.get(surplus - 1).copied().unwrap_or(self.end)
    }

    /// When a sliding window has room: where `before × share + present` is below the limit.
    fn in_sliding_at(&self, now: Instant, open: usize) -> Instant {
        let (before, present) = self.counts();
        let present = present + open;
        let limit = self.limit as f64 - MARGIN;
        // How far into a window so many of the one before leave that much room
        let after = |room: f64, before: usize| {
            let share = (room / before.max(1) as f64).clamp(0.0, 1.0);
            self.length.mul_f64(1.0 - share)
        };
        if present < self.limit {
            now.max(self.start + after(limit - present as f64, before))
        } else {
            self.end + after(limit, present)
        }
    }

    /// The requests of the window before, and of the present one.
    fn counts(&self) -> (usize, usize) {
        let present = |one: &Counted| self.is_present(one.end);
        let before = |one: &Counted| self.is_present(one.end + self.length) && !present(one);
        let count = |is: &dyn Fn(&Counted) -> bool| self.counted.iter().filter(|c| is(c)).count();
        (count(&before), count(&present))
    }

    fn is_present(&self, end: Instant) -> bool {
        end + self.slack() > self.end
    }

    /// By how much two readings of one reset may differ.
    fn slack(&self) -> Duration {
        self.length / 10
    }

    /// A log forgets it then.
    fn until(&self, one: &Counted) -> Instant {
        one.end.min(one.at + self.length)
    }

    fn end_of(&self, said: &Allowance, now: Instant) -> Instant {
        now + said.reset_in + CLOCKS_APART.min(self.length / 50)
    }

    /// The present window is the one that ends then. It has begun, as something was counted in it.
    fn begin(&mut self, end: Instant, now: Instant) {
        self.start = now.min(end.checked_sub(self.length).unwrap_or(now));
        self.end = end;
    }

    /// Goes on to the window of now, and forgets what no longer counts.
    fn roll(&mut self, now: Instant) {
        while self.end <= now {
            // After a long time without requests none of them counts: the next answer says where it is
            let idle = now.duration_since(self.end) > self.length * 10;
            self.start = if idle { now } else { self.end };
            self.end = self.start + self.length;
        }
        while let Some(oldest) = self.counted.front()
            && oldest.end + self.length * 2 < now
        {
            self.counted.pop_front();
        }
    }
}

/// The window that a time to its end was read in: the shortest that is no shorter, give or take the
/// rounding to seconds and the clocks.
fn length_of(reset_in: Duration) -> Duration {
    let fits = |seconds: &&u64| {
        let length = Duration::from_secs(**seconds);
        reset_in <= length + (length / 5).max(Duration::from_secs(1))
    };
    let seconds = LENGTHS.iter().find(fits).copied();
    seconds.map_or(reset_in, Duration::from_secs)
}
