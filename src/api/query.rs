//! Queries: envelopes checked part by part, pages followed to the end.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{ApiError, Client, answer::cut, limiter::Budget};
use crate::domain::request::{Ask, Item, MAX_LIMIT, Part, Request};

/// The most pages of one part: 10 million rows.
const MAX_PAGES: u32 = 1000;

/// The rows of one part.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Each a JSON array of row objects, as received.
    pub pages: Vec<Box<RawValue>>,
    /// Rows of all pages.
    pub count: u64,
    /// Whether they are known to be all.
    pub complete: Complete,
}

/// Whether rows are known to be all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// One page held them.
    Proven,
    /// A second page was needed: the server's order is not total, so ties may be lost.
    Unproven,
}

/// Why a part has no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartError {
    /// One line, of bounded length, without SQL.
    pub message: String,
    /// Whether a further attempt may help.
    pub retryable: bool,
}

/// The part's rows, or why it has none.
pub(super) type PartResult = Result<Rows, PartError>;

#[derive(Deserialize)]
struct Envelope<'a> {
    success: bool,
    #[serde(default, borrow)]
    data: Option<Vec<Element<'a>>>,
    #[serde(default, borrow)]
    results: Option<Vec<BatchItem<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchItem<'a> {
    #[serde(default)]
    query_id: String,
    #[serde(default, borrow)]
    data: Option<Vec<Element<'a>>>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Element<'a> {
    parameter: String,
    success: bool,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Value>,
}

/// An error in words: as text, or as an object with a `message`.
fn words(error: Option<&Value>) -> String {
    match error {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) => map
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        _ => String::new(),
    }
}

impl Client {
    /// Asks for every part of the request; each comes back exactly once, in the request's order.
    ///
    /// # Errors
    /// The request failed as a whole. A part that failed inside a good answer is its own error.
    pub async fn query(&self, request: &Request) -> Result<Vec<(String, PartResult)>, ApiError> {
        match &request.ask {
            Ask::Items(items) => self.query_items(request, items).await,
            Ask::Custom(ask) => {
                let rows = self.query_custom(request, ask).await?;
                Ok(vec![(ask.id.clone(), rows)])
            }
        }
    }

    async fn query_items(
        &self,
        request: &Request,
        items: &[Item],
    ) -> Result<Vec<(String, PartResult)>, ApiError> {
        let mut parts = self.ask(request, items).await?;
        let mut results = Vec::new();
        for item in items {
            for part in &item.parts {
                let first = parts.remove(&part.id).unwrap_or_else(|| {
                    let message = format!("the answer lacks the part `{}`", part.parameter);
                    Err(PartError {
                        message,
                        retryable: true,
                    })
                });
                let rows = match first {
                    Ok(rows)
                        if rows.count >= u64::from(item.limit)
                            && item.limit == MAX_LIMIT
                            && !has_enough(part, &rows) =>
                    {
                        self.further_pages(request, item, part, rows).await?
                    }
                    other => other,
                };
                results.push((part.id.clone(), rows));
            }
        }
        Ok(results)
    }

    /// Follows pages until a shorter one.
    async fn further_pages(
        &self,
        request: &Request,
        item: &Item,
        part: &Part,
        mut rows: Rows,
    ) -> Result<PartResult, ApiError> {
        let no_retry = |message: String| {
            Ok(Err(PartError {
                message,
                retryable: false,
            }))
        };
        let unpaged = format!(
            "`{}` ends exactly at the limit of {MAX_LIMIT} rows and has no further pages: narrow the window or add a filter",
            part.parameter
        );
        if rows.count > u64::from(item.limit) {
            // More rows than were asked for: the type ignores limits, so this is all
            return Ok(Ok(rows));
        }
        if part.honours_page == Some(false) {
            return no_retry(unpaged);
        }
        let mut seen = row_set(&rows.pages[0]);
        for page in 2..=MAX_PAGES {
            let mut next = Item {
                parts: vec![part.clone()],
                page,
                ..item.clone()
            };
            next.id.clone_from(&item.id);
            let items = vec![next];
            let request = Request {
                ask: Ask::Items(items.clone()),
                ..request.clone()
            };
            let more = match self.ask(&request, &items).await?.remove(&part.id) {
                Some(Ok(more)) => more,
                Some(Err(error)) => return Ok(Err(error)),
                None => {
                    return Ok(Err(PartError {
                        message: "a page lacks its part".to_owned(),
                        retryable: true,
                    }));
                }
            };
            let fresh = row_set(&more.pages[0]);
            if !fresh.is_empty() && fresh.is_subset(&seen) {
                return no_retry(unpaged);
            }
            if let Some(row) = fresh.intersection(&seen).next() {
                let row: String = row.chars().take(80).collect();
                return no_retry(format!(
                    "pages of `{}` overlap (page {page} repeats {row}), so others are missing: narrow the window until one page holds all rows",
                    part.parameter
                ));
            }
            seen.extend(fresh);
            let short = more.count < u64::from(item.limit);
            rows.count += more.count;
            rows.pages.extend(more.pages);
            rows.complete = Complete::Unproven;
            if short || has_enough(part, &rows) {
                return Ok(Ok(rows));
            }
        }
        no_retry(format!(
            "`{}` has more than {MAX_PAGES} pages",
            part.parameter
        ))
    }

