//! What a restated file changes, in numbers and in words.

use crate::{
    domain::window::Window,
    export::{Change, ManifestFile},
};

/// Changes that a sentence names.
const NAMED: usize = 3;

/// The numbers that differ, rows first.
pub(super) fn changes(old: &ManifestFile, new: &ManifestFile) -> Vec<Change> {
    let mut changed = Vec::new();
    let mut compare = |column: &str, before: Option<f64>, after: Option<f64>| {
        let is_same = match (before, after) {
            // Floats differ in their last digits between identical calls (trap 14)
            (Some(before), Some(after)) => (before - after).abs() <= before.abs() * 1e-12,
            _ => before == after,
        };
        if !is_same {
            changed.push(Change {
                column: column.to_owned(),
                before,
                after,
            });
        }
    };
    compare("rows", Some(old.rows as f64), Some(new.rows as f64));
    let columns = old.totals.keys().chain(new.totals.keys());
    let columns: std::collections::BTreeSet<&String> = columns.collect();
    for column in columns {
        compare(
            column,
            old.totals.get(column).copied(),
            new.totals.get(column).copied(),
        );
    }
    changed
}

/// "3 Sep: 1,204 → 1,219 visitors, 2,000 → 2,031 pageviews"
pub(super) fn describe(window: &Window, changed: &[Change]) -> String {
    let days = if window.start == window.end {
        window.start.format("%-d %b").to_string()
    } else {
        format!(
            "{} – {}",
            window.start.format("%-d %b"),
            window.end.format("%-d %b")
        )
    };
    if changed.is_empty() {
        return format!("{days}: its rows changed, and the sums did not");
    }
    let shown = |number: Option<f64>| number.map_or_else(|| "none".to_owned(), grouped);
    let named = changed.iter().take(NAMED).map(|change| {
        let (before, after) = (shown(change.before), shown(change.after));
        format!("{before} → {after} {}", change.column)
    });
    let named: Vec<String> = named.collect();
    let more = changed.len().saturating_sub(NAMED);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{days}: {}{rest}", named.join(", "))
}

/// A number with commas between thousands and at most two digits of a fraction.
fn grouped(number: f64) -> String {
    let text = format!("{:.2}", number.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{grouped}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(column: &str, before: f64, after: f64) -> Change {
        Change {
            column: column.to_owned(),
            before: Some(before),
            after: Some(after),
        }
    }

    #[test]
    fn a_revision_reads_as_a_sentence() {
        let day = "2026-09-03".parse().unwrap();
        let window = Window {
            start: day,
            end: day,
            timezone: chrono_tz::Tz::UTC,
        };
        let changed = [
            change("visitors", 1204.0, 1219.0),
            change("bounce_rate", 41.5, 41.25),
        ];
        assert_eq!(
            describe(&window, &changed),
            "3 Sep: 1,204 → 1,219 visitors, 41.5 → 41.25 bounce_rate"
        );
        assert_eq!(
            describe(&window, &[]),
            "3 Sep: its rows changed, and the sums did not"
        );
        assert_eq!(grouped(1_234_567.0), "1,234,567");
    }
}
