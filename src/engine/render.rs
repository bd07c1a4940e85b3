//! Reports from fetched rows to mails that can be sent.

use std::sync::Arc;

use super::{
    EngineError,
    context::Origin,
    fetch::Fetched,
    outgoing::{Outgoing, Recipients},
    run::one_line,
    work::{Progress, Work},
};
use crate::plan::Plan;

impl Work<'_> {
    /// Each report of each website whose data is complete, for each of its recipients.
    pub(super) fn render<'p>(
        &'p self,
        plan: &'p Plan,
        fetched: &[Fetched],
        progress: &mut Progress,
    ) -> Result<Vec<Outgoing<'p>>, EngineError> {
        let job = self.job;
        let origin = Origin {
            job,
            plan,
            fetched,
            run: self.run,
        };
        let mut outgoing = Vec::new();
        let templates = self.engine.templates(job)?;
        for (report, (spec, template)) in job.reports.iter().zip(&templates).enumerate() {
            for (index, website) in plan.websites.iter().enumerate() {
                let sections = origin.sections(report, index);
                if !origin.is_complete(&sections) {
                    progress.errors.push(format!(
                        "the report `{}` of {} was not sent: its data is incomplete",
                        spec.name, website.id
                    ));
                    continue;
                }
                let context = Arc::new(self.engine.context(origin, spec, website, &sections));
                match template.render(&context) {
                    Ok(rendered) => {
                        let rendered = Arc::new(rendered);
                        outgoing.extend(spec.to.iter().map(|to| Outgoing {
                            spec,
                            website: Some(website),
                            to: Recipients::one(to),
                            rendered: Arc::clone(&rendered),
                            attachments: Arc::new([]),
                            context: Arc::clone(&context),
                        }));
                    }
                    Err(error) => progress.errors.push(one_line(&error)),
                }
            }
        }
        Ok(outgoing)
    }
}
