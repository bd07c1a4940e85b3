//! What happens while a run goes on, for logs, progress bars and tests.

use std::{fmt, sync::Arc};

use crate::domain::run::{ArtifactRecord, DeliveryRecord, RunRecord};

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A run began.
    RunStarted {
        /// The run's id.
        run: &'a str,
        /// The job's name.
        job: &'a str,
        /// Its window in words.
        window: String,
    },
    /// An attempt has so many steps before it.
    AttemptStarted {
        /// From 1.
        number: u32,
        /// Steps to fetch.
        steps: usize,
    },
    /// A step has its rows, or not.
    StepDone {
        /// The query's name.
        query: &'a str,
        /// The id of its website or link.
        target: &'a str,
        /// Rows, or why there are none.
        outcome: Result<u64, &'a str>,
    },
    /// What failed is tried again after a pause.
    Retrying {
        /// Steps to fetch again.
        steps: usize,
        /// The pause.
        seconds: u64,
        /// What failed.
        why: &'a str,
    },
    /// A file is in place.
    ArtifactDone(&'a ArtifactRecord),
    /// A file was there with other numbers.
    Revised {
        /// The query's name.
        query: &'a str,
        /// The id of its website or link.
        target: &'a str,
        /// What changed, in words: "3 Sep: 1,204 → 1,219 visitors".
        change: &'a str,
    },
    /// A piece of a backfill begins.
    Backfilling {
        /// Days or windows that are done.
        units_done: usize,
        /// Days or windows in all.
        units: usize,
    },
    /// A mail was sent, or not.
    DeliveryDone(&'a DeliveryRecord),
    /// The run is over.
    RunFinished(&'a RunRecord),
}

/// Who is told of events.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Event<'_>) + Send + Sync>);

impl Events {
    /// Tells `listener`.
    pub fn new(listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells the listener.
    pub fn tell(&self, event: &Event<'_>) {
        (self.0)(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
