//! What a command needs to work: the project, the store, the API, the mail.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{OnceCell, Semaphore};

use super::{
    CliError,
    args::{Global, PlanArgs},
    print,
};
use crate::{
    api::{Client, ClientOptions},
    clock::Clock,
    config::{Auth, Environment, MailUrl, Options, Project, Settings, load, load_settings},
    engine::{Engine, EngineError, Events, HEAVY, abandon_dead_runs},
    export::Destinations,
    mail::Transport,
    sandbox::{Sandbox, SandboxOptions},
    secret::Secret,
    store::Store,
};

/// Requests of the tracking API a minute. Source: `databuddy-api.md`, Rate limits.
const TRACK_PER_MINUTE: u32 = 600;

/// An engine with what it stands on.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) engine: Engine,
    api: Api,
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

/// Reads the settings alone.
pub(super) fn settings(global: &Global) -> Result<(PathBuf, Settings), CliError> {
    load_settings(&global.project, &Environment::system(), global.sandbox)
        .map_err(CliError::Problems)
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

/// Opens the run store of a project. Runs whose program died since are marked as failed.
pub(super) async fn open_store(settings: &Settings, clock: &Clock) -> Result<Store, CliError> {
    let store = match &settings.postgres {
        Some(url) => Store::open_postgres(url).await,
        None => Store::open(&settings.store).await,
    };
    let store = store.map_err(EngineError::from)?;
    let store = store.with_ttl(settings.runner.lease);
    let lake = Destinations::new(settings.stores.clone());
    let dead = abandon_dead_runs(&settings.store, &store, &lake, clock).await?;
    if dead > 0 {
        let runs = if dead == 1 { "run was" } else { "runs were" };
        print::note(format!(
            "{dead} {runs} cut off when the program was stopped; see `runs`"
        ));
    }
    Ok(store)
}

/// The API and what serves it.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) client: Client,
    /// The tracking API.
    pub(super) basket: Client,
    /// What manifests name as the source: the API's URL, or `sandbox`.
    source: String,
    sandbox: Option<Sandbox>,
}

impl Api {
    /// Connects to the API of the settings, or starts the embedded one.
    pub(super) async fn start(
        global: &Global,
        root: &Path,
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Self, CliError> {
        let sandbox = if global.sandbox {
            let state = root.join(".databuddy-jobs/sandbox");
            Some(start_sandbox(state, clock).await?)
        } else {
            None
        };
        let mut options = ClientOptions {
            url: settings.api_url.clone(),
            key: settings.api_key.clone(),
            bearer: settings.api_auth == Auth::Bearer,
            requests_per_minute: settings.requests_per_minute,
            custom_per_minute: settings.custom_per_minute,
            max_in_flight: settings.max_in_flight,
            gzip: settings.gzip,
            user_agent: concat!("databuddy-jobs/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let mut basket_url = settings.basket_url.clone();
        let mut source = settings.api_url.to_string();
        if let Some(sandbox) = &sandbox {
            let parse = |url: &str| {
                url.parse().map_err(|e: url::ParseError| {
                    CliError::machine("the sandbox's address")(e.into())
                })
            };
            options.url = parse(sandbox.url())?;
            options.key = Some(Secret::new(sandbox.key()));
            basket_url = parse(sandbox.url())?;
            "sandbox".clone_into(&mut source);
        }
        let basket = ClientOptions {
            url: basket_url,
            requests_per_minute: TRACK_PER_MINUTE,
            ..options.clone()
        };
        let client = |options| Client::new(options, clock.clone());
        Ok(Self {
            client: client(options),
            basket: client(basket),
            source,
            sandbox,
        })
    }

    /// Stops what was started.
    pub(super) async fn stop(self) {
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

impl Session {
    /// Starts everything that runs need; refuses where there is no key.
    pub(super) async fn start(
        global: &Global,
        project: &Project,
        clock: &Clock,
        events: Events,
    ) -> Result<Self, CliError> {
        let lacks_key = project.settings.api_key.is_none()
            && project.jobs.iter().any(|job| job.api_key.is_none());
        if lacks_key && !global.sandbox {
            return Err(EngineError::NoKey.into());
        }
        Self::without_key(global, project, clock, events).await
    }

    /// The same, also where there is no key.
    pub(super) async fn without_key(
        global: &Global,
        project: &Project,
        clock: &Clock,
        events: Events,
    ) -> Result<Self, CliError> {
        let settings = &project.settings;
        let api = Api::start(global, &project.root, settings, clock).await?;
        let transport = match &settings.mail_url {
            Some(MailUrl::Dir(folder)) => Some(Transport::dir(folder.clone())),
            Some(MailUrl::Smtp(url)) => Some(Transport::smtp(url).map_err(EngineError::from)?),
            None => None,
        };
        let engine = Engine {
            root: project.root.clone(),
            settings: Arc::new(settings.clone()),
            client: api.client.clone(),
            basket: api.basket.clone(),
            store: Arc::new(open_store(settings, clock).await?),
            destinations: Arc::new(Destinations::new(settings.stores.clone())),
            transport: transport.map(Arc::new),
            source: api.source.clone(),
            clock: clock.clone(),
            events,
            server: Arc::new(OnceCell::new()),
            sizes: Arc::default(),
            heavy: Arc::new(Semaphore::new(HEAVY)),
            gives_way: false,
        };
        Ok(Self { engine, api })
    }

    /// Stops what was started.
    pub(super) async fn stop(self) {
        self.engine.store.close().await;
        self.api.stop().await;
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
