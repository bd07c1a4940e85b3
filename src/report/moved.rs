//! What moved: the rows that added or took most since the window before.

use serde_json::{Value, json};

use super::{
    change::{Change, Kind},
    lang::Lang,
    rows::{Named, Names},
    words::say,
};

/// Smaller rows are noise.
const LEAST: f64 = 10.0;
/// A change of less, in parts of the number before, is no news.
const LEAST_SHARE: f64 = 0.2;

/// Where rows come from, as the key of their words: `kind_page`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Page,
    Source,
    Country,
    Device,
}

impl Place {
    /// The arguments of `moved(…)`.
    pub(super) const ALL: [(&'static str, Self); 4] = [
        ("pages", Self::Page),
        ("sources", Self::Source),
        ("countries", Self::Country),
        ("devices", Self::Device),
    ];

    fn key(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Source => "source",
            Self::Country => "country",
            Self::Device => "device",
        }
    }
}

/// A row that moved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Move {
    pub(super) place: Place,
    pub(super) row: Named,
    /// At least so much: a row that one answer lacks counts as that answer's smallest.
    pub(super) difference: f64,
}

impl Move {
    pub(super) fn to_value(&self, names: Names<'_>) -> Value {
        let lang = names.lang;
        let (now, before) = (self.row.now, self.row.before);
        let badge = match (now, before) {
            (Some(_), None) => "new_in_top",
            (None, _) => "gone",
            _ => "",
        };
        let words = if badge.is_empty() {
            String::new()
        } else {
            say(lang, badge, &[])
        };
        let shown = |value: Option<f64>| lang.figure(value.unwrap_or_default());
        let kind = format!("kind_{}", self.place.key());
        json!({
            "kind": self.place.key(), "label": say(lang, &kind, &[]), "name": self.row.name,
            "now": now, "before": before, "difference": self.difference, "badge": words,
            "numbers": say(lang, "moved_from_to", &[("before", &shown(before)), ("now", &shown(now))]),
            "change": self.change(lang),
        })
    }

    /// In percent only where both windows have the row.
    fn change(&self, lang: Lang) -> Value {
        let change = Change::between(
            lang,
            Some(self.row.now.unwrap_or(0.0)),
            Some(self.row.before.unwrap_or(0.0)),
            Kind::Count,
        );
        if self.row.now.is_some() && self.row.before.is_some() {
            return change.to_value();
        }
        let size = change.difference.unwrap_or_default().abs();
        let words = say(lang, change.direction, &[("n", &lang.figure(size))]);
        Change {
            words,
            percent: None,
            ..change
        }
        .to_value()
    }
}

/// The moves of some lists, the largest first.
pub(super) fn moves(lists: &[(Place, &Value)], names: Names<'_>) -> Vec<Move> {
    let mut found: Vec<Move> = lists
        .iter()
        .flat_map(|(place, query)| of_list(*place, query, names))
        .collect();
    found.sort_by(|a, b| {
        let by_size = b.difference.abs().total_cmp(&a.difference.abs());
        by_size.then_with(|| a.row.name.cmp(&b.row.name))
    });
    found
}

fn of_list(place: Place, query: &Value, names: Names<'_>) -> Vec<Move> {
    let (rows, has_before) = names.joined(query);
    if !has_before || !query["failed"].is_null() {
        return Vec::new();
    }
    let (least_now, least_before) = unseen(query, &rows);
    let moved = rows.into_iter().filter_map(|row| {
        let now = row.now.unwrap_or(least_now);
        let before = row.before.unwrap_or(least_before);
        let difference = now - before;
        let is_news = now.max(before) >= LEAST
            && difference.abs() >= before * LEAST_SHARE
            && difference != 0.0;
        // A row that only one answer has, and that may just have crossed its end, has not moved
        let is_sure =
            (row.now.is_some() || difference < 0.0) && (row.before.is_some() || difference > 0.0);
        let is_own = place == Place::Source && names.is_own_pages(&row.name);
        (is_news && is_sure && !is_own).then_some(Move {
            place,
            row,
            difference,
        })
    });
    moved.collect()
}

