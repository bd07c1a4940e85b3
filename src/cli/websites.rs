//! `websites`: the websites that the key may read.

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{Api, settings},
};
use crate::{clock::Clock, engine::EngineError};

pub(super) async fn websites(global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let (root, settings) = settings(global)?;
    let api = Api::start(global, &root, &settings, clock).await?;
    if !api.client.has_key() {
        return Err(EngineError::NoKey.into());
    }
    let websites = api.client.websites().await.map_err(EngineError::from);
    api.stop().await;
    let websites = websites?;
    if global.json {
        let list = websites
            .iter()
            .map(|w| json!({ "id": w.id, "name": w.name, "domain": w.domain }));
        return Ok(print::json(
            &json!({ "websites": list.collect::<Vec<_>>() }),
        ));
    }
    let rows = websites
        .into_iter()
        .map(|w| vec![w.id, w.domain, w.name.unwrap_or_default()]);
    print::table(&["id", "domain", "name"], rows);
    Ok(Exit::Done)
}
