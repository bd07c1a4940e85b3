//! Packing steps into as few requests as belong together.
//!
//! Steps of a website that share days, granularity, filters and limit form one item of a request;
//! items form an array body. Dates and granularity stand on the item, not on the parameter, so that
//! a server that ignores per-parameter keys cannot answer for other days.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Plan, Step};
use crate::domain::{
    catalog::{Catalog, measured},
    country::country_names,
    custom::Custom,
    job::Job,
    query::{Filter, Limit, Operator, Query, Source},
    request::{Ask, CustomAsk, Item, MAX_LIMIT, Part, Request},
    target::Target,
    window::Window,
};

/// The most items of one array body: a month of days.
const MAX_ITEMS: usize = 31;

/// How much goes into one request.
#[derive(Clone, Copy)]
pub struct Packing<'a> {
    /// What the answer of a step is expected to have; 0 where nothing is known.
    pub bytes_of: &'a dyn Fn(&Step) -> u64,
    /// The most bytes of one answer.
    pub max_bytes: u64,
    /// The most parts of one request.
    pub max_parts: usize,
}

impl Packing<'_> {
    /// As much as the API takes.
    pub const ALL: Packing<'static> = Packing {
        bytes_of: &|_| 0,
        max_bytes: u64::MAX,
        max_parts: usize::MAX,
    };
}

impl std::fmt::Debug for Packing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packing")
            .field("max_bytes", &self.max_bytes)
            .field("max_parts", &self.max_parts)
            .finish_non_exhaustive()
    }
}

/// One item in the making, with the step that says whose and when it is.
struct Packed<'a> {
    step: &'a Step,
    item: Item,
}

/// The requests that carry the steps of the given indices, target by target.
pub(super) fn requests(
    job: &Job,
    catalog: &Catalog,
    steps: &[Step],
    wanted: &[usize],
    packing: &Packing<'_>,
) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    let mut open: Vec<Packed<'_>> = Vec::new();
    let (mut bytes, mut count) = (0_u64, 0);
    for index in by_target_and_days(steps, wanted) {
        let step = &steps[index];
        let query = query_of(job, step);
        if let Source::Custom(source) = &query.source {
            let ask = custom(index, step, query, source, catalog);
            requests.push(request(step, "/v1/query/custom", Ask::Custom(ask)));
            continue;
        }
        let more = (packing.bytes_of)(step);
        let is_full = count >= packing.max_parts || bytes.saturating_add(more) > packing.max_bytes;
        if is_full || open.first().is_some_and(|p| p.step.target != step.target) {
            flush(&mut open, &mut requests);
            (bytes, count) = (0, 0);
        }
        (bytes, count) = (bytes.saturating_add(more), count + 1);
        let item = item(step, query);
        let same = open.iter_mut().find(|other| {
            other.step.window == step.window
                && other.step.granularity == step.granularity
                && other.item.filters == item.filters
                && other.item.limit == item.limit
        });
        let parts = if let Some(packed) = same {
            &mut packed.item.parts
        } else {
            open.push(Packed { step, item });
            &mut open.last_mut().expect("it was pushed just now").item.parts
        };
        parts.push(part(index, step, query.limit));
    }
    flush(&mut open, &mut requests);
    requests
}

/// Website by website and link by link as the plan has them, each by its days: what a request that is
/// full leaves over is then whole days.
fn by_target_and_days(steps: &[Step], wanted: &[usize]) -> Vec<usize> {
    let mut places: HashMap<&Target, usize> = HashMap::new();
    for step in steps {
        let next = places.len();
        places.entry(&step.target).or_insert(next);
    }
    let mut sorted = wanted.to_vec();
    sorted.sort_by_key(|index| {
        let step = &steps[*index];
        (places[&step.target], step.window.start, step.window.end)
    });
    sorted
}

/// Closes the items of one target as requests of at most so many items.
fn flush(open: &mut Vec<Packed<'_>>, requests: &mut Vec<Request>) {
    while !open.is_empty() {
        let rest = open.split_off(open.len().min(MAX_ITEMS));
        let batch = std::mem::replace(open, rest);
        let first = batch.first().expect("a batch is never empty").step;
        let items = batch.into_iter().enumerate().map(|(number, packed)| Item {
            id: format!("q{number}"),
            ..packed.item
        });
        requests.push(request(first, "/v1/query", Ask::Items(items.collect())));
    }
}

