//! `schema`: the JSON Schema of a job file, or the reference pages made from it.

use super::{exit::Exit, print};
use crate::config::{job_reference, job_schema, settings_reference};

pub(super) fn schema(markdown: Option<super::args::Page>) -> Exit {
    match markdown {
        None => print::json(&job_schema()),
        Some(super::args::Page::Jobs) => {
            print::line(job_reference().trim_end());
            Exit::Done
        }
        Some(super::args::Page::Settings) => {
            print::line(settings_reference().trim_end());
            Exit::Done
        }
    }
}
