//! How much fits into one request, learned from what the answers really held.

use std::{collections::HashMap, sync::Mutex};

use crate::{
    domain::{catalog::Catalog, job::Job, request::Request},
    plan::{Packing, Plan, Step},
};

/// The most bytes that a packed answer should have: it is held in memory while its parts are read.
const ANSWER_BYTES: u64 = 8 << 20;

/// The most parts of one request: a month of days of fifteen queries, and some.
const MAX_PARTS: usize = 512;

/// What is packed into one request whatever was learned: a month of days of one query.
const FEWEST_PARTS: usize = 31;

/// What was learned of answers.
#[derive(Debug)]
pub struct Sizes(Mutex<Learned>);

#[derive(Debug)]
struct Learned {
    /// The largest answer, by query, website or link, and days.
    bytes: HashMap<(String, String, u64), u64>,
    max_parts: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self(Mutex::new(Learned {
            bytes: HashMap::new(),
            max_parts: MAX_PARTS,
        }))
    }
}

impl Sizes {
    /// The requests that carry the steps.
    pub(super) fn pack(
        &self,
        plan: &Plan,
        job: &Job,
        catalog: &Catalog,
        steps: &[usize],
    ) -> Vec<Request> {
        let learned = self.0.lock().expect("nobody panics while holding it");
        let bytes_of = |step: &Step| learned.bytes.get(&key(step)).copied().unwrap_or(0);
        let packing = Packing {
            bytes_of: &bytes_of,
            max_bytes: ANSWER_BYTES,
            max_parts: learned.max_parts,
        };
        plan.requests_for(job, catalog, steps, &packing)
    }

    /// Takes note of the size of a part's answer.
    pub(super) fn learn_bytes(&self, step: &Step, bytes: usize) {
        let mut learned = self.0.lock().expect("nobody panics while holding it");
        let known = learned.bytes.entry(key(step)).or_default();
        *known = (*known).max(bytes as u64);
    }

    /// Takes note that more parts than these are too many for the server.
    pub(super) fn learn_parts(&self, parts: usize) {
        let mut learned = self.0.lock().expect("nobody panics while holding it");
        // One slow part among healthy ones must not make all later requests tiny
        learned.max_parts = learned.max_parts.min(parts.max(FEWEST_PARTS));
    }
}

fn key(step: &Step) -> (String, String, u64) {
    let target = step.target.id().to_owned();
    (step.query.clone(), target, step.window.days())
}
