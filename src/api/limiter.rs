//! The order of requests: so many in flight, each when its budget has room, first come, first served.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::{
    ClientOptions,
    allowance::Allowance,
    pace::{Pace, Rate},
};

/// What a request counts against. The API has a budget for custom queries apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    Standard,
    Custom,
}

/// Paces requests.
#[derive(Debug)]
pub(super) struct Limiter {
    in_flight: Semaphore,
    standard: Queue,
    custom: Queue,
}

/// The requests of one budget.
#[derive(Debug)]
struct Queue {
    /// Held by the one whose turn is next.
    head: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
    /// Wakes the head: an answer may have made room, or taken it.
    changed: Notify,
}

/// A request's turn. Its place in flight is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'l> {
    queue: &'l Queue,
    sent: Instant,
    is_answered: bool,
    _place: SemaphorePermit<'l>,
}

impl Limiter {
    pub(super) fn of(options: &ClientOptions) -> Self {
        Self::new(
            options.requests_per_minute,
            options.custom_per_minute,
            options.max_in_flight,
        )
    }

    fn new(per_minute: u32, custom_per_minute: u32, in_flight: u32) -> Self {
        Self {
            in_flight: Semaphore::new(in_flight.max(1) as usize),
            standard: Queue::new(per_minute),
            custom: Queue::new(custom_per_minute),
        }
    }

    /// Waits for the request's turn and for a place in flight.
    pub(super) async fn turn(&self, budget: Budget) -> Turn<'_> {
        let queue = self.queue(budget);
        let _head = queue.head.lock().await;
        loop {
            let place = self.in_flight.acquire().await;
            let place = place.expect("the semaphore is never closed");
            let now = Instant::now();
            let Err(at) = queue.go(now) else {
                return Turn {
                    queue,
                    sent: now,
                    is_answered: false,
                    _place: place,
                };
            };
            // The other budget may have room
            drop(place);
            let _ = timeout_at(at, queue.changed.notified()).await;
        }
    }

    /// Nobody asks for this long.
    pub(super) fn pause(&self, budget: Budget, wait: Duration) {
        self.queue(budget).pace().pause(wait, Instant::now());
    }

    /// The server allows fewer than was thought.
    pub(super) fn lower(&self, budget: Budget, per_minute: u32) {
        self.queue(budget).pace().lower(per_minute);
    }

    /// So many programs share the budgets.
    pub(super) fn share(&self, sharers: usize) {
        for queue in [&self.standard, &self.custom] {
            queue.pace().share(sharers);
            queue.changed.notify_one();
        }
    }

    /// How much of a budget is used.
    pub(super) fn rate(&self, budget: Budget) -> Rate {
        self.queue(budget).pace().rate(Instant::now())
    }

    fn queue(&self, budget: Budget) -> &Queue {
        match budget {
            Budget::Standard => &self.standard,
            Budget::Custom => &self.custom,
        }
    }
}

impl Queue {
    fn new(per_minute: u32) -> Self {
        Self {
            head: tokio::sync::Mutex::default(),
            pace: Mutex::new(Pace::new(per_minute)),
            changed: Notify::new(),
        }
    }

    /// Lets a request go now, or says when to ask again.
    fn go(&self, now: Instant) -> Result<(), Instant> {
        let mut pace = self.pace();
        let at = pace.room_at(now);
        if at > now {
            return Err(at);
        }
        pace.send(now);
        Ok(())
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace
            .lock()
            .expect("nothing panics while it holds the pace")
    }
}

impl Turn<'_> {
    /// The server has counted the request, and says what it allows, or nothing.
    pub(super) fn answered(&mut self, said: Option<&Allowance>) {
        self.is_answered = true;
        let now = Instant::now();
        self.queue.pace().answered(said, self.sent, now);
        self.queue.changed.notify_one();
    }
}

impl Drop for Turn<'_> {
    /// Without an answer it has failed or was cancelled; the server may have counted it all the same.
    fn drop(&mut self) {
        if !self.is_answered {
            self.queue.pace().ended(Instant::now());
            self.queue.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
