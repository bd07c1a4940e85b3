//! The arguments of what templates can call: what each function and filter takes, and what a wrong
//! argument is told. A misspelt one would otherwise be an empty section in a mail.

use serde_json::Value;
use tera::{Kwargs, State};

use super::{change, lang::Lang, metrics, words};

/// What a function or filter takes.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    arguments: &'static [Argument],
}

#[derive(Debug)]
struct Argument {
    name: &'static str,
    kind: Kind,
    is_required: bool,
}

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `q.NAME`.
    Query,
    /// `q.NAME`, or `{}` for a query that the job lacks.
    QueryOrNone,
    List,
    /// `window` or `previous`.
    Window,
    Text,
    /// A number that an answer may lack: it is then undefined or null.
    Amount,
    /// A whole number from 0.
    Count,
    Whole,
    OneOf(&'static [&'static str]),
}

const fn must(name: &'static str, kind: Kind) -> Argument {
    Argument {
        name,
        kind,
        is_required: true,
    }
}

const fn may(name: &'static str, kind: Kind) -> Argument {
    Argument {
        name,
        kind,
        is_required: false,
    }
}

const QUERY: Argument = must("query", Kind::Query);
const COUNT: Argument = may("count", Kind::Count);
const TITLE: Argument = may("title", Kind::Text);
const ALT: Argument = may("alt", Kind::Text);
const WIDTH: Argument = may("width", Kind::Count);
const HEIGHT: Argument = may("height", Kind::Count);
const WINDOW: Argument = must("window", Kind::Window);

/// Every other argument of `words` fills a place.
const WORDS: &str = "words";

#[rustfmt::skip]
const FUNCTIONS: &[(&str, &[Argument])] = &[
    ("line_chart", &[must("days", Kind::List), TITLE, ALT, WIDTH, HEIGHT]),
    ("bar_chart", &[must("rows", Kind::List), TITLE, ALT, WIDTH]),
    ("sparkline", &[may("values", Kind::List), may("days", Kind::List), TITLE, ALT, WIDTH, HEIGHT]),
    ("change", &[must("now", Kind::Amount), must("before", Kind::Amount), may("kind", Kind::OneOf(&change::KINDS))]),
    ("kpis", &[QUERY]),
    ("headline", &[QUERY, may("sources", Kind::Query)]),
    ("subject", &[must("site", Kind::Text), QUERY]),
    ("ranked", &[must("websites", Kind::List)]),
    ("daily_metric", &[QUERY]),
    ("days", &[QUERY, may("by", Kind::OneOf(&metrics::STANDARD))]),
    ("top", &[QUERY, COUNT, may("of", Kind::Amount)]),
    ("events", &[QUERY, COUNT]),
    ("moved", &[may("pages", Kind::Query), may("sources", Kind::Query), may("countries", Kind::Query), may("devices", Kind::Query), COUNT]),
    ("health", &[may("errors", Kind::QueryOrNone), may("vitals", Kind::QueryOrNone)]),
    ("incomplete", &[]),
    ("failed", &[QUERY]),
    ("legend", &[]),
    ("span", &[]),
    ("span_of", &[WINDOW]),
    ("utc_window", &[WINDOW]),
    (WORDS, &[must("key", Kind::Text)]),
    ("range", &[may("start", Kind::Whole), must("end", Kind::Whole), may("step_by", Kind::Whole)]),
];

const FILTERS: &[(&str, &[Argument])] = &[
    ("num", &[may("decimals", Kind::Count)]),
    ("percent", &[may("decimals", Kind::Count)]),
    ("duration", &[]),
    ("date", &[may("format", Kind::Text)]),
    ("cut", &[may("length", Kind::Count)]),
    ("compact", &[]),
    ("figure", &[]),
    ("instant", &[]),
    ("isolate", &[]),
];

/// The signature of a function that is ours.
pub(super) fn function(name: &str) -> Option<Signature> {
    find(FUNCTIONS, name)
}

