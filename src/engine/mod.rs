//! Runs jobs: fetches what the plan says, publishes files, sends mails, and records it all.

mod backfill;
mod columns;
mod context;
mod deliver;
#[cfg(feature = "delta")]
mod delta;
mod doctor;
mod error;
mod event;
mod fetch;
mod lease;
mod outcome;
mod planner;
mod preview;
mod process;
mod publish;
mod put;
mod reload;
mod replaced;
mod revision;
mod run;
mod serve;
mod sizes;
mod staging;
mod status;
mod step;
mod tick;
mod way;
mod work;

pub use backfill::{Backfill, Filled, Only};
pub use doctor::Finding;
pub use error::EngineError;
pub use event::{Event, Events};
pub use preview::Page;
pub use reload::JobFiles;
pub use run::{Order, Outcome, Remedy};
pub use serve::Stop;
pub use sizes::Sizes;
pub use staging::abandon_dead_runs;
pub use status::Status;
pub use tick::{At, resolve_at};

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::sync::{OnceCell, Semaphore};

use crate::{
    api::Client,
    clock::Clock,
    config::Settings,
    domain::{
        catalog::Catalog,
        job::{Export, Job},
        run::Trigger,
        website::Website,
    },
    export::{Destination, Destinations},
    mail::Transport,
    plan::{Plan, PlanInput, ReportNeeds, SectionNeeds, build},
    report::Template,
    store::Store,
};

/// Everything that runs share.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The project's folder.
    pub root: PathBuf,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// The API.
    pub client: Client,
    /// The tracking API.
    pub basket: Client,
    /// Where runs are recorded.
    pub store: Arc<Store>,
    /// Where files go.
    pub destinations: Arc<Destinations>,
    /// Where mails go; `None` where no mail is configured.
    pub transport: Option<Arc<Transport>>,
    /// What manifests name as the source of the numbers: the API's URL, or `sandbox`.
    pub source: String,
    /// The present instant.
    pub clock: Clock,
    /// Who is told of events.
    pub events: Events,
    /// What the server lists, read once.
    pub server: Arc<OnceCell<Server>>,
    /// What answers were seen to hold.
    pub sizes: Arc<Sizes>,
    /// Data sets of many pages that are read at once: each holds a row group in memory.
    pub heavy: Arc<Semaphore>,
    /// Whether it asks for nothing while runs of other jobs are under way: a backfill.
    pub gives_way: bool,
}

/// Data sets of many pages that are read at once; as many as most machines have cores to spare.
pub const HEAVY: usize = 2;

/// What a server lists.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its query types.
    pub catalog: Catalog,
    /// The websites that the key may read.
    pub websites: Vec<Website>,
}

impl Engine {
    /// This engine as a job sees it: with the job's own key, where it has one.
    #[must_use]
    pub fn for_job(&self, job: &Job) -> Self {
        match &job.api_key {
            None => self.clone(),
            Some(key) => Self {
                client: self.client.with_key(key.clone()),
                server: Arc::default(),
                ..self.clone()
            },
        }
    }

    /// The plan of a job for the ticks of an order. Reads the server's lists, writes nothing.
    ///
    /// # Errors
    /// The server cannot be read, or the job does not fit it.
    pub async fn plan(&self, job: &Job, order: &Order) -> Result<Plan, EngineError> {
        let server = self.server().await?;
        let templates = self.templates(job)?;
        let mut needs: Vec<ReportNeeds> = templates.iter().map(needs_of).collect();
        if !order.reports {
            needs.clear();
        }
        Ok(build(PlanInput {
            job,
            ticks: &order.ticks,
            lookback: match order.trigger {
                Trigger::Backfill => 0,
                _ => job.lookback,
            },
            only: order.only.as_ref(),
            days: self.settings.api_days,
            catalog: &server.catalog,
            websites: &server.websites,
            needs: &needs,
        })?)
    }

    /// The query types that the server lists; of a job that was planned.
    fn catalog(&self) -> &Catalog {
        let server = self.server.get();
        &server.expect("the plan was made from it").catalog
    }

    /// Where an export goes.
    fn destination(&self, job: &Job, export: &Export) -> Result<Destination, EngineError> {
        Ok(self.destinations.open(&export.to, &job.name)?)
    }

    /// What the server lists; asked for once.
    async fn server(&self) -> Result<&Server, EngineError> {
        self.server
            .get_or_try_init(|| async {
                Ok(Server {
                    catalog: self.client.catalog().await?,
                    websites: self.client.websites().await?,
                })
            })
            .await
    }

    fn templates(&self, job: &Job) -> Result<Vec<Template>, EngineError> {
        let folder = self.root.join("templates");
        let load = |spec: &crate::domain::job::ReportSpec| Template::load(&folder, &spec.template);
        Ok(job.reports.iter().map(load).collect::<Result<_, _>>()?)
    }
}

fn needs_of(template: &Template) -> ReportNeeds {
    let queries: &BTreeMap<_, _> = &template.needs().queries;
    let sections = queries.iter().map(|(query, needs)| SectionNeeds {
        query: query.clone(),
        previous: needs.previous,
        daily: needs.daily,
    });
    ReportNeeds {
        sections: sections.collect(),
    }
}
