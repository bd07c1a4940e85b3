//! The recorded exchanges of the February 2026 server, served on a socket: the same jobs with only
//! URL and key changed give its rows, under the names of the seed.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float64Type, Int64Type},
    util::display::array_value_to_string,
};
use chrono::{NaiveDate, NaiveDateTime};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::{
    server::{self, Answer, Request},
    workspace::TestWorkspace,
};

/// The website, the link and the days of the recording.
const WEBSITE: &str = "web_acme_shop_0001";
const LINK: &str = "link_real_0001";
const DAYS: (&str, &str) = ("2026-11-10", "2026-11-16");

/// The answer of each type: its rows, or its error.
pub(crate) type Types = BTreeMap<String, Result<Vec<Value>, String>>;

pub(crate) fn fixture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/server-2026-02");
    serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// Every recorded type of a website.
fn recorded() -> Types {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/server-2026-02");
    let mut types = Types::new();
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !file.starts_with("type_") {
            continue;
        }
        let part = fixture(&file)["response"]["body"]["data"][0].clone();
        let name = part["parameter"].as_str().unwrap().to_owned();
        let rows = if part["success"] == true {
            Ok(part["data"].as_array().unwrap().clone())
        } else {
            Err(part["error"].as_str().unwrap().to_owned())
        };
        types.insert(name, rows);
    }
    types
}

/// Serves the recording as that server answers: ids echoed, parts reordered, unknown types refused.
fn replay(types: Arc<Types>) -> String {
    let mut catalog = fixture("types_with_meta_part1.json")["response"]["body"].take();
    for part in 2..=3 {
        let more = fixture(&format!("types_with_meta_part{part}.json"))["response"]["body"].take();
        let more = more["configs"].as_object().unwrap().clone();
        catalog["configs"].as_object_mut().unwrap().extend(more);
    }
    let websites = fixture("websites_ok.json")["response"]["body"].take();
    server::serve(move |request| answer(request, &types, &catalog, &websites))
}

