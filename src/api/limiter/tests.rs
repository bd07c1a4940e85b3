//! The limiter alone, and against servers that count as `fakeapi` does.

use std::{collections::VecDeque, sync::Arc};

use tokio::{task::JoinSet, time::sleep};

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
    limiter.lower(Budget::Standard, 500);
    limiter.lower(Budget::Standard, 2);
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

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Sliding,
    Fixed,
    Log,
}

/// A server's limiter.
struct Server {
    kind: Kind,
    limit: usize,
    window: Duration,
    /// Resets are told to this.
    rounding: Duration,
    begin: Instant,
    start: Instant,
    before: usize,
    present: usize,
    log: VecDeque<Instant>,
    refusals: usize,
}

impl Server {
    fn ask(&mut self) -> (bool, Allowance) {
        let now = Instant::now();
        while now - self.start >= self.window {
            self.before = std::mem::take(&mut self.present);
            self.start += self.window;
        }
        self.log.retain(|at| now - *at < self.window);
        let left = self.start + self.window - now;
        let share = left.div_duration_f64(self.window);
        let (used, reset) = match self.kind {
            Kind::Sliding => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "as the server does: a share of a count, rounded down"
                )]
                let overlapping = (self.before as f64 * share).floor() as usize;
                (overlapping + self.present, left)
            }
            Kind::Fixed => (self.present, left),
            Kind::Log => (self.log.len(), self.window),
        };
        let is_allowed = used < self.limit;
        self.present += usize::from(is_allowed);
        // This one counts what it refuses, too
        self.log.push_back(now);
        self.refusals += usize::from(!is_allowed);
        // A time of day, rounded up
        let unix = (now + reset - self.begin).as_nanos();
        let unix = unix.next_multiple_of(self.rounding.as_nanos());
        let reset_at = self.begin + Duration::from_nanos(u64::try_from(unix).unwrap());
        let said = Allowance {
            limit: self.limit,
            remaining: self.limit.saturating_sub(used + 1),
            reset_in: reset_at - now,
        };
        (is_allowed, said)
    }
}

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: Kind,
    requests: usize,
    limit: usize,
    window_secs: u64,
    /// How far into a window the first request comes, in thousandths.
    phase: u64,
    rounding_ms: u64,
    in_flight: u32,
    /// There, and as much back, at most.
    way_ms: u64,
}

