//! The course of a zone's clocks: what they show at an instant, and where they jump.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A jump of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// The first instant with the new offset.
    pub at: DateTime<Utc>,
    /// What the clocks would show at that instant without the jump.
    pub wall_before: NaiveDateTime,
    /// What they do show.
    pub wall_after: NaiveDateTime,
}

impl Jump {
    /// Whether wall times are left out, rather than met twice.
    pub fn is_gap(&self) -> bool {
        self.wall_after > self.wall_before
    }
}

/// What is added to UTC at an instant.
pub fn offset_at(instant: DateTime<Utc>, zone: Tz) -> TimeDelta {
    let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix();
    TimeDelta::seconds(i64::from(offset.local_minus_utc()))
}

/// The next jump after `from`, at most `reach` later. Two jumps within `reach` that undo each other
/// are not seen; the zone database has none within a day.
pub fn next_jump(zone: Tz, from: DateTime<Utc>, reach: TimeDelta) -> Option<Jump> {
    let before = offset_at(from, zone);
    if offset_at(from + reach, zone) == before {
        return None;
    }
    let (mut old, mut new) = (0, reach.num_seconds());
    while new - old > 1 {
        let middle = i64::midpoint(old, new);
        if offset_at(from + TimeDelta::seconds(middle), zone) == before {
            old = middle;
        } else {
            new = middle;
        }
    }
    let at = from + TimeDelta::seconds(new);
    Some(Jump {
        at,
        wall_before: (at + before).naive_utc(),
        wall_after: (at + offset_at(at, zone)).naive_utc(),
    })
}

/// Both instants at which the clocks show `wall`, where they show it twice.
pub fn twice(wall: NaiveDateTime, zone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    match zone.from_local_datetime(&wall) {
        chrono::LocalResult::Ambiguous(one, other) => {
            let (one, other) = (one.with_timezone(&Utc), other.with_timezone(&Utc));
            Some((one.min(other), one.max(other)))
        }
        _ => None,
    }
}
