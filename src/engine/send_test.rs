//! A previewed report as a mail: a test, outside store and ledger.

use std::sync::Arc;

use super::{Attached, Engine, EngineError, Page, stored::picture};
use crate::{
    domain::job::Job,
    mail::{Content, Message, domain_of, message_id},
};

impl Engine {
    /// Sends a page to an address, marked as a test; each time anew.
    ///
    /// # Errors
    /// No mail is configured, or the mail server will not take it.
    pub async fn send_test(&self, job: &Job, page: &Page, to: &str) -> Result<(), EngineError> {
        let missing = |setting| EngineError::MailNotConfigured {
            report: page.report.clone(),
            setting,
        };
        let transport = self.transport.as_deref();
        let transport = transport.ok_or_else(|| missing("mail.url"))?;
        let from = self.settings.mail_from.as_deref();
        let from = from.ok_or_else(|| missing("mail.from"))?;
        let message = self.test_message(job, page, from, to);
        let sent = transport.send(&message).await;
        transport.close().await;
        sent.map(drop).map_err(|(_, why)| EngineError::NotSent {
            to: to.to_owned(),
            why,
        })
    }

    fn test_message(&self, job: &Job, page: &Page, from: &str, to: &str) -> Message {
        let now = self.clock.now();
        let website = page.website_id.as_deref().unwrap_or("*");
        // Two tests are never one mail for the programs that receive them
        let number = fastrand::u64(..).to_string();
        let key = ["test", &job.name, &page.report, website, to, &number];
        Message {
            label: format!("test_{}_{website}_{to}", page.report),
            from: from.to_owned(),
            to: vec![to.to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: format!("[test] {}", page.rendered.subject),
            content: Arc::new(Content::new(
                page.rendered.html.clone(),
                page.rendered.text.clone(),
                page.rendered.images.iter().map(picture).collect(),
                page.attachments.iter().map(Attached::to_mail).collect(),
            )),
            message_id: message_id(&key, 1, &domain_of(from)),
            list_id: format!("{}.{}.databuddy-jobs", page.report, job.name),
            unsubscribe: self.settings.mail_unsubscribe.clone(),
            date: now,
        }
    }
}
