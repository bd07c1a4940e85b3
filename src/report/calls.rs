//! What can be seen of a template before it is rendered: the calls of our functions and filters with
//! their arguments, and the queries that it names.

use std::ops::Range;

use serde_json::Value;

use super::arguments::{self, Given};

/// A call that cannot work, or a name that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misuse {
    /// The file as a person finds it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in letters.
    pub column: usize,
    /// The line itself.
    pub excerpt: String,
    /// What is wrong, and what there is.
    pub message: String,
}

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

impl Misuse {
    pub(super) fn at(file: &str, text: &str, place: usize, message: String) -> Self {
        let before = &text[..place];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            excerpt: text[start..].lines().next().unwrap_or_default().to_owned(),
            message,
        }
    }
}

/// The wrong calls of a template's text.
pub(super) fn wrong_calls(file: &str, text: &str) -> Vec<Misuse> {
    let found = misused(text).into_iter();
    let found = found.map(|(place, message)| Misuse::at(file, text, place.start, message));
    found.collect()
}

/// Each wrong call with the place of its name, in bytes.
pub(super) fn misused(text: &str) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    for tokens in tags(text) {
        for (at, token) in tokens.iter().enumerate() {
            let is_call = token.is_name() && tokens.get(at + 1).is_some_and(|t| t.is("("));
            let before = at.checked_sub(1).map(|before| &tokens[before]);
            if !is_call || before.is_some_and(|before| before.is(".")) {
                continue;
            }
            let is_filter = before.is_some_and(|before| before.is("|"));
            let signature = if is_filter {
                arguments::filter(token.text)
            } else {
                arguments::function(token.text)
            };
            let (Some(signature), Some(given)) = (signature, given(&tokens[at + 2..])) else {
                continue;
            };
            if let Err(wrong) = signature.check(&given) {
                let message = format!("{}(…): {}", token.text, wrong.what);
                found.push((token.place.clone(), message));
            }
        }
    }
    found
}

/// A query that a template names as `q.NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) place: usize,
}

/// The queries that a template's text names as `q.NAME`.
#[derive(Debug, Default)]
pub(super) struct Queries {
    pub(super) named: Vec<Named>,
    /// Those of which it asks whether they are there (`q.events is defined`, `q.events?.rows`).
    pub(super) asked: Vec<String>,
}

/// The queries of a template's text; none where it calls something else `q`.
pub(super) fn queries(text: &str) -> Queries {
    let mut found = Queries::default();
    for tokens in tags(text) {
        if renames_q(&tokens) {
            return Queries::default();
        }
        for (at, token) in tokens.iter().enumerate() {
            let is_q = token.is("q") && !at.checked_sub(1).is_some_and(|b| tokens[b].is("."));
            let [dot, name, ..] = &tokens[at + 1..] else {
                continue;
            };
            if !is_q || !dot.is(".") || !name.is_name() {
                continue;
            }
            let next = tokens.get(at + 3);
            if next.is_some_and(|next| next.is("is") || next.is("?")) {
                found.asked.push(name.text.to_owned());
            }
            found.named.push(Named {
                name: name.text.to_owned(),
                place: name.place.start,
            });
        }
    }
    found
}

/// `{% set q = … %}` of something else than a website's `q`, or a loop over something else.
fn renames_q(tokens: &[Token<'_>]) -> bool {
    let is_first = |word: &str| tokens.first().is_some_and(|first| first.is(word));
    let of_loop = tokens.iter().take_while(|token| !token.is("in"));
    if is_first("for") {
        return of_loop.into_iter().any(|token| token.is("q"));
    }
    let sets = is_first("set") || is_first("set_global");
    let is_ours = tokens.last().is_some_and(|last| last.is("q")) && tokens.len() > 4;
    sets && tokens.get(1).is_some_and(|name| name.is("q")) && !is_ours
}

/// The arguments of a call, from behind its bracket on. `None`: they are more than names and values.
fn given(tokens: &[Token<'_>]) -> Option<Vec<(String, Given)>> {
    let mut depth = 0_usize;
    let mut parts: Vec<Vec<&Token<'_>>> = vec![Vec::new()];
    for token in tokens {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" if depth == 0 => break,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            "," if depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut()?.push(token);
    }
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.map(|part| argument(&part)).collect()
}

fn argument(tokens: &[&Token<'_>]) -> Option<(String, Given)> {
    let [name, equals, value @ ..] = tokens else {
        return None;
    };
    if !name.is_name() || !equals.is("=") {
        return None;
    }
    let value = match value {
        [one] => one.literal().map_or(Given::Later, Given::Is),
        _ => Given::Later,
    };
    Some((name.text.to_owned(), value))
}

/// A word, a text with its quotes, or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token<'t> {
    text: &'t str,
    place: Range<usize>,
}

impl Token<'_> {
    fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_name(&self) -> bool {
        let first = self.text.chars().next();
        first.is_some_and(|c| c.is_alphabetic() || c == '_')
    }

    /// Its value, where that is a text without escapes or a number.
    fn literal(&self) -> Option<Value> {
        let quoted = self.text.strip_prefix(['"', '\'', '`']);
        match quoted {
            Some(rest) if !rest.contains('\\') => Some(rest[..rest.len().saturating_sub(1)].into()),
            Some(_) => None,
            None => self.text.parse::<u64>().ok().map(Value::from),
        }
    }
}

/// The tokens of each `{{ … }}` and `{% … %}`; not of comments and of what is `raw`.
fn tags(text: &str) -> Vec<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut is_raw = false;
    while let Some(start) = text[at..].find('{').map(|start| at + start) {
        let rest = &text[start..];
        if rest.starts_with("{#") && !is_raw {
            at = rest.find("#}").map_or(text.len(), |end| start + end + 2);
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let close = if rest.starts_with("{{") { "}}" } else { "%}" };
            let (tokens, end) = tokens(text, start + 2, close);
            let is_word = |word: &str| tokens.len() == 1 && tokens[0].is(word);
            let was_raw = is_raw;
            is_raw = (is_raw || is_word("raw")) && !is_word("endraw");
            // Within `raw` only its end counts, so that nothing is skipped over
            at = if was_raw && is_raw { start + 2 } else { end };
            if !was_raw && !is_raw {
                found.push(tokens);
            }
        } else {
            at = start + 1;
        }
    }
    found
}

