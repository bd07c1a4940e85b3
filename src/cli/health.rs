//! `health`: what the server says of itself.

use serde_json::{Map, Value, json};

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{Api, settings},
};
use crate::{clock::Clock, engine::EngineError};

pub(super) async fn health(global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let (root, settings) = settings(global)?;
    let api = Api::start(global, &root, &settings, clock).await?;
    let health = api.client.health().await.map_err(EngineError::from);
    api.stop().await;
    let health = health?;
    let exit = if health.is_healthy {
        Exit::Done
    } else {
        Exit::Temporary
    };
    if global.json {
        let parts: Map<String, Value> = health
            .parts
            .into_iter()
            .map(|(name, up)| (name, up.into()))
            .collect();
        print::json(
            &json!({ "healthy": health.is_healthy, "parts": parts, "version": health.version }),
        );
        return Ok(exit);
    }
    let version = health
        .version
        .map(|v| format!(", version {v}"))
        .unwrap_or_default();
    let says = if health.is_healthy {
        print::paint(print::GOOD, "healthy")
    } else {
        print::paint(print::BAD, "not healthy")
    };
    print::line(format!("{says}{version}"));
    for (name, is_up) in &health.parts {
        print::line(format!("  {name}: {}", if *is_up { "up" } else { "down" }));
    }
    if health.parts.is_empty() {
        print::line(
            "  it names no parts: servers of this generation say so also when a database is down",
        );
    }
    Ok(exit)
}
