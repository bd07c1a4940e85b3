//! The service with many jobs: how soon it is ready, what it takes, how late ticks are recorded when all are due
//! in the same minute; and how many runs that do nothing the store carries.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use clap::Args;
use databuddy_jobs::{
    clock::Clock,
    domain::run::{RunRecord, RunState, Trigger, WindowRecord},
    store::{Claimed, Planned, Queued, Store, StoreError},
};
use sqlx::Row;
use tokio::task::JoinSet;

use super::{Result, machine};

/// How many jobs, and what is measured of them.
#[derive(Debug, Args)]
pub(crate) struct SchedulerArgs {
    /// Jobs of the project
    #[arg(long, default_value_t = 10_000)]
    jobs: usize,
    /// Seconds of doing nothing that are measured
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Seconds that the start may take; jobs are due after that and the idle time
    #[arg(long, default_value_t = 60)]
    start: u64,
    /// Runs that do nothing
    #[arg(long, default_value_t = 10_000)]
    runs: usize,
    /// Runs under way at once, of those that do nothing: `runner.max_runs` of the service
    #[arg(long, value_delimiter = ',', default_values_t = [8, 64, 256])]
    at_once: Vec<usize>,
    /// Only the runs that do nothing
    #[arg(long)]
    store_only: bool,
}

