//! Reports: the numbers of a window under standard names, and the templates that show them.

mod condition;
mod filters;
mod functions;
mod metrics;
mod template;

pub use condition::{Broken, Condition};
pub use metrics::{daily, is_empty, metrics};
pub use template::{Needs, QueryNeeds, Rendered, ReportError, Template};
