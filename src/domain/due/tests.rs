//! A clock that the test sets, in every zone, against a walk of local minutes written here.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use chrono::{Datelike, NaiveDate, NaiveDateTime};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::*;
use crate::domain::{
    course::offset_at,
    schedule::{Fold, Gap, Overlap, Remark, Rules},
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A job of the test, and what its expression means, spelt out by hand: minutes, hours, weekdays from
/// Monday, days of the month; empty means all.
struct Spec {
    cron: String,
    minutes: Vec<u32>,
    hours: Vec<u32>,
    weekdays: Vec<u32>,
    days: Vec<u32>,
    rules: Rules,
}

fn rules(gap: Gap, fold: Fold) -> Rules {
    Rules {
        gap,
        fold,
        catch_up: CatchUp::All,
        catch_up_limit: 100_000,
        ..Rules::default()
    }
}

/// Two hundred jobs: times around midnight and around every usual jump, on some days or all, lists of
/// hours, every hour, and all four policies.
fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    let policies = [
        (Gap::Shift, Fold::First),
        (Gap::Skip, Fold::First),
        (Gap::Shift, Fold::Both),
        (Gap::Skip, Fold::Both),
    ];
    let spec =
        |cron: String, minutes: &[u32], hours: &[u32], weekdays: &[u32], days: &[u32]| Spec {
            cron,
            minutes: minutes.to_vec(),
            hours: hours.to_vec(),
            weekdays: weekdays.to_vec(),
            days: days.to_vec(),
            rules: Rules::default(),
        };
    for (place, (gap, fold)) in policies.into_iter().enumerate() {
        let mut own = Vec::new();
        for hour in [0, 1, 2, 3, 4, 23] {
            for minute in [0, 15, 30, 59] {
                own.push(spec(
                    format!("{minute} {hour} * * *"),
                    &[minute],
                    &[hour],
                    &[],
                    &[],
                ));
            }
            own.push(spec(
                format!("*/20 {hour} * * *"),
                &[0, 20, 40],
                &[hour],
                &[],
                &[],
            ));
            own.push(spec(format!("5 {hour} * * SUN"), &[5], &[hour], &[6], &[]));
            own.push(spec(
                format!("10 {hour} 29,30,31 * *"),
                &[10],
                &[hour],
                &[],
                &[29, 30, 31],
            ));
        }
        own.push(spec(
            "30 1,2,3 * * *".to_owned(),
            &[30],
            &[1, 2, 3],
            &[],
            &[],
        ));
        own.push(spec(
            "0 */2 * * *".to_owned(),
            &[0],
            &[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22],
            &[],
            &[],
        ));
        own.push(spec("@daily".to_owned(), &[0], &[0], &[], &[]));
        own.push(spec(
            "0 2 * * MON-FRI".to_owned(),
            &[0],
            &[2],
            &[0, 1, 2, 3, 4],
            &[],
        ));
        own.push(spec("17 * * * *".to_owned(), &[17], &[], &[], &[]));
        own.push(spec("@hourly".to_owned(), &[0], &[], &[], &[]));
        own.push(spec("0,30 * * * SUN".to_owned(), &[0, 30], &[], &[6], &[]));
        own.push(spec(
            format!("{place} 12 1 * *"),
            &[u32::try_from(place).unwrap()],
            &[12],
            &[],
            &[1],
        ));
        specs.extend(own.into_iter().map(|spec| Spec {
            rules: rules(gap, fold),
            ..spec
        }));
    }
    specs
}

/// What a zone's clocks show: from each instant on, what is added to UTC. Found by looking every six hours,
/// and between two that differ by halves.
fn course(zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(DateTime<Utc>, TimeDelta)> {
    let mut course = vec![(from, offset_at(from, zone))];
    let mut at = from;
    while at < to {
        let next = at + TimeDelta::hours(6);
        let (mut before, mut after) = (at, next);
        while offset_at(before, zone) != offset_at(next, zone) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if middle == before {
                course.push((after, offset_at(after, zone)));
                (before, after) = (after, next);
            } else if offset_at(middle, zone) == offset_at(before, zone) {
                before = middle;
            } else {
                after = middle;
            }
        }
        at = next;
    }
    course
}

