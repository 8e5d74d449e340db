//! What query executions gave.

use super::{Answer, refused};
use crate::router::{Context, Router};
use millpond_services::athena::{Athena, ResultFileKind, Stage, StageNode, StatementKind};
use millpond_wire::athena::*;

pub(super) fn register(router: &mut Router, athena: &Athena) {
    router
        .service(athena.clone())
        .on(GetQueryResults, get_query_results)
        .on(GetQueryRuntimeStatistics, get_query_runtime_statistics);
}

async fn get_query_results(athena: Athena, _: Context, input: GetQueryResultsInput) -> Answer<GetQueryResultsOutput> {
    let kind = match input.query_result_type.as_ref().map(|kind| kind.as_str()) {
        Some("DATA_MANIFEST") => ResultFileKind::Manifest,
        _ => ResultFileKind::Rows,
    };
    let read = athena.results(&input.query_execution_id, kind, input.next_token.as_deref(), input.max_results).await;
    let page = read.map_err(refused)?;
    let row = |values: Vec<Option<String>>| Row {
        data: Some(values.into_iter().map(|value| Datum { var_char_value: value }).collect()),
    };
    let columns = page.columns.into_iter().map(|column| ColumnInfo {
        catalog_name: Some("hive".into()),
        schema_name: Some(String::new()),
        table_name: Some(String::new()),
        label: Some(column.name.clone()),
        name: column.name,
        r#type: column.data_type,
        precision: Some(column.precision),
        scale: Some(column.scale),
        nullable: Some(ColumnNullable::Unknown),
        case_sensitive: Some(column.case_sensitive),
    });
    Ok(GetQueryResultsOutput {
        update_count: page.update_count,
        result_set: Some(ResultSet {
            rows: Some(page.rows.into_iter().map(row).collect()),
            result_set_metadata: Some(ResultSetMetadata { column_info: Some(columns.collect()) }),
        }),
        next_token: page.next,
    })
}

async fn get_query_runtime_statistics(
    athena: Athena,
    _: Context,
    input: GetQueryRuntimeStatisticsInput,
) -> Answer<GetQueryRuntimeStatisticsOutput> {
    let execution = athena.execution(&input.query_execution_id).await.map_err(refused)?;
    let statistics = execution.statistics;
    let timeline = QueryRuntimeStatisticsTimeline {
        query_queue_time_in_millis: Some(statistics.queue_ms),
        service_pre_processing_time_in_millis: Some(0),
        query_planning_time_in_millis: Some(statistics.planning_ms),
        engine_execution_time_in_millis: Some(statistics.engine_ms),
        service_processing_time_in_millis: Some(statistics.service_ms),
        total_execution_time_in_millis: Some(statistics.total_ms),
    };
    // Only of DML.
    let rows = (execution.kind == StatementKind::Dml).then(|| QueryRuntimeStatisticsRows {
        input_rows: Some(statistics.input_rows as i64).filter(|rows| *rows > 0),
        input_bytes: Some(statistics.scanned_bytes as i64),
        output_bytes: Some(statistics.result_bytes as i64),
        output_rows: Some(statistics.rows as i64),
    });
    let bytes = (statistics.scanned_bytes as i64, statistics.result_bytes as i64);
    let output_stage = execution.details.stages.map(|found| stage(found, Some(bytes)));
    Ok(GetQueryRuntimeStatisticsOutput {
        query_runtime_statistics: Some(QueryRuntimeStatistics { timeline: Some(timeline), rows, output_stage }),
    })
}

/// Bytes are known of the whole query: what it read and gave.
fn stage(found: Stage, bytes: Option<(i64, i64)>) -> QueryStage {
    QueryStage {
        stage_id: Some(found.id as i64),
        state: Some("FINISHED".into()),
        output_bytes: bytes.map(|(_, output)| output),
        output_rows: Some(found.output_rows as i64),
        input_bytes: bytes.map(|(input, _)| input),
        input_rows: Some(found.input_rows as i64),
        execution_time: Some(found.time_ms as i64),
        query_stage_plan: Some(node(found.plan)),
        sub_stages: Some(found.sub_stages.into_iter().map(|sub| stage(sub, None)).collect()),
    }
}

fn node(found: StageNode) -> QueryStagePlanNode {
    QueryStagePlanNode {
        name: Some(found.name),
        identifier: Some(found.identifier),
        children: Some(found.children.into_iter().map(node).collect()),
        remote_sources: Some(found.remote_sources),
    }
}
