//! Packing steps into as few requests as belong together.
//!
//! Steps of a website that share days, granularity, filters and limit form one item of a request;
//! items form an array body. Dates and granularity stand on the item, not on the parameter, so that
//! a server that ignores per-parameter keys cannot answer for other days.

use serde_json::json;

use super::{Plan, Step};
use crate::domain::{
    catalog::measured,
    job::Job,
    query::{Limit, Query},
    request::{Item, MAX_LIMIT, Part, Request},
    window::Window,
};

/// The most items of one array body: a month of days.
const MAX_ITEMS: usize = 31;

/// One item in the making, with the step that says whose and when it is.
struct Packed<'a> {
    step: &'a Step,
    item: Item,
}

/// The requests that carry the steps of the given indices, website by website.
pub(super) fn requests(job: &Job, steps: &[Step], wanted: &[usize]) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    let mut open: Vec<Packed<'_>> = Vec::new();
    for &index in wanted {
        let step = &steps[index];
        if open
            .first()
            .is_some_and(|p| p.step.website_id != step.website_id)
        {
            flush(&mut open, &mut requests);
        }
        let item = item(step, query_of(job, step));
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
        parts.push(part(index, step));
    }
    flush(&mut open, &mut requests);
    requests
}

/// Closes the items of one website as requests of at most so many items.
fn flush(open: &mut Vec<Packed<'_>>, requests: &mut Vec<Request>) {
    while !open.is_empty() {
        let rest = open.split_off(open.len().min(MAX_ITEMS));
        requests.push(request(std::mem::replace(open, rest)));
    }
}

fn request(batch: Vec<Packed<'_>>) -> Request {
    let first = batch.first().expect("a batch is never empty").step;
    let mut path = url_path(&first.website_id);
    if first.window.timezone != chrono_tz::Tz::UTC {
        path.push_str("&timezone=");
        path.push_str(&percent(first.window.timezone.name()));
    }
    let items = batch.into_iter().enumerate().map(|(number, packed)| Item {
        id: format!("q{number}"),
        ..packed.item
    });
    Request {
        website_id: first.website_id.clone(),
        path,
        items: items.collect(),
    }
}

fn url_path(website_id: &str) -> String {
    format!("/v1/query?website_id={}", percent(website_id))
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
    let filters = query
        .filters
        .iter()
        .map(|f| json!({ "field": f.field, "op": f.op.name(), "value": f.value }));
    Item {
        id: String::new(),
        start,
        end,
        filters: filters.collect(),
        limit: limit(query.limit, &step.parameter),
        page: 1,
        parts: Vec::new(),
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

fn part(index: usize, step: &Step) -> Part {
    Part {
        id: Plan::part_id(index),
        parameter: step.parameter.clone(),
        granularity: step
            .granularity
            .map(crate::domain::query::Granularity::name),
        days: None,
        honours_page: measured(&step.parameter).map(|t| t.honours_page),
    }
}
