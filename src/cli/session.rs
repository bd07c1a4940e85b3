//! What a command needs to work: the project, the store, the API, the mail.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{
    CliError,
    args::{Global, PlanArgs},
};
use crate::{
    api::{Client, ClientOptions},
    clock::Clock,
    config::{Auth, Environment, MailUrl, Options, Project, Settings, load},
    engine::{Engine, EngineError, Events},
    mail::Transport,
    sandbox::{Sandbox, SandboxOptions},
    secret::Secret,
    store::Store,
};

/// An engine with what it stands on.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) engine: Engine,
    sandbox: Option<Sandbox>,
}

/// Reads settings and jobs.
pub(super) fn project(
    global: &Global,
    only: &[String],
    set: &[(String, String)],
) -> Result<Project, CliError> {
    let options = Options {
        sandbox: global.sandbox,
        set: set.to_vec(),
        only: only.to_vec(),
    };
    load(&global.project, &Environment::system(), &options).map_err(CliError::Problems)
}

/// The project of a command that plans: with `--website` in place of the job's websites.
pub(super) fn planned_project(global: &Global, args: &PlanArgs) -> Result<Project, CliError> {
    let mut project = project(global, &args.jobs, &args.set)?;
    if let Some(website) = &args.website {
        for job in &mut project.jobs {
            job.websites.include = vec![website.clone()];
            job.websites.exclude.clear();
        }
    }
    Ok(project)
}

/// Opens the run store of a project.
pub(super) async fn open_store(settings: &Settings) -> Result<Store, CliError> {
    Ok(Store::open(&settings.store)
        .await
        .map_err(EngineError::from)?)
}

impl Session {
    /// Starts everything that runs need.
    pub(super) async fn start(
        global: &Global,
        project: &Project,
        clock: &Clock,
        events: Events,
    ) -> Result<Self, CliError> {
        let settings = &project.settings;
        let sandbox = if global.sandbox {
            let state = project.root.join(".databuddy-jobs/sandbox");
            Some(start_sandbox(state, clock).await?)
        } else {
            None
        };
        let (url, key, source) = if let Some(sandbox) = &sandbox {
            let url = sandbox.url().parse().map_err(|e: url::ParseError| {
                CliError::machine("the sandbox's address")(e.into())
            })?;
            (url, Some(Secret::new(sandbox.key())), "sandbox".to_owned())
        } else {
            if settings.api_key.is_none() && project.jobs.iter().any(|job| job.api_key.is_none()) {
                return Err(EngineError::NoKey.into());
            }
            let source = settings.api_url.to_string();
            (settings.api_url.clone(), settings.api_key.clone(), source)
        };
        let options = ClientOptions {
            url,
            key,
            bearer: settings.api_auth == Auth::Bearer,
            requests_per_minute: settings.requests_per_minute,
            max_in_flight: settings.max_in_flight,
            user_agent: concat!("databuddy-jobs/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let transport = match &settings.mail_url {
            Some(MailUrl::Dir(folder)) => Some(Transport::dir(folder.clone())),
            Some(MailUrl::Smtp(url)) => Some(Transport::smtp(url).map_err(EngineError::from)?),
            None => None,
        };
        let engine = Engine {
            root: project.root.clone(),
            settings: Arc::new(settings.clone()),
            client: Client::new(options, clock.clone()).map_err(EngineError::from)?,
            store: Arc::new(open_store(settings).await?),
            transport: transport.map(Arc::new),
            source,
            clock: clock.clone(),
            events,
            server: Arc::new(OnceCell::new()),
        };
        Ok(Self { engine, sandbox })
    }

    /// Stops what was started.
    pub(super) async fn stop(self) {
        self.engine.store.close().await;
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

async fn start_sandbox(state_dir: std::path::PathBuf, clock: &Clock) -> Result<Sandbox, CliError> {
    let clock = clock.clone();
    crate::sandbox::start(SandboxOptions {
        state_dir,
        now: Arc::new(move || clock.now()),
        ..SandboxOptions::default()
    })
    .await
    .map_err(|e| CliError::machine("the sandbox could not start")(e.into()))
}
