//! Runs jobs: fetches what the plan says, publishes files, sends mails, and records it all.

mod archive;
mod attach;
mod backfill;
mod channel;
mod clash;
mod columns;
mod constants;
mod context;
mod courier;
mod deliver;
mod delivery;
#[cfg(feature = "delta")]
mod delta;
mod doctor;
mod error;
mod event;
mod fetch;
mod lease;
mod outcome;
mod outgoing;
mod planner;
mod post;
mod preview;
mod process;
mod publish;
mod put;
mod reload;
mod render;
mod replaced;
mod reread;
mod resend;
mod revision;
mod run;
mod send_test;
mod serve;
mod sizes;
mod staging;
mod status;
mod step;
mod stored;
mod tick;
mod way;
mod work;

pub use archive::archived;
pub use backfill::{Backfill, Filled, Only};
pub use doctor::Finding;
pub use error::EngineError;
pub use event::{Event, Events};
pub use outgoing::Attached;
pub use preview::Page;
pub use reload::JobFiles;
pub use resend::{Resend, Selection};
pub use run::{Order, Outcome, Remedy};
pub use serve::Stop;
pub use sizes::Sizes;
pub use staging::abandon_dead_runs;
pub use status::Status;
pub use stored::{StoredMail, Together};
pub use tick::{At, resolve_at};

use std::{path::PathBuf, sync::Arc};

use tokio::sync::{OnceCell, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    api::Client,
    clock::Clock,
    config::Settings,
    domain::{
        catalog::Catalog,
        job::{Attach, Export, Job, ReportSpec},
        run::Trigger,
        website::Website,
    },
    export::{Destination, Destinations},
    mail::Transport,
    plan::{Plan, PlanInput, ReportNeeds, SectionNeeds, build},
    report::{Condition, ReportError, Template},
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
    /// Notifications under way beside the work.
    pub tellings: TaskTracker,
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
        let mut needs: Vec<ReportNeeds> = Vec::new();
        for (template, spec) in templates.iter().zip(&job.reports) {
            needs.push(needs_of(template, spec, job)?);
        }
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
        let load = |spec: &ReportSpec| Template::load(&folder, &spec.template);
        Ok(job.reports.iter().map(load).collect::<Result<_, _>>()?)
    }
}

/// What the template needs, what is attached, and what decides whether the mail is sent.
fn needs_of(template: &Template, spec: &ReportSpec, job: &Job) -> Result<ReportNeeds, ReportError> {
    let needs = template.needs();
    let has = |name: &String| job.queries.iter().any(|query| query.name == *name);
    let optional = needs.optional.iter().filter(|(name, _)| has(name));
    let of_template = needs
        .queries
        .iter()
        .chain(optional)
        .map(|(query, needs)| SectionNeeds {
            query: query.clone(),
            previous: needs.previous,
            daily: needs.daily,
            attached: false,
        });
    let mut sections: Vec<SectionNeeds> = of_template.collect();
    let when = render::condition(spec)?;
    // A condition may compare
    let named = when.iter().flat_map(Condition::queries);
    let named = named.map(|(query, _)| (query, true));
    let attached = spec
        .attach
        .iter()
        .map(|attach| (attach.query.as_str(), false));
    for (query, previous) in named.chain(attached) {
        if sections.iter().all(|section| section.query != query) {
            sections.push(SectionNeeds {
                query: query.to_owned(),
                previous,
                daily: false,
                attached: false,
            });
        }
    }
    for section in &mut sections {
        let is_it = |attach: &Attach| attach.query == section.query;
        section.attached = spec.attach.iter().any(is_it);
    }
    Ok(ReportNeeds { sections })
}
