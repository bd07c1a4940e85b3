//! The server's lists: websites and query types.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use super::{ApiError, Client, limiter::Budget};
use crate::domain::{
    catalog::{Catalog, QueryType},
    query::ColumnType,
    website::Website,
};

impl Client {
    /// The websites that the key may read, in the server's order.
    ///
    /// # Errors
    /// The server refuses, or its answer is no list of websites.
    pub async fn websites(&self) -> Result<Vec<Website>, ApiError> {
        let path = "/v1/query/websites";
        let body = self.get(path).await?;
        let list = body["websites"]
            .as_array()
            .ok_or_else(|| lacks(path, "`websites`"))?;
        let mut websites: Vec<Website> = Vec::new();
        for site in list {
            // A name with line breaks would begin headers of mails, and lines of reports
            let text = |key: &str| {
                site[key]
                    .as_str()
                    .map(|text| text.replace(char::is_control, " "))
            };
            let website = Website {
                id: text("id")
                    .filter(|id| !id.trim().is_empty())
                    .ok_or_else(|| lacks(path, "the `id` of a website"))?,
                name: text("name"),
                domain: text("domain").unwrap_or_default(),
                created: text("createdAt").and_then(|at| at.get(..10)?.parse().ok()),
            };
            // Listed twice, it is still one website
            if websites.iter().all(|other| other.id != website.id) {
                websites.push(website);
            }
        }
        Ok(websites)
    }

    /// The query types, with their columns where the server says them.
    ///
    /// # Errors
    /// The server refuses, or its answer is no list of types.
    pub async fn catalog(&self) -> Result<Catalog, ApiError> {
        let path = "/v1/query/types?include_meta=true";
        let body = self.get(path).await?;
        let names = body["types"]
            .as_array()
            .ok_or_else(|| lacks(path, "`types`"))?;
        let types = names
            .iter()
            .filter_map(Value::as_str)
            .map(|name| (name.to_owned(), query_type(&body["configs"][name])));
        Ok(Catalog {
            types: types.collect::<BTreeMap<_, _>>(),
        })
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let text = self.send(Budget::Standard, Method::GET, path, None).await?;
        serde_json::from_str(&text).map_err(|e| ApiError::Protocol {
            path: path.to_owned(),
            what: e.to_string(),
        })
    }
}

fn lacks(path: &str, what: &str) -> ApiError {
    ApiError::Protocol {
        path: path.to_owned(),
        what: format!("it lacks {what}"),
    }
}

/// `output_fields` as objects, or `outputFields` as names; either may be missing.
fn query_type(config: &Value) -> QueryType {
    let meta = &config["meta"];
    let fields = ["output_fields", "outputFields"]
        .iter()
        .find_map(|key| meta[*key].as_array());
    let column = |field: &Value| -> Option<(String, Option<ColumnType>)> {
        match field {
            Value::String(name) => Some((name.clone(), None)),
            field => Some((
                field["name"].as_str()?.to_owned(),
                column_type(field["type"].as_str()?),
            )),
        }
    };
    QueryType {
        allowed_filters: config["allowedFilters"].as_array().map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        }),
        columns: fields.into_iter().flatten().filter_map(column).collect(),
    }
}

/// The server's `number` does not say whether it is whole, so it decides nothing.
fn column_type(name: &str) -> Option<ColumnType> {
    match name {
        "string" => Some(ColumnType::String),
        "boolean" => Some(ColumnType::Boolean),
        "integer" => Some(ColumnType::Int64),
        "json" => Some(ColumnType::Json),
        _ => None,
    }
}
