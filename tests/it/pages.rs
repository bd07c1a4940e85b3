//! All pages of a request's parts, followed as a run follows them.

use databuddy_jobs::{
    api::{ApiError, Client, Complete, Next, Page, Pages, PartError},
    domain::request::Request,
    table::{Known, TableBuilder, row_hashes},
};

/// What a part's pages held.
#[derive(Debug)]
pub(crate) struct ReadRows {
    pub(crate) count: u64,
    pub(crate) complete: Complete,
}

pub(crate) async fn read(
    client: &Client,
    request: &Request,
) -> Result<Vec<(String, Result<ReadRows, PartError>)>, ApiError> {
    let mut all = Vec::new();
    for (id, first) in client.query(request).await? {
        let read = match first {
            Ok(page) => follow(client, request, &id, page).await?,
            Err(error) => Err(error),
        };
        all.push((id, read));
    }
    Ok(all)
}

async fn follow(
    client: &Client,
    request: &Request,
    id: &str,
    mut page: Page,
) -> Result<Result<ReadRows, PartError>, ApiError> {
    let mut table = TableBuilder::new("query", Known::default());
    let mut pages = Pages::of(request, id);
    loop {
        let batch = table.read_page(&page.0).unwrap();
        match pages.take(&row_hashes(&batch)) {
            Err(error) => return Ok(Err(error)),
            Ok(Next::Done(complete)) => {
                let count = pages.count();
                return Ok(Ok(ReadRows { count, complete }));
            }
            Ok(Next::Page(number)) => match client.query_page(request, id, number).await? {
                Ok(next) => page = next,
                Err(error) => return Ok(Err(error)),
            },
        }
    }
}