/// Measures and prints a table.
pub(crate) fn run(args: &SchedulerArgs, binary: &Path) -> Result<()> {
    println!("{}\n", machine::remark());
    println!("| {} jobs | measured | goal |\n|---|---|---|", args.jobs);
    if !args.store_only {
        service(args, binary)?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    for at_once in &args.at_once {
        let seconds = runtime.block_on(noop_runs(args.runs, *at_once))?;
        println!(
            "| runs that do nothing, each claimed, attempted and finished in SQLite, {at_once} at once | {:.0}/s | ≥ 5 000/s |",
            args.runs as f64 / seconds
        );
    }
    Ok(())
}

fn service(args: &SchedulerArgs, binary: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let due = next_free_minute(args.start + args.idle);
    project(folder.path(), args.jobs, due)?;
    let started = Instant::now();
    let mut service = Running::start(binary, folder.path())?;
    while !service.get("/readyz")?.starts_with("HTTP/1.1 200") {
        thread::sleep(Duration::from_millis(5));
    }
    let ready = started.elapsed().as_secs_f64();
    println!("| ready: files read and checked, watermarks recorded | {ready:.2} s | ≤ 1 s |");
    thread::sleep(Duration::from_secs(3));
    let (before, _) = service.cost()?;
    thread::sleep(Duration::from_secs(args.idle));
    let (after, memory) = service.cost()?;
    let idle = (after - before) * 60.0 / args.idle as f64;
    println!(
        "| idle CPU a minute | {idle:.2} s | ≤ 0.1 s |\n| memory | {memory:.0} MiB | ≤ 96 MiB |"
    );
    if Clock::system().now() >= due {
        return Err(
            "the jobs were due before the measurement was: give --start more seconds".into(),
        );
    }
    let count = |text: &str| {
        text.lines()
            .find_map(|l| {
                l.strip_prefix("databuddy_jobs_ticks_queued_total ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    };
    while count(&service.get("/metrics")?) < args.jobs {
        thread::sleep(Duration::from_millis(100));
    }
    let (_, memory) = service.cost()?;
    service.child.kill()?;
    service.child.wait()?;
    let late = tokio::runtime::Runtime::new()?.block_on(lateness(folder.path()))?;
    let p99 = late[late.len() * 99 / 100] as f64 / 1000.0;
    println!(
        "| all due in one minute: recorded / p99 lateness of the record / memory | {} % / {p99:.2} s / {memory:.0} MiB | all / ≤ 2 s / ≤ 96 MiB |",
        late.len() * 100 / args.jobs
    );
    Ok(())
}

/// The first minute that begins after so many seconds.
fn next_free_minute(wait: u64) -> DateTime<Utc> {
    let later = Clock::system().now() + TimeDelta::seconds(i64::try_from(wait).unwrap_or(0));
    later + TimeDelta::seconds(60 - i64::from(later.second()))
}

fn project(folder: &Path, jobs: usize, due: DateTime<Utc>) -> Result<()> {
    fs::create_dir(folder.join("jobs"))?;
    // Nobody listens there: runs wait for their next attempt, which is not what is measured
    fs::write(
        folder.join("databuddy-jobs.yaml"),
        "api: { url: 'http://127.0.0.1:1', key: dbdy_bench }\nrunner: { max_runs: 4 }\n",
    )?;
    for n in 0..jobs {
        let cron = due.format("%-M %-H * * *");
        let job = format!(
            "schedule: {{ cron: '{cron}', timezone: UTC }}\npreset: yesterday\nqueries: [summary]\nexports: [{{ format: csv, to: out/{n} }}]\n"
        );
        fs::write(folder.join(format!("jobs/job{n}.yaml")), job)?;
    }
    Ok(())
}

struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let mut child = Command::new(binary)
            .arg("serve")
            .current_dir(folder)
            .env("DATABUDDY_JOBS_WEB_LISTEN", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()?;
        let mut errors = BufReader::new(child.stderr.take().ok_or("no standard error")?);
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            if errors.read_line(&mut line)? == 0 {
                return Err("the service did not start".into());
            }
        }
        thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let address = line
            .rsplit("http://")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        Ok(Self { child, address })
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// CPU seconds so far, and memory in MiB.
    fn cost(&self) -> Result<(f64, f64)> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", self.child.id()));
        let stat = read("stat")?;
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // User and system time in hundredths of a second: proc(5), fields 14 and 15
        let cpu = (fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0;
        let status = read("status")?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory
            .and_then(|text| text.split_whitespace().next())
            .ok_or("no VmRSS")?;
        Ok((cpu, memory.parse::<f64>()? / 1024.0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From tick to record, in milliseconds, sorted.
async fn lateness(folder: &Path) -> Result<Vec<i64>> {
    sqlx::any::install_default_drivers();
    let file = folder.join(".databuddy-jobs/state.db");
    let pool = sqlx::AnyPool::connect(&format!("sqlite://{}", file.display())).await?;
    let sql =
        "SELECT created_ms - tick_ms AS late FROM runs WHERE trigger_name = 'schedule' ORDER BY 1";
    let rows = sqlx::query(sql).fetch_all(&pool).await?;
    rows.iter().map(|row| Ok(row.try_get("late")?)).collect()
}

/// Seconds that so many runs take from the queue to their end. They are claimed and run as the service
/// does it: so many at once, each a task, and others claimed as soon as some have ended.
async fn noop_runs(runs: usize, at_once: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Store::open(&folder.path().join("s.db")).await?);
    let now = Clock::system().now();
    let planned: Vec<Planned> = (0..runs).map(|n| planned(n, now)).collect();
    let started = Instant::now();
    store.plan(&planned, now).await?;
    let (mut at_work, mut done) = (JoinSet::new(), 0);
    loop {
        let room = at_once - at_work.len();
        for run in store.claim("bench", None, &[], room, |_| true, now).await? {
            at_work.spawn(noop_run(Arc::clone(&store), run, now));
        }
        let Some(ended) = at_work.join_next().await else {
            break;
        };
        ended??;
        done += 1;
        while let Some(ended) = at_work.try_join_next() {
            ended??;
            done += 1;
        }
    }
    if done == runs {
        Ok(started.elapsed().as_secs_f64())
    } else {
        Err(format!("{done} of {runs} runs ended").into())
    }
}

async fn noop_run(
    store: Arc<Store>,
    run: Claimed,
    now: DateTime<Utc>,
) -> std::result::Result<(), StoreError> {
    let record = record(run.id, run.job, RunState::Succeeded);
    store.end_run(&record, None, now).await.map(|_| ())
}

fn planned(n: usize, now: DateTime<Utc>) -> Planned {
    let job = format!("job{n}");
    Planned {
        seen: None,
        watermark: now,
        fingerprint: "f".to_owned(),
        runs: vec![Queued {
            record: record(format!("run{n:07}"), job.clone(), RunState::Queued),
            tick: now,
            not_before: now,
            priority: 0,
            runs_on: Vec::new(),
            definition_hash: "h".to_owned(),
        }],
        job,
    }
}

fn record(id: String, job: String, state: RunState) -> RunRecord {
    RunRecord {
        id,
        job,
        tick: "2026-11-23T02:00:00+01:00".to_owned(),
        state,
        trigger: Trigger::Schedule,
        window: WindowRecord {
            start: "2026-11-22".to_owned(),
            end: "2026-11-22".to_owned(),
            timezone: "UTC".to_owned(),
        },
        attempts: 1,
        requests: 0,
        retries: 0,
        rows: 0,
        duration_ms: 0,
        steps: Vec::new(),
        artifacts: Vec::new(),
        deliveries: Vec::new(),
        error: None,
    }
}
