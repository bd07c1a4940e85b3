//! `range(start=0, end, step_by=1)` of templates, which has an end: Tera's own gives 100,000 numbers a
//! call, and loops of them within loops that write nothing would keep a thread as long as the
//! program lives. Every other list of a template is one of its data.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tera::{Kwargs, State, Tera, TeraResult};

use super::arguments;

/// Numbers of one call.
const MOST: u64 = 10_000;

/// Numbers of all calls of one rendering: seconds of an empty loop.
const MOST_OF_ALL: u64 = 1_000_000;

/// Registers it with what one rendering may take.
pub(super) fn register(tera: &mut Tera) {
    let taken = Arc::new(AtomicU64::new(0));
    let signature = arguments::function("range").expect("every function has a signature: a test");
    tera.register_function(
        "range",
        move |kwargs: Kwargs, state: &State<'_>| -> TeraResult<Vec<i64>> {
            let refused = |why: String| tera::Error::message(format!("range(…): {why}"));
            signature.read(&kwargs, state).map_err(refused)?;
            let start = kwargs.get::<i64>("start")?.unwrap_or_default();
            let end = kwargs.must_get::<i64>("end")?;
            let step = kwargs.get::<i64>("step_by")?.unwrap_or(1);
            let count = count(start, end, step).map_err(refused)?;
            let before = taken.fetch_add(count, Ordering::Relaxed);
            if before.saturating_add(count) > MOST_OF_ALL {
                let what = "the template has counted further than";
                return Err(refused(format!(
                    "{what} {MOST_OF_ALL}: look for a loop within a loop"
                )));
            }
            let mut number = start;
            let mut numbers = Vec::new();
            for _ in 0..count {
                numbers.push(number);
                number = number.saturating_add(step);
            }
            Ok(numbers)
        },
    );
}

/// How many numbers there are from `start` to before `end`.
fn count(start: i64, end: i64, step: i64) -> Result<u64, String> {
    if step == 0 {
        return Err("`step_by` is 0: give another step".to_owned());
    }
    if (step > 0 && start > end) || (step < 0 && start < end) {
        return Err(format!(
            "`start={start}` lies beyond `end={end}`: swap them, or turn `step_by`"
        ));
    }
    let count = start.abs_diff(end).div_ceil(step.unsigned_abs());
    if count > MOST {
        return Err(format!(
            "{count} numbers are too many: at most {MOST} in one call"
        ));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_up_and_down_and_not_beyond_its_end() {
        assert_eq!(count(0, 60, 1), Ok(60));
        assert_eq!(count(1, 10, 4), Ok(3));
        assert_eq!(count(5, 0, -2), Ok(3));
        assert_eq!(count(3, 3, 1), Ok(0));
        assert!(count(0, 10_001, 1).unwrap_err().contains("at most 10000"));
        assert!(count(i64::MIN, i64::MAX, 1).is_err());
        assert!(count(0, 5, 0).unwrap_err().contains("step_by"));
        assert!(count(5, 0, 1).unwrap_err().contains("start=5"));
    }
}
