//! Custom queries: one set of rows, without pages.

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ApiError, Client, Page, PartError, PartResult, limiter::Budget};
use crate::domain::request::{CustomAsk, Request};

#[derive(Deserialize)]
struct Envelope<'a> {
    success: bool,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Client {
    /// Asks for a custom query.
    pub(super) async fn query_custom(
        &self,
        request: &Request,
        ask: &CustomAsk,
    ) -> Result<PartResult, ApiError> {
        let body = request.body();
        let sent = self.send(Budget::Custom, Method::POST, &request.path, Some(&body));
        let text = sent.await?;
        self.count_query();
        let protocol = |what: String| ApiError::Protocol {
            path: "/v1/query/custom".to_owned(),
            what,
        };
        let envelope: Envelope<'_> =
            serde_json::from_str(&text).map_err(|e| protocol(e.to_string()))?;
        let data = match envelope {
            Envelope {
                success: true,
                data: Some(data),
            } => data,
            Envelope { success: true, .. } => return Err(protocol("`data` is missing".to_owned())),
            Envelope { .. } => {
                return Err(protocol(
                    "`success` is false in an answer with status 200".to_owned(),
                ));
            }
        };
        let rows: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(data.get()).map_err(|e| protocol(e.to_string()))?;
        let refuse = |message: String| Ok(Err(PartError::last(message)));
        if ask.wants_all && rows.len() >= ask.limit as usize {
            return refuse(format!(
                "the custom query ends exactly at the limit of {} rows and has no further pages: narrow the window, add a filter, or group by less",
                ask.limit
            ));
        }
        // The server drops a column of the group when a select's name contains it (measured)
        let lacking = ask
            .group_by
            .iter()
            .find(|column| rows.iter().any(|row| !row.contains_key(*column)));
        if let Some(column) = lacking {
            return refuse(format!(
                "the rows lack `{column}` of `group_by`: count `*`, and choose an alias that does not contain `{column}`"
            ));
        }
        let page = Bytes::copy_from_slice(data.get().as_bytes());
        Ok(Ok(Page(page)))
    }
}
