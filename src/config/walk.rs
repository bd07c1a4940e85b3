//! The schema against a value: every finding in one pass. It knows just the keywords that schemars
//! writes for the keys of this program.

use serde_json::{Map, Value};

use super::{
    check::{self, nearest, suggest},
    finding::Finding,
    spans::{At, escape},
};

/// Checks `value` against `schema`.
pub(super) fn walk(schema: &Value, value: &Value) -> Vec<Finding> {
    let mut walk = Walk {
        root: schema,
        found: Vec::new(),
    };
    walk.check(schema, value, "");
    walk.found
}

struct Walk<'a> {
    root: &'a Value,
    found: Vec<Finding>,
}

/// Resolves `$ref` and the single `allOf` that schemars writes around one with a description.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    while let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(pointer.trim_start_matches('#'));
        schema = target.expect("schemars defines what it refers to");
    }
    schema
}

/// The alternatives of a schema, without `null`.
pub(super) fn alternatives<'a>(root: &'a Value, schema: &'a Value) -> Option<Vec<&'a Value>> {
    let list = schema.get("anyOf").or_else(|| schema.get("oneOf"))?;
    let list = list.as_array()?.iter().map(|s| resolve(root, s));
    // An optional value with alternatives has them one level down
    let flat = list
        .filter(|s| s["type"] != "null")
        .flat_map(|s| match alternatives(root, s) {
            Some(inner) if words(root, s).is_empty() => inner,
            _ => vec![s],
        });
    Some(flat.collect())
}

/// The JSON types that a schema allows.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The words of an enumeration, however schemars wrote it; empty where it is none.
pub(super) fn words<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let schema = resolve(root, schema);
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![word];
    }
    if let Some(Value::Array(list)) = schema.get("enum") {
        return list.iter().filter_map(Value::as_str).collect();
    }
    let Some(list) = alternatives(root, schema) else {
        return Vec::new();
    };
    let each: Vec<Vec<&str>> = list.into_iter().map(|s| words(root, s)).collect();
    if each.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    each.into_iter().flatten().collect()
}

