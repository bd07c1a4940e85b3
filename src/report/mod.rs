//! Reports: the numbers of a window under standard names, and the templates that show them.

mod arguments;
mod calls;
mod change;
mod chart;
mod condition;
mod digest;
mod draw;
mod embedded;
mod error;
mod figures;
mod filters;
mod functions;
mod health;
mod lang;
mod marks;
mod metrics;
mod moved;
mod range;
mod rows;
mod scene;
mod sentence;
mod slack;
mod template;
mod words;
mod workbook;

pub use calls::Misuse;
pub use chart::Image;
pub use condition::{Broken, Condition};
pub use digest::{Digest, List, Site};
pub use error::ReportError;
pub use lang::{LANGUAGES, Lang};
pub use metrics::{daily, is_empty, metrics};
pub use slack::slack;
pub use template::{Needs, QueryNeeds, Rendered, Template};
pub use workbook::{csv, workbook};

#[cfg(test)]
mod tests;