    /// One request: the parts of its answer by id.
    async fn ask(
        &self,
        request: &Request,
        items: &[Item],
    ) -> Result<BTreeMap<String, PartResult>, ApiError> {
        let body = request.body();
        let text = self
            .send(Budget::Standard, Method::POST, &request.path, Some(&body))
            .await?;
        self.count_query();
        let protocol = |what: String| ApiError::Protocol {
            path: "/v1/query".to_owned(),
            what,
        };
        let envelope: Envelope<'_> =
            serde_json::from_str(&text).map_err(|e| protocol(e.to_string()))?;
        if !envelope.success {
            return Err(protocol(
                "`success` is false in an answer with status 200".to_owned(),
            ));
        }
        let mut parts = BTreeMap::new();
        for item in envelope.results.into_iter().flatten() {
            if item.error.is_some() {
                let error = words(item.error.as_ref());
                fail_item(items, &item.query_id, &error, &mut parts);
            }
            item.data
                .into_iter()
                .flatten()
                .for_each(|element| take(element, &mut parts));
        }
        envelope
            .data
            .into_iter()
            .flatten()
            .for_each(|element| take(element, &mut parts));
        Ok(parts)
    }
}

/// Whether there are as many rows as the job wants of this part.
fn has_enough(part: &Part, rows: &Rows) -> bool {
    part.wanted
        .is_some_and(|wanted| rows.count >= u64::from(wanted))
}

/// An item of a batch that failed as a whole fails each of its parts.
fn fail_item(items: &[Item], id: &str, error: &str, parts: &mut BTreeMap<String, PartResult>) {
    let failed = items
        .iter()
        .filter(|item| item.id == id)
        .flat_map(|item| &item.parts);
    for part in failed {
        parts.insert(part.id.clone(), Err(part_error(error)));
    }
}

/// Sorts one element in by its id. A second one of the same id makes the part an error.
fn take(element: Element<'_>, parts: &mut BTreeMap<String, PartResult>) {
    let result = match (element.success, element.data) {
        (true, Some(data)) => match serde_json::from_str::<Vec<&RawValue>>(data.get()) {
            Ok(rows) => Ok(Rows {
                count: rows.len() as u64,
                pages: vec![data.to_owned()],
                complete: Complete::Proven,
            }),
            Err(_) => Err(PartError {
                message: "`data` is no list of rows".to_owned(),
                retryable: true,
            }),
        },
        (true, None) => Err(PartError {
            message: "`data` is missing".to_owned(),
            retryable: true,
        }),
        (false, _) => Err(part_error(&words(element.error.as_ref()))),
    };
    let id = element.parameter;
    let message = format!("the answer holds the part `{id}` twice");
    parts
        .entry(id)
        .and_modify(|first| {
            *first = Err(PartError {
                message,
                retryable: false,
            });
        })
        .or_insert(result);
}

/// A part's own error: worth another attempt unless it is about the query itself. A database that
/// is down looks like this too (`ECONNREFUSED`, measured).
fn part_error(error: &str) -> PartError {
    let about_the_query = [
        "Unknown",
        "Invalid",
        "Missing",
        "Validation",
        "not allowed",
        "Syntax",
    ];
    PartError {
        message: cut(error),
        retryable: !about_the_query.iter().any(|word| error.contains(word)),
    }
}

fn row_set(page: &RawValue) -> BTreeSet<String> {
    let rows: Vec<&RawValue> = serde_json::from_str(page.get()).unwrap_or_default();
    rows.into_iter().map(|row| row.get().to_owned()).collect()
}
