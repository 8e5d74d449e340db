use super::sieve::TRIAL_ROWS;
use super::*;
use arrow::array::{AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, cast, lit};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::FilterExecBuilder;
use futures::StreamExt;

fn batch(schema: &SchemaRef, from: i64, rows: i64) -> RecordBatch {
    let values = Arc::new(Int64Array::from_iter_values(from..from + rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), vec![values], &RecordBatchOptions::new()).unwrap()
}

async fn run(batches: Vec<RecordBatch>, schema: SchemaRef, filter: Arc<dyn PhysicalExpr>) -> Vec<usize> {
    let input = MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap();
    let exec = AdaptiveFilterExec::new(input, None, vec![filter]);
    let stream = exec.execute(0, Arc::default()).unwrap();
    stream.map(|batch| batch.unwrap().num_rows()).collect().await
}

#[tokio::test]
async fn rows_that_a_dynamic_filter_excludes_do_not_pass() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
    let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![Arc::clone(&column)], lit(true)));
    let batches: Vec<_> = (0..4).map(|n| batch(&schema, n * 8192, 8192)).collect();
    // Nothing is known yet: whole batches pass as they are.
    assert_eq!(run(batches.clone(), Arc::clone(&schema), Arc::clone(&dynamic) as _).await, [8192; 4]);
    let few = BinaryExpr::new(column, Operator::GtEq, lit(ScalarValue::Int64(Some(4 * 8192 - 10))));
    dynamic.update(Arc::new(few)).unwrap();
    assert_eq!(run(batches, schema, dynamic).await, [10]);
}

#[tokio::test]
async fn a_filter_that_keeps_nearly_all_is_not_asked_for_ever() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    let most = BinaryExpr::new(Arc::new(Column::new("a", 0)), Operator::Lt, lit(ScalarValue::Int64(Some(TRIAL_ROWS as i64 - 1))));
    let rows = TRIAL_ROWS as i64 + 8192 * 2;
    let batches: Vec<_> = (0..rows / 8192).map(|n| batch(&schema, n * 8192, 8192)).collect();
    // One row of the trial is left out; all that follow would be, and are not.
    let passed: usize = run(batches, schema, Arc::new(most)).await.iter().sum();
    assert_eq!(passed, rows as usize - 1);
}

fn below(column: &Arc<dyn PhysicalExpr>, value: ScalarValue) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(Arc::clone(column), Operator::Lt, lit(value)))
}

fn all(conditions: Vec<Arc<dyn PhysicalExpr>>) -> Arc<dyn PhysicalExpr> {
    conditions.into_iter().reduce(|a, b| Arc::new(BinaryExpr::new(a, Operator::And, b))).unwrap()
}

/// Columns `a` (0, 1, 2, NULL, 4, ...) and `t` (texts of the same numbers, and one that is none).
fn numbers_and_texts() -> RecordBatch {
    let fields = vec![Field::new("a", DataType::Int64, true), Field::new("t", DataType::Utf8, true)];
    let numbers: Int64Array = (0..1000).map(|n| (n % 10 != 3).then_some(n)).collect();
    let texts: StringArray = (0..1000).map(|n| if n == 999 { Some("none".to_owned()) } else { Some(n.to_string()) }).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(numbers), Arc::new(texts)]).unwrap()
}

async fn filtered(
    batch: RecordBatch,
    condition: Arc<dyn PhysicalExpr>,
    projection: Option<Vec<usize>>,
) -> Result<Vec<RecordBatch>> {
    let schema = batch.schema();
    let input = MemorySourceConfig::try_new_exec(&[vec![batch; 40]], schema, None)?;
    let filter = FilterExecBuilder::new(condition, input).apply_projection(projection)?.build()?;
    let optimized = rule().optimize(Arc::new(filter), &ConfigOptions::new())?;
    assert_eq!(optimized.name(), "AdaptiveFilterExec");
    optimized.execute(0, Arc::default())?.collect::<Vec<_>>().await.into_iter().collect()
}

#[tokio::test]
async fn the_rows_are_those_of_the_conjunction_in_any_order_and_of_any_share() {
    let batch = numbers_and_texts();
    let (a, t): (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>) = (Arc::new(Column::new("a", 0)), Arc::new(Column::new("t", 1)));
    for (number, text) in [(900_i64, "9"), (500, "5"), (20, "2"), (0, "9"), (2000, "zzz"), (2000, ""), (7, "zzz")] {
        let conditions = vec![below(&t, ScalarValue::from(text)), below(&a, ScalarValue::from(number))];
        let plain = FilterExec::try_new(
            all(conditions.clone()),
            MemorySourceConfig::try_new_exec(&[vec![batch.clone(); 40]], batch.schema(), None).unwrap(),
        );
        let plain: Vec<_> = plain.unwrap().execute(0, Arc::default()).unwrap().collect::<Vec<_>>().await;
        let plain: Vec<_> = plain.into_iter().collect::<Result<_>>().unwrap();
        let expected = arrow::compute::concat_batches(&batch.schema(), &plain).unwrap();
        for conditions in [conditions.clone(), conditions.into_iter().rev().collect()] {
            let found = filtered(batch.clone(), all(conditions), None).await.unwrap();
            assert_eq!(arrow::compute::concat_batches(&batch.schema(), &found).unwrap(), expected, "a < {number} and t < {text}");
        }
    }
}

#[tokio::test]
async fn only_the_columns_that_were_projected_are_put_out() {
    let a: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
    let found = filtered(numbers_and_texts(), below(&a, ScalarValue::from(2_i64)), Some(vec![1])).await.unwrap();
    assert_eq!(found[0].schema().fields().len(), 1);
    assert_eq!(found[0].column(0).as_string::<i32>().iter().flatten().take(3).collect::<Vec<_>>(), ["0", "1", "0"]);
    let none = filtered(numbers_and_texts(), below(&a, ScalarValue::from(2_i64)), Some(vec![])).await.unwrap();
    assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 80);
}

#[tokio::test]
async fn what_can_fail_does_not_see_rows_that_are_left_out() {
    let batch = numbers_and_texts();
    let a: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
    let number = cast(Arc::new(Column::new("t", 1)), &batch.schema(), DataType::Int64).unwrap();
    let (small, sound) = (below(&number, ScalarValue::from(990_i64)), below(&a, ScalarValue::from(999_i64)));
    // The text that is no number is in a row that the other condition leaves out, whichever was written first.
    for conditions in [vec![Arc::clone(&small), Arc::clone(&sound)], vec![sound, Arc::clone(&small)]] {
        let found = filtered(batch.clone(), all(conditions), None).await.unwrap();
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), (990 - 99) * 40);
    }
    assert!(filtered(batch, small, None).await.unwrap_err().to_string().contains("none"));
}