fn answer(request: &Request, types: &Types, catalog: &Value, websites: &Value) -> Answer {
    let key = request.headers.iter().find(|(name, _)| name == "x-api-key");
    let path = request.path.split('?').next().unwrap();
    match (request.method.as_str(), path) {
        ("GET", "/v1/query/types") => return server::json(200, catalog),
        _ if key.is_none_or(|(_, key)| key != "dbdy_recorded") => {
            let body = json!({ "success": false, "error": "Authentication required", "code": "AUTH_REQUIRED" });
            return server::json(401, &body);
        }
        ("GET", "/v1/query/websites") => return server::json(200, websites),
        _ => {}
    }
    assert_eq!((request.method.as_str(), path), ("POST", "/v1/query"));
    let is_link = request.path.contains(LINK);
    assert!(
        is_link || request.path.contains(WEBSITE),
        "{}",
        request.path
    );
    assert!(
        !request.path.contains("timezone"),
        "a zone would only relabel the edges"
    );
    let items = match &request.body {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    let mut results = Vec::new();
    for item in &items {
        match parts(item, types) {
            Ok(data) => results.push(json!({ "queryId": item["id"], "data": data, "meta": {} })),
            Err(name) => {
                let body = json!({ "success": false, "error": format!("Unknown query type: {name}"), "code": "VALIDATION_ERROR" });
                return server::json(400, &body);
            }
        }
    }
    if request.body.is_array() {
        return server::json(
            200,
            &json!({ "success": true, "batch": true, "results": results }),
        );
    }
    let data = results[0]["data"].take();
    server::json(
        200,
        &json!({ "success": true, "queryId": items[0]["id"], "data": data }),
    )
}

fn parts(item: &Value, types: &Types) -> Result<Vec<Value>, String> {
    let is_recorded = item["startDate"] == DAYS.0 && item["endDate"] == DAYS.1;
    let mut parts = Vec::new();
    for parameter in item["parameters"].as_array().unwrap() {
        let name = parameter["name"].as_str().unwrap();
        parts.push(match types.get(name) {
            None => return Err(name.to_owned()),
            Some(Ok(_)) if !is_recorded => json!({ "parameter": parameter["id"], "success": true, "data": [] }),
            Some(Ok(rows)) => json!({ "parameter": parameter["id"], "success": true, "data": rows }),
            Some(Err(error)) => json!({ "parameter": parameter["id"], "success": false, "data": [], "error": error }),
        });
    }
    // Successes first, and those not in the order of the request either
    parts.reverse();
    parts.sort_by_key(|part| part["success"] != true);
    Ok(parts)
}

fn workspace(url: &str) -> TestWorkspace {
    let workspace = TestWorkspace::with_examples();
    let settings = format!(
        "api: {{ url: '{url}', key: dbdy_recorded }}\nmail: {{ url: 'dir:out/mail', from: 'r@example.org' }}\n"
    );
    workspace.write("databuddy-jobs.yaml", &settings);
    workspace
}

/// A project in which every recorded type was exported, a file each.
#[allow(dead_code, reason = "two test binaries share it, neither uses all")]
pub(crate) fn exported(more: &str) -> (TestWorkspace, Arc<Types>, Value) {
    let types = Arc::new(recorded());
    let workspace = workspace(&replay(Arc::clone(&types)));
    let names = types.keys().map(|name| {
        if name.starts_with("link_") {
            format!("{{ parameter: {name}, link: {LINK} }}")
        } else {
            name.clone()
        }
    });
    let job = format!(
        "websites: [{WEBSITE}]\nwindow: {{ start: {}, end: {} }}\nqueries: [{}]\nretry: {{ attempts: 1 }}\nexports: [{{ format: parquet, to: out, per: window, path: '{{{{ query }}}}/{{{{ start }}}}', {more} }}]\n",
        DAYS.0,
        DAYS.1,
        names.collect::<Vec<_>>().join(", ")
    );
    workspace.write("jobs/all.yaml", &job);
    let (code, document) = workspace.json(&["run", "all"]);
    // Nine types always fail on that server
    assert_eq!(code, 3, "{document:#}");
    (workspace, types, document)
}

/// The file's rows as a table of texts, or of numbers where the column is one.
fn read(path: &Path) -> Vec<BTreeMap<String, Value>> {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            let mut values = BTreeMap::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let value = if column.is_null(row) {
                    Value::Null
                } else {
                    match field.data_type() {
                        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
                        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
                        DataType::Boolean => json!(column.as_boolean().value(row)),
                        _ => json!(array_value_to_string(column, row).unwrap()),
                    }
                };
                values.insert(field.name().clone(), value);
            }
            rows.push(values);
        }
    }
    rows
}

/// Whether a value of a file is what the server said.
fn is_equal(said: &Value, read: &Value) -> bool {
    match (said, read) {
        (Value::Array(_) | Value::Object(_), Value::String(text)) => {
            serde_json::from_str::<Value>(text).is_ok_and(|value| value == *said)
        }
        (Value::String(said), Value::String(read)) if said != read => {
            instant(said).is_some() && instant(said) == instant(read)
        }
        (said, read) if said.is_number() => said.as_f64() == read.as_f64(),
        (Value::String(said), read) if read.is_number() => said.parse().ok() == read.as_f64(),
        (said, read) => said == read,
    }
}

fn instant(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim_end_matches('Z').replace('T', " ");
    let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok();
    time.or_else(|| {
        Some(
            text.parse::<NaiveDate>()
                .ok()?
                .and_time(chrono::NaiveTime::MIN),
        )
    })
}

