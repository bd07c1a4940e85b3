//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in string values, after parsing: a value can
//! never change the structure of the YAML.

use std::path::Path;

use serde_json::Value;

use super::{Environment, finding::Finding, spans::escape};

/// What interpolation found out.
#[derive(Debug, Default)]
pub(super) struct Interpolated {
    /// Names that are missing, files that cannot be read.
    pub(super) findings: Vec<Finding>,
    /// Values that came from the environment or a file: never shown in messages.
    pub(super) hidden: Vec<String>,
}

/// Replaces in every string value below `value`; keys stay as they are.
pub(super) fn interpolate(value: &mut Value, env: &Environment, root: &Path) -> Interpolated {
    let mut done = Interpolated::default();
    below(value, "", env, root, &mut done);
    done
}

fn below(
    value: &mut Value,
    pointer: &str,
    env: &Environment,
    root: &Path,
    done: &mut Interpolated,
) {
    match value {
        Value::String(text) if text.contains("${") => {
            match replace(text, env, root, &mut done.hidden) {
                Ok(new) => *text = new,
                Err((message, hint)) => done.findings.push(Finding::value(pointer, message, hint)),
            }
        }
        Value::Array(list) => {
            for (place, value) in list.iter_mut().enumerate() {
                below(value, &format!("{pointer}/{place}"), env, root, done);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                below(
                    value,
                    &format!("{pointer}/{}", escape(key)),
                    env,
                    root,
                    done,
                );
            }
        }
        _ => {}
    }
}

type Wrong = (String, Option<String>);

fn replace(
    text: &str,
    env: &Environment,
    root: &Path,
    hidden: &mut Vec<String>,
) -> Result<String, Wrong> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (name, tail) = after
            .split_once('}')
            .ok_or_else(|| (format!("`${{{after}` lacks its `}}`"), None))?;
        out.push_str(&value_of(name, env, root, hidden)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(
    name: &str,
    env: &Environment,
    root: &Path,
    hidden: &mut Vec<String>,
) -> Result<String, Wrong> {
    if let Some(path) = name.strip_prefix("file:") {
        let text = std::fs::read_to_string(root.join(path))
            .map_err(|error| (format!("`{path}` cannot be read: {error}"), None))?;
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        hidden.push(text.clone());
        return Ok(text);
    }
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    match (env.get(name), default) {
        (Some(value), _) => {
            hidden.push(value.to_owned());
            Ok(value.to_owned())
        }
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment has no `{name}`"),
            Some(format!("set it, or write `${{{name}:-default}}`")),
        )),
    }
}

/// The text with every hidden value as `***`.
pub(super) fn redact(text: &str, hidden: &[String]) -> String {
    let mut text = text.to_owned();
    for value in hidden.iter().filter(|value| !value.is_empty()) {
        text = text.replace(value.as_str(), "***");
    }
    text
}
