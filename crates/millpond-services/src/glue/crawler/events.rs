//! `Glue Crawler State Change` as EventBridge carries it (EventBridge reference, "AWS Glue events"): `Started`, `Succeeded`, `Failed`. Counts are text, as
//! AWS sends them.

use super::rows::{Crawl, CrawlState, CrawlSummary};
use crate::glue::trigger::fire;
use crate::glue::workflow;
use crate::lake::{NewEvent, emit};
use millpond_core::arn::Place;
use millpond_core::env::iso8601;
use millpond_store::{StoreError, Tx};
use serde_json::{Value, json};

/// Where Glue's crawlers log.
pub const LOG_GROUP: &str = "/aws-glue/crawlers";

fn change(tx: &Tx<'_>, place: &Place, detail: Value) -> Result<(), StoreError> {
    emit(tx, place, NewEvent { source: "aws.glue", detail_type: "Glue Crawler State Change", resources: Vec::new(), detail })
}

fn log_link(place: &Place, crawler: &str) -> String {
    let region = &place.region;
    format!("https://console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={LOG_GROUP};stream={crawler}")
}

/// A crawl began.
pub fn started(tx: &Tx<'_>, place: &Place, crawl: &Crawl) -> Result<(), StoreError> {
    let detail = json!({
        "accountId": place.account,
        "crawlerName": crawl.crawler,
        "startTime": iso8601(crawl.started_ms, false),
        "state": "Started",
        "message": "Crawler Started",
    });
    change(tx, place, detail)
}

/// A crawl has ended: the triggers that waited for it.
fn told(tx: &Tx<'_>, place: &Place, crawl: &Crawl, state: CrawlState) -> Result<(), StoreError> {
    let node = format!("crawler/{}", crawl.crawler);
    fire::told(tx, place, fire::Ended { node: &node, id: &crawl.id, run: &crawl.id, state: workflow::crawl_state(state) })
}

/// A crawl succeeded; `warning` says what it could not take in.
pub fn succeeded(
    tx: &Tx<'_>,
    place: &Place,
    crawl: &Crawl,
    summary: &CrawlSummary,
    warning: Option<&str>,
) -> Result<(), StoreError> {
    let seconds = (tx.now_ms() - crawl.started_ms).max(0) / 1000;
    let detail = json!({
        "accountId": place.account,
        "crawlerName": crawl.crawler,
        "completionDate": iso8601(tx.now_ms(), false),
        "runningTime (sec)": seconds.to_string(),
        "state": "Succeeded",
        "message": "Crawler Succeeded",
        "tablesCreated": summary.tables_created.len().to_string(),
        "tablesUpdated": summary.tables_updated.len().to_string(),
        "tablesDeleted": summary.tables_deleted.len().to_string(),
        "partitionsCreated": summary.partitions_created.to_string(),
        "partitionsUpdated": summary.partitions_updated.to_string(),
        "partitionsDeleted": summary.partitions_deleted.to_string(),
        "warningMessage": warning.unwrap_or("N/A"),
        "cloudWatchLogLink": log_link(place, &crawl.crawler),
    });
    change(tx, place, detail)?;
    told(tx, place, crawl, CrawlState::Completed)
}

/// A crawl failed, or was stopped: Glue has no event of its own for that, and a rule that waits for the end must hear of it.
pub fn failed(tx: &Tx<'_>, place: &Place, crawl: &Crawl, state: CrawlState, reason: &str) -> Result<(), StoreError> {
    let detail = json!({
        "accountId": place.account,
        "crawlerName": crawl.crawler,
        "errorMessage": reason,
        "cloudWatchLogLink": log_link(place, &crawl.crawler),
        "state": "Failed",
        "message": "Crawler Failed",
    });
    change(tx, place, detail)?;
    told(tx, place, crawl, state)
}
