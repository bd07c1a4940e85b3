//! `serve`: the scheduler service, until stopped.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print, progress,
    session::{Session, project},
};
use crate::{
    clock::Clock,
    config::{Environment, Options, Settings, load_settings},
    engine::{JobFiles, Status, Stop},
    web::{self, Site, Web},
};

/// Where it listens unless the settings say otherwise.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);

/// How often systemd is told that all is well, where it does not say how often it wants to hear it.
const BEAT: Duration = Duration::from_secs(10);

pub(super) async fn serve(global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let options = Options {
        sandbox: global.sandbox,
        ..Options::default()
    };
    // Noted first: a file that changes while the project is read is read once more
    let files = JobFiles::note(&global.project, Environment::system(), options);
    let project = project(global, &[], &[])?;
    let web = &project.settings.web;
    let listen = web.listen.unwrap_or(SocketAddr::from(LISTEN));
    if let Some(why) = web::refusal(listen, web.token.as_ref()) {
        return Err(CliError::Argument(why));
    }
    let session = Session::start(global, &project, clock, progress::log_events()).await?;
    let status = Arc::new(Status::default());
    let site = Site {
        engine: session.engine.clone(),
        status: Arc::clone(&status),
        token: web.token.clone(),
    };
    let web = answer(listen, web.listen.is_some(), site).await?;
    let stop = Stop::default();
    // Caught from here on: a signal that comes before ends the program on the spot
    let terminate = signal(SignalKind::terminate())
        .map_err(|e| CliError::machine("signals cannot be caught")(e.into()))?;
    let signals = tokio::spawn(stop_on_signals(terminate, stop.clone()));
    let hangup = signal(SignalKind::hangup())
        .map_err(|e| CliError::machine("signals cannot be caught")(e.into()))?;
    let (tell, reread) = mpsc::channel(1);
    let hangups = tokio::spawn(reread_on_hangup(
        hangup,
        global.project.clone(),
        global.sandbox,
        tell,
    ));
    let beats = tokio::spawn(beat(Arc::clone(&status), clock.clone()));
    let is_scheduled = |job: &&crate::domain::job::Job| job.enabled && job.schedule.is_some();
    let scheduled = project.jobs.iter().filter(is_scheduled).count();
    print::note(format!("serving {scheduled} scheduled jobs; Ctrl-C stops"));
    let jobs = project.jobs;
    // Of thousands of files the texts and places would be kept for nothing
    drop(project.sources);
    let served = session
        .engine
        .serve(jobs, Some(files), status, reread, &stop)
        .await;
    tell_systemd(&[NotifyState::Stopping]);
    beats.abort();
    signals.abort();
    hangups.abort();
    if let Some(web) = web {
        web.stop().await;
    }
    session.stop().await;
    served.map_err(|e| CliError::machine("the scheduler could not start")(e.into()))?;
    Ok(Exit::Done)
}

/// Starts to answer. Without `web.listen` the service goes on where the usual port is taken: it is
/// there for its ticks.
async fn answer(listen: SocketAddr, is_wanted: bool, site: Site) -> Result<Option<Web>, CliError> {
    match web::start(listen, site).await {
        Ok(web) => {
            print::note(format!("listening on http://{}", web.address()));
            Ok(Some(web))
        }
        Err(error) if is_wanted => {
            let what = format!("`web.listen` is `{listen}`, which cannot be listened on");
            Err(CliError::machine(what)(error.into()))
        }
        Err(error) => {
            tracing::warn!(%error, %listen, "no health checks and no metrics: the address is taken; set `web.listen`");
            Ok(None)
        }
    }
}

/// The first signal lets runs end, the second hands them back at once.
async fn stop_on_signals(mut terminate: Signal, stop: Stop) {
    let said = [
        "stopping: runs under way may end; once more hands them back at once",
        "handing back what is under way, nothing half-written will be left",
    ];
    for (token, said) in [&stop.gently, &stop.now].into_iter().zip(said) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        print::note(said);
        token.cancel();
    }
    std::future::pending::<()>().await;
}

/// Each SIGHUP has the settings read again. Wrong ones change nothing.
async fn reread_on_hangup(
    mut hangup: Signal,
    project: PathBuf,
    sandbox: bool,
    tell: mpsc::Sender<Settings>,
) {
    while hangup.recv().await.is_some() {
        match load_settings(&project, &Environment::system(), sandbox) {
            Ok((_, settings)) => {
                // Without a receiver the service ends
                let _ = tell.send(settings).await;
            }
            Err(problems) => {
                let why = problems.to_string();
                tracing::error!(%why, "the settings are broken: those before stay");
            }
        }
    }
}

/// Tells systemd that the service is ready, and then that it lives, as long as its loop goes round.
async fn beat(status: Arc<Status>, clock: Clock) {
    let wanted = sd_notify::watchdog_enabled();
    let every = wanted.map_or(BEAT, |limit| limit / 3);
    while status.is_ready(clock.now()).is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tell_systemd(&[NotifyState::Ready]);
    loop {
        tokio::time::sleep(every).await;
        if wanted.is_some() && status.is_alive(clock.now()).is_ok() {
            tell_systemd(&[NotifyState::Watchdog]);
        }
    }
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
