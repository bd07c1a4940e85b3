//! What templates can call: `num`, `percent`, `duration` and `change`.

use tera::{Kwargs, State, Tera, TeraResult, Value};

/// Below this many in both windows a percentage says nothing.
const FEW: f64 = 30.0;

pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("num", |value: f64, _: Kwargs, _: &State<'_>| num(value));
    tera.register_filter("percent", |value: f64, _: Kwargs, _: &State<'_>| {
        format!("{value:.1}%")
    });
    tera.register_filter("duration", |value: f64, _: Kwargs, _: &State<'_>| {
        duration(value)
    });
    tera.register_function(
        "change",
        |kwargs: Kwargs, _: &State<'_>| -> TeraResult<Value> {
            let current: f64 = kwargs.must_get("current")?;
            let previous: f64 = kwargs.must_get("previous")?;
            let kind: Option<String> = kwargs.get("kind")?;
            Ok(Value::from(change(
                current,
                previous,
                kind.as_deref().unwrap_or("count"),
            )))
        },
    );
}

/// A whole number with thousands separated: `1,219`.
pub fn num(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" {
        format!("−{text}")
    } else {
        text
    }
}

/// Seconds in words: `48 s`, `1 m 20 s`.
fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0);
    if whole < 60.0 {
        format!("{whole} s")
    } else {
        format!("{} m {} s", (whole / 60.0).floor(), whole % 60.0)
    }
}

/// A change in words, with an arrow: `▲ up 150 (+14%)`; rates in points; `new` from zero.
pub fn change(current: f64, previous: f64, kind: &str) -> String {
    let difference = current - previous;
    let (arrow, word) = match difference {
        d if d > 0.0 => ("▲", "up"),
        d if d < 0.0 => ("▼", "down"),
        _ => return "no change".to_owned(),
    };
    let size = difference.abs();
    match kind {
        "rate" => format!("{arrow} {word} {size:.1} points"),
        "duration" => format!("{arrow} {word} {}", duration(size)),
        _ if previous == 0.0 => format!("▲ new: {} from none", num(current)),
        _ if current < FEW && previous < FEW => format!("{arrow} {word} {}", num(size)),
        _ => format!(
            "{arrow} {word} {} ({:+.0}%)",
            num(size),
            difference / previous * 100.0
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(num(1_234_567.0), "1,234,567");
        assert_eq!(num(0.0), "0");
        assert_eq!(num(-1219.0), "−1,219");
        assert_eq!(duration(48.4), "48 s");
        assert_eq!(duration(80.0), "1 m 20 s");
    }

    #[test]
    fn a_change_says_direction_size_and_share_where_it_means_something() {
        assert_eq!(change(1219.0, 1069.0, "count"), "▲ up 150 (+14%)");
        assert_eq!(change(10.0, 20.0, "count"), "▼ down 10");
        assert_eq!(change(5.0, 0.0, "count"), "▲ new: 5 from none");
        assert_eq!(change(7.5, 9.0, "rate"), "▼ down 1.5 points");
        assert_eq!(change(3.0, 3.0, "count"), "no change");
    }
}
