//! Filters of templates: `num`, `percent`, `duration`, `date`, `compact`, `figure`, `instant`, `cut` and `isolate`.

use chrono::NaiveDate;
use tera::{Kwargs, State, Tera, TeraResult};

use super::{arguments, lang::Lang, marks, scene::lang_of};

pub(super) fn register(tera: &mut Tera) {
    register_one(tera, "num", |lang, value: f64, kwargs| {
        Ok(lang.decimal(value, decimals(kwargs, 0)?))
    });
    register_one(tera, "percent", |lang, value: f64, kwargs| {
        Ok(lang.percent(value, decimals(kwargs, 1)?))
    });
    register_one(tera, "duration", |lang, value: f64, _| {
        Ok(lang.duration(value))
    });
    register_one(tera, "compact", |lang, value: f64, _| {
        Ok(lang.compact(value))
    });
    register_one(tera, "figure", |lang, value: f64, _| Ok(lang.figure(value)));
    register_text(tera, "date", |lang, value, kwargs| {
        let format: Option<String> = kwargs.get("format")?;
        let day = day(value).map_err(tera::Error::message)?;
        let format = format.as_deref().unwrap_or(lang.day_format());
        lang.date(day, format).map_err(tera::Error::message)
    });
    register_text(tera, "cut", |_, value, kwargs| {
        let most: Option<usize> = kwargs.get("length")?;
        Ok(cut(value, most.unwrap_or(56)))
    });
    register_text(tera, "instant", |_, value, _| Ok(instant(value)));
    register_text(tera, "isolate", |_, value, _| Ok(isolate(value)));
}

/// A filter of numbers.
fn register_one(
    tera: &mut Tera,
    name: &'static str,
    call: impl Fn(Lang, f64, &Kwargs) -> TeraResult<String> + Send + Sync + 'static,
) {
    let filter = move |value: f64, kwargs: Kwargs, state: &State<'_>| -> TeraResult<String> {
        check(name, &kwargs, state)?;
        call(lang_of(state)?, value, &kwargs)
    };
    tera.register_filter(name, filter);
}

/// A filter of texts.
fn register_text(
    tera: &mut Tera,
    name: &'static str,
    call: impl Fn(Lang, &str, &Kwargs) -> TeraResult<String> + Send + Sync + 'static,
) {
    let filter = move |value: &str, kwargs: Kwargs, state: &State<'_>| -> TeraResult<String> {
        check(name, &kwargs, state)?;
        call(lang_of(state)?, value, &kwargs)
    };
    tera.register_filter(name, filter);
}

fn check(name: &str, kwargs: &Kwargs, state: &State<'_>) -> TeraResult<()> {
    let signature = arguments::filter(name).expect("every filter has a signature: a test");
    match signature.read(kwargs, state) {
        Ok(_) => Ok(()),
        Err(why) => Err(tera::Error::message(format!("{name}(…): {why}"))),
    }
}

/// More decimals than these are noise, and from 65,536 on the standard library panics.
const MOST_DECIMALS: usize = 9;

fn decimals(kwargs: &Kwargs, default: usize) -> TeraResult<usize> {
    let decimals: Option<usize> = kwargs.get("decimals")?;
    match decimals.unwrap_or(default) {
        decimals @ 0..=MOST_DECIMALS => Ok(decimals),
        more => Err(tera::Error::message(format!(
            "`decimals={more}` are too many: give 0 to {MOST_DECIMALS}"
        ))),
    }
}

/// A day out of a date or an instant.
pub(super) fn day(text: &str) -> Result<NaiveDate, String> {
    let found = text.get(..10).unwrap_or(text).parse();
    found.map_err(|_| format!("`{text}` is no date"))
}

/// `2026-11-23 07:00 UTC` of an instant in UTC; other texts stay.
pub(super) fn instant(text: &str) -> String {
    match (text.get(..10), text.get(11..16), text.ends_with('Z')) {
        (Some(day), Some(time), true) => format!("{day} {time} UTC"),
        _ => text.to_owned(),
    }
}

/// A text of at most so many characters: a longer one loses its middle, because both ends of a path
/// tell it from its neighbours.
pub(super) fn cut(text: &str, most: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most || most < 3 {
        return text.to_owned();
    }
    let tail = (most - 1) / 2;
    let head = most - 1 - tail;
    let (start, end) = (&letters[..head], &letters[letters.len() - tail..]);
    start.iter().chain(['…'].iter()).chain(end).collect()
}

/// A name for a line of plain text: one line, and where it runs from right to left, in marks that
/// keep the number beside it in its place (Unicode UAX 9, FSI and PDI).
pub(super) fn isolate(text: &str) -> String {
    let is_mark = |c: char| marks::is_turning(c) || matches!(c, '\u{200e}' | '\u{200f}');
    let plain: String = text.chars().filter(|c| !is_mark(*c)).collect();
    let line: String = plain
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let from_the_right = line.chars().any(
        |c| matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'),
    );
    if from_the_right {
        format!("\u{2068}{line}\u{2069}")
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_date_of_a_text() {
        assert_eq!(
            day("2026-11-03T10:00:00Z").unwrap().to_string(),
            "2026-11-03"
        );
        assert_eq!(day("soon").unwrap_err(), "`soon` is no date");
        assert_eq!(instant("2026-11-23T07:00:04Z"), "2026-11-23 07:00 UTC");
        assert_eq!(instant("now"), "now");
    }

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(cut("/pricing", 56), "/pricing");
        let long = format!("/blog/{}/the-end", "x".repeat(300));
        let short = cut(&long, 21);
        assert_eq!(short.chars().count(), 21);
        assert!(
            short.starts_with("/blog/xxxx")
                && short.ends_with("…x/the-end".trim_start_matches('…')),
            "{short}"
        );
        assert_eq!(cut("ééééééé", 5), "éé…éé");
    }

    #[test]
    fn names_from_the_right_do_not_turn_their_neighbours() {
        assert_eq!(isolate("Acme"), "Acme");
        assert_eq!(isolate("متجر"), "\u{2068}متجر\u{2069}");
        assert_eq!(isolate("a\u{202e}b\r\nBcc: c"), "ab Bcc: c");
    }
}
