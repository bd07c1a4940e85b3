//! How a number changed, in words that say only what the numbers carry.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::{lang::Lang, words::say};

/// Below this many in both windows a percentage says nothing.
pub(super) const FEW: f64 = 30.0;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Count,
    /// Percent, 0 to 100: it changes in points.
    Rate,
    /// Seconds.
    Duration,
}

/// The names of the kinds, as a template writes them.
pub(super) const KINDS: [&str; 3] = ["count", "rate", "duration"];

impl Kind {
    /// As a template names it, one of `KINDS`; a count without a name.
    pub(super) fn of(name: Option<&str>) -> Self {
        match name {
            Some("rate") => Self::Rate,
            Some("duration") => Self::Duration,
            _ => Self::Count,
        }
    }

    pub(super) fn show(self, lang: Lang, value: f64) -> String {
        match self {
            Self::Count => lang.num(value),
            Self::Rate => lang.percent(value, 1),
            Self::Duration => lang.duration(value),
        }
    }
}

/// A change from one window to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// `up`, `down`, `same`, or `unknown` without a number before.
    pub(super) direction: &'static str,
    pub(super) words: String,
    /// `+14%`, `+150`, `new`, or nothing.
    pub(super) short: String,
    pub(super) difference: Option<f64>,
    pub(super) percent: Option<f64>,
}

impl Change {
    /// The percentage is absent where it says nothing: from zero, of rates, and of small numbers.
    pub(super) fn between(lang: Lang, now: Option<f64>, before: Option<f64>, kind: Kind) -> Self {
        let (Some(now), Some(before)) = (now, before) else {
            return Self {
                direction: "unknown",
                words: String::new(),
                short: String::new(),
                difference: None,
                percent: None,
            };
        };
        let difference = now - before;
        // Two numbers that read alike have not changed
        let is_same = kind.show(lang, now) == kind.show(lang, before);
        let direction = match difference.partial_cmp(&0.0) {
            _ if is_same => "same",
            Some(Ordering::Greater) => "up",
            Some(Ordering::Less) => "down",
            _ => "same",
        };
        let says_much = kind == Kind::Count && before > 0.0 && (now >= FEW || before >= FEW);
        let percent = says_much.then(|| difference / before * 100.0);
        let change = Self {
            direction,
            words: String::new(),
            short: String::new(),
            difference: Some(difference),
            percent,
        };
        Self {
            words: change.in_words(lang, now, before, kind),
            short: change.in_short(lang, before, kind),
            ..change
        }
    }

    fn in_words(&self, lang: Lang, now: f64, before: f64, kind: Kind) -> String {
        let size = (now - before).abs();
        let how_much = |n: &str| say(lang, self.direction, &[("n", n)]);
        match kind {
            _ if self.direction == "same" => say(lang, "same", &[]),
            Kind::Rate => how_much(&say(lang, "points", &[("n", &lang.decimal(size, 1))])),
            Kind::Duration => how_much(&lang.duration(size)),
            Kind::Count if before == 0.0 => say(lang, "from_none", &[("n", &lang.figure(now))]),
            Kind::Count => {
                let by = self
                    .percent
                    .map(|percent| format!(" ({})", signed(lang, percent)));
                how_much(&lang.figure(size)) + &by.unwrap_or_default()
            }
        }
    }

    fn in_short(&self, lang: Lang, before: f64, kind: Kind) -> String {
        let Some(difference) = self.difference else {
            return String::new();
        };
        let sign = if difference < 0.0 { "−" } else { "+" };
        let size = difference.abs();
        match (kind, self.percent) {
            _ if self.direction == "same" => "=".to_owned(),
            (Kind::Count, Some(percent)) => signed(lang, percent),
            (Kind::Count, None) if before == 0.0 => say(lang, "new", &[]),
            (Kind::Count, None) => format!("{sign}{}", lang.figure(size)),
            (Kind::Rate, _) => format!(
                "{sign}{}",
                say(lang, "points", &[("n", &lang.decimal(size, 1))])
            ),
            (Kind::Duration, _) => format!("{sign}{}", lang.duration(size)),
        }
    }

