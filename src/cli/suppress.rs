//! `suppress`: addresses that get no mail, whatever a job says.

use serde_json::json;

use super::{
    CliError,
    args::{Global, SuppressAction},
    exit::Exit,
    print,
    session::{open_store, settings},
};
use crate::{clock::Clock, engine::EngineError, store::Store};

pub(super) async fn suppress(
    action: SuppressAction,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (_, settings) = settings(global)?;
    let store = open_store(&settings, clock).await?;
    let done = match action {
        SuppressAction::Add { addresses, reason } => {
            add(&store, &addresses, &reason, global, clock).await
        }
        SuppressAction::Remove { addresses } => remove(&store, &addresses, global).await,
        SuppressAction::List => list(&store, global).await,
    };
    store.close().await;
    done
}

async fn add(
    store: &Store,
    addresses: &[String],
    reason: &str,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    for address in addresses {
        let is_new = store.suppress(address, reason, clock.now()).await;
        if is_new.map_err(EngineError::from)? {
            say(global, &format!("{address} gets no mail any more"));
        } else {
            say(global, &format!("{address} was on the list already"));
        }
    }
    finish(store, global).await
}

async fn remove(store: &Store, addresses: &[String], global: &Global) -> Result<Exit, CliError> {
    for address in addresses {
        let was_there = store.unsuppress(address).await.map_err(EngineError::from)?;
        if was_there {
            say(global, &format!("{address} gets mails again"));
        } else {
            say(global, &format!("{address} was not on the list"));
        }
    }
    finish(store, global).await
}

async fn list(store: &Store, global: &Global) -> Result<Exit, CliError> {
    if global.json {
        return finish(store, global).await;
    }
    let all = store.suppressions().await.map_err(EngineError::from)?;
    if all.is_empty() {
        print::note("the list is empty");
        return Ok(Exit::Done);
    }
    let rows = all.iter().map(|entry| {
        let since = entry.added.format("%Y-%m-%d").to_string();
        vec![entry.address.clone(), since, entry.reason.clone()]
    });
    print::table(&["address", "since", "reason"], rows);
    Ok(Exit::Done)
}

/// With `--json` each action prints the list as it is then.
async fn finish(store: &Store, global: &Global) -> Result<Exit, CliError> {
    if !global.json {
        return Ok(Exit::Done);
    }
    let all = store.suppressions().await.map_err(EngineError::from)?;
    let entries: Vec<_> = all
        .iter()
        .map(|entry| {
            json!({
                "address": entry.address,
                "since": entry.added.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                "reason": entry.reason,
            })
        })
        .collect();
    Ok(print::json(&json!({ "suppressed": entries })))
}

fn say(global: &Global, text: &str) {
    if !global.json {
        print::line(text);
    }
}
