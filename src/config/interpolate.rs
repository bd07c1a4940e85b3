//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in string values, after parsing: a value can
//! never change the structure of the YAML.

use std::path::Path;

use serde_yaml::Value;

use super::Environment;

/// Replaces in every string value below `value`; keys stay as they are.
///
/// # Errors
/// In words: which name is missing.
pub(super) fn interpolate(value: &mut Value, env: &Environment, root: &Path) -> Result<(), String> {
    match value {
        Value::String(text) if text.contains("${") => {
            *text = replace(text, env, root)?;
            Ok(())
        }
        Value::Sequence(list) => list.iter_mut().try_for_each(|v| interpolate(v, env, root)),
        Value::Mapping(map) => map
            .iter_mut()
            .try_for_each(|(_, v)| interpolate(v, env, root)),
        _ => Ok(()),
    }
}

fn replace(text: &str, env: &Environment, root: &Path) -> Result<String, String> {
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
            .ok_or_else(|| format!("`${{{after}` lacks its `}}`"))?;
        out.push_str(&value_of(name, env, root)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(name: &str, env: &Environment, root: &Path) -> Result<String, String> {
    if let Some(path) = name.strip_prefix("file:") {
        let text = std::fs::read_to_string(root.join(path));
        return text
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| format!("`${{file:{path}}}` cannot be read: {error}"));
    }
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    match env.get(name).or(default) {
        Some(value) => Ok(value.to_owned()),
        None => Err(format!(
            "the environment has no `{name}`; set it, or write `${{{name}:-default}}`"
        )),
    }
}
