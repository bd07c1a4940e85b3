//! The reports of a run: archived, announced, and posted.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};

use super::{
    EngineError,
    outgoing::Outgoing,
    stored::{Posting, StoredMail},
    work::{Progress, Work},
};
use crate::{
    domain::{
        job::ReportSpec,
        run::{DeliveryRecord, DeliveryState, WindowRecord},
    },
    plan::Plan,
};

impl Work<'_> {
    /// Archives and posts every mail.
    pub(super) async fn deliver(
        &self,
        plan: &Plan,
        outgoing: &[Outgoing<'_>],
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        if outgoing.is_empty() {
            return Ok(());
        }
        let all = outgoing.iter().flat_map(|mail| {
            let name = mail.spec.name.as_str();
            mail.to.all().map(move |to| (name, to))
        });
        let mailer = self.mailer_of(all)?;
        let postings = self.archive(plan, outgoing)?;
        self.announce(&postings, progress).await?;
        let posted = self.post(mailer, postings, progress).await;
        if let Some(mailer) = mailer {
            mailer.transport.close().await;
        }
        self.engine.prune_archive().await;
        posted
    }

    /// Records every delivery as pending before the first one is sent: nobody is forgotten.
    pub(super) async fn announce(
        &self,
        postings: &[Posting],
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let store = &self.engine.store;
        progress.deliveries = postings.iter().flat_map(pending).collect();
        store
            .save_deliveries(self.run, 0, &progress.deliveries)
            .await?;
        store
            .trim_deliveries(self.run, progress.deliveries.len())
            .await?;
        let mails = postings.iter().flat_map(|posting| {
            let places = posting.recipients.iter();
            places.filter_map(|(place, _)| Some((*place, posting.hash.as_deref()?)))
        });
        store.set_mails(self.run, mails.collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Keeps what will be sent: also of a mail of which nobody knows whether it arrived, it is known
    /// what it said.
    fn archive(&self, plan: &Plan, outgoing: &[Outgoing<'_>]) -> Result<Vec<Posting>, EngineError> {
        let engine = self.engine;
        let (archive, now) = (engine.archive(), engine.clock.now().into());
        let mut hashes = BTreeMap::new();
        let mut kept: BTreeMap<usize, (Arc<StoredMail>, Option<String>)> = BTreeMap::new();
        let mut postings = Vec::new();
        let mut place = 0;
        for mail in outgoing {
            let template = hashes
                .entry(&mail.spec.template)
                .or_insert_with(|| self.template_hash(mail.spec))
                .clone();
            // Messages that say the same differ in their recipient alone, unless they name several
            let same = Arc::as_ptr(&mail.rendered) as usize;
            let is_own = mail.to.all().nth(1).is_none();
            let entry = if let Some(entry) = kept.get(&same).filter(|_| is_own) {
                entry.clone()
            } else {
                let letter = StoredMail::of(mail, &self.job.name, window_of(plan), template);
                let hash = letter.keep(&archive, now).map_err(EngineError::Archive)?;
                (Arc::new(letter), Some(hash))
            };
            if is_own {
                kept.insert(same, entry.clone());
            }
            let recipients = mail.to.all().map(str::to_owned);
            let recipients: Vec<_> = (place..).zip(recipients).collect();
            place += recipients.len();
            postings.push(Posting {
                letter: entry.0,
                hash: entry.1,
                recipients,
            });
        }
        Ok(postings)
    }

    /// Of the files of a template of the project; one that is built in is known by this program's version.
    fn template_hash(&self, spec: &ReportSpec) -> String {
        let folder = self.engine.root.join("templates").join(&spec.template);
        let mut hasher = Sha256::new();
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.sort();
        if files.is_empty() {
            hasher.update(format!("{} {}", env!("CARGO_PKG_VERSION"), spec.template));
        }
        for file in files {
            hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
            hasher.update([0]);
            hasher.update(std::fs::read(&file).unwrap_or_default());
            hasher.update([0]);
        }
        hex::encode(hasher.finalize())
    }
}

fn window_of(plan: &Plan) -> WindowRecord {
    WindowRecord {
        start: plan.window.start.to_string(),
        end: plan.window.end.to_string(),
        timezone: plan.window.timezone.name().to_owned(),
    }
}

fn pending(posting: &Posting) -> impl Iterator<Item = DeliveryRecord> {
    let letter = &posting.letter;
    posting.recipients.iter().map(|(_, to)| DeliveryRecord {
        report: letter.report.clone(),
        website_id: letter.website_id.clone(),
        to: to.clone(),
        subject: letter.subject.clone(),
        state: DeliveryState::Pending,
        message_id: String::new(),
        error: None,
    })
}
