//! Queries: envelopes checked part by part.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use sonic_rs::LazyValue;

use super::{ApiError, Client, answer::cut, limiter::Budget, patience::Reading};
use crate::domain::request::{Ask, Item, Request};

/// The largest answer that is read of a request of several parts: a larger one is asked for in halves.
const MAX_PACKED_BYTES: usize = 48 << 20;

/// The largest answer that is read of one part: ten thousand rows of 25 KB.
pub(super) const MAX_PART_BYTES: usize = 256 << 20;

/// One page of a part: a JSON array of row objects, as received.
#[derive(Debug, Clone)]
pub struct Page(pub Bytes);

/// Why a part has no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartError {
    /// One line, of bounded length, without SQL.
    pub message: String,
    /// Whether a further attempt may help.
    pub retryable: bool,
}

impl PartError {
    /// One that no further attempt changes.
    pub(super) fn last(message: String) -> Self {
        Self {
            message,
            retryable: false,
        }
    }

    /// One that a further attempt may change.
    pub(super) fn passing(message: String) -> Self {
        Self {
            message,
            retryable: true,
        }
    }
}

/// A page of the part, or why it has none.
pub type PartResult = Result<Page, PartError>;

#[derive(Deserialize)]
struct Envelope<'a> {
    success: bool,
    #[serde(default, borrow)]
    data: Option<Vec<Element<'a>>>,
    #[serde(default, borrow)]
    results: Option<Vec<BatchItem<'a>>>,
    #[serde(default)]
    error: Option<Value>,
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
    data: Option<LazyValue<'a>>,
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
    /// Asks for the first page of every part of the request; each comes back exactly once, in the
    /// request's order. Whether more pages follow is for [`super::Pages`] to say.
    ///
    /// # Errors
    /// The request failed as a whole. A part that failed inside a good answer is its own error.
    pub async fn query(&self, request: &Request) -> Result<Vec<(String, PartResult)>, ApiError> {
        let items = match &request.ask {
            Ask::Items(items) => items,
            Ask::Custom(ask) => {
                let page = self.query_custom(request, ask).await?;
                return Ok(vec![(ask.id.clone(), page)]);
            }
        };
        let mut parts = self.ask(request, items).await?;
        let parts_asked = items.iter().flat_map(|item| &item.parts);
        let results = parts_asked.map(|part| {
            let page = parts.remove(&part.id).unwrap_or_else(|| {
                let message = format!("the answer lacks the part `{}`", part.parameter);
                Err(PartError::passing(message))
            });
            (part.id.clone(), page)
        });
        Ok(results.collect())
    }

    /// Asks for a further page of one part of the request, from 2.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_page(
        &self,
        request: &Request,
        part_id: &str,
        page: u32,
    ) -> Result<PartResult, ApiError> {
        let lacking = || Err(PartError::passing("a page lacks its part".to_owned()));
        let Some(request) = request.page_of(part_id, page) else {
            return Ok(lacking());
        };
        let mut parts = self.query(&request).await?;
        Ok(parts.pop().map_or_else(lacking, |(_, page)| page))
    }

    /// One request: the parts of its answer by id.
    async fn ask(
        &self,
        request: &Request,
        items: &[Item],
    ) -> Result<BTreeMap<String, PartResult>, ApiError> {
        let body = request.body();
        let is_packed = items.iter().map(|item| item.parts.len()).sum::<usize>() > 1;
        let reading = Reading {
            is_packed,
            max_bytes: if is_packed {
                MAX_PACKED_BYTES
            } else {
                MAX_PART_BYTES
            },
        };
        let sent = self.send_and_read(
            Budget::Standard,
            Method::POST,
            &request.path,
            Some(&body),
            reading,
            |answer| parts_of(answer, items),
        );
        let parts = sent.await?;
        self.count_query();
        Ok(parts)
    }
}

/// The parts of an answer, by id.
pub(super) fn parts_of(
    answer: &Bytes,
    items: &[Item],
) -> Result<BTreeMap<String, PartResult>, ApiError> {
    let envelope: Envelope<'_> = sonic_rs::from_slice(answer).map_err(|error| {
        let text = error.to_string();
        protocol(&cut(text.lines().next().unwrap_or_default()))
    })?;
    if !envelope.success {
        return Err(protocol("`success` is false in an answer with status 200"));
    }
    let error = words(envelope.error.as_ref());
    if !error.is_empty() {
        let what = format!("it has rows and an error: {}", cut(&error));
        return Err(protocol(&what));
    }
    let mut parts = BTreeMap::new();
    let mut stray = None;
    for item in envelope.results.into_iter().flatten() {
        if item.error.is_some() {
            let error = words(item.error.as_ref());
            if items.iter().all(|asked| asked.id != item.query_id) {
                stray.get_or_insert(error);
                continue;
            }
            fail_item(items, &item.query_id, &error, &mut parts);
        }
        for element in item.data.into_iter().flatten() {
            take(element, answer, &mut parts);
        }
    }
    for element in envelope.data.into_iter().flatten() {
        take(element, answer, &mut parts);
    }
    if let Some(error) = stray {
        fail_lacking(items, &error, &mut parts);
    }
    Ok(parts)
}

/// An answer to a query that is not what the API promises.
pub(super) fn protocol(what: &str) -> ApiError {
    ApiError::Protocol {
        path: "/v1/query".to_owned(),
        what: what.to_owned(),
    }
}

/// An item that failed under an id that nobody gave is one of those that the answer lacks.
fn fail_lacking(items: &[Item], error: &str, parts: &mut BTreeMap<String, PartResult>) {
    for part in items.iter().flat_map(|item| &item.parts) {
        let lacking = || Err(part_error(error));
        parts.entry(part.id.clone()).or_insert_with(lacking);
    }
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
fn take(element: Element<'_>, answer: &Bytes, parts: &mut BTreeMap<String, PartResult>) {
    let data = element.data.as_ref().map(LazyValue::as_raw_str);
    let result = match (element.success, data) {
        // An error beside rows: who knows whether these are all
        (true, Some(_)) if !words(element.error.as_ref()).is_empty() => {
            Err(part_error(&words(element.error.as_ref())))
        }
        (true, Some(rows)) if rows.starts_with('[') => Ok(page(rows, answer)),
        (true, Some("null") | None) => Err(PartError::passing("`data` is missing".to_owned())),
        (true, Some(_)) => Err(PartError::passing("`data` is no list of rows".to_owned())),
        (false, _) => Err(part_error(&words(element.error.as_ref()))),
    };
    let id = element.parameter;
    let message = format!("the answer holds the part `{id}` twice");
    parts
        .entry(id)
        .and_modify(|first| *first = Err(PartError::last(message)))
        .or_insert(result);
}

/// The rows as a slice of the answer.
fn page(rows: &str, answer: &Bytes) -> Page {
    let (whole, part) = (answer.as_ptr_range(), rows.as_bytes().as_ptr_range());
    let is_slice = whole.start <= part.start && part.end <= whole.end;
    Page(if is_slice {
        answer.slice_ref(rows.as_bytes())
    } else {
        Bytes::copy_from_slice(rows.as_bytes())
    })
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
