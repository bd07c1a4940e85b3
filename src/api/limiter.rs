//! One rate budget for all requests of a key: at most so many in any minute, so many in flight,
//! paused by a 429.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

use super::ClientOptions;

/// The minute of the budget, with half a second for the way: a server that counts by the minute
/// must not see two of our minutes overlap.
const MINUTE: Duration = Duration::from_millis(60_500);

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
    standard: Mutex<Pace>,
    custom: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    /// Requests in any minute.
    limit: usize,
    /// When the last `limit` requests went out, or will.
    sent: VecDeque<Instant>,
    /// Nobody goes before this.
    paused_until: Instant,
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
            standard: Mutex::new(Pace::new(per_minute)),
            custom: Mutex::new(Pace::new(custom_per_minute)),
        }
    }

    /// Waits for a place in flight and for the request's turn.
    pub(super) async fn turn(&self, budget: Budget) -> SemaphorePermit<'_> {
        let permit = self
            .in_flight
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let at = self.lock(budget).reserve();
        sleep_until(at).await;
        loop {
            // A 429 that came while this waited holds for it too
            let until = self.lock(budget).paused_until;
            if until <= Instant::now() {
                return permit;
            }
            sleep_until(until).await;
        }
    }

    /// Nobody asks for this long.
    pub(super) fn pause(&self, budget: Budget, wait: Duration) {
        let mut pace = self.lock(budget);
        pace.paused_until = pace.paused_until.max(Instant::now() + wait);
    }

    /// The server allows fewer than was thought.
    pub(super) fn learn(&self, budget: Budget, per_minute: u32) {
        let mut pace = self.lock(budget);
        pace.limit = pace.limit.min(per_minute.max(1) as usize);
    }

    fn lock(&self, budget: Budget) -> std::sync::MutexGuard<'_, Pace> {
        let pace = match budget {
            Budget::Standard => &self.standard,
            Budget::Custom => &self.custom,
        };
        pace.lock().expect("nothing panics while it holds the pace")
    }
}

impl Pace {
    fn new(per_minute: u32) -> Self {
        Self {
            limit: per_minute.max(1) as usize,
            sent: VecDeque::new(),
            paused_until: Instant::now(),
        }
    }

    /// The instant at which one more request may go; it counts from then on.
    fn reserve(&mut self) -> Instant {
        let now = Instant::now();
        while self.sent.len() > self.limit {
            self.sent.pop_front();
        }
        let mut at = now.max(self.paused_until);
        if self.sent.len() == self.limit
            && let Some(first) = self.sent.pop_front()
        {
            at = at.max(first + MINUTE);
        }
        self.sent.push_back(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn turns(limiter: &Limiter, budget: Budget, count: usize) -> f64 {
        let start = Instant::now();
        for _ in 0..count {
            drop(limiter.turn(budget).await);
        }
        start.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_goes_out_at_once_and_the_rest_a_minute_later() {
        let limiter = Limiter::new(50, 30, 100);
        let seconds = turns(&limiter, Budget::Standard, 50).await;
        assert!(seconds < 0.1, "{seconds}");
        // 201 requests at 50 a minute need four further minutes
        let seconds = turns(&limiter, Budget::Standard, 151).await;
        assert!((240.0..=253.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn custom_queries_have_a_budget_of_their_own() {
        let limiter = Limiter::new(1, 30, 100);
        drop(limiter.turn(Budget::Standard).await);
        let seconds = turns(&limiter, Budget::Custom, 30).await;
        assert!(seconds < 0.1, "{seconds}");
        let seconds = turns(&limiter, Budget::Custom, 1).await;
        assert!(seconds > 59.0, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_learned_lowers_the_budget_and_never_raises_it() {
        let limiter = Limiter::new(10, 30, 100);
        limiter.learn(Budget::Standard, 500);
        limiter.learn(Budget::Standard, 2);
        let seconds = turns(&limiter, Budget::Standard, 3).await;
        assert!((60.0..61.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_everybody() {
        let limiter = Limiter::new(6000, 30, 100);
        limiter.pause(Budget::Standard, Duration::from_secs(30));
        let seconds = turns(&limiter, Budget::Standard, 1).await;
        assert!(seconds >= 30.0, "{seconds}");
    }
}