/// The signature of a filter that is ours.
pub(super) fn filter(name: &str) -> Option<Signature> {
    find(FILTERS, name)
}

fn find(table: &[(&'static str, &'static [Argument])], name: &str) -> Option<Signature> {
    let (name, arguments) = table.iter().find(|(known, _)| *known == name)?;
    Some(Signature { name, arguments })
}

/// An argument as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    Is(Value),
    /// An expression over something that is not there.
    Undefined,
    /// An expression that has a value only when the template is rendered.
    Later,
}

impl Signature {
    /// The arguments of a call.
    ///
    /// # Errors
    /// The first that is wrong, and what there is.
    pub(super) fn read(&self, kwargs: &Kwargs, state: &State<'_>) -> Result<Value, String> {
        let mut values = serde_json::Map::new();
        let mut given = Vec::new();
        for (key, value) in kwargs.iter() {
            let name = key.to_string();
            if value.is_undefined() {
                given.push((name, Given::Undefined));
                continue;
            }
            let json = serde_json::to_value(value).map_err(|e| format!("`{name}`: {e}"))?;
            values.insert(name.clone(), json.clone());
            given.push((name, Given::Is(json)));
        }
        self.check(&given).map_err(|wrong| wrong.told(state))?;
        Ok(Value::Object(values))
    }

    /// What is wrong with a call, as far as it is known.
    pub(super) fn check(&self, given: &[(String, Given)]) -> Result<(), Wrong> {
        for (name, value) in given {
            match self.arguments.iter().find(|known| known.name == name) {
                Some(argument) => argument.check(value)?,
                None if self.name == WORDS => {}
                None => return Err(Wrong::of(self.unknown(name))),
            }
        }
        let is_given = |name: &str| given.iter().any(|(given, _)| given == name);
        let lacking = |known: &&Argument| known.is_required && !is_given(known.name);
        if let Some(lacking) = self.arguments.iter().find(lacking) {
            let wants = lacking.kind.wants();
            return Err(Wrong::of(format!("it needs `{}`: {wants}", lacking.name)));
        }
        match self.name {
            WORDS => check_places(given),
            "sparkline" | "moved" => self.check_any(given),
            _ => Ok(()),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.arguments.iter().map(|known| known.name).collect();
        if names.is_empty() {
            return format!("there is no argument `{name}`: it takes none");
        }
        let all = names.join(", ");
        match nearest(name, &names) {
            Some(likest) => {
                format!("there is no argument `{name}`: did you mean `{likest}`? (possible: {all})")
            }
            None => format!("there is no argument `{name}` (possible: {all})"),
        }
    }

    /// Of several arguments with data one at least is there.
    fn check_any(&self, given: &[(String, Given)]) -> Result<(), Wrong> {
        let data: Vec<&str> = self
            .arguments
            .iter()
            .filter(|known| matches!(known.kind, Kind::Query | Kind::List))
            .map(|known| known.name)
            .collect();
        let is_data = |(name, value): &(String, Given)| {
            data.contains(&name.as_str()) && *value != Given::Is(Value::Null)
        };
        if given.iter().any(is_data) {
            return Ok(());
        }
        let data = data.join(", ");
        Err(Wrong::of(format!(
            "it has nothing to show: give one of {data}"
        )))
    }
}

impl Argument {
    fn check(&self, given: &Given) -> Result<(), Wrong> {
        let name = self.name;
        match given {
            Given::Later => Ok(()),
            Given::Undefined | Given::Is(Value::Null) if self.kind == Kind::Amount => Ok(()),
            Given::Is(Value::Null) if !self.is_required => Ok(()),
            Given::Undefined => Err(Wrong {
                what: format!("`{name}` is not there: {}", self.kind.wants()),
                wants_query: matches!(self.kind, Kind::Query | Kind::QueryOrNone),
            }),
            Given::Is(value) => self
                .kind
                .check(value)
                .map_err(|is| Wrong::of(format!("`{name}` is {is}: {}", self.kind.wants()))),
        }
    }
}

impl Kind {
    /// What to give.
    fn wants(self) -> String {
        match self {
            Self::Query => "give a query, as `q.summary`".to_owned(),
            Self::QueryOrNone => {
                "give a query, as `q.errors`, or `{}` where there may be none".to_owned()
            }
            Self::List => "give a list".to_owned(),
            Self::Window => "give `window`, or `previous` where it is not null".to_owned(),
            Self::Text => "give a text".to_owned(),
            Self::Amount => "give a number".to_owned(),
            Self::Count => "give a whole number from 0".to_owned(),
            Self::Whole => "give a whole number".to_owned(),
            Self::OneOf(words) => format!("use one of {}", words.join(", ")),
        }
    }

