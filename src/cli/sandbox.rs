//! `sandbox`: serves the embedded API until it is stopped.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    CliError,
    args::{Global, SandboxArgs},
    exit::Exit,
    print,
    run::cancel_on_signal,
};
use crate::{clock::Clock, sandbox::SandboxOptions};

pub(super) async fn sandbox(
    args: &SandboxArgs,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let clock = clock.clone();
    let root = std::path::absolute(&global.project).unwrap_or_else(|_| global.project.clone());
    let sandbox = crate::sandbox::start(SandboxOptions {
        listen: args.listen,
        state_dir: root.join(".databuddy-jobs/sandbox"),
        seed: args.seed,
        now: std::sync::Arc::new(move || clock.now()),
        generation: args.generation,
        requests_per_minute: args.requests_per_minute,
        custom_requests_per_minute: args.custom_requests_per_minute,
        faults: args.fault.clone(),
        fault_seed: args.fault_seed,
        ..SandboxOptions::default()
    })
    .await
    .map_err(|e| CliError::machine("the sandbox could not start")(e.into()))?;
    let keys = sandbox.keys();
    let websites: Vec<&str> = sandbox.websites().collect();
    let links: Vec<&str> = sandbox.links().collect();
    if global.json {
        let document = json!({
            "url": sandbox.url(), "basket_url": sandbox.basket_url(),
            "keys": {
                "full": keys.full, "query_only": keys.query_only, "events_only": keys.events_only,
                "one_site": keys.one_site, "revoked": keys.revoked,
            },
            "websites": websites, "links": links,
        });
        print::line(document.to_string());
    } else {
        print::line(format!("{} (query API and event tracking)", sandbox.url()));
        print::line(format!("  key, every scope   {}", keys.full));
        print::line(format!("  key, queries only  {}", keys.query_only));
        print::line(format!("  key, events only   {}", keys.events_only));
        print::line(format!("  key, one website   {}", keys.one_site));
        print::line(format!("  key, revoked       {}", keys.revoked));
        print::line(format!("  websites           {}", websites.join(" ")));
        print::line(format!("  links              {}", links.join(" ")));
        print::note(format!(
            "try: curl -H 'x-api-key: {}' {}/v1/query/websites    (Ctrl-C stops)",
            keys.full,
            sandbox.url()
        ));
    }
    let stop = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(stop.clone()));
    stop.cancelled().await;
    signals.abort();
    sandbox.stop().await;
    Ok(Exit::Done)
}
