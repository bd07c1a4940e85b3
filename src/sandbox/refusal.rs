//! Error answers.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::options::Generation;

/// An error answer.
#[derive(Debug, Clone)]
pub(super) struct Refusal(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Field and message of each thing that is wrong.
    details: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    extra: Value,
    with_id: bool,
}

/// The id of a request.
pub(super) fn request_id() -> String {
    format!("req_{:016x}", fastrand::u64(..))
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
            extra: Value::Null,
            with_id: true,
        }))
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(super) fn message(&self) -> &str {
        &self.0.message
    }

    /// 400 `VALIDATION_ERROR`, for one field.
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::details(vec![(field.into(), message.into())])
    }

    /// 400 `VALIDATION_ERROR`, for several fields.
    pub(super) fn details(details: Vec<(String, String)>) -> Self {
        let message = details.first().map(|(_, message)| message.clone());
        let mut refusal = Self::bad("VALIDATION_ERROR", message.unwrap_or_default());
        refusal.0.details = details;
        refusal
    }

    /// 400 with a code.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn with_code(mut self, code: &'static str) -> Self {
        self.0.code = code;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// Further members of the body; the February server gives no request id with them.
    pub(super) fn extra(mut self, extra: Value) -> Self {
        self.0.extra = extra;
        self
    }

    pub(super) fn without_id(mut self) -> Self {
        self.0.with_id = false;
        self
    }

    /// The body has not the shape that it must have.
    pub(super) fn shape(generation: Generation, field: &str, message: impl Into<String>) -> Self {
        match generation {
            Generation::Seed => Self::invalid(field, message),
            Generation::Server2026_02 => {
                Self::opaque(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION")
            }
        }
    }

    /// An error of which the February server says nothing.
    pub(super) fn opaque(status: StatusCode, code: &'static str) -> Self {
        Self::new(status, code, "An internal server error occurred").without_id()
    }

    /// The database did not answer.
    pub(super) fn database() -> Self {
        let message = "The database did not answer";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "DATABASE_ERROR", message)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the sandbox's database failed");
        Self::database()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let parts = *self.0;
        let id = request_id();
        let mut body = json!({ "success": false, "error": parts.message, "code": parts.code });
        if parts.with_id {
            body["requestId"] = json!(id);
        }
        if !parts.details.is_empty() {
            let details = parts.details.iter();
            let details =
                details.map(|(field, message)| json!({ "field": field, "message": message }));
            body["details"] = details.collect();
        }
        if let (Value::Object(extra), Value::Object(body)) = (parts.extra, &mut body) {
            body.extend(extra);
        }
        let mut response = (parts.status, Json(body)).into_response();
        let mut headers = parts.headers;
        headers.push(("x-request-id", id));
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
