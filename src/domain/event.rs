//! Custom events, as the tracking API takes them.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The most events of one request. Source: the February 2026 server's `/batch` (measured).
pub const MAX_BATCH: usize = 100;

/// The longest name that every server takes, in characters. Source: the seed document.
const MAX_NAME: usize = 128;

/// The most properties of an event. Source: `databuddy-api.md`, Events.
const MAX_PROPERTIES: usize = 50;

/// The most bytes of an event's properties. Source: as above.
const MAX_PROPERTY_BYTES: usize = 32 * 1024;

/// A custom event.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedEvent {
    /// 1 to 128 characters.
    pub name: String,
    /// Deduplicates at servers since 2026.
    pub event_id: String,
    /// The visitor.
    pub anonymous_id: Option<String>,
    /// The visitor's session.
    pub session_id: Option<String>,
    /// Milliseconds since 1970; `None`: the server's present instant.
    pub timestamp_ms: Option<i64>,
    /// Anything; empty where there is nothing.
    pub properties: Map<String, Value>,
}

/// The keys of an event, as a file of JSON lines spells them.
const KEYS: [&str; 7] = [
    "type",
    "name",
    "eventId",
    "anonymousId",
    "sessionId",
    "timestamp",
    "properties",
];

impl TrackedEvent {
    /// Reads a line of a file. `fallback_id` is its id where it has none of its own.
    ///
    /// # Errors
    /// In words: what is wrong with it.
    pub fn from_json(line: &str, fallback_id: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|e| format!("it is no JSON: {e}"))?;
        let Value::Object(mut map) = value else {
            return Err("it is no JSON object".to_owned());
        };
        if let Some(unknown) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!(
                "unknown key `{unknown}`; possible: {}",
                KEYS.join(", ")
            ));
        }
        if map.get("type").is_some_and(|kind| kind != "custom") {
            return Err("`type` must be \"custom\"".to_owned());
        }
        let mut text = |key: &str| match map.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{key}` must be text")),
        };
        let event = Self {
            name: text("name")?.unwrap_or_default(),
            event_id: text("eventId")?.unwrap_or_else(|| fallback_id.to_owned()),
            anonymous_id: text("anonymousId")?,
            session_id: text("sessionId")?,
            timestamp_ms: match map.remove("timestamp") {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_i64().ok_or(
                    "`timestamp` must be milliseconds since 1970: a server stores what it cannot read as 1970",
                )?),
            },
            properties: match map.remove("properties") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(map)) => map,
                Some(_) => return Err("`properties` must be an object".to_owned()),
            },
        };
        event.check()?;
        Ok(event)
    }

    /// Whether every server would take it.
    ///
    /// # Errors
    /// In words: which bound it breaks.
    pub fn check(&self) -> Result<(), String> {
        let length = self.name.chars().count();
        if length == 0 || length > MAX_NAME {
            return Err(format!(
                "`name` must have 1 to {MAX_NAME} characters, it has {length}"
            ));
        }
        // Seconds in place of milliseconds would lie in 1970
        if self
            .timestamp_ms
            .is_some_and(|ms| !(946_684_800_000..=4_102_444_800_000).contains(&ms))
        {
            return Err(
                "`timestamp` must be milliseconds since 1970, between 2000 and 2100".to_owned(),
            );
        }
        if self.properties.len() > MAX_PROPERTIES {
            let count = self.properties.len();
            return Err(format!(
                "at most {MAX_PROPERTIES} properties are taken, it has {count}"
            ));
        }
        let bytes = Value::Object(self.properties.clone()).to_string().len();
        if bytes > MAX_PROPERTY_BYTES {
            return Err(format!(
                "its properties have {bytes} bytes, at most {MAX_PROPERTY_BYTES} are taken"
            ));
        }
        Ok(())
    }

    /// As the API takes it; `is_seed`: with the `type` of the seed's generation.
    pub fn body(&self, is_seed: bool) -> Value {
        let mut body = json!({ "name": self.name, "eventId": self.event_id });
        if is_seed {
            body["type"] = "custom".into();
        }
        let texts = [
            ("anonymousId", &self.anonymous_id),
            ("sessionId", &self.session_id),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                body[key] = value.as_str().into();
            }
        }
        if let Some(timestamp) = self.timestamp_ms {
            body["timestamp"] = timestamp.into();
        }
        if !self.properties.is_empty() {
            body["properties"] = self.properties.clone().into();
        }
        body
    }
}

/// The id of a line that has none of its own: the same for the same line of the same website,
/// counted among equal ones, so that a repeat of the file is no duplicate.
pub fn line_id(website_id: &str, line: &str, occurrence: usize) -> String {
    let mut hasher = Sha256::new();
    hasher.update(website_id);
    hasher.update([0]);
    hasher.update(line);
    hasher.update([0]);
    hasher.update(occurrence.to_string());
    hex::encode(hasher.finalize())[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_an_event_of_either_generation() {
        let line = r#"{"type":"custom","name":"purchase","anonymousId":"a","timestamp":1795417097289,"properties":{"value":99.99}}"#;
        let event = TrackedEvent::from_json(line, "id1").unwrap();
        let seed = r#"{"name":"purchase","eventId":"id1","type":"custom","anonymousId":"a","timestamp":1795417097289,"properties":{"value":99.99}}"#;
        assert_eq!(event.body(true).to_string(), seed);
        assert!(event.body(false).get("type").is_none());
    }

    #[test]
    fn what_a_server_would_refuse_or_store_wrong_is_refused_here() {
        for (line, why) in [
            ("{", "no JSON"),
            ("[]", "no JSON object"),
            ("{}", "1 to 128 characters"),
            (r#"{"name":"x","nmae":1}"#, "unknown key `nmae`"),
            (r#"{"name":"x","type":"track"}"#, "`type`"),
            (
                r#"{"name":"x","timestamp":"yesterday"}"#,
                "stores what it cannot read as 1970",
            ),
            (r#"{"name":"x","timestamp":1704067200}"#, "milliseconds"),
            (r#"{"name":"x","properties":[1]}"#, "must be an object"),
            (r#"{"name":7}"#, "`name` must be text"),
        ] {
            let error = TrackedEvent::from_json(line, "i").unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
        let many: Map<String, Value> = (0..51).map(|n| (n.to_string(), n.into())).collect();
        let line = json!({ "name": "x", "properties": many }).to_string();
        assert!(
            TrackedEvent::from_json(&line, "i")
                .unwrap_err()
                .contains("at most 50")
        );
        let line = json!({ "name": "x", "properties": { "a": "y".repeat(40_000) } }).to_string();
        assert!(
            TrackedEvent::from_json(&line, "i")
                .unwrap_err()
                .contains("bytes")
        );
    }

    #[test]
    fn equal_lines_have_ids_of_their_own_that_stay_the_same() {
        assert_eq!(line_id("w", "{}", 0), line_id("w", "{}", 0));
        assert_ne!(line_id("w", "{}", 0), line_id("w", "{}", 1));
        assert_ne!(line_id("w", "{}", 0), line_id("v", "{}", 0));
    }
}
