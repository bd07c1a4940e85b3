//! How often one request is sent again.

use super::{ApiError, Kind};

/// Tries of one request, 429s apart.
const TRIES: u32 = 5;

/// Tries of a packed request that fails as its parts may: then its halves are asked for.
const PACKED_TRIES: u32 = 2;

/// Waits for one request after 429s, before it is given up.
const RATE_LIMIT_WAITS: u32 = 30;

/// What is read of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// A larger one is an error.
    pub(super) max_bytes: usize,
    /// Whether the request has several parts.
    pub(super) is_packed: bool,
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Patience {
    is_packed: bool,
    tries: u32,
    /// After 429s.
    waits: u32,
}

impl Patience {
    pub(super) fn new(reading: Reading) -> Self {
        Self {
            is_packed: reading.is_packed,
            tries: 0,
            waits: 0,
        }
    }

    /// Takes note of a failed try; whether it was the last.
    pub(super) fn is_exhausted_by(&mut self, error: &ApiError) -> bool {
        if error.kind() == Kind::RateLimited {
            self.waits += 1;
        } else {
            self.tries += 1;
        }
        let most = if self.is_packed && error.may_be_one_part() {
            PACKED_TRIES
        } else {
            TRIES
        };
        self.tries >= most || self.waits >= RATE_LIMIT_WAITS
    }

    /// Whether one try has failed, other than by a 429.
    pub(super) fn is_first(&self) -> bool {
        self.tries == 1
    }

    /// Tries that failed.
    pub(super) fn failures(&self) -> u32 {
        self.tries + self.waits
    }
}