/// All ticks of local days, by walking their minutes: each is met never, once or twice.
fn walk(
    spec: &Spec,
    course: &[(DateTime<Utc>, TimeDelta)],
    from: NaiveDate,
    to: NaiveDate,
) -> Vec<DateTime<Utc>> {
    let has = |list: &[u32], value: u32| list.is_empty() || list.contains(&value);
    let chosen = |most: u32, list: &[u32]| (0..most).filter(|n| has(list, *n)).collect::<Vec<_>>();
    let (hours, minutes) = (chosen(24, &spec.hours), chosen(60, &spec.minutes));
    let mut ticks = Vec::new();
    let days = from.iter_days().take_while(|day| *day <= to);
    for day in days {
        if !has(&spec.days, day.day()) || !has(&spec.weekdays, day.weekday().num_days_from_monday())
        {
            continue;
        }
        for (hour, minute) in hours.iter().flat_map(|h| minutes.iter().map(|m| (*h, *m))) {
            let wall = day.and_hms_opt(hour, minute, 0).unwrap();
            let met = met(wall, course);
            let real_time = spec.hours.is_empty();
            match (met.len(), real_time) {
                (2, false) if spec.rules.fold == Fold::First => ticks.push(met[0]),
                (0, false) if spec.rules.gap == Gap::Shift => ticks.push(after_gap(wall, course)),
                _ => ticks.extend(met),
            }
        }
    }
    ticks.sort();
    ticks.dedup();
    ticks
}

/// The instants at which clocks show this.
fn met(wall: NaiveDateTime, course: &[(DateTime<Utc>, TimeDelta)]) -> Vec<DateTime<Utc>> {
    let mut met = Vec::new();
    for (place, (start, offset)) in course.iter().enumerate() {
        let at = wall.and_utc() - *offset;
        let is_over = course.get(place + 1).is_some_and(|(end, _)| at >= *end);
        if at >= *start && !is_over {
            met.push(at);
        }
    }
    met
}

/// The first instant at which the clocks show more than a time that they leave out.
fn after_gap(wall: NaiveDateTime, course: &[(DateTime<Utc>, TimeDelta)]) -> DateTime<Utc> {
    let is_after = |(start, offset): &&(DateTime<Utc>, TimeDelta)| {
        (*start + *offset).naive_utc() > wall && wall.and_utc() - *offset < *start
    };
    let jumps = &course[1..];
    jumps.iter().find(is_after).unwrap().0
}

/// The ticks that a service with these habits runs: woken now and then, stopped for days, its clock
/// set back and forth. Each time everything due is planned, and the watermark moves.
fn drive(
    schedule: &Schedule,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    seed: u64,
) -> Vec<DateTime<Utc>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut ran = Vec::new();
    let (mut watermark, mut now) = (from, from);
    while now < to {
        now += match random.u32(0..10) {
            0 => TimeDelta::days(random.i64(1..40)),
            1 => -TimeDelta::minutes(random.i64(1..50)),
            2..5 => TimeDelta::minutes(random.i64(1..600)),
            _ => TimeDelta::seconds(random.i64(1..3_000_000)),
        };
        let now = now.min(to);
        let due = due(schedule, settled(watermark, now), now);
        assert_eq!(due.passed_over, None);
        ran.extend(due.run.iter().map(|(tick, _)| tick.0));
        watermark = watermark.max(now);
    }
    ran
}

/// A zone, what its clocks do, and the jobs that are driven in it.
struct Place {
    zone: Tz,
    course: Vec<(DateTime<Utc>, TimeDelta)>,
    jobs: Vec<usize>,
}

/// All jobs in the first of zones whose clocks go alike, where all must come out alike, and one of the
/// jobs in each of the others: a prime step meets all in turn.
fn places(from: DateTime<Utc>, to: DateTime<Utc>, jobs: usize) -> Vec<Place> {
    let mut alike = BTreeSet::new();
    let zones = TZ_VARIANTS.into_iter().enumerate();
    let place = |(number, zone): (usize, Tz)| {
        let course = course(zone, from, to);
        let is_new = alike.insert(course.clone());
        let jobs = if is_new {
            (0..jobs).collect()
        } else {
            vec![number * 7 % jobs]
        };
        Place { zone, course, jobs }
    };
    let places: Vec<Place> = zones.map(place).collect();
    assert!(alike.len() > 50, "{}", alike.len());
    places
}

