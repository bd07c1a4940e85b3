//! `vacuum`: removes runs that are older than the store keeps them.

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{open_store, settings},
};
use crate::{clock::Clock, engine::EngineError};

pub(super) async fn vacuum(global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let (_, settings) = settings(global)?;
    let store = open_store(&settings, clock).await?;
    let before = clock.now() - settings.keep_runs;
    let removed = store.vacuum(before).await;
    store.close().await;
    let removed = removed.map_err(EngineError::from)?;
    if global.json {
        return Ok(print::json(
            &json!({ "runs_removed": removed, "before": before }),
        ));
    }
    print::line(format!(
        "{removed} runs from before {} were removed; what was sent to whom is kept for good",
        before.format("%Y-%m-%d")
    ));
    Ok(Exit::Done)
}