    fn arrow(&self) -> &'static str {
        match self.direction {
            "up" => "▲",
            "down" => "▼",
            _ => "",
        }
    }

    /// Whether it is good news, where that is known.
    pub(super) fn is_good(&self, more_is_good: Option<bool>) -> Option<bool> {
        match (self.direction, more_is_good) {
            ("up", Some(good)) => Some(good),
            ("down", Some(good)) => Some(!good),
            _ => None,
        }
    }

    /// As templates see it.
    pub(super) fn to_value(&self) -> Value {
        let text = format!("{} {}", self.arrow(), self.words);
        json!({
            "text": text.trim(), "words": self.words, "short": self.short, "arrow": self.arrow(),
            "direction": self.direction, "difference": self.difference, "percent": self.percent,
        })
    }
}

/// `+14%`, `−8%`, `+0.4%`; beyond tenfold the number itself says more than a percentage.
pub(super) fn signed(lang: Lang, percent: f64) -> String {
    let sign = if percent < 0.0 { "−" } else { "+" };
    match percent.abs() {
        size if size < 0.05 => format!("{sign}<{}", lang.percent(0.1, 1)),
        size if size < 0.5 => format!("{sign}{}", lang.percent(size, 1)),
        size if size >= 999.5 => format!("{sign}>{}", lang.percent(999.0, 0)),
        size => format!("{sign}{}", lang.percent(size, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(now: f64, before: f64, kind: Kind) -> Change {
        Change::between(Lang::En, Some(now), Some(before), kind)
    }

    fn text(now: f64, before: f64, kind: Kind) -> String {
        change(now, before, kind).to_value()["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_change_says_direction_size_and_share_where_it_means_something() {
        assert_eq!(text(1219.0, 1069.0, Kind::Count), "▲ up 150 (+14%)");
        assert_eq!(text(920.0, 1000.0, Kind::Count), "▼ down 80 (−8%)");
        assert_eq!(text(1001.0, 1000.0, Kind::Count), "▲ up 1 (+0.1%)");
        assert_eq!(text(5e9, 50.0, Kind::Count), "▲ up 5bn (+>999%)");
        assert_eq!(text(10.0, 20.0, Kind::Count), "▼ down 10");
        assert_eq!(text(5.0, 0.0, Kind::Count), "▲ new: 5 from none");
        assert_eq!(text(7.5, 9.0, Kind::Rate), "▼ down 1.5 points");
        assert_eq!(text(80.0, 20.0, Kind::Duration), "▲ up 1 m 0 s");
        assert_eq!(text(3.0, 3.0, Kind::Count), "no change");
        assert_eq!(text(40.01, 40.02, Kind::Rate), "no change");
        let unknown = Change::between(Lang::En, Some(3.0), None, Kind::Count);
        assert_eq!(unknown.to_value()["text"], "");
    }

    #[test]
    fn where_there_is_little_room_it_is_short() {
        assert_eq!(change(1219.0, 1069.0, Kind::Count).short, "+14%");
        assert_eq!(change(12.0, 20.0, Kind::Count).short, "−8");
        assert_eq!(change(12.0, 0.0, Kind::Count).short, "new");
        assert_eq!(change(7.5, 9.0, Kind::Rate).short, "−1.5 points");
    }

    #[test]
    fn other_languages_write_it_their_way() {
        let of = |lang| Change::between(lang, Some(2219.0), Some(1069.0), Kind::Count).words;
        assert_eq!(of(Lang::De), "plus 1.150 (+108\u{a0}%)");
        assert_eq!(of(Lang::Fr), "en hausse de 1\u{a0}150 (+108\u{a0}%)");
    }

    #[test]
    fn more_bounces_are_bad_news() {
        let more = change(45.0, 40.0, Kind::Rate);
        assert_eq!(more.is_good(Some(false)), Some(false));
        assert_eq!(more.is_good(None), None);
    }
}
