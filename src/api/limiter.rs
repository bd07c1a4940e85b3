//! One rate budget for all requests of a key: paced, with so many in flight, paused by a 429.

use std::{sync::Mutex, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// Requests that may go out at once after a pause, before pacing sets in.
const BURST: u32 = 20;

/// Paces requests.
#[derive(Debug)]
pub(super) struct Limiter {
    in_flight: Semaphore,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    /// Between two requests in the long run.
    interval: Duration,
    /// When the budget is back at its full burst.
    full_at: Instant,
    /// Nobody goes before this.
    paused_until: Instant,
}

impl Limiter {
    pub(super) fn new(per_minute: u32, in_flight: u32) -> Self {
        let now = Instant::now();
        Self {
            in_flight: Semaphore::new(in_flight.max(1) as usize),
            pace: Mutex::new(Pace {
                interval: Duration::from_secs(60) / per_minute.max(1),
                full_at: now,
                paused_until: now,
            }),
        }
    }

    /// Waits for a place in flight and for the request's turn.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        let permit = self
            .in_flight
            .acquire()
            .await
            .expect("the semaphore is never closed");
        loop {
            let at = self.reserve();
            sleep_until(at).await;
            // A 429 that came while this waited holds for it too
            if self.lock().paused_until <= Instant::now() {
                return permit;
            }
        }
    }

    /// Nobody asks for this long.
    pub(super) fn pause(&self, wait: Duration) {
        let mut pace = self.lock();
        pace.paused_until = pace.paused_until.max(Instant::now() + wait);
    }

    /// The server allows fewer than was thought.
    pub(super) fn learn(&self, per_minute: u32) {
        let mut pace = self.lock();
        pace.interval = pace
            .interval
            .max(Duration::from_secs(60) / per_minute.max(1));
    }

    fn reserve(&self) -> Instant {
        let mut pace = self.lock();
        let now = Instant::now();
        let full_at = pace.full_at.max(now) + pace.interval;
        pace.full_at = full_at;
        let earliest = full_at.checked_sub(pace.interval * BURST).unwrap_or(now);
        earliest.max(now).max(pace.paused_until)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace
            .lock()
            .expect("nothing panics while it holds the pace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_beyond_the_burst_keep_the_pace() {
        let limiter = Limiter::new(60, 100);
        let start = Instant::now();
        for _ in 0..(BURST + 10) {
            drop(limiter.turn().await);
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((9.9..=10.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_everybody() {
        let limiter = Limiter::new(6000, 100);
        limiter.pause(Duration::from_secs(30));
        let start = Instant::now();
        drop(limiter.turn().await);
        assert!(start.elapsed() >= Duration::from_secs(30));
    }
}
