//! `schema`: the JSON Schema of a job file, or the reference pages made from it.

use super::{args::Page, exit::Exit, print};
use crate::config::{job_reference, job_schema, settings_reference, type_reference};

pub(super) fn schema(markdown: Option<Page>) -> Exit {
    let page = match markdown {
        None => return print::json(&job_schema()),
        Some(Page::Jobs) => job_reference(),
        Some(Page::Settings) => settings_reference(),
        Some(Page::Types) => type_reference(),
    };
    print::line(page.trim_end());
    Exit::Done
}