/// What a row has at most that an answer lacks: nothing, unless both answers end at the same number
/// of rows, which a limit makes. Then it is the answer's smallest.
fn unseen(query: &Value, rows: &[Named]) -> (f64, f64) {
    let count = |key: &str| query[key].as_array().map_or(0, Vec::len);
    if count("rows") != count("previous_rows") || count("rows") < 10 {
        return (0.0, 0.0);
    }
    let least = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::min).unwrap_or_default();
    (
        least(&mut rows.iter().filter_map(|row| row.now)),
        least(&mut rows.iter().filter_map(|row| row.before)),
    )
}

/// The row that explains at least half of a change of the whole.
pub(super) fn driver(query: &Value, names: Names<'_>, difference: f64) -> Option<Move> {
    let moves = moves(&[(Place::Source, query)], names);
    let mut same_way = moves
        .into_iter()
        .filter(|m| m.difference.signum() == difference.signum());
    same_way
        .next()
        .filter(|m| m.difference.abs() >= difference.abs() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names {
        lang: Lang::En,
        domain: "acme.test",
    };

    fn list(now: &[(&str, u32)], before: &[(&str, u32)]) -> Value {
        let rows = |rows: &[(&str, u32)]| -> Value {
            rows.iter()
                .map(|(name, n)| json!({ "source": name, "visitors": n }))
                .collect()
        };
        json!({ "rows": rows(now), "previous_rows": rows(before) })
    }

    fn names(moves: &[Move]) -> Vec<&str> {
        moves.iter().map(|m| m.row.name.as_str()).collect()
    }

    #[test]
    fn what_moved_is_ranked_by_how_much_it_added_or_took() {
        let query = list(
            &[("hn", 150), ("google", 200), ("small", 9), ("steady", 110)],
            &[("google", 300), ("gone", 40), ("small", 1), ("steady", 100)],
        );
        let moves = moves(&[(Place::Source, &query)], NAMES);
        assert_eq!(names(&moves), ["hn", "google", "gone"]);
        let first = moves[0].to_value(NAMES);
        assert_eq!(
            (&first["badge"], &first["numbers"]),
            (&json!("new in the top"), &json!("from 0 to 150"))
        );
        assert_eq!(first["change"]["text"], "▲ up 150");
        assert_eq!(moves[2].to_value(NAMES)["badge"], "gone from the top");
        assert_eq!(
            moves[1].to_value(NAMES)["change"]["text"],
            "▼ down 100 (−33%)"
        );
    }

    #[test]
    fn without_a_window_before_nothing_moved() {
        let query = json!({ "rows": [{ "source": "hn", "visitors": 150 }], "previous_rows": null });
        assert_eq!(moves(&[(Place::Source, &query)], NAMES), []);
    }

    #[test]
    fn a_row_that_crossed_the_end_of_a_limited_answer_has_moved_no_further_than_that() {
        let common: Vec<(String, u32)> = (0..9).map(|n| (format!("s{n}"), 100)).collect();
        let with = |name: &'static str, n| {
            let mut rows: Vec<(&str, u32)> =
                common.iter().map(|(name, n)| (name.as_str(), *n)).collect();
            rows.push((name, n));
            rows
        };
        let found = moves(
            &[(Place::Source, &list(&with("came", 90), &with("went", 80)))],
            NAMES,
        );
        assert_eq!(names(&found), Vec::<&str>::new(), "from at most 80 to 90");
        let found = moves(
            &[(Place::Source, &list(&with("came", 95), &with("went", 20)))],
            NAMES,
        );
        assert_eq!((names(&found), found[0].difference), (vec!["came"], 75.0));
    }

    #[test]
    fn the_website_itself_is_no_news_and_a_driver_explains_half() {
        let query = list(
            &[("https://acme.test", 500), ("hn", 100)],
            &[("https://acme.test", 100), ("hn", 1)],
        );
        assert_eq!(names(&moves(&[(Place::Source, &query)], NAMES)), ["hn"]);
        assert_eq!(driver(&query, NAMES, 150.0).unwrap().row.name, "hn");
        assert_eq!(driver(&query, NAMES, 300.0), None);
        assert_eq!(driver(&query, NAMES, -50.0), None);
    }
}
