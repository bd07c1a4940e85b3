//! `plan`: what `run` would do, without doing it.

use serde_json::{Value, json};

use super::{
    CliError,
    args::{Global, PlanArgs},
    exit::Exit,
    note, print,
    session::{Session, planned_project},
};
use crate::{
    clock::Clock,
    domain::{channel::is_channel, job::Job, run::Trigger},
    engine::{Events, Order, resolve_at},
    plan::{Plan, PlannedDelivery},
};

pub(super) async fn plan(
    args: &PlanArgs,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let project = planned_project(global, args)?;
    let session = Session::start(global, &project, clock, Events::new(|_| {})).await?;
    let settings = &session.engine.settings;
    let rates = (settings.requests_per_minute, settings.custom_per_minute);
    let mut documents = Vec::new();
    for job in &project.jobs {
        let tick = resolve_at(args.at, job, clock.now()).map_err(CliError::Argument)?;
        let plan = session
            .engine
            .for_job(job)
            .plan(job, &Order::of(tick, Trigger::Manual))
            .await?;
        if global.json {
            documents.push(document(job, &plan, rates));
        } else {
            show(job, &plan, rates);
        }
    }
    session.stop().await;
    if global.json {
        print::json(&json!({ "plans": documents }));
    }
    Ok(Exit::Done)
}

fn document(job: &Job, plan: &Plan, rates: (u32, u32)) -> Value {
    json!({
        "job": job.name,
        "window": { "start": plan.window.start, "end": plan.window.end, "timezone": plan.window.timezone.name() },
        "requests": plan.requests.iter().map(|r| json!({ "method": "POST", "path": r.path, "body": r.body() })).collect::<Vec<_>>(),
        "request_count": plan.requests.len(),
        "seconds_at_rate_limit": plan.seconds_at_rate_limit(rates.0, rates.1),
        "steps": plan.steps.iter().map(|s| json!({
            "query": s.query, "parameter": s.parameter, "website_id": s.target.website_id(), "link_id": s.target.link_id(),
            "start": s.window.start, "end": s.window.end, "granularity": s.granularity.map(crate::domain::query::Granularity::name),
        })).collect::<Vec<_>>(),
        "artifacts": plan.artifacts.iter().map(|a| json!({
            "query": plan.steps[a.step].query, "website_id": plan.steps[a.step].target.website_id(),
            "link_id": plan.steps[a.step].target.link_id(),
            "path": format!("{}/{}", job.exports[a.export].to_label.trim_end_matches('/'), a.path),
        })).collect::<Vec<_>>(),
        "deliveries": plan.deliveries.iter().map(|d| json!({
            "report": job.reports[d.report].name, "website_id": d.website.map(|w| plan.websites[w].id.as_str()),
            "to": d.to.to.join(", "), "cc": d.to.cc, "bcc": d.to.bcc,
        })).collect::<Vec<_>>(),
        "notes": plan.notes,
        "schedule": job.schedule.as_ref().map(|s| json!({
            "cron": s.cron, "timezone": s.timezone.name(), "in_words": s.describe(), "rules": note::of_rules(&s.rules),
        })),
    })
}

fn show(job: &Job, plan: &Plan, rates: (u32, u32)) {
    print::line(format!(
        "{} — {} ({} days)",
        job.name,
        plan.window.label(),
        plan.window.timezone.name()
    ));
    if let Some(schedule) = &job.schedule {
        let zone = schedule.timezone.name();
        print::line(format!("  due: {} ({zone})", schedule.describe()));
        for rule in note::of_rules(&schedule.rules) {
            print::line(format!("    {rule}"));
        }
    }
    for note in &plan.notes {
        print::line(format!("  note: {note}"));
    }
    print::line(format!(
        "  at least {} requests, {:.1} s at {} a minute",
        plan.requests.len(),
        plan.seconds_at_rate_limit(rates.0, rates.1),
        rates.0
    ));
    for request in &plan.requests {
        print::line(format!("  POST {}", request.path));
        print::line(format!("    {}", request.body()));
    }
    for artifact in &plan.artifacts {
        print::line(format!(
            "  file {}/{}",
            job.exports[artifact.export].to_label.trim_end_matches('/'),
            artifact.path
        ));
    }
    for delivery in &plan.deliveries {
        print::line(mail(job, plan, delivery));
    }
}

/// One mail: what it is about, and whom it goes to.
fn mail(job: &Job, plan: &Plan, delivery: &PlannedDelivery) -> String {
    let report = &job.reports[delivery.report];
    let about = match delivery.website {
        Some(website) => plan.websites[website].display_name().to_owned(),
        None => format!("{} websites", plan.websites.len()),
    };
    let to = &delivery.to;
    let list = |name: &str, list: &[String]| match list {
        [] => String::new(),
        list => format!(", {name} {}", list.join(", ")),
    };
    let when = report.when.as_ref();
    let when = when.map_or_else(String::new, |when| format!(", when {when}"));
    let is_post = to.to.iter().any(|to| is_channel(to));
    let what = if is_post { "post" } else { "mail" };
    format!(
        "  {what} {} of {about} to {}{}{}{when}",
        report.name,
        to.to.join(", "),
        list("cc", &to.cc),
        list("bcc", &to.bcc)
    )
}