/// How many ticks were compared.
fn compare(place: &Place, spec: &Spec, first: NaiveDate, last: NaiveDate, seed: u64) -> usize {
    let noon = |day: NaiveDate| day.and_hms_opt(12, 0, 0).unwrap().and_utc();
    let from = noon(first) + TimeDelta::days(1);
    let to = noon(last) - TimeDelta::days(1);
    let parsed = Schedule::parse(&spec.cron, place.zone).unwrap();
    let schedule = parsed.with_rules(spec.rules);
    let mut expected = walk(spec, &place.course, first, last);
    expected.retain(|tick| *tick > from && *tick <= to);
    let ran = drive(&schedule, from, to, seed);
    assert_eq!(
        ran, expected,
        "{} {} {:?}",
        spec.cron, place.zone, spec.rules
    );
    ran.len()
}

#[test]
fn a_year_of_two_hundred_jobs_in_every_zone_has_each_tick_once() {
    let day = |year, month| NaiveDate::from_ymd_opt(year, month, 1).unwrap();
    let (first, last) = (day(2026, 2), day(2027, 2));
    let specs = specs();
    assert_eq!(specs.len(), 200);
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).unwrap().and_utc();
    let (from, to) = (midnight(first), midnight(last));
    let around = TimeDelta::days(2);
    let places = places(from - around, to + around, specs.len());
    let work = places.iter().enumerate();
    let work = work.flat_map(|(n, place)| place.jobs.iter().map(move |job| (n, place, *job)));
    let (work, next) = (work.collect::<Vec<_>>(), AtomicUsize::new(0));
    let compare_some = || {
        let mut compared = 0;
        while let Some((n, place, job)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            let seed = (n * 1000 + job) as u64;
            compared += compare(place, &specs[*job], first, last, seed);
        }
        compared
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let compared: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(compare_some)).collect();
        let each = threads.into_iter().map(|thread| thread.join().unwrap());
        each.sum()
    });
    assert!(compared > 5_000_000, "{compared}");
}

fn schedule(cron: &str, rules: Rules) -> Schedule {
    let parsed = Schedule::parse(cron, Tz::Europe__Berlin).unwrap();
    parsed.with_rules(rules)
}

fn planned(
    catch_up: CatchUp,
    limit: u32,
    watermark: &str,
    now: &str,
) -> (Vec<String>, Option<PassedOver>) {
    let rules = Rules {
        catch_up,
        catch_up_limit: limit,
        ..Rules::default()
    };
    let due = due(&schedule("0 2 * * *", rules), at(watermark), at(now));
    let shown = due
        .run
        .iter()
        .map(|(tick, trigger)| format!("{} {}", tick.to_rfc3339_in(Tz::UTC), trigger.name()));
    (shown.collect(), due.passed_over)
}

#[test]
fn of_missed_ticks_run_none_the_latest_or_all_up_to_a_bound() {
    let (from, to) = ("2026-11-20T01:00:00Z", "2026-11-24T12:00:00Z");
    let (run, over) = planned(CatchUp::None, 9, from, to);
    assert_eq!((run.len(), over.unwrap().count), (0, Some(4)));
    let (run, over) = planned(CatchUp::Latest, 9, from, to);
    assert_eq!(run, ["2026-11-24T01:00:00+00:00 catch_up"]);
    assert_eq!(over.unwrap().last, Tick(at("2026-11-23T01:00:00Z")));
    let (run, over) = planned(CatchUp::All, 9, from, to);
    assert_eq!((run.len(), over), (4, None));
    let (run, over) = planned(CatchUp::All, 2, from, to);
    let newest = [
        "2026-11-23T01:00:00+00:00 catch_up",
        "2026-11-24T01:00:00+00:00 catch_up",
    ];
    assert_eq!(run, newest);
    assert_eq!(over.unwrap().first, Tick(at("2026-11-21T01:00:00Z")));
}

