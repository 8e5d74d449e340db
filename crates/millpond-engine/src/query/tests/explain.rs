//! Plans as `EXPLAIN` shows them.

use super::*;

async fn plan(lake: &Lake, sql: &str, format: ExplainFormat, kind: ExplainType) -> String {
    lake.engine.explain(lake.request(sql), format, kind).await.unwrap().text
}

const JOIN: &str = "SELECT a.carrier, count(*) AS n, sum(b.distance) FROM flights a JOIN flights b ON a.carrier = b.carrier \
                    WHERE a.year = 2013 AND b.distance > 100 GROUP BY a.carrier ORDER BY n DESC LIMIT 3";

#[tokio::test]
async fn a_logical_plan_is_a_tree_of_trinos_operators() {
    let lake = flights().await;
    let text = plan(&lake, JOIN, ExplainFormat::Text, ExplainType::Logical).await;
    for part in [
        "Output[columnNames = [carrier, n, _col2]]",
        "TopN[count = 3, orderBy = [",
        "Aggregate[keys = [",
        "InnerJoin[criteria = (",
        "table = awsdatacatalog:db:flights",
        "PARTITION_KEY",
        "(\"distance\" > 100)",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.ends_with("\n\n") && text.starts_with("Output["), "{text}");
    for inside in ["Exec", "Utf8", "Int64", "Scan:", "\u{1}"] {
        assert!(!text.contains(inside), "{inside} is in\n{text}");
    }
}

#[tokio::test]
async fn a_distributed_plan_has_fragments_that_name_each_other() {
    let lake = flights().await;
    let text = plan(&lake, JOIN, ExplainFormat::Text, ExplainType::Distributed).await;
    assert!(text.starts_with("Fragment 0 [SINGLE]\n    Output layout: [carrier, n, _col2]\n"), "{text}");
    assert!(text.contains("sourceFragmentIds = [1]") && text.contains("Fragment 1 ["), "{text}");
    assert!(text.contains("Aggregate[type = PARTIAL") && text.contains("filterPredicate = "), "{text}");
    for inside in ["Exec", "Utf8", "Int64", "\u{1}", "@"] {
        assert!(!text.contains(inside), "{inside} is in\n{text}");
    }
}

#[tokio::test]
async fn json_and_graphs_hold_the_same_tree() {
    let lake = flights().await;
    let json = plan(&lake, JOIN, ExplainFormat::Json, ExplainType::Logical).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["id"].as_str(), json["name"].as_str()), (Some("0"), Some("Output")));
    assert_eq!(json["children"][0]["name"], "TopN");
    let fragments = plan(&lake, JOIN, ExplainFormat::Json, ExplainType::Distributed).await;
    let fragments: serde_json::Value = serde_json::from_str(&fragments).unwrap();
    assert_eq!(fragments["0"]["name"], "Output");
    let graph = plan(&lake, JOIN, ExplainFormat::Graphviz, ExplainType::Logical).await;
    assert!(graph.starts_with("digraph logical_plan {\n") && graph.contains("plannode_1 -> plannode_2;"), "{graph}");
}

#[tokio::test]
async fn statements_are_validated_and_their_tables_named() {
    let lake = flights().await;
    assert_eq!(plan(&lake, JOIN, ExplainFormat::Text, ExplainType::Validate).await, "true");
    let wrong = lake.request("SELECT nothing FROM flights");
    assert!(lake.engine.explain(wrong, ExplainFormat::Text, ExplainType::Validate).await.is_err());
    let io = plan(&lake, JOIN, ExplainFormat::Json, ExplainType::Io).await;
    let io: serde_json::Value = serde_json::from_str(&io).unwrap();
    let tables = io["inputTableColumnInfos"].as_array().unwrap();
    assert_eq!(tables.len(), 2);
    assert_eq!(tables[0]["table"]["schemaTable"]["table"], "flights");
    let constraint = &tables[0]["columnConstraints"][0];
    assert_eq!((&constraint["columnName"], &constraint["domain"]["ranges"][0]["low"]["value"]), (&"year".into(), &"2013".into()));
}

#[tokio::test]
async fn an_analyzed_query_tells_what_it_counted() {
    let lake = flights().await;
    let request = lake.request("SELECT carrier, count(*) FROM flights GROUP BY carrier");
    let statistics = request.statistics.clone();
    let explanation = lake.engine.analyze(request, ExplainFormat::Text).await.unwrap();
    let text = explanation.text;
    assert!(text.starts_with("Queued: ") && text.contains("Fragment 0 ["), "{text}");
    assert!(text.contains("Output: 3 rows (") && text.contains("Output: 5 rows ("), "{text}");
    assert!(statistics.scanned_bytes() > 0);
}

#[tokio::test]
async fn steps_that_only_look_at_rows_are_not_shown() {
    let lake = flights().await;
    let sql = "SELECT upper(carrier), x, sum(distance) OVER () FROM flights, UNNEST(sequence(1, 3)) AS t(x)";
    let plan = lake.engine.analyze(lake.request(sql), ExplainFormat::Text).await.unwrap();
    for name in ["Gauge", "Pieces", "DamagedFiles"] {
        assert!(!plan.text.contains(name), "{}", plan.text);
    }
}
