//! Statements of few bytes that would take all memory, all time or the whole stack.

use super::*;
use crate::query::functions::{self, listed};
use crate::query::session::base_state;
use datafusion::execution::runtime_env::RuntimeEnv;
use std::collections::BTreeSet;

#[tokio::test]
async fn chains_just_under_the_bounds_are_planned() {
    let lake = flights().await;
    for (union, expected) in
        [(" UNION ALL SELECT 1", "501"), (" UNION SELECT 1", "1"), (" UNION ALL SELECT 1 UNION SELECT 2", "2")]
    {
        let count = 500 / union.matches("UNION").count();
        let chain = format!("SELECT count(*) FROM (SELECT 1 AS x{})", union.repeat(count));
        lake.check(&chain, expected).await;
    }
    lake.check("SELECT count(*) FROM (SELECT 1 AS x UNION SELECT 1 UNION ALL SELECT 1)", "2").await;
    let mixed =
        format!("SELECT count(*) FROM (SELECT 1 AS x{} UNION ALL SELECT 1 UNION ALL SELECT 1)", " UNION SELECT 1".repeat(40));
    lake.check(&mixed, "3").await;
    let wide = format!(
        "SELECT x, 'a' AS y FROM (SELECT 1 AS x) {} ORDER BY 1 DESC LIMIT 1",
        "UNION ALL SELECT 2.5e0, 'bcd'".repeat(40).replace("'bcd'UNION", "'bcd' UNION")
    );
    lake.check(&wide, "2.5|bcd").await;
}

#[tokio::test]
async fn more_grouping_sets_than_are_taken_are_refused_before_they_are_made() {
    let lake = flights().await;
    let columns = |count: usize| vec!["carrier"; count].join(", ");
    for group in [
        format!("CUBE({})", columns(12)),
        format!("CUBE({})", columns(70)),
        format!("ROLLUP({})", columns(3000)),
        format!("ROLLUP({})", columns(1500)),
        format!("CUBE({0}), CUBE({0})", columns(6)),
        format!("GROUPING SETS ({})", vec!["(carrier)"; 3000].join(", ")),
    ] {
        let found = lake.text(&format!("SELECT count(*) FROM flights GROUP BY {group}")).await;
        assert!(found.starts_with("TOO_MANY_GROUPING_SETS: "), "{}: {found}", &group[..12]);
    }
}

/// Names that call a function of DataFusion's under one that Trino does not have: what documented calls are rewritten to, and aliases of those.
const UNDOCUMENTED: &[&str] = &[
    "array_contains",
    "array_has",
    "bit_and",
    "bit_or",
    "bit_xor",
    "covar",
    "date_part",
    "datepart",
    "datetrunc",
    "get_field",
    "list_contains",
    "list_has",
    "mean",
    "today",
    "var",
    "var_population",
    "var_sample",
];

#[test]
fn only_documented_functions_can_be_called() {
    let state = base_state(&EngineConfig::default(), Arc::new(RuntimeEnv::default()));
    let listed = listed::present();
    let documented: BTreeSet<&str> = listed.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
    let own = functions::own_names();
    let names = state.scalar_functions().keys().chain(state.aggregate_functions().keys()).chain(state.window_functions().keys());
    let names = names.chain(state.higher_order_functions().keys()).map(String::as_str);
    let known = |name: &&str| documented.contains(name) || own.contains(*name) || UNDOCUMENTED.contains(name);
    let unknown: BTreeSet<&str> = names.filter(|name| !known(name)).collect();
    assert_eq!(unknown, BTreeSet::new());
}

#[tokio::test]
async fn functions_of_the_planner_are_no_functions_of_the_dialect() {
    let lake = flights().await;
    for call in [
        "cardinality(array_repeat(1, 2000000000))",
        "array_resize(ARRAY[1], 2000000000)",
        "range(1, 2000000000)",
        "generate_series(1, 2000000000)",
        "arrow_typeof(1)",
        "named_struct('a', 1)",
        "array_to_string(ARRAY[1], ',')",
        "arrow_cast(1, 'Int8')",
    ] {
        let found = lake.text(&format!("SELECT {call}")).await;
        assert!(found.starts_with("FUNCTION_NOT_FOUND: "), "{call}: {found}");
    }
    assert!(!lake.text("SELECT version()").await.contains("DataFusion"));
}

#[tokio::test]
async fn a_statement_that_does_not_end_in_a_lambda_can_be_stopped() {
    let lake = flights().await;
    let nested = "SELECT reduce(sequence(1, 10000), 0, (s, x) -> s + reduce(sequence(1, 10000), 0, (t, y) -> t + y % x, t -> t), s -> s) \
                  FROM UNNEST(sequence(1, 10000)) AS a(z)";
    let request = lake.request(nested);
    let cancel = request.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        cancel.cancel();
    });
    let ended = match lake.engine.query(request).await {
        Ok(stream) => stream.collect().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(ended, Err(QueryError::Cancelled)), "{ended:?}");
}

/// Keys far from each other would have arrays of 32 MB each.
#[tokio::test]
async fn joins_by_scattered_keys_stay_within_the_memory() {
    let lake = Lake::with(EngineConfig {
        memory_bytes: 16 << 20,
        statement_memory_bytes: 16 << 20,
        threads: 2,
        ..EngineConfig::default()
    });
    let keys: Vec<i64> = (0..100).map(|n| n * 80_000).collect();
    for name in ["a", "b", "c"] {
        let file = lake.put(&format!("{name}/part.parquet"), parquet_file(vec![("k", longs(&keys))])).await;
        lake.add(parquet_table(name, &[("k", "bigint")], &[]), vec![(vec![], vec![file])]);
    }
    let sql = "SELECT count(*), sum(a.k) FROM a JOIN b ON a.k = b.k JOIN c ON b.k = c.k WHERE c.k >= 0";
    lake.check(sql, &format!("100|{}", keys.iter().sum::<i64>())).await;
}