#[test]
fn a_tick_that_is_due_now_makes_up_for_the_missed_ones_unless_all_are_wanted() {
    let (from, to) = ("2026-11-20T01:00:00Z", "2026-11-24T01:00:30Z");
    for wanted in [CatchUp::None, CatchUp::Latest] {
        let (run, over) = planned(wanted, 9, from, to);
        assert_eq!(run, ["2026-11-24T01:00:00+00:00 schedule"]);
        assert_eq!(over.unwrap().count, Some(3));
    }
    let (run, _) = planned(CatchUp::All, 9, from, to);
    assert_eq!(run.len(), 4);
}

#[test]
fn a_year_of_missed_seconds_is_looked_at_from_its_end() {
    let rules = Rules {
        catch_up: CatchUp::All,
        catch_up_limit: 10,
        ..Rules::default()
    };
    let schedule = schedule("* * * * * *", rules);
    let due = due(
        &schedule,
        at("2025-11-24T01:00:00Z"),
        at("2026-11-24T01:00:00Z"),
    );
    let (caught, on_time): (Vec<_>, Vec<_>) = due
        .run
        .iter()
        .copied()
        .partition(|(_, trigger): &(Tick, Trigger)| *trigger == Trigger::CatchUp);
    assert_eq!((caught.len(), on_time.len()), (10, 60));
    assert_eq!(on_time.last().unwrap().0, Tick(at("2026-11-24T01:00:00Z")));
    let over = due.passed_over.unwrap();
    assert_eq!(
        (over.first, over.count),
        (Tick(at("2025-11-24T01:00:01Z")), None)
    );
}

#[test]
fn a_clock_that_was_years_ahead_is_not_waited_for_and_a_little_one_is() {
    let now = at("2026-11-24T01:00:00Z");
    assert_eq!(settled(at("2036-01-01T00:00:00Z"), now), now);
    assert_eq!(
        settled(at("2026-11-24T01:30:00Z"), now),
        at("2026-11-24T01:30:00Z")
    );
}

#[test]
fn ticks_at_a_jump_of_the_clocks_say_so() {
    let moved = schedule("30 2 * * *", rules(Gap::Shift, Fold::Both));
    let tick = moved.next_after(at("2026-03-28T12:00:00Z")).unwrap();
    assert_eq!(tick, Tick(at("2026-03-29T01:00:00Z")));
    assert_eq!(moved.remark(tick), Some(Remark::Shifted));
    let one = moved.next_after(at("2026-10-24T12:00:00Z")).unwrap();
    let two = moved.next_after(one.0).unwrap();
    assert_eq!(
        (one.0, two.0),
        (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"))
    );
    assert_eq!(moved.remark(one), Some(Remark::FirstOfTwo));
    assert_eq!(moved.remark(two), Some(Remark::SecondOfTwo));
    let left = schedule("30 2 * * *", rules(Gap::Skip, Fold::First));
    let before = left.next_after(at("2026-03-27T12:00:00Z")).unwrap();
    let after = left.next_after(before.0).unwrap();
    assert_eq!(after, Tick(at("2026-03-30T00:30:00Z")));
    assert_eq!(
        left.left_out(before, after).unwrap().to_string(),
        "2026-03-29 02:30:00"
    );
    assert_eq!(
        (left.remark(after), moved.left_out(before, after)),
        (None, None)
    );
}

#[test]
fn jitter_spreads_jobs_and_is_the_same_for_the_same_job_and_tick() {
    let rules = Rules {
        jitter: std::time::Duration::from_secs(300),
        overlap: Overlap::Queue,
        ..Rules::default()
    };
    let schedule = schedule("0 2 * * *", rules);
    let tick = Tick(at("2026-11-24T01:00:00Z"));
    let delays: Vec<i64> = (0..200)
        .map(|n| schedule.delay(&format!("job{n}"), tick).num_seconds())
        .collect();
    assert!(
        delays.iter().all(|delay| (0..=300).contains(delay)),
        "{delays:?}"
    );
    assert!(
        delays
            .iter()
            .filter(|delay| **delay < 150)
            .count()
            .abs_diff(100)
            < 40,
        "{delays:?}"
    );
    assert_eq!(schedule.delay("job7", tick).num_seconds(), delays[7]);
}