impl Case {
    /// Seconds and refusals.
    async fn run(self) -> (f64, usize) {
        let window = Duration::from_secs(self.window_secs);
        let begin = Instant::now() - Duration::from_millis(self.phase * 7);
        let server = Server {
            kind: self.kind,
            limit: self.limit,
            window,
            rounding: Duration::from_millis(self.rounding_ms),
            begin: begin - Duration::from_secs(1000),
            start: Instant::now() - window * u32::try_from(self.phase).unwrap() / 1000,
            before: 0,
            present: 0,
            log: VecDeque::new(),
            refusals: 0,
        };
        let server = Arc::new(Mutex::new(server));
        let limiter = Arc::new(Limiter::new(1_000_000, 30, self.in_flight));
        let mut random = fastrand::Rng::with_seed(self.phase);
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.requests {
            let mut way = || Duration::from_micros(random.u64(1..=self.way_ms * 1000));
            let (there, back, read) = (way(), way(), way());
            let (limiter, server) = (Arc::clone(&limiter), Arc::clone(&server));
            tasks.spawn(async move {
                loop {
                    let mut turn = limiter.turn(Budget::Standard).await;
                    sleep(there).await;
                    let (is_allowed, said) = server.lock().unwrap().ask();
                    sleep(back).await;
                    turn.answered(Some(&said));
                    if is_allowed {
                        sleep(read).await;
                        return;
                    }
                    limiter.pause(Budget::Standard, said.reset_in);
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        let refusals = server.lock().unwrap().refusals;
        (start.elapsed().as_secs_f64(), refusals)
    }

    /// The least that the limit allows, and 5 % and a second more.
    fn bound(&self) -> f64 {
        let windows = (self.requests - 1) / self.limit;
        windows as f64 * self.window_secs as f64 * 1.05 + 1.0
    }
}

/// Runs of four windows and more against each kind of server.
async fn runs(kind: Kind, in_flight: u32) {
    for (limit, window_secs, requests) in [(50, 10, 201), (120, 60, 601), (30, 60, 151)] {
        for (phase, rounding_ms, way_ms) in [
            (0, 1000, 1),
            (250, 1, 1),
            (333, 1000, 20),
            (666, 1, 100),
            (913, 1000, 100),
            (996, 1, 20),
        ] {
            let case = Case {
                kind,
                requests,
                limit,
                window_secs,
                phase,
                rounding_ms,
                in_flight,
                way_ms,
            };
            let (seconds, refusals) = case.run().await;
            let bound = case.bound();
            assert!(seconds <= bound, "{seconds} of {bound} s: {case:?}");
            assert_eq!(refusals, 0, "{case:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sliding_window_is_used_in_full_and_refuses_nothing() {
    runs(Kind::Sliding, 1).await;
    runs(Kind::Sliding, 2).await;
    runs(Kind::Sliding, 8).await;
}

#[tokio::test(start_paused = true)]
async fn a_fixed_window_is_used_in_full_and_refuses_nothing() {
    runs(Kind::Fixed, 1).await;
    runs(Kind::Fixed, 2).await;
    runs(Kind::Fixed, 8).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_is_used_in_full_and_refuses_nothing() {
    runs(Kind::Log, 1).await;
    runs(Kind::Log, 2).await;
    runs(Kind::Log, 8).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_what_may_be_in_flight_refuses_nothing() {
    for kind in [Kind::Sliding, Kind::Fixed, Kind::Log] {
        let case = Case {
            kind,
            requests: 21,
            limit: 5,
            window_secs: 10,
            phase: 400,
            rounding_ms: 1000,
            in_flight: 8,
            way_ms: 100,
        };
        let (seconds, refusals) = case.run().await;
        assert!(seconds <= case.bound(), "{seconds} s: {case:?}");
        assert_eq!(refusals, 0, "{case:?}");
    }
}

fn said(limit: usize, remaining: usize, reset_secs: u64) -> Allowance {
    Allowance {
        limit,
        remaining,
        reset_in: Duration::from_secs(reset_secs),
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_used_of_the_window_is_not_used_again() {
    let limiter = Limiter::new(6000, 30, 100);
    let mut turn = limiter.turn(Budget::Standard).await;
    turn.answered(Some(&said(50, 3, 8)));
    let seconds = turns(&limiter, Budget::Standard, 3).await;
    assert!(seconds < 0.1, "{seconds}");
    let seconds = turns(&limiter, Budget::Standard, 1).await;
    assert!((8.0..9.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn after_an_idle_time_there_is_a_burst_again() {
    let limiter = Limiter::new(6000, 30, 100);
    let mut turn = limiter.turn(Budget::Standard).await;
    turn.answered(Some(&said(50, 0, 8)));
    sleep(Duration::from_secs(300)).await;
    let seconds = turns(&limiter, Budget::Standard, 50).await;
    assert!(seconds < 0.1, "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_allows_more_than_the_settings_does_not_raise_them() {
    let limiter = Limiter::new(10, 30, 100);
    let mut turn = limiter.turn(Budget::Standard).await;
    turn.answered(Some(&said(500, 499, 10)));
    let seconds = turns(&limiter, Budget::Standard, 10).await;
    assert!((60.0..61.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_counts_and_is_in_flight_no_more() {
    let limiter = Limiter::new(6000, 30, 1);
    limiter
        .turn(Budget::Standard)
        .await
        .answered(Some(&said(2, 1, 8)));
    // One that went out, and one that still waits for its turn
    let cancelled = async {
        let _turn = limiter.turn(Budget::Standard).await;
        sleep(Duration::from_secs(60)).await;
    };
    let patience = Duration::from_secs(1);
    assert!(tokio::time::timeout(patience, cancelled).await.is_err());
    let waiting = limiter.turn(Budget::Standard);
    assert!(tokio::time::timeout(patience, waiting).await.is_err());
    let rate = limiter.rate(Budget::Standard);
    assert_eq!((rate.used, rate.allowed), (2, 2));
    let seconds = turns(&limiter, Budget::Standard, 1).await;
    assert!((6.0..8.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_waits_holds_no_place_of_the_other() {
    let limiter = Limiter::new(6000, 1, 1);
    drop(limiter.turn(Budget::Custom).await);
    let waiting = limiter.turn(Budget::Custom);
    let others = async {
        sleep(Duration::from_secs(1)).await;
        turns(&limiter, Budget::Standard, 5).await
    };
    let (_, seconds) = tokio::join!(waiting, others);
    assert!(seconds < 0.1, "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_the_settings_until_the_server_allows_less() {
    let limiter = Limiter::new(120, 30, 100);
    let mut turn = limiter.turn(Budget::Standard).await;
    let minute = Duration::from_secs(60);
    let expected = Rate {
        used: 1,
        allowed: 120,
        window: minute,
        // For the first answer
        wait: Duration::from_secs(1),
    };
    assert_eq!(limiter.rate(Budget::Standard), expected);
    turn.answered(Some(&said(50, 0, 60)));
    let rate = limiter.rate(Budget::Standard);
    assert_eq!((rate.used, rate.allowed, rate.window), (50, 50, minute));
    assert!(rate.wait > Duration::from_secs(59), "{rate:?}");
}