/// The tokens up to `close` outside of texts and brackets, and where that ends.
fn tokens<'t>(text: &'t str, from: usize, close: &str) -> (Vec<Token<'t>>, usize) {
    let mut found = Vec::new();
    let mut at = from;
    let mut braces = 0_usize;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if braces == 0 && rest.starts_with(close) {
            return (found, at + close.len());
        }
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '"' | '\'' | '`' => text_length(rest, first),
            c if is_part(c) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
            '=' | '!' | '<' | '>' if rest[1..].starts_with('=') => 2,
            c => c.len_utf8(),
        };
        match first {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        // The marks that eat the space around a tag are none of its words
        let is_edge = first == '-' && (at == from || rest[1..].starts_with(close));
        if !first.is_whitespace() && !is_edge {
            let place = at..at + length;
            found.push(Token {
                text: &text[place.clone()],
                place,
            });
        }
        at += length;
    }
    (found, text.len())
}

/// How long a text is with its quotes.
fn text_length(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::embedded::TEMPLATES;

    fn wrong(text: &str) -> Vec<String> {
        let found = wrong_calls("f", text);
        found.iter().map(ToString::to_string).collect()
    }

    /// The queries that a text cannot do without.
    fn needed(text: &str) -> Vec<String> {
        let Queries { named, asked } = queries(text);
        let names = named.into_iter().map(|named| named.name);
        names.filter(|name| !asked.contains(name)).collect()
    }

    #[test]
    fn the_embedded_templates_call_what_there_is_and_name_their_queries() {
        for (path, text) in TEMPLATES {
            assert_eq!(wrong_calls(path, text), []);
        }
        let named = |path: &str| {
            let text = TEMPLATES
                .iter()
                .find(|(known, _)| *known == path)
                .unwrap()
                .1;
            needed(text)
        };
        assert_eq!(
            named("weekly/moved.html"),
            ["pages", "traffic", "countries"]
        );
        assert_eq!(named("weekly/more.html"), Vec::<String>::new(), "it asks");
    }

    #[test]
    fn a_misspelt_argument_has_a_place_and_the_nearest_name() {
        let text = "é\n<p>ü {{ top(qury=q.pages, count=5) }}";
        let found = wrong(text);
        assert_eq!(
            found,
            [
                "f:2:9: top(…): there is no argument `qury`: did you mean `query`? (possible: query, count, of)"
            ]
        );
        let found = wrong("{% if x %}{{ 1 | num(decimls=2) }}{% endif %}");
        assert!(found[0].contains("did you mean `decimals`?"), "{found:?}");
        let found = wrong("{{ change(now=1, before=2, kind=\"rat\") }} {{ span(of=1) }}");
        assert!(
            found[0].contains("use one of count, rate, duration"),
            "{found:?}"
        );
        assert!(found[1].contains("it takes none"), "{found:?}");
        let found = wrong("{{ top(count=5) }}{{ top(query='pages') }}{{ moved(count=3) }}");
        assert!(found[0].contains("it needs `query`"), "{found:?}");
        assert!(found[1].contains("`query` is `\"pages\"`"), "{found:?}");
        assert!(found[2].contains("give one of pages, sources"), "{found:?}");
        let found = wrong(
            "{{ words(key=\"and_more\", m=5) }}{{ words(key='and_more') }}{{ words(key='an_more') }}",
        );
        assert!(found[0].contains("no place `m`"), "{found:?}");
        assert!(found[1].contains("give `n` too"), "{found:?}");
        assert!(found[2].contains("no words `an_more`"), "{found:?}");
    }

    #[test]
    fn what_is_no_call_of_ours_is_left_alone() {
        for text in [
            "{# {{ top(qury=1) }} #}",
            "{% raw %}{{ top(qury=1) }}{% endraw %}",
            "{{ \"{{ top(qury=1) }}\" }}",
            "top(qury=1)",
            "{{ theirs(qury=1) }} {{ x.top(qury=1) }}",
            "{{- top(query=q.pages, count=(1 + 2), of={\"a\": [1, 2]}.a) -}}",
            "{{ words(key=\"a_day_\" ~ metric) }}",
        ] {
            assert_eq!(wrong(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn queries_are_found_where_q_is_theirs() {
        let names = needed;
        assert_eq!(
            names("{{ q.a.rows }}{% if q.b %}x{% endif %} q.c"),
            ["a", "b"]
        );
        assert_eq!(
            names("{% if q.a is defined %}{{ q.a.rows }}{% endif %}"),
            Vec::<String>::new()
        );
        assert_eq!(names("{{ q.a?.rows }}{{ x.q.b }}"), Vec::<String>::new());
        assert_eq!(
            names("{% for q in list %}{{ q.a }}{% endfor %}"),
            Vec::<String>::new()
        );
        assert_eq!(names("{% set q = site.q %}{{ q.a }}"), ["a"]);
    }
}
