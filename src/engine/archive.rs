//! What was sent, kept beside the store.

use std::{collections::BTreeSet, io::ErrorKind, path::Path, sync::Arc};

use super::{Engine, EngineError, stored::StoredMail};
use crate::{
    domain::run::RunRecord,
    store::{Archive, Store},
};

impl Engine {
    /// Where mails are kept.
    pub(super) fn archive(&self) -> Archive {
        Archive::beside(&self.settings.store)
    }

    /// The mail of each delivery of a run; see [`archived`].
    ///
    /// # Errors
    /// The store or the archive cannot be read.
    pub async fn archived(
        &self,
        run: &RunRecord,
    ) -> Result<Vec<Option<Arc<StoredMail>>>, EngineError> {
        archived(&self.store, &self.settings.store, run).await
    }

    /// Removes what is older than `mail.keep`. What cannot be removed now will be later.
    pub(super) async fn prune_archive(&self) {
        let now = self.clock.now();
        let Some(since) = now.checked_sub_signed(self.settings.mail_keep) else {
            return;
        };
        let pruned = async {
            if self.store.forget_mails(since).await? == 0 {
                return Ok(());
            }
            let archive = self.archive();
            let mut kept = BTreeSet::new();
            for mail in self.store.kept_mails().await? {
                match StoredMail::contents(&archive, &mail) {
                    Ok(contents) => kept.extend(contents),
                    // It lies on the machine that sent it
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(EngineError::Archive(error)),
                }
                kept.insert(mail);
            }
            archive
                .sweep(&kept, now.into())
                .map_err(EngineError::Archive)?;
            Ok::<(), EngineError>(())
        };
        if let Err(error) = pruned.await {
            tracing::warn!(%error, "old mails could not be removed from the archive");
        }
    }
}

/// The mail of each delivery of a run, as it was rendered; in the order of `deliveries`. Those that
/// say the same are the same. `None`: it is not kept any more.
///
/// # Errors
/// The store or the archive cannot be read.
pub async fn archived(
    store: &Store,
    store_file: &Path,
    run: &RunRecord,
) -> Result<Vec<Option<Arc<StoredMail>>>, EngineError> {
    let archive = Archive::beside(store_file);
    let mut last: Option<(String, Arc<StoredMail>)> = None;
    let mut letters = Vec::new();
    for hash in store.mails_of(&run.id).await? {
        let Some(hash) = hash else {
            letters.push(None);
            continue;
        };
        let letter = match &last {
            Some((same, letter)) if *same == hash => Arc::clone(letter),
            _ => Arc::new(StoredMail::find(&archive, &hash).map_err(EngineError::Archive)?),
        };
        last = Some((hash, Arc::clone(&letter)));
        letters.push(Some(letter));
    }
    Ok(letters)
}
