//! `docs/jobs.md` and the table of `docs/settings.md`, made from the schemas.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    job_file::job_schema,
    settings,
    walk::{alternatives, flow, kind_name, resolve, types, words},
};
use crate::domain::{
    catalog::{Filtering, measured_types, seed_names},
    preset::Preset,
};

/// One key of a reference.
struct Row {
    key: String,
    kind: String,
    default: String,
    env: Option<String>,
    example: String,
    description: String,
}

/// `docs/jobs.md`.
pub fn job_reference() -> String {
    let mut text = String::from(
        "# Job files\n\n<!-- Written by `databuddy-jobs schema --markdown jobs`; a test compares them. -->\n\n\
         `jobs/NAME.yaml`; the name is the file's stem (a-z, 0-9, `-`, `_`). Other keys are refused. `[]` stands for each \
         entry of a list. In text values `${NAME}`, `${NAME:-default}` and `${file:PATH}` are replaced after parsing; `$${` is \
         a literal `${`. Durations are written `30s`, `15m`, `1h`, `2d`.\n\n\
         | key | type | default | example | meaning |\n|---|---|---|---|---|\n",
    );
    for row in rows(&job_schema()) {
        let Row {
            key,
            kind,
            default,
            example,
            description,
            ..
        } = row;
        let example = if example.is_empty() {
            example
        } else {
            format!("`{example}`")
        };
        writeln!(
            text,
            "| `{key}` | {kind} | {default} | {example} | {description} |"
        )
        .expect("writing to a string cannot fail");
    }
    let names: Vec<String> = Preset::ALL
        .iter()
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    write!(
        text,
        "\nPresets: {}. `last_*d` and `this_*` contain the tick's own day; `this_week` and `last_week` begin on Sunday, \
         `*_iso_week` on Monday.\n",
        names.join(", ")
    )
    .expect("writing to a string cannot fail");
    text
}

/// The table of `docs/settings.md`.
pub fn settings_reference() -> String {
    let mut text = String::from(
        "| setting | environment | type | default | meaning |\n|---|---|---|---|---|\n",
    );
    for row in rows(&settings::schema()) {
        let env = row.env.map(|env| format!("`{env}`")).unwrap_or_default();
        let Row {
            key,
            kind,
            default,
            description,
            ..
        } = row;
        writeln!(
            text,
            "| `{key}` | {env} | {kind} | {default} | {description} |"
        )
        .expect("writing to a string cannot fail");
    }
    text
}

/// `docs/query-types.md`.
pub fn type_reference() -> String {
    let mut text = String::from(
        "# Query types\n\n<!-- Written by `databuddy-jobs schema --markdown types`; a test compares them. -->\n\n\
         What this program knows of the 144 types of the February 2026 server, as measured; `databuddy-jobs types NAME` adds what the \
         server says. Where `limit` is not honoured, 10,000 rows are asked for and cut here; where `page` is not, a result of exactly \
         10,000 rows is an error; `hourly` rows, and filters that a type ignores or fails on, are refused before anything is asked. \
         Columns without a type are decided by their first value.\n\n\
         | type | limit | page | hourly | filters | columns |\n|---|---|---|---|---|---|\n",
    );
    for (name, known) in measured_types() {
        let yes = |honoured: bool| if honoured { "yes" } else { "no" };
        let filters = match known.filters {
            Filtering::Applies => "apply",
            Filtering::Ignored => "ignored",
            Filtering::Fails => "fail on `country`",
            Filtering::Unknown => "the type fails",
        };
        let columns: Vec<String> = known
            .columns
            .iter()
            .map(|(column, kind)| match kind {
                Some(kind) => format!("{column} {}", kind.name()),
                None => (*column).to_owned(),
            })
            .collect();
        writeln!(
            text,
            "| `{name}` | {} | {} | {} | {filters} | {} |",
            yes(known.honours_limit),
            yes(known.honours_page),
            yes(known.has_hours),
            columns.join(", ")
        )
        .expect("writing to a string cannot fail");
    }
    text.push_str("\nThe names of the seed document, and what answers them at that server:\n\n| seed | server | with `granularity` |\n|---|---|---|\n");
    for (seed, whole, dated) in seed_names() {
        writeln!(
            text,
            "| `{seed}` | `{whole}` | `{}` |",
            dated.unwrap_or(whole)
        )
        .expect("writing to a string cannot fail");
    }
    text
}