impl<'a> Walk<'a> {
    fn check(&mut self, schema: &'a Value, value: &Value, pointer: &str) {
        let schema = resolve(self.root, schema);
        if is_optional(schema) && value.is_null() {
            return;
        }
        let choices = words(self.root, schema);
        if !choices.is_empty() {
            return self.choice(&choices, value, pointer);
        }
        if let Some(list) = alternatives(self.root, schema) {
            return self.one_of(&list, value, pointer);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|kind| is(kind, value)) {
            return self.wrong_type(&types, value, pointer);
        }
        match value {
            Value::Object(map) => self.object(schema, map, pointer),
            Value::Array(list) => self.list(schema, list, pointer),
            Value::Number(number) => {
                self.range(schema, number.as_f64().unwrap_or(f64::NAN), pointer);
            }
            Value::String(text) => self.format(schema, text, pointer),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn push(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    fn wrong_type(&mut self, types: &[&str], value: &Value, pointer: &str) {
        let wanted: Vec<&str> = types
            .iter()
            .filter(|kind| **kind != "null")
            .map(|kind| kind_name(kind))
            .collect();
        let wanted = wanted.join(" or ");
        let hint = match value {
            Value::String(text) if wanted.contains("number") && text.parse::<f64>().is_ok() => {
                Some(format!("remove the quotes: {text}"))
            }
            Value::String(_) if wanted.starts_with("a list") => {
                Some("write a list: [one, two]".to_owned())
            }
            Value::Number(_) | Value::Bool(_) if types.contains(&"string") => {
                Some(format!("put it in quotes: \"{value}\""))
            }
            _ => None,
        };
        let message = format!(
            "{} must be {wanted}, this is {}",
            name(pointer),
            kind(value)
        );
        self.push(Finding::value(pointer, message, hint));
    }

    fn choice(&mut self, choices: &[&str], value: &Value, pointer: &str) {
        let Value::String(text) = value else {
            let message = format!("{} must be a word, this is {}", name(pointer), kind(value));
            let hint = format!("possible: {}", choices.join(", "));
            return self.push(Finding::value(pointer, message, Some(hint)));
        };
        if choices.contains(&text.as_str()) {
            return;
        }
        let message = format!("{} cannot be `{}`", name(pointer), text.escape_debug());
        let hint = suggest(text, choices.iter().copied());
        self.push(Finding::value(pointer, message, Some(hint)));
    }

    /// The alternatives are told apart by the JSON type of the value; of several, the one with the
    /// fewest findings speaks.
    fn one_of(&mut self, list: &[&'a Value], value: &Value, pointer: &str) {
        let fits = |schema: &&&'a Value| {
            let types = types(schema);
            types.iter().any(|kind| is(kind, value))
                || (types.is_empty() && value.is_string() && !words(self.root, schema).is_empty())
        };
        let fitting: Vec<&'a Value> = list.iter().filter(fits).copied().collect();
        let best = fitting
            .into_iter()
            .map(|schema| {
                let mut walk = Walk {
                    root: self.root,
                    found: Vec::new(),
                };
                walk.check(schema, value, pointer);
                walk.found
            })
            .min_by_key(Vec::len);
        if let Some(found) = best {
            return self.found.extend(found);
        }
        let mut wanted: Vec<String> = Vec::new();
        for schema in list {
            match words(self.root, schema).as_slice() {
                [] => wanted.extend(types(schema).iter().map(|kind| kind_name(kind).to_owned())),
                choices => wanted.extend(choices.iter().map(|word| format!("`{word}`"))),
            }
        }
        let message = format!(
            "{} must be {}, this is {}",
            name(pointer),
            wanted.join(" or "),
            kind(value)
        );
        self.push(Finding::value(pointer, message, None));
    }

    fn list(&mut self, schema: &'a Value, list: &[Value], pointer: &str) {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        if (list.len() as u64) < least {
            let message = format!("{} is empty: name at least {least}", name(pointer));
            self.push(Finding::value(pointer, message, None));
        }
        let most = schema.get("maxItems").and_then(Value::as_u64);
        if let Some(most) = most.filter(|most| list.len() as u64 > *most) {
            let message = format!(
                "{} has {} entries, at most {most} are possible",
                name(pointer),
                list.len()
            );
            self.push(Finding::value(pointer, message, None));
        }
        if let Some(items) = schema.get("items") {
            for (place, value) in list.iter().enumerate() {
                self.check(items, value, &format!("{pointer}/{place}"));
            }
        }
    }

    fn range(&mut self, schema: &Value, number: f64, pointer: &str) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let (low, high) = (
            bound("minimum"),
            bound("maximum").unwrap_or(f64::from(u32::MAX)),
        );
        if low.is_some_and(|low| number < low) || number > high {
            let low = low.unwrap_or(0.0);
            let message = format!("{} must lie between {low} and {high}", name(pointer));
            self.push(Finding::value(pointer, message, None));
        }
    }

    fn format(&mut self, schema: &Value, text: &str, pointer: &str) {
        let Some(format) = schema.get("format").and_then(Value::as_str) else {
            return;
        };
        if let Err(bad) = check::format(format, text) {
            self.push(Finding {
                part: bad.part.map(|part| (text.to_owned(), part)),
                ..Finding::value(pointer, bad.message, bad.hint)
            });
        }
    }

    fn object(&mut self, schema: &'a Value, map: &Map<String, Value>, pointer: &str) {
        let none = Map::new();
        let keys = schema.get("properties").and_then(Value::as_object);
        let alias_of = |key: &str| {
            let entry = keys?.iter().find(|(_, schema)| schema["x-alias"] == key);
            entry.map(|(real, _)| real.as_str())
        };
        let free: Vec<&str> = keys
            .unwrap_or(&none)
            .keys()
            .map(String::as_str)
            .filter(|key| !map.contains_key(*key))
            .collect();
        let required = schema.get("required").and_then(Value::as_array);
        let mut missing: Vec<&str> = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|key| !map.keys().any(|k| k == key || alias_of(k) == Some(key)))
            .collect();
        let others = schema.get("additionalProperties");
        for (key, value) in map {
            let below = format!("{pointer}/{}", escape(key));
            let known = alias_of(key).unwrap_or(key);
            match (keys.and_then(|keys| keys.get(known)), others) {
                (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                    self.check(schema, value, &below);
                }
                (None, _) if keys.is_none() => {}
                (None, _) if key == "<<" => {
                    missing.clear();
                    let hint =
                        "repeat the keys; a whole value can be shared with `&name` and `*name`";
                    let message = "merge keys (`<<`) are not part of YAML 1.2 and are not read";
                    self.push(Finding::at(&below, At::Key, message, Some(hint.to_owned())));
                }
                (None, _) => {
                    if let Some(meant) = self.unknown_key(key, &free, &below) {
                        // Go on below it as if it were spelt right
                        missing.retain(|key| *key != meant);
                        let schema = keys.and_then(|keys| keys.get(meant));
                        self.check(
                            schema.expect("a free key is one of the keys"),
                            value,
                            &below,
                        );
                    }
                }
            }
        }
        for key in missing {
            let hint = self.example(keys.and_then(|keys| keys.get(key)), key);
            let whole = if pointer.is_empty() {
                "the file".to_owned()
            } else {
                format!("this entry of {}", name(pointer))
            };
            let message = format!("{whole} lacks `{key}`");
            self.push(Finding {
                is_missing_key: true,
                ..Finding::at(pointer, At::Head, message, hint)
            });
        }
    }

    fn unknown_key<'k>(&mut self, key: &str, free: &[&'k str], pointer: &str) -> Option<&'k str> {
        let meant = nearest(key, free.iter().copied());
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if free.is_empty() => "no further key is possible here".to_owned(),
            None => format!("possible here: {}", free.join(", ")),
        };
        let message = format!("unknown key `{}`", key.escape_debug());
        self.push(Finding::at(pointer, At::Key, message, Some(hint)));
        meant
    }

    fn example(&self, schema: Option<&'a Value>, key: &str) -> Option<String> {
        let schema = schema?;
        let example = schema
            .pointer("/examples/0")
            .or_else(|| resolve(self.root, schema).pointer("/examples/0"));
        Some(match example {
            Some(example) => format!("add `{key}: {}`", flow(example)),
            None => format!("add `{key}: …`"),
        })
    }
}

/// A value as YAML in one line.
pub(super) fn flow(value: &Value) -> String {
    let is_plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || "-_./@".contains(c))
            && text.parse::<f64>().is_err()
            && !text.starts_with(['-', '@'])
            && !matches!(text, "true" | "false" | "null" | "yes" | "no")
    };
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(flow).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k}: {}", flow(v)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn is_optional(schema: &Value) -> bool {
    let is_null = |s: &Value| s["type"] == "null";
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    types(schema).contains(&"null") || alternatives.is_some_and(|list| list.iter().any(is_null))
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(n) if n.is_f64() => "a number with a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

pub(super) fn kind_name(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping",
        other => other,
    }
}

/// The last word of a pointer, for messages.
fn name(pointer: &str) -> String {
    let is_word = |part: &&str| !part.is_empty() && part.parse::<usize>().is_err();
    match pointer.rsplit('/').find(is_word) {
        Some(word) => format!("`{word}`"),
        None => "the file".to_owned(),
    }
}