#[test]
fn every_recorded_type_is_exported_with_equal_values_or_its_error() {
    let (workspace, types, document) = exported("pii: allow");
    assert_eq!(types.len(), 144);
    let run = &document["runs"][0];
    assert_eq!(run["state"], "partially_succeeded");
    let mut values = 0;
    for step in run["steps"].as_array().unwrap() {
        let name = step["query"].as_str().unwrap();
        let path = workspace
            .path()
            .join(format!("out/{name}/{}.parquet", DAYS.0));
        match &types[name] {
            Err(error) => {
                assert_eq!(step["state"], "failed", "{name}");
                let said = step["error"].as_str().unwrap();
                assert!(
                    error.starts_with(&said[..20]) && !said.contains("SELECT"),
                    "{name}: {said}"
                );
                assert!(!path.exists(), "{name}");
            }
            Ok(rows) => {
                assert_eq!(step["state"], "succeeded", "{name}: {}", step["error"]);
                let read = read(&path);
                assert_eq!(read.len(), rows.len(), "{name}");
                for (said, read) in rows.iter().zip(&read) {
                    for (column, said) in said.as_object().unwrap() {
                        let read = read.get(column).unwrap_or(&Value::Null);
                        assert!(
                            is_equal(said, read),
                            "{name}.{column}: {said} became {read}"
                        );
                        values += 1;
                    }
                }
            }
        }
    }
    assert!(values > 1500, "only {values} values were compared");
}

#[test]
fn names_of_the_seed_are_translated_and_the_plan_says_so() {
    let types = Arc::new(recorded());
    let workspace = workspace(&replay(Arc::clone(&types)));
    let job = format!(
        "websites: [{WEBSITE}]\nwindow: {{ start: {}, end: {} }}\nqueries:\n  - summary\n  - pages\n  - traffic\n  - countries\n  - cities\n  - sessions\n  - profiles\n  - engagement\n  - performance\n  - errors\n  - {{ name: by_day, parameter: summary, granularity: daily }}\nexports: [{{ format: parquet, to: out, per: window, pii: allow, path: '{{{{ query }}}}/{{{{ start }}}}' }}]\n",
        DAYS.0, DAYS.1
    );
    workspace.write("jobs/seed.yaml", &job);
    let (code, plan) = workspace.json(&["plan", "seed"]);
    assert_eq!(code, 0, "{plan:#}");
    let notes = plan["plans"][0]["notes"].to_string();
    let pairs = [
        ("summary", "summary_metrics"),
        ("pages", "top_pages"),
        ("traffic", "traffic_sources"),
        ("countries", "country"),
        ("cities", "city"),
        ("sessions", "session_list"),
        ("profiles", "profile_list"),
        ("engagement", "interaction_summary"),
        ("performance", "performance_overview"),
        ("errors", "recent_errors"),
        ("by_day", "events_by_date"),
    ];
    let (code, document) = workspace.json(&["run", "seed"]);
    assert_eq!(code, 0, "{document:#}");
    for (query, server_type) in pairs {
        assert!(notes.contains(&format!("`{server_type}`")), "{notes}");
        let path = workspace
            .path()
            .join(format!("out/{query}/{}.parquet", DAYS.0));
        let rows = types[server_type].as_ref().unwrap();
        assert_eq!(read(&path).len(), rows.len(), "{query}");
    }
}

#[test]
fn the_weekly_report_shows_the_numbers_of_that_server() {
    let workspace = workspace(&replay(Arc::new(recorded())));
    // The window of the job in jobs/, but with the days of the recording
    let args = [
        "run",
        "weekly-report",
        "--website",
        WEBSITE,
        "--set",
        "preset=null",
    ];
    let window = format!("window={{start: {}, end: {}}}", DAYS.0, DAYS.1);
    let args: Vec<&str> = args.into_iter().chain(["--set", &window]).collect();
    let (code, document) = workspace.json(&args);
    let run = &document["runs"][0];
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(run["requests"], 1);
    let subject = run["deliveries"][0]["subject"].as_str().unwrap();
    assert_eq!(
        subject,
        "Acme Shop: 2,838 visitors, Tue 10 – Mon 16 Nov 2026 (new)"
    );
    let html = workspace
        .files("out/mail")
        .into_iter()
        .find(|f| f.extension().is_some_and(|e| e == "html"));
    let html = fs::read_to_string(workspace.path().join(html.unwrap())).unwrap();
    for shown in ["7,814", "7.6%", "/products", "547", "United States"] {
        assert!(html.contains(shown), "{shown} is missing");
    }
}
