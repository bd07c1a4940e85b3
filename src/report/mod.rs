//! Reports: the numbers of a window under standard names, and the templates that show them.

mod filters;
mod functions;
mod metrics;
mod template;

pub use metrics::{daily, metrics};
pub use template::{Needs, QueryNeeds, Rendered, ReportError, Template};
