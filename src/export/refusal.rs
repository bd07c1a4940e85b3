//! Why an object store would not do something, and what to do about it.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

/// What an object store, or the way to it, said: without the XML and the addresses around it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Answer(String);

impl Answer {
    /// The code and the sentence of an answer, or the words of who could not get one.
    pub(super) fn of(error: &object_store::Error) -> Self {
        let text = error.to_string();
        let between = |start: &str, end: &str| {
            let (_, rest) = text.split_once(start)?;
            Some(rest.split_once(end)?.0.trim())
        };
        let status = between("status code: ", ":").unwrap_or("no status");
        if let Some(code) = between("<Code>", "</Code>") {
            let message = between("<Message>", "</Message>").unwrap_or_default();
            let message = message.lines().next().unwrap_or_default();
            return Self(format!("{status}, {code}: {message}"));
        }
        // Before it stands what was asked for
        let said = text
            .rsplit_once(" - ")
            .map_or(text.as_str(), |(_, said)| said);
        let said = said.trim_start_matches("Server returned non-2xx status code: ");
        Self(said.trim().trim_end_matches(':').to_owned())
    }
}

/// Why an object store would not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The bucket or container does not exist.
    NoBucket,
    /// There are no credentials: none are set, and the machine has no role.
    NoKeys,
    /// The credentials are not taken.
    BadKeys,
    /// The credentials may not do this.
    Denied,
    /// The bucket lies in another region.
    WrongRegion,
    /// Nobody answers at the endpoint.
    Unreachable,
    /// The store is overloaded or broken for now.
    Unavailable,
    /// Conditional writes are not known there.
    Unconditional,
    /// Something else: the store's own words say what.
    Other,
}

/// Codes of S3, Google and Azure. Sources: the "Error responses" of the S3 API reference, "HTTP
/// status and error codes for XML" of Cloud Storage, "Blob service error codes" of Azure.
const CODES: [(Refusal, &[&str]); 6] = [
    // Asked for where nothing else gives credentials
    (
        Refusal::NoKeys,
        &["169.254.16", "metadata.google.internal", "169.254.170.2"],
    ),
    (Refusal::NoBucket, &["NoSuchBucket", "ContainerNotFound"]),
    (
        Refusal::WrongRegion,
        &[
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "IllegalLocationConstraint",
            // object_store's own words for a redirect without an address
            "incorrectly configured region",
        ],
    ),
    (
        Refusal::BadKeys,
        &[
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
            "AuthenticationFailed",
            "InvalidAuthenticationInfo",
            // Azure's words, under several codes
            "Server failed to authenticate the request",
        ],
    ),
    (
        Refusal::Denied,
        &["AccessDenied", "AuthorizationPermissionMismatch"],
    ),
    (Refusal::Unconditional, &["NotImplemented"]),
];

impl Refusal {
    /// Tells it from what the store, or the way to it, said.
    pub(super) fn of(error: &object_store::Error) -> Self {
        let mut text = String::new();
        let mut unanswered = false;
        let mut cause: Option<&dyn Error> = Some(error);
        while let Some(error) = cause {
            text.push_str(&error.to_string());
            unanswered |= error.downcast_ref().is_some_and(|error: &HttpError| {
                !matches!(error.kind(), HttpErrorKind::Decode | HttpErrorKind::Unknown)
            });
            cause = error.source();
        }
        let told = CODES
            .iter()
            .find(|(_, codes)| codes.iter().any(|code| text.contains(code)));
        if let Some((refusal, _)) = told {
            return *refusal;
        }
        match error {
            object_store::Error::PermissionDenied { .. } => Self::Denied,
            object_store::Error::Unauthenticated { .. } => Self::BadKeys,
            object_store::Error::NotImplemented { .. }
            | object_store::Error::NotSupported { .. } => Self::Unconditional,
            _ if unanswered => Self::Unreachable,
            _ if text.contains("status code: 5") || text.contains("SlowDown") => Self::Unavailable,
            _ => Self::Other,
        }
    }

    /// What to do; `bucket` is the name in `to`, which is that of its entry too.
    pub(super) fn remedy(self, bucket: &str) -> String {
        match self {
            Self::NoBucket => format!("make the bucket `{bucket}`, or change `to`"),
            Self::NoKeys => format!(
                "set keys in `stores.{bucket}`, or in the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY)"
            ),
            Self::BadKeys => {
                format!("check the keys in `stores.{bucket}`, or those of the environment")
            }
            Self::Denied => {
                format!("let the key read, write, list and delete in the bucket `{bucket}`")
            }
            Self::WrongRegion => format!("set `stores.{bucket}.region` to the bucket's region"),
            Self::Unreachable => format!("check `stores.{bucket}.endpoint` and the network"),
            Self::Unavailable => "the store has trouble of its own: try again later".to_owned(),
            Self::Unconditional => format!(
                "the store behind `stores.{bucket}` knows no conditional writes, without which two runners could overwrite each other: use another"
            ),
            Self::Other => format!("check `to` and `stores.{bucket}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_the_words_of_the_store_and_of_the_way_to_it() {
        let asked = "Error performing PUT http://127.0.0.1:1/lake/a in 3ms - ";
        for (said, refusal, answer) in [
            (
                "Error performing PUT http://169.254.169.254/latest/api/token in 2s - HTTP error: error sending request",
                Refusal::NoKeys,
                "HTTP error: error sending request",
            ),
            (
                "Received redirect without LOCATION, this normally indicates an incorrectly configured region",
                Refusal::WrongRegion,
                "Received redirect without LOCATION, this normally indicates an incorrectly configured region",
            ),
            (
                "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code><Message>no such bucket\nRequestId:1</Message></Error>",
                Refusal::NoBucket,
                "404 Not Found, NoSuchBucket: no such bucket",
            ),
            (
                "Server returned non-2xx status code: 503 Service Unavailable: ",
                Refusal::Unavailable,
                "503 Service Unavailable",
            ),
        ] {
            let error = object_store::Error::Generic {
                store: "S3",
                source: format!("{asked}{said}").into(),
            };
            assert_eq!(Refusal::of(&error), refusal, "{said}");
            assert_eq!(Answer::of(&error).to_string(), answer);
        }
    }
}
