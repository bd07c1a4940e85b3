//! `when` of a report: a Tera expression that decides whether its mail is sent.

use std::ops::Range;

use serde_json::Value;
use tera::{Context, ErrorKind, Tera};

use super::{ReportError, calls, filters, functions, range};

/// The expression stands between these.
const AROUND: (&str, &str) = ("{% if ", " %}yes{% endif %}");

/// What would end the expression, or begin something that is none.
const NOT_IN_EXPRESSIONS: [&str; 5] = ["{%", "%}", "{{", "{#", "#}"];

/// A parsed expression.
#[derive(Debug)]
pub struct Condition {
    text: String,
    tera: Tera,
}

/// An expression cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Why.
    pub message: String,
    /// Where, in bytes of the expression.
    pub place: Range<usize>,
}

impl Condition {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Broken> {
        let found = NOT_IN_EXPRESSIONS
            .iter()
            .map(|part| (text.find(part), *part));
        if let Some((at, part)) = found.filter_map(|(at, part)| Some((at?, part))).min() {
            return Err(Broken {
                message: format!("`{part}` is no part of an expression"),
                place: at..at + part.len(),
            });
        }
        let mut tera = Tera::new();
        filters::register(&mut tera);
        functions::register(&mut tera);
        range::register(&mut tera);
        let source = format!("{}{text}{}", AROUND.0, AROUND.1);
        tera.add_raw_template("when", &source)
            .map_err(|error| broken(text, &error))?;
        if let Some((place, message)) = calls::misused(&source).into_iter().next() {
            let before = AROUND.0.len();
            return Err(Broken {
                message,
                place: place.start - before..place.end - before,
            });
        }
        Ok(Self {
            text: text.to_owned(),
            tera,
        })
    }

    /// As the job writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds of what the template sees.
    ///
    /// # Errors
    /// It names what is not there, or compares what cannot be compared.
    pub fn holds(&self, context: &Value) -> Result<bool, ReportError> {
        let mut values = Context::new();
        for (key, value) in context.as_object().into_iter().flatten() {
            values.insert(key.clone(), value);
        }
        let mut tera = self.tera.clone();
        range::register(&mut tera);
        let rendered = tera.render("when", &values);
        let rendered = rendered.map_err(|source| ReportError::When {
            when: self.text.clone(),
            source: Box::new(source),
        })?;
        Ok(!rendered.is_empty())
    }

    /// The queries that it names, each with its place in bytes.
    pub fn queries(&self) -> Vec<(&str, Range<usize>)> {
        let mut found = Vec::new();
        let mut rest = 0;
        while let Some((start, word)) = next_path(&self.text, &mut rest) {
            let mut parts = word.split('.');
            if parts.next() == Some("q")
                && let Some(name) = parts.next().map(|name| name.trim_end_matches('?'))
            {
                let at = start + "q.".len();
                found.push((name, at..at + name.len()));
            }
        }
        found
    }
}

/// The next dotted name outside of quotes, with its place; `from` moves behind it.
fn next_path<'t>(text: &'t str, from: &mut usize) -> Option<(usize, &'t str)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '?');
    loop {
        let rest = &text[*from..];
        let start = *from + rest.find(|c: char| is_part(c) || matches!(c, '"' | '\'' | '`'))?;
        let first = text[start..].chars().next()?;
        if !is_part(first) {
            let after = start + first.len_utf8();
            let end = text[after..]
                .find(first)
                .map_or(text.len(), |at| after + at);
            *from = (end + 1).min(text.len());
            continue;
        }
        let length = text[start..].find(|c| !is_part(c));
        let end = length.map_or(text.len(), |length| start + length);
        *from = end;
        return Some((start, &text[start..end]));
    }
}

/// The place of an error within the expression, however Tera counts.
fn broken(text: &str, error: &tera::Error) -> Broken {
    let (message, range) = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            (report.message().to_owned(), report.span().range.clone())
        }
        _ => (error.to_string(), 0..0),
    };
    let inside = |at: usize| {
        let mut at = at.saturating_sub(AROUND.0.len()).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    // What is missing at the end is missed at the last letter
    let last = text.char_indices().last().map_or(0, |(at, _)| at);
    let start = inside(range.start).min(last);
    Broken {
        message: format!("`when` is no expression: {}", message.to_lowercase()),
        place: start..inside(range.end).max(start),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(text: &str) -> bool {
        let context = json!({ "q": { "summary": { "current": { "visitors": 3 } } } });
        Condition::parse(text).unwrap().holds(&context).unwrap()
    }

    #[test]
    fn an_expression_holds_or_does_not() {
        assert!(holds("q.summary.current.visitors > 2"));
        assert!(!holds("q.summary.current.visitors > 3"));
        assert!(holds("(q.summary.current.visitors | num) == '3'"));
        assert!(holds("not q.summary.current?.sessions"));
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_it() {
        let condition = Condition::parse("q.sumary.current.visitors > 2").unwrap();
        let error = condition
            .holds(&json!({ "q": { "summary": {} } }))
            .unwrap_err();
        assert!(
            error.to_string().contains("q.sumary.current.visitors > 2"),
            "{error}"
        );
    }

    #[test]
    fn a_broken_expression_says_where() {
        for (text, part) in [
            ("q.summary.current.visitors >", ">"),
            ("1 > 0 %}{% include 'x' %}", "%}"),
            ("q.a = 1", "="),
        ] {
            let broken = Condition::parse(text).unwrap_err();
            assert!(text[broken.place.start..].starts_with(part), "{broken:?}");
        }
        let text = "1 > 0 and top(qury=q.pages)";
        let broken = Condition::parse(text).unwrap_err();
        assert_eq!(&text[broken.place.clone()], "top");
        assert!(
            broken.message.contains("did you mean `query`?"),
            "{broken:?}"
        );
    }

    #[test]
    fn the_queries_that_it_names_are_found_outside_of_texts() {
        let condition =
            Condition::parse("q.one.rows | length > 1 and 'q.two' != q.three?.x").unwrap();
        let names: Vec<_> = condition
            .queries()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["one", "three"]);
        let place = condition.queries()[1].1.clone();
        assert_eq!(&condition.text()[place], "three");
    }
}
