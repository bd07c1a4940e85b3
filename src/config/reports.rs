//! Reports: their recipients, and what the keys of a report say together.

use std::collections::BTreeSet;

use super::{
    channels::Channels,
    check::{size, suggest, website_pattern},
    finding::Finding,
    key_words::Address,
    report_keys::{AttachKeys, RecipientKeys, ReportKeys, ToKeys},
    spans::{At, escape},
    together::Notes,
};
use crate::domain::{
    job::{Attach, ReportPer, ReportSpec},
    recipients::{Addressees, identity},
};

/// The key of a mapping of recipients that stands for all other websites.
const DEFAULT: &str = "default";

/// The job's reports; their names are unique. `names` are those of its queries.
pub(super) fn reports(keys: Vec<ReportKeys>, names: &[&str], notes: &mut Notes) -> Vec<ReportSpec> {
    let mut reports: Vec<ReportSpec> = Vec::new();
    for (place, keys) in keys.into_iter().enumerate() {
        let pointer = format!("/reports/{place}");
        let report = to_report(&pointer, keys, names, notes);
        if reports.iter().any(|other| other.name == report.name) {
            let message = format!("two reports are called `{}`", report.name);
            let hint =
                "give one of them another `name`: the ledger tells mails apart by it".to_owned();
            notes.wrong(&format!("{pointer}/template"), message, hint);
        }
        reports.push(report);
    }
    reports
}

fn to_report(pointer: &str, keys: ReportKeys, names: &[&str], notes: &mut Notes) -> ReportSpec {
    let mut channels = Channels::new(keys.together);
    let report = ReportSpec {
        name: keys
            .name
            .map_or_else(|| keys.template.0.clone(), |name| name.0),
        template: keys.template.0,
        per: keys.per.value(),
        to: addressees(pointer, keys.to, &mut channels, notes),
        channels: channels.found,
        together: keys.together,
        cc: addresses(keys.cc),
        bcc: addresses(keys.bcc),
        compare: keys.compare.value(),
        attach: attachments(pointer, keys.attach, names, notes),
        attach_limit: size(&keys.attach_limit.0).unwrap_or_default(),
        when: keys.when,
        on_error: keys.on_error.value(),
        lang: keys.lang.value().to_owned(),
    };
    check_bundle(pointer, &report, notes);
    check_copies(pointer, &report, notes);
    report
}

fn addresses(keys: Vec<Address>) -> Vec<String> {
    keys.into_iter().map(|address| address.0).collect()
}

fn addressees(
    pointer: &str,
    keys: ToKeys,
    channels: &mut Channels,
    notes: &mut Notes,
) -> Addressees {
    let map = match keys {
        ToKeys::All(list) => {
            let at = format!("{pointer}/to");
            let list = recipients(&at, list, channels, notes);
            check_once(&at, &[], &list, notes);
            return Addressees::All(list);
        }
        ToKeys::ByWebsite(map) => map,
    };
    let (mut lists, mut default) = (Vec::new(), None);
    for (website, list) in map {
        let at = format!("{pointer}/to/{}", escape(&website));
        let list = recipients(&at, list, channels, notes);
        check_once(&at, &[], &list, notes);
        if website == DEFAULT {
            default = Some(list);
            continue;
        }
        if let Err(bad) = website_pattern(&website) {
            let finding = Finding::at(&at, At::Key, bad.message, bad.hint);
            notes.findings.push(finding);
        } else if list.is_empty() {
            let hint = "name addresses, or leave the website out and write `default: []`";
            notes.wrong(
                &at,
                format!("`{website}` has no recipient"),
                hint.to_owned(),
            );
        }
        lists.push((website, list));
    }
    if lists.iter().all(|(_, list)| list.is_empty()) && default.as_ref().is_none_or(Vec::is_empty) {
        let message = "the report has no recipient";
        let hint = "write `to: [team@example.com]`".to_owned();
        notes.wrong(&format!("{pointer}/to"), message, hint);
    }
    Addressees::ByWebsite { lists, default }
}

/// Addresses as they are spelt, channels by their labels.
fn recipients(
    at: &str,
    keys: Vec<RecipientKeys>,
    channels: &mut Channels,
    notes: &mut Notes,
) -> Vec<String> {
    let mut list = Vec::new();
    for (place, keys) in keys.into_iter().enumerate() {
        match keys {
            RecipientKeys::Mail(address) => list.push(address.0),
            RecipientKeys::Channel(keys) => {
                list.push(channels.take(&format!("{at}/{place}"), keys, notes));
            }
        }
    }
    list
}

/// Nobody is named twice in `list`, nor once there and once before.
fn check_once(at: &str, before: &[String], list: &[String], notes: &mut Notes) {
    let mut seen: BTreeSet<String> = before.iter().map(|to| identity(to)).collect();
    for (place, recipient) in list.iter().enumerate() {
        // A channel without an address has a finding of its own
        if !recipient.is_empty() && !seen.insert(identity(recipient)) {
            let message = format!("`{recipient}` is named twice");
            let hint = "remove one of the two".to_owned();
            notes.wrong(&format!("{at}/{place}"), message, hint);
        }
    }
}

fn check_bundle(pointer: &str, report: &ReportSpec, notes: &mut Notes) {
    if report.per == ReportPer::Job && matches!(report.to, Addressees::ByWebsite { .. }) {
        let hint = "write a list, or `per: website`".to_owned();
        let message = "with `per: job` one mail is about all websites: `to` cannot tell them apart";
        notes.wrong(&format!("{pointer}/to"), message, hint);
    }
}

/// Copies are of a message to all; nobody gets it twice.
fn check_copies(pointer: &str, report: &ReportSpec, notes: &mut Notes) {
    let mut before: Vec<String> = report.to.all().map(str::to_owned).collect();
    for (key, list) in [("cc", &report.cc), ("bcc", &report.bcc)] {
        let at = format!("{pointer}/{key}");
        if !report.together && !list.is_empty() {
            let message =
                format!("`{key}` is of a message to all, and here everybody gets one of their own");
            let hint = "add `together: true`, or name them in `to`".to_owned();
            let finding = Finding::at(&at, At::Key, message, Some(hint));
            notes.findings.push(finding);
        }
        check_once(&at, &before, list, notes);
        before.extend(list.iter().cloned());
    }
}

fn attachments(
    pointer: &str,
    keys: Vec<AttachKeys>,
    names: &[&str],
    notes: &mut Notes,
) -> Vec<Attach> {
    let mut files: Vec<Attach> = Vec::new();
    for (place, keys) in keys.into_iter().enumerate() {
        let at = format!("{pointer}/attach/{place}/query");
        let file = Attach {
            query: keys.query.0,
            format: keys.format.value(),
        };
        if !names.contains(&file.query.as_str()) {
            let message = format!("the job has no query `{}`", file.query);
            let hint = suggest(&file.query, names.iter().copied());
            notes.wrong(&at, message, hint);
        }
        if files.contains(&file) {
            let message = format!(
                "`{}` is attached twice as {}",
                file.query,
                file.format.name()
            );
            notes.wrong(&at, message, "remove one of the two".to_owned());
        }
        files.push(file);
    }
    files
}
