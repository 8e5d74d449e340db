//! What a crawl writes to the log group of crawlers, in the stream of its crawler: lines as Glue's crawlers write them, committed with its end.

use super::events::LOG_GROUP;
use super::rows::{Crawl, CrawlSummary, Crawler};
use super::spec::{DeleteBehavior, UpdateBehavior};
use millpond_core::log::Line;
use millpond_store::{StoreError, Tx};

/// Writes lines of a crawl, each with its level; the first tells its beginning.
fn write(tx: &Tx<'_>, crawl: &Crawl, lines: Vec<(&str, String)>) -> Result<(), StoreError> {
    let begun = ("BENCHMARK", format!("Running Start Crawl for Crawler {}", crawl.crawler));
    let times = std::iter::once(crawl.started_ms).chain(std::iter::repeat(tx.now_ms()));
    let lines = std::iter::once(begun).chain(lines).zip(times);
    let lines: Vec<Line> =
        lines.map(|((level, text), time_ms)| Line::new(time_ms, format!("[{}] {level} : {text}", crawl.id))).collect();
    crate::lake::log::write(tx, LOG_GROUP, &crawl.crawler, &lines)
}

/// A crawl that worked; `more` is what there is to say besides its numbers.
pub(super) fn succeeded(
    tx: &Tx<'_>,
    crawler: &Crawler,
    crawl: &Crawl,
    summary: &CrawlSummary,
    more: &str,
) -> Result<(), StoreError> {
    let database = crawler.spec.database_name.as_deref().unwrap_or_default();
    let policy = &crawler.spec.schema_change_policy;
    let update = match policy.update_behavior {
        UpdateBehavior::Log => "LOG",
        UpdateBehavior::UpdateInDatabase => "UPDATE_IN_DATABASE",
    };
    let delete = match policy.delete_behavior {
        DeleteBehavior::Log => "LOG",
        DeleteBehavior::DeleteFromDatabase => "DELETE_FROM_DATABASE",
        DeleteBehavior::DeprecateInDatabase => "DEPRECATE_IN_DATABASE",
    };
    let mut lines = vec![
        ("BENCHMARK", format!("Classification complete, writing results to database {database}")),
        (
            "INFO",
            format!(r#"Crawler configured with SchemaChangePolicy {{"UpdateBehavior":"{update}","DeleteBehavior":"{delete}"}}."#),
        ),
    ];
    let changes =
        [("Created", &summary.tables_created), ("Updated", &summary.tables_updated), ("Deleted", &summary.tables_deleted)];
    for (what, tables) in changes {
        lines.extend(tables.iter().map(|table| ("INFO", format!("{what} table {table} in database {database}"))));
    }
    lines.extend(more.lines().map(|line| ("INFO", line.to_owned())));
    lines.push(("BENCHMARK", "Finished writing to Catalog".into()));
    lines.push(("BENCHMARK", "Crawler has finished running and is in state READY".into()));
    write(tx, crawl, lines)
}

/// A crawl that was stopped, or failed.
pub(super) fn ended(tx: &Tx<'_>, crawl: &Crawl, reason: &str) -> Result<(), StoreError> {
    let end = ("BENCHMARK", "Crawler has finished running and is in state READY".to_owned());
    write(tx, crawl, vec![("ERROR", reason.to_owned()), end])
}
