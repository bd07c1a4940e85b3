//! A schedule and its ticks in words, for `next` and `plan`.

use std::time::Duration;

use crate::domain::{
    course::offset_at,
    schedule::{CatchUp, Fold, Gap, Overlap, Remark, Rules, Schedule, Tick},
};

/// What is to be said of a tick; `before` is the tick before it, where there is one.
pub(super) fn of_tick(schedule: &Schedule, before: Option<Tick>, tick: Tick) -> String {
    let mut notes = Vec::new();
    if let Some(wall) = before.and_then(|before| schedule.left_out(before, tick)) {
        notes.push(format!(
            "{} does not exist and is left out (dst.gap: skip)",
            wall.format("%a %-d %b %H:%M")
        ));
    }
    match schedule.remark(tick) {
        Some(Remark::Shifted) => notes.push(
            "its own time does not exist that day: moved to the first instant after the gap (dst.gap: shift)"
                .to_owned(),
        ),
        Some(Remark::FirstOfTwo) => notes.push("the clocks show this time twice: the first".to_owned()),
        Some(Remark::SecondOfTwo) => notes.push("the clocks show this time twice: the second".to_owned()),
        None => {}
    }
    let offset = |tick: Tick| offset_at(tick.0, schedule.timezone);
    if before.is_some_and(|before| offset(before) != offset(tick)) {
        notes.push("the clocks have changed since the tick before".to_owned());
    }
    notes.join("; ")
}

/// The rules of a schedule, a sentence each.
pub(super) fn of_rules(rules: &Rules) -> Vec<String> {
    let missed = match rules.catch_up {
        CatchUp::None => "ticks missed while nothing ran are not made up for".to_owned(),
        CatchUp::Latest => "of ticks missed while nothing ran, the latest runs".to_owned(),
        CatchUp::All => format!(
            "ticks missed while nothing ran all run, the newest {} at most",
            rules.catch_up_limit
        ),
    };
    let overlap = match rules.overlap {
        Overlap::Skip => "a tick due while the job still runs is skipped",
        Overlap::Queue => "a tick due while the job still runs waits for it",
    };
    let gap = match rules.gap {
        Gap::Shift => "a time that the clocks leave out moves to the end of the gap",
        Gap::Skip => "a time that the clocks leave out is left out",
    };
    let fold = match rules.fold {
        Fold::First => "one that they show twice counts once, the first time",
        Fold::Both => "one that they show twice counts twice",
    };
    let mut notes = vec![missed, overlap.to_owned(), format!("{gap}; {fold}")];
    if rules.jitter > Duration::ZERO {
        notes.push(format!(
            "runs start up to {} s after their tick, spread by the job's name",
            rules.jitter.as_secs()
        ));
    }
    notes
}