fn request(step: &Step, path: &str, ask: Ask) -> Request {
    let (key, id) = (step.target.key(), percent(step.target.id()));
    let mut path = format!("{path}?{key}={id}");
    if step.window.timezone != chrono_tz::Tz::UTC {
        path.push_str("&timezone=");
        path.push_str(&percent(step.window.timezone.name()));
    }
    Request {
        target: step.target.clone(),
        path,
        ask,
    }
}

fn percent(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

fn query_of<'a>(job: &'a Job, step: &Step) -> &'a Query {
    job.queries
        .iter()
        .find(|query| query.name == step.query)
        .expect("a step is made from a query of its job")
}

fn item(step: &Step, query: &Query) -> Item {
    let (start, end) = api_dates(&step.window);
    Item {
        id: String::new(),
        start,
        end,
        filters: query.filters.iter().map(filter).collect(),
        limit: limit(query.limit, &step.parameter),
        page: 1,
        parts: Vec::new(),
    }
}

/// A filter as the API takes it. Servers store countries by name, by code, or some of each, so a
/// code is asked for with every name of it (`databuddy-api.md`, trap 12).
fn filter(filter: &Filter) -> Value {
    let (op, value) = match (filter.field.as_str(), filter.op) {
        ("country", Operator::Eq | Operator::In) => (Operator::In, spellings(&filter.value)),
        ("country", Operator::Ne | Operator::NotIn) => (Operator::NotIn, spellings(&filter.value)),
        _ => (filter.op, None),
    };
    match value {
        Some(value) => json!({ "field": filter.field, "op": op.name(), "value": value }),
        None => json!({ "field": filter.field, "op": filter.op.name(), "value": filter.value }),
    }
}

/// Every spelling of the countries, where at least one of them is an ISO code.
fn spellings(value: &Value) -> Option<Vec<Value>> {
    let values = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut all = Vec::new();
    for value in values {
        all.push(value.clone());
        let names = value.as_str().map_or(&[][..], country_names);
        all.extend(names.iter().map(|name| json!(name)));
    }
    (all.len() > values.len()).then_some(all)
}

/// A custom query. Servers since February 2026 take the last day as its midnight and lose it,
/// unless a time of the day stands behind it (trap 13).
fn custom(
    index: usize,
    step: &Step,
    query: &Query,
    source: &Custom,
    catalog: &Catalog,
) -> CustomAsk {
    let (start, end) = api_dates(&step.window);
    let is_plain = step.window.timezone == chrono_tz::Tz::UTC;
    let end = if catalog.is_seed() || !is_plain {
        end
    } else {
        format!("{end} 23:59:59")
    };
    CustomAsk {
        id: Plan::part_id(index),
        query: source.body(&step.parameter),
        start,
        end,
        limit: match query.limit {
            Limit::Rows(rows) => rows.min(MAX_LIMIT),
            Limit::All => MAX_LIMIT,
        },
        // More rows than one answer has are as many as there are
        wants_all: match query.limit {
            Limit::All => true,
            Limit::Rows(rows) => rows > MAX_LIMIT,
        },
        group_by: source.group_by.clone(),
    }
}

/// Plain days, or, in a zone, instants with an offset: the server pads plain days to UTC ones.
fn api_dates(window: &Window) -> (String, String) {
    if window.timezone == chrono_tz::Tz::UTC {
        (window.start.to_string(), window.end.to_string())
    } else {
        window.to_api_instants()
    }
}

/// The largest page, unless fewer rows are wanted of a type that was measured to honour `limit`:
/// others fold rows after cutting, or do not cut at all.
fn limit(limit: Limit, parameter: &str) -> u32 {
    match limit {
        Limit::Rows(rows) if measured(parameter).is_some_and(|t| t.honours_limit) => {
            rows.min(MAX_LIMIT)
        }
        _ => MAX_LIMIT,
    }
}

fn part(index: usize, step: &Step, limit: Limit) -> Part {
    Part {
        id: Plan::part_id(index),
        parameter: step.parameter.clone(),
        granularity: step
            .granularity
            .map(crate::domain::query::Granularity::name),
        days: None,
        honours_page: measured(&step.parameter).map(|t| t.honours_page),
        wanted: match limit {
            Limit::All => None,
            Limit::Rows(rows) => Some(rows),
        },
    }
}
