//! Crawlers on the wire.

use super::SERVICE;
use super::error::wire;
use crate::pass_role;
use crate::router::{Context, Router};
use millpond_services::glue::crawler::history::{Comparison, Field, Filter};
use millpond_services::glue::crawler::{Crawl, CrawlState, CrawlerSpec, CrawlerStatus, LOG_GROUP};
use millpond_services::glue::{Glue, GlueError};
use millpond_wire::glue::{self, *};
use millpond_wire::{Timestamp, WireError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Items of a page where the caller does not say.
const PAGE: usize = 100;

/// Registers crawlers.
pub fn register(router: &mut Router, service: &Glue) {
    router
        .service(service.clone())
        .on(glue::CreateCrawler, create)
        .on(glue::UpdateCrawler, update)
        .on(glue::DeleteCrawler, delete)
        .on(glue::GetCrawler, get)
        .on(glue::GetCrawlers, get_many)
        .on(glue::ListCrawlers, list)
        .on(glue::BatchGetCrawlers, batch_get)
        .on(glue::StartCrawler, start)
        .on(glue::StopCrawler, stop)
        .on(glue::StartCrawlerSchedule, start_schedule)
        .on(glue::StopCrawlerSchedule, stop_schedule)
        .on(glue::UpdateCrawlerSchedule, update_schedule)
        .on(glue::GetCrawlerMetrics, metrics)
        .on(glue::ListCrawls, list_crawls);
}

/// One JSON form as another type: the wire's types and the domain's definitions have the same, AWS's own.
pub(super) fn recode<T: DeserializeOwned>(from: &impl Serialize) -> Result<T, WireError> {
    let recoded = serde_json::to_value(from).and_then(serde_json::from_value);
    recoded.map_err(|error| wire(GlueError::InvalidInput(format!("The request cannot be read: {error}"))))
}

pub(super) fn page(asked: Option<i32>) -> usize {
    asked.and_then(|asked| usize::try_from(asked).ok()).filter(|asked| *asked > 0).unwrap_or(PAGE).min(1_000)
}

async fn create(service: Glue, context: Context, mut input: CreateCrawlerInput) -> Result<CreateCrawlerOutput, WireError> {
    pass_role(&context, &input.role, SERVICE).await?;
    let (name, tags) = (std::mem::take(&mut input.name), input.tags.take());
    let spec: CrawlerSpec = recode(&input)?;
    service.create_crawler(name, spec, tags.unwrap_or_default()).await.map_err(wire)?;
    Ok(CreateCrawlerOutput {})
}

async fn update(service: Glue, context: Context, mut input: UpdateCrawlerInput) -> Result<UpdateCrawlerOutput, WireError> {
    if let Some(role) = &input.role {
        pass_role(&context, role, SERVICE).await?;
    }
    let name = std::mem::take(&mut input.name);
    let mut changes: Map<String, Value> = recode(&input)?;
    changes.remove("Name");
    service.update_crawler(name, changes).await.map_err(wire)?;
    Ok(UpdateCrawlerOutput {})
}

async fn delete(service: Glue, _: Context, input: DeleteCrawlerInput) -> Result<DeleteCrawlerOutput, WireError> {
    service.delete_crawler(input.name).await.map_err(wire)?;
    Ok(DeleteCrawlerOutput {})
}

async fn get(service: Glue, _: Context, input: GetCrawlerInput) -> Result<GetCrawlerOutput, WireError> {
    let status = service.crawler(input.name).await.map_err(wire)?;
    Ok(GetCrawlerOutput { crawler: Some(crawler(&status)?) })
}

async fn get_many(service: Glue, _: Context, input: GetCrawlersInput) -> Result<GetCrawlersOutput, WireError> {
    let found = service.crawlers(input.next_token, page(input.max_results)).await.map_err(wire)?;
    let crawlers = found.items.iter().map(crawler).collect::<Result<_, _>>()?;
    Ok(GetCrawlersOutput { crawlers: Some(crawlers), next_token: found.next })
}

async fn list(service: Glue, _: Context, input: ListCrawlersInput) -> Result<ListCrawlersOutput, WireError> {
    let wanted = input.tags.unwrap_or_default();
    let found = service.crawler_names(wanted, input.next_token, page(input.max_results)).await.map_err(wire)?;
    Ok(ListCrawlersOutput { crawler_names: Some(found.items), next_token: found.next })
}

async fn batch_get(service: Glue, _: Context, input: BatchGetCrawlersInput) -> Result<BatchGetCrawlersOutput, WireError> {
    let (there, not_there) = service.crawlers_by_name(input.crawler_names).await.map_err(wire)?;
    let crawlers = there.iter().map(crawler).collect::<Result<_, _>>()?;
    Ok(BatchGetCrawlersOutput { crawlers: Some(crawlers), crawlers_not_found: Some(not_there) })
}

async fn start(service: Glue, _: Context, input: StartCrawlerInput) -> Result<StartCrawlerOutput, WireError> {
    service.start_crawler(input.name).await.map_err(wire)?;
    Ok(StartCrawlerOutput {})
}

async fn stop(service: Glue, _: Context, input: StopCrawlerInput) -> Result<StopCrawlerOutput, WireError> {
    service.stop_crawler(input.name).await.map_err(wire)?;
    Ok(StopCrawlerOutput {})
}

async fn start_schedule(
    service: Glue,
    _: Context,
    input: StartCrawlerScheduleInput,
) -> Result<StartCrawlerScheduleOutput, WireError> {
    service.set_crawler_schedule(input.crawler_name, true).await.map_err(wire)?;
    Ok(StartCrawlerScheduleOutput {})
}

async fn stop_schedule(
    service: Glue,
    _: Context,
    input: StopCrawlerScheduleInput,
) -> Result<StopCrawlerScheduleOutput, WireError> {
    service.set_crawler_schedule(input.crawler_name, false).await.map_err(wire)?;
    Ok(StopCrawlerScheduleOutput {})
}

async fn update_schedule(
    service: Glue,
    _: Context,
    input: UpdateCrawlerScheduleInput,
) -> Result<UpdateCrawlerScheduleOutput, WireError> {
    service.update_crawler_schedule(input.crawler_name, input.schedule).await.map_err(wire)?;
    Ok(UpdateCrawlerScheduleOutput {})
}

async fn metrics(service: Glue, _: Context, input: GetCrawlerMetricsInput) -> Result<GetCrawlerMetricsOutput, WireError> {
    let (names, next_token) = match input.crawler_name_list.filter(|names| !names.is_empty()) {
        Some(names) => (names, None),
        None => {
            let found = service.crawlers(input.next_token, page(input.max_results)).await.map_err(wire)?;
            (found.items.into_iter().map(|status| status.crawler.name).collect(), found.next)
        }
    };
    let mut list = Vec::with_capacity(names.len());
    for name in names {
        let measured = service.crawler_metrics(name).await.map_err(wire)?;
        list.push(CrawlerMetrics {
            crawler_name: Some(measured.crawler),
            time_left_seconds: Some(measured.time_left_seconds),
            still_estimating: Some(measured.still_estimating),
            last_runtime_seconds: Some(measured.last_runtime_seconds),
            median_runtime_seconds: Some(measured.median_runtime_seconds),
            tables_created: i32::try_from(measured.tables_created).ok(),
            tables_updated: i32::try_from(measured.tables_updated).ok(),
            tables_deleted: i32::try_from(measured.tables_deleted).ok(),
        });
    }
    Ok(GetCrawlerMetricsOutput { crawler_metrics_list: Some(list), next_token })
}

async fn list_crawls(service: Glue, _: Context, input: ListCrawlsInput) -> Result<ListCrawlsOutput, WireError> {
    let filters = input.filters.unwrap_or_default().into_iter().filter_map(filter).collect();
    let limit = input.max_results.map_or(20, |asked| page(Some(asked)));
    let found = service.crawls(input.crawler_name, filters, input.next_token, limit).await.map_err(wire)?;
    Ok(ListCrawlsOutput { crawls: Some(found.items.iter().map(history).collect()), next_token: found.next })
}

/// A filter that names neither field nor comparison says nothing.
fn filter(filter: CrawlsFilter) -> Option<Filter> {
    let field = match filter.field_name? {
        FieldName::CrawlId => Field::CrawlId,
        FieldName::State => Field::State,
        FieldName::StartTime => Field::StartTime,
        FieldName::EndTime => Field::EndTime,
        FieldName::DpuHour => Field::DpuHour,
    };
    let comparison = match filter.filter_operator? {
        FilterOperator::Gt => Comparison::Gt,
        FilterOperator::Ge => Comparison::Ge,
        FilterOperator::Lt => Comparison::Lt,
        FilterOperator::Le => Comparison::Le,
        FilterOperator::Eq => Comparison::Eq,
        FilterOperator::Ne => Comparison::Ne,
    };
    Some(Filter { field, comparison, value: filter.field_value.unwrap_or_default() })
}

fn history(crawl: &Crawl) -> CrawlerHistory {
    CrawlerHistory {
        crawl_id: Some(crawl.id.clone()),
        state: CrawlerHistoryState::from_text(crawl.state.as_str()),
        start_time: Some(Timestamp(crawl.started_ms)),
        end_time: crawl.ended_ms.map(Timestamp),
        summary: Some(summary(crawl)),
        error_message: crawl.error.clone().filter(|_| crawl.state != CrawlState::Completed),
        log_group: Some(LOG_GROUP.into()),
        log_stream: Some(crawl.crawler.clone()),
        message_prefix: Some(crawl.id.clone()),
        dpu_hour: Some(0.0),
    }
}

/// `Summary`: JSON in text, as `ListCrawls` documents it.
fn summary(crawl: &Crawl) -> String {
    let done = &crawl.summary;
    let count = |add: u64, update: u64, delete: u64| json!({ "ADD": add, "UPDATE": update, "DELETE": delete });
    let tables = |names: &[String]| json!({ "TABLE_COUNT": names.len(), "NAMES": names });
    json!({
        "TABLE": { "ADD": tables(&done.tables_created), "UPDATE": tables(&done.tables_updated), "DELETE": tables(&done.tables_deleted) },
        "PARTITION": count(done.partitions_created, done.partitions_updated, done.partitions_deleted),
        "OBJECTS": { "SEEN": done.objects, "UNCLASSIFIED": done.unclassified, "BYTES": done.bytes },
    })
    .to_string()
}

fn crawler(status: &CrawlerStatus) -> Result<Crawler, WireError> {
    let known = &status.crawler;
    let mut members: Map<String, Value> = recode(&known.spec)?;
    if let Some(text) = members.remove("Schedule").filter(|text| text.as_str().is_some_and(|text| !text.is_empty())) {
        let state = if known.scheduled { "SCHEDULED" } else { "NOT_SCHEDULED" };
        members.insert("Schedule".into(), json!({ "ScheduleExpression": text, "State": state }));
    }
    let mut crawler: Crawler = recode(&members)?;
    crawler.name = Some(known.name.clone());
    crawler.state = CrawlerState::from_text(known.state.as_str());
    crawler.crawl_elapsed_time = Some(status.elapsed_ms);
    crawler.creation_time = Some(Timestamp(known.created_ms));
    crawler.last_updated = Some(Timestamp(known.updated_ms));
    crawler.version = Some(known.version);
    crawler.last_crawl = status.last.as_ref().map(last_crawl);
    Ok(crawler)
}

fn last_crawl(crawl: &Crawl) -> LastCrawlInfo {
    let status = match crawl.state {
        CrawlState::Completed => LastCrawlStatus::Succeeded,
        CrawlState::Stopped => LastCrawlStatus::Cancelled,
        CrawlState::Failed | CrawlState::Running => LastCrawlStatus::Failed,
    };
    LastCrawlInfo {
        status: Some(status),
        error_message: crawl.error.clone(),
        log_group: Some(LOG_GROUP.into()),
        log_stream: Some(crawl.crawler.clone()),
        message_prefix: Some(crawl.id.clone()),
        start_time: Some(Timestamp(crawl.started_ms)),
    }
}
