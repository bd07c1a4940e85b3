//! Reports to channels: what is posted, and how that ends.

use serde_json::{Map, Value, json};

use super::{Engine, courier::Failed, delivery::Begun, stored::StoredMail};
use crate::{
    domain::channel::{Channel, ChannelKind},
    mail::{Failure, Refusal},
    notify::{self, Webhook},
    report::{Digest, slack},
};

/// Of the JSON of a webhook; a key may be added without another number.
const VERSION: u32 = 1;

/// What a posted report is called while it is not sent.
const PREVIEW: &str = "preview";

impl Engine {
    /// Posts a letter to a channel: one try, that is in the ledger from its begin to its end.
    pub(super) async fn post_to(
        &self,
        channel: &Channel,
        letter: &StoredMail,
        begun: &Begun,
        id: &str,
    ) -> Result<Vec<Refusal>, Failed> {
        let context = serde_json::from_str(&letter.context).map_err(|error| {
            let why = format!("what was kept cannot be read: {error}");
            Failed::from((Failure::Refused, why))
        })?;
        let body = body(channel.kind, &letter.subject, &context, id, begun.number);
        let webhook = Webhook {
            url: &channel.url,
            secret: channel.secret.as_ref(),
            id,
            at: self.clock.now(),
        };
        let posted = webhook.post_once(&body).await;
        posted.map(|()| Vec::new()).map_err(|failed| Failed {
            failure: match failed.failure {
                notify::Failure::Refused => Failure::Refused,
                notify::Failure::NotYet => Failure::NotYet,
                notify::Failure::Unknown => Failure::Unknown,
            },
            why: failed.why,
            pause: failed.pause,
            is_silent: failed.is_silent,
        })
    }
}

/// What a channel would be sent, for people to look at.
pub(super) fn preview_body(kind: ChannelKind, subject: &str, context: &Value) -> Value {
    body(kind, subject, context, PREVIEW, 1)
}

fn body(kind: ChannelKind, subject: &str, context: &Value, id: &str, number: u32) -> Value {
    let digest = Digest::of(context);
    match kind {
        ChannelKind::Slack => slack(&digest, subject),
        ChannelKind::Webhook => {
            // The key is the same for every sending, the id that of this one
            let key = id.split('.').next().unwrap_or(id);
            let mut body = json!({
                "type": "report", "version": VERSION,
                "delivery": { "key": key, "number": number, "id": id },
                "subject": subject, "digest": digest,
            });
            let whole = body.as_object_mut().expect("it was made as an object");
            whole.extend(without_files(context));
            body
        }
    }
}

/// The context of a template; files do not go with JSON.
fn without_files(context: &Value) -> Map<String, Value> {
    let mut context = context.as_object().cloned().unwrap_or_default();
    let files = context.get_mut("attachments").and_then(Value::as_array_mut);
    for file in files.into_iter().flatten() {
        file["attached"] = false.into();
    }
    context
}