fn rows(schema: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    below(schema, schema, "", &mut rows);
    rows
}

fn below(root: &Value, schema: &Value, prefix: &str, rows: &mut Vec<Row>) {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (key, entry) in schema["properties"].as_object().into_iter().flatten() {
        let key = format!("{prefix}{key}");
        let target = resolve(root, entry);
        let own = |name: &str| entry.get(name).or_else(|| target.get(name));
        let default = match (own("x-default"), own("default")) {
            (Some(text), _) => text.as_str().unwrap_or_default().to_owned(),
            (None, Some(Value::Null) | None) if required.contains(&last(&key)) => {
                "required".to_owned()
            }
            (None, Some(value)) if is_scalar(value) && !value.is_null() && *value != "" => {
                format!("`{}`", flow(value))
            }
            _ => "none".to_owned(),
        };
        let mut children = Vec::new();
        let mut open = mapping_of(root, entry);
        let mut infix = ".";
        if let Some(items) = items_of(root, entry) {
            open = mapping_of(root, items);
            infix = "[].";
        }
        if let Some(values) = values_of(root, entry) {
            open = mapping_of(root, values);
            infix = ".NAME.";
        }
        if let Some(mapping) = open {
            below(root, mapping, &format!("{key}{infix}"), &mut children);
        }
        let example = own("examples")
            .and_then(|e| e.get(0))
            .map(flow)
            .unwrap_or_default();
        rows.push(Row {
            kind: kind(root, entry),
            default: if children.is_empty() || default == "required" {
                default
            } else {
                "see below".to_owned()
            },
            env: own("x-env").and_then(Value::as_str).map(str::to_owned),
            example,
            description: own("description")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .replace('\n', " "),
            key,
        });
        rows.append(&mut children);
    }
}

fn last(key: &str) -> &str {
    key.rsplit(['.', ']']).next().unwrap_or(key)
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// The schema of the mapping that this may be.
fn mapping_of<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let schema = resolve(root, schema);
    if schema["properties"].is_object() {
        return Some(schema);
    }
    alternatives(root, schema)?
        .into_iter()
        .find_map(|s| mapping_of(root, s))
}

/// The schema of the entries of the list that this may be, where they may be mappings.
fn items_of<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let schema = resolve(root, schema);
    if let Some(items) = schema.get("items") {
        return Some(items).filter(|items| mapping_of(root, items).is_some());
    }
    let mut choices = alternatives(root, schema)?.into_iter();
    choices.find_map(|choice| items_of(root, choice))
}

/// The schema of the values of the mapping that this may be, where they may be mappings.
fn values_of<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    resolve(root, schema)
        .get("additionalProperties")
        .filter(|values| values.is_object() && mapping_of(root, values).is_some())
}

/// The type in words.
fn kind(root: &Value, schema: &Value) -> String {
    let schema = resolve(root, schema);
    let choices = words(root, schema);
    if !choices.is_empty() {
        return choices
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(list) = alternatives(root, schema) {
        let mut kinds: Vec<String> = list.into_iter().map(|s| kind(root, s)).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    let types: Vec<&str> = types(schema).into_iter().filter(|t| *t != "null").collect();
    match (schema["format"].as_str(), types.as_slice()) {
        (Some(format), ["string"]) => format.replace('-', " "),
        (_, ["array"]) => {
            let items = schema.get("items").map(|items| kind(root, items));
            format!("list of {}", items.unwrap_or_else(|| "values".to_owned()))
        }
        (_, ["object"]) if values_of(root, schema).is_some() => "mapping of names".to_owned(),
        (_, ["object"]) if schema["additionalProperties"].is_object() => {
            format!("mapping to {}", kind(root, &schema["additionalProperties"]))
        }
        (_, [one]) => kind_name(one).trim_start_matches("a ").to_owned(),
        (_, []) => "mapping".to_owned(),
        (_, many) => many.join(" or "),
    }
}
