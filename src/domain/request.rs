//! One query request as it goes over the wire, and the parts that its answer must hold.

use serde_json::Value;

use super::target::Target;

/// A request of the query API, complete: `plan` prints exactly what the client sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The website or link asked for.
    pub target: Target,
    /// Path and query, below the API's URL: `/v1/query?website_id=web_1`.
    pub path: String,
    /// What is asked for.
    pub ask: Ask,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Items of query types; one is sent as an object, several as an array. At least one.
    Items(Vec<Item>),
    /// One custom query.
    Custom(CustomAsk),
}

/// One custom query as it goes over the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomAsk {
    /// The part's id, unique in the plan.
    pub id: String,
    /// The body's `query`.
    pub query: Value,
    /// The first day.
    pub start: String,
    /// The last day as the server's generation takes it.
    pub end: String,
    /// Rows, 1 to 10 000; there is no second page.
    pub limit: u32,
    /// Whether every row is wanted: then an answer that is full to the limit is none.
    pub wants_all: bool,
    /// Columns that every row must have.
    pub group_by: Vec<String>,
}

/// One query of a request: parameters that share dates, filters, limit and page.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Unique in the request; the answer repeats it as `queryId`.
    pub id: String,
    /// The first day, or instant with offset.
    pub start: String,
    /// The last day, or instant with offset.
    pub end: String,
    /// `[{field, op, value}]` as the API takes it.
    pub filters: Vec<Value>,
    /// Rows a page, 1 to 10 000.
    pub limit: u32,
    /// From 1.
    pub page: u32,
    /// At least one, with ids unique in the whole request.
    pub parts: Vec<Part>,
}

/// One parameter of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Unique in the request; the answer repeats it as `parameter`.
    pub id: String,
    /// The server's name of the query type.
    pub parameter: String,
    /// `hourly` or `daily`.
    pub granularity: Option<&'static str>,
    /// Its own plain days where they differ from the item's.
    pub days: Option<(String, String)>,
    /// Whether the server honours `page` for this type, as far as was measured; `None`: unknown.
    pub honours_page: Option<bool>,
    /// How many rows are wanted; `None`: all.
    pub wanted: Option<u32>,
}

/// The most rows that the server gives at once.
pub const MAX_LIMIT: u32 = 10_000;

impl Request {
    /// The JSON body.
    pub fn body(&self) -> Value {
        match &self.ask {
            Ask::Items(items) => match items.as_slice() {
                [one] => one.body(),
                many => many.iter().map(Item::body).collect(),
            },
            Ask::Custom(custom) => serde_json::json!({
                "query": custom.query,
                "startDate": custom.start,
                "endDate": custom.end,
                "limit": custom.limit,
            }),
        }
    }

    /// The request of a further page of one part, from 2; `None` where it has no such part, or where
    /// the part has no pages.
    #[must_use]
    pub fn page_of(&self, part_id: &str, page: u32) -> Option<Self> {
        let Ask::Items(items) = &self.ask else {
            return None;
        };
        let item = items.iter().find_map(|item| {
            let part = item.parts.iter().find(|part| part.id == part_id)?;
            Some(Item {
                parts: vec![part.clone()],
                page,
                ..item.clone()
            })
        })?;
        Some(Self {
            ask: Ask::Items(vec![item]),
            ..self.clone()
        })
    }

    /// Its two halves, each with at least one part; `None` where it has only one.
    #[must_use]
    pub fn halves(&self) -> Option<(Self, Self)> {
        let Ask::Items(items) = &self.ask else {
            return None;
        };
        let count: usize = items.iter().map(|item| item.parts.len()).sum();
        if count < 2 {
            return None;
        }
        let half = |range: std::ops::Range<usize>| {
            let mut place = 0;
            let mut kept = Vec::new();
            for item in items {
                let parts = item.parts.iter().filter(|_| {
                    place += 1;
                    range.contains(&(place - 1))
                });
                let parts: Vec<Part> = parts.cloned().collect();
                if !parts.is_empty() {
                    kept.push(Item {
                        parts,
                        ..item.clone()
                    });
                }
            }
            Self {
                ask: Ask::Items(kept),
                ..self.clone()
            }
        };
        Some((half(0..count / 2), half(count / 2..count)))
    }

    /// Whether it counts against the budget of custom queries.
    pub fn is_custom(&self) -> bool {
        matches!(self.ask, Ask::Custom(_))
    }

    /// The ids of its parts.
    pub fn part_ids(&self) -> Vec<&str> {
        match &self.ask {
            Ask::Items(items) => items
                .iter()
                .flat_map(|i| &i.parts)
                .map(|p| p.id.as_str())
                .collect(),
            Ask::Custom(custom) => vec![&custom.id],
        }
    }
}

impl Item {
    fn body(&self) -> Value {
        let mut body = serde_json::json!({
            "id": self.id,
            "parameters": self.parts.iter().map(Part::body).collect::<Vec<_>>(),
            "startDate": self.start,
            "endDate": self.end,
            "limit": self.limit,
            "page": self.page,
        });
        // Also beside the parameters, for servers that read it only there
        if let Some(first) = self.parts.first()
            && let Some(granularity) = first.granularity
            && self
                .parts
                .iter()
                .all(|p| p.granularity == first.granularity)
        {
            body["granularity"] = granularity.into();
        }
        if !self.filters.is_empty() {
            body["filters"] = self.filters.clone().into();
        }
        body
    }
}

impl Part {
    fn body(&self) -> Value {
        let mut body = serde_json::json!({ "name": self.parameter, "id": self.id });
        if let Some((start, end)) = &self.days {
            body["start_date"] = start.as_str().into();
            body["end_date"] = end.as_str().into();
        }
        if let Some(granularity) = self.granularity {
            body["granularity"] = granularity.into();
        }
        body
    }
}
