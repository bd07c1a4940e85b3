//! Filters of templates: `num`, `percent`, `duration` and `date`.

use chrono::NaiveDate;
use tera::{Kwargs, State, Tera, TeraResult};

pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("num", |value: f64, _: Kwargs, _: &State<'_>| num(value));
    tera.register_filter("percent", |value: f64, _: Kwargs, _: &State<'_>| {
        format!("{value:.1}%")
    });
    tera.register_filter("duration", |value: f64, _: Kwargs, _: &State<'_>| {
        duration(value)
    });
    tera.register_filter(
        "date",
        |value: &str, kwargs: Kwargs, _: &State<'_>| -> TeraResult<String> {
            let format: Option<String> = kwargs.get("format")?;
            date(value, format.as_deref().unwrap_or("%-d %b %Y")).map_err(tera::Error::message)
        },
    );
}

/// A whole number with thousands separated: `1,219`.
pub(super) fn num(value: f64) -> String {
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
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0);
    if whole < 60.0 {
        format!("{whole} s")
    } else {
        format!("{} m {} s", (whole / 60.0).floor(), whole % 60.0)
    }
}

/// A day in a format of strftime.
fn date(day: &str, format: &str) -> Result<String, String> {
    use std::fmt::Write as _;
    let day: NaiveDate = day
        .get(..10)
        .unwrap_or(day)
        .parse()
        .map_err(|_| format!("`{day}` is no date"))?;
    let mut text = String::new();
    write!(text, "{}", day.format(format)).map_err(|_| format!("`{format}` is no date format"))?;
    Ok(text)
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
        assert_eq!(date("2026-11-03", "%a %-d %b").unwrap(), "Tue 3 Nov");
        assert!(date("soon", "%a").is_err() && date("2026-11-03", "%Q").is_err());
    }
}