    /// What the value is instead.
    fn check(self, value: &Value) -> Result<(), String> {
        let is_query = |value: &Value| value["rows"].is_array() || !value["failed"].is_null();
        let is_none = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        let fits = match self {
            Self::Query => is_query(value),
            Self::QueryOrNone => is_query(value) || is_none(value),
            Self::List => value.is_array(),
            Self::Window => value["start"].is_string() && value["end"].is_string(),
            Self::Text => value.is_string(),
            Self::Amount => super::rows::number(value).is_some(),
            Self::Count => value.is_u64(),
            Self::Whole => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        };
        if fits { Ok(()) } else { Err(named(value)) }
    }
}

/// What is wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    /// The names of the queries help.
    wants_query: bool,
}

impl Wrong {
    fn of(what: String) -> Self {
        Self {
            what,
            wants_query: false,
        }
    }

    /// With the queries that a template has at this place.
    fn told(self, state: &State<'_>) -> String {
        let queries: Option<tera::Value> = state.get("q").ok().flatten();
        let names = queries.as_ref().and_then(tera::Value::as_map);
        match names {
            Some(names) if self.wants_query => {
                let names: Vec<String> = names.keys().map(ToString::to_string).collect();
                format!("{} (`q` has {})", self.what, names.join(", "))
            }
            _ => self.what,
        }
    }
}

/// The other arguments of `words` are the places of its key, all of them.
fn check_places(given: &[(String, Given)]) -> Result<(), Wrong> {
    let key = given.iter().find(|(name, _)| name == "key");
    let Some((_, Given::Is(Value::String(key)))) = key else {
        return Ok(());
    };
    // No language has a place that English lacks
    let text = words::words(Lang::En, key).map_err(Wrong::of)?;
    let places = words::places(text);
    let listed = || places.iter().copied().collect::<Vec<_>>().join(", ");
    for (name, value) in given.iter().filter(|(name, _)| name != "key") {
        if !places.contains(name.as_str()) {
            return Err(Wrong::of(format!(
                "`{key}` has no place `{name}` in “{text}” (possible: {})",
                listed()
            )));
        }
        if matches!(value, Given::Undefined | Given::Is(Value::Null)) {
            let what = format!("`{name}` is not there, and `{key}` is “{text}”");
            return Err(Wrong::of(what));
        }
    }
    let lacks = |place: &&&str| given.iter().all(|(name, _)| name != **place);
    match places.iter().find(lacks) {
        Some(place) => Err(Wrong::of(format!(
            "`{key}` is “{text}”: give `{place}` too"
        ))),
        None => Ok(()),
    }
}

/// A value in a message: short.
fn named(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(map) if map.is_empty() => "empty".to_owned(),
        Value::Object(map) => {
            let keys: Vec<&str> = map.keys().map(String::as_str).take(8).collect();
            format!("something with {}", keys.join(", "))
        }
        value => format!("`{}`", super::filters::cut(&value.to_string(), 40)),
    }
}

fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let likeness = |known: &&'a str| (strsim::jaro_winkler(known, &word.to_lowercase()), *known);
    let alike = words.iter().map(likeness).filter(|(like, _)| *like > 0.7);
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, w)| w)
}
