//! Windows that are filled in afterwards: the ticks that report on the days of a range.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use crate::domain::{
    job::Job,
    preset::Preset,
    schedule::Tick,
    window::{ServerDays, Window, WindowSpec, day_start},
};

/// The longest time from a window's first day to its tick: a year, and some.
const LONGEST: u64 = 400;

/// One tick for each window of the job that lies within the days from `from` to `to`, oldest window
/// first. Ticks after `now` are not among them.
///
/// A preset of whole calendar units or of a day gives every such unit of the range. One that rolls
/// (`last_7d`, `this_month`) gives the windows that the schedule would have had, or one a day where
/// there is none.
pub fn ticks_of_range(
    job: &Job,
    days: ServerDays,
    from: NaiveDate,
    to: NaiveDate,
    now: DateTime<Utc>,
) -> Vec<Tick> {
    let today = now.date_naive() + Days::new(1);
    let (from, to) = (from.min(today), to.min(today));
    let resolve = |tick: Tick| {
        let specs = job.queries.iter().filter_map(|query| query.window);
        let specs = std::iter::once(job.window).chain(specs);
        let windows = specs.map(|spec| spec.resolve(tick.0, days, job.timezone));
        // The job's first; those of its queries make it another tick to run for
        windows.collect::<Vec<Window>>()
    };
    let mut windows: Vec<(Vec<Window>, Tick)> = Vec::new();
    for tick in candidates(job, from, to, now) {
        let of_tick = resolve(tick);
        let window = of_tick[0];
        let is_within = from <= window.start && window.end <= to && tick.0 <= now;
        if is_within && windows.last().is_none_or(|(last, _)| *last != of_tick) {
            windows.push((of_tick, tick));
        }
    }
    windows.sort_by_key(|(windows, tick)| (windows[0].start, windows[0].end, *tick));
    windows.dedup_by(|a, b| a.0 == b.0);
    windows.into_iter().map(|(_, tick)| tick).collect()
}

/// Ticks whose windows may lie within the range.
fn candidates(job: &Job, from: NaiveDate, to: NaiveDate, now: DateTime<Utc>) -> Vec<Tick> {
    let last = to + Days::new(LONGEST);
    // The evening before may be the first day already where days are those of UTC
    let from = from - Days::new(1);
    if is_rolling(job.window)
        && let Some(schedule) = &job.schedule
    {
        let zone = schedule.timezone;
        let mut at = day_start(from, zone).with_timezone(&Utc) - TimeDelta::seconds(1);
        let end = day_start(last, zone).with_timezone(&Utc);
        let mut ticks: Vec<Tick> = Vec::new();
        while let Some(tick) = schedule.next_after(at).filter(|tick| tick.0 < end) {
            ticks.push(tick);
            // One a day is enough: windows are made of days
            let next = tick.0.with_timezone(&zone).date_naive() + Days::new(1);
            at = day_start(next, zone).with_timezone(&Utc) - TimeDelta::seconds(1);
        }
        return ticks;
    }
    let noon = |day: NaiveDate| {
        let start = day_start(day, job.timezone).with_timezone(&Utc);
        let first = job.schedule.as_ref().and_then(|schedule| {
            let tick = schedule.next_after(start - TimeDelta::seconds(1))?;
            let day_of = tick.0.with_timezone(&job.timezone).date_naive();
            (day_of == day).then_some(tick)
        });
        let tick = first.unwrap_or(Tick(start + TimeDelta::hours(12)));
        // The window before today is over, also before today's tick
        if start <= now {
            tick.min(Tick(now))
        } else {
            tick
        }
    };
    from.iter_days()
        .take_while(|day| *day <= last)
        .map(noon)
        .collect()
}

/// Whether each day has a window of its own that overlaps that of the day before.
fn is_rolling(window: WindowSpec) -> bool {
    match window {
        WindowSpec::Fixed { .. } => false,
        WindowSpec::Preset(preset) => !matches!(
            preset,
            Preset::Today
                | Preset::Yesterday
                | Preset::LastWeek
                | Preset::LastMonth
                | Preset::LastIsoWeek
        ),
    }
}
