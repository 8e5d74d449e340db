//! Texts between a scan of Parquet files and the filter above it are views.
//!
//! A column of texts is decoded by copying each one, also of rows that are left out afterwards. A view is 16 bytes that point into the page or the dictionary that
//! was read, and hold short texts themselves. So the scan decodes views, the conditions are asked of them, and the filter copies the texts of the rows
//! that it keeps. All other steps see plain texts, as before.

use super::{AdaptiveFilterExec, is_comparison};
use crate::query::rule::{Plan, StepRule};
use crate::scan::FOOTER_BYTES;
use crate::types::trino::TYPE_KEY;
use arrow::array::{Array, ArrayRef, ByteView, StringArray, StringViewArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, in_list,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use std::collections::HashSet;
use std::sync::Arc;

/// Makes texts views between scans and the filters right above them. To run after [`rule`](super::rule).
pub(crate) fn rule() -> StepRule {
    StepRule::new("string_views", |step| match step.downcast_ref::<AdaptiveFilterExec>().map(viewed).transpose()?.flatten() {
        Some(filter) => Ok(Transformed::yes(filter)),
        None => Ok(Transformed::no(step)),
    })
}

fn viewed(filter: &AdaptiveFilterExec) -> Result<Option<Plan>> {
    let Some(scan) = filter.input.downcast_ref::<DataSourceExec>() else { return Ok(None) };
    let Some(scan) = scan.data_source().downcast_ref::<FileScanConfig>() else { return Ok(None) };
    let Some(source) = scan.file_source().downcast_ref::<ParquetSource>() else { return Ok(None) };
    let (Some(projection), Some(readers)) = (source.projection(), source.parquet_file_reader_factory()) else { return Ok(None) };
    let places: Option<Vec<usize>> = projection.iter().map(|put| put.expr.downcast_ref::<Column>().map(Column::index)).collect();
    let Some(places) = places else { return Ok(None) };
    let table = source.table_schema();
    let fields = table.file_schema().fields();
    let is_text = |place: &usize| {
        let field = fields.get(*place);
        field.is_some_and(|field| *field.data_type() == DataType::Utf8 && !field.metadata().contains_key(TYPE_KEY))
    };
    let mut views: HashSet<usize> = places.iter().copied().filter(is_text).collect();
    for condition in filter.predicate().map(split_conjunction).unwrap_or_default() {
        for place in needed_plain(condition)? {
            views.remove(&places[place]);
        }
    }
    for column in filter.runtime.iter().flat_map(collect_columns) {
        views.remove(&places[column.index()]);
    }
    for place in source.filter().as_ref().map(needed_plain).transpose()?.into_iter().flatten() {
        views.remove(&place);
    }
    if views.is_empty() {
        return Ok(None);
    }
    let source = with_views(source, readers, &views)?;
    let scan = FileScanConfigBuilder::from(scan.clone()).with_source(source).build();
    Ok(Some(Arc::new(filter.with_input(DataSourceExec::from_data_source(scan)))))
}

/// The same source with views for these of the table's columns.
fn with_views(
    source: &ParquetSource,
    readers: &Arc<dyn ParquetFileReaderFactory>,
    views: &HashSet<usize>,
) -> Result<Arc<dyn FileSource>> {
    let table = source.table_schema();
    let fields = table.file_schema().fields().iter().enumerate().map(|(place, field)| match views.contains(&place) {
        true => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        false => Arc::clone(field),
    });
    let files = Schema::new_with_metadata(fields.collect::<Vec<_>>(), table.file_schema().metadata().clone());
    let table = TableSchema::new(Arc::new(files), table.table_partition_cols().clone());
    let mut with_views = ParquetSource::new(table.clone())
        .with_table_parquet_options(source.table_parquet_options().clone())
        .with_metadata_size_hint(FOOTER_BYTES)
        .with_parquet_file_reader_factory(Arc::clone(readers));
    if let Some(predicate) = source.filter() {
        with_views = with_views.with_predicate(of_views(predicate, table.table_schema())?);
    }
    let with_views: Arc<dyn FileSource> = Arc::new(with_views);
    let projected = source.projection().map(|projection| with_views.try_pushdown_projection(projection)).transpose()?.flatten();
    Ok(projected.unwrap_or(with_views))
}

/// What is asked of a column, where it can be asked of views as well.
enum Asked<'a> {
    Compared(&'a BinaryExpr),
    OneOf(&'a InListExpr),
    Like(&'a LikeExpr),
    Null,
}

fn asked(expr: &Arc<dyn PhysicalExpr>) -> Option<Asked<'_>> {
    let is_column = |expr: &Arc<dyn PhysicalExpr>| expr.is::<Column>();
    let is_text = |expr: &Arc<dyn PhysicalExpr>| {
        expr.downcast_ref::<Literal>().is_some_and(|literal| matches!(literal.value(), ScalarValue::Utf8(_)))
    };
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        let fits = is_comparison(*binary.op()) && ((is_column(left) && is_text(right)) || (is_text(left) && is_column(right)));
        return fits.then_some(Asked::Compared(binary));
    }
    if let Some(one_of) = expr.downcast_ref::<InListExpr>() {
        return (is_column(one_of.expr()) && one_of.list().iter().all(is_text)).then_some(Asked::OneOf(one_of));
    }
    if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        return (is_column(like.expr()) && is_text(like.pattern())).then_some(Asked::Like(like));
    }
    let null = expr.downcast_ref::<IsNullExpr>().map(IsNullExpr::arg);
    let null = null.or_else(|| expr.downcast_ref::<IsNotNullExpr>().map(IsNotNullExpr::arg));
    null.filter(|column| is_column(column)).map(|_| Asked::Null)
}

/// The columns that an expression asks for more than views can answer. What is found while the query runs is among it: it is known as texts.
fn needed_plain(expr: &Arc<dyn PhysicalExpr>) -> Result<HashSet<usize>> {
    let mut plain = HashSet::new();
    expr.apply(|expr| {
        if expr.is::<DynamicFilterPhysicalExpr>() {
            plain.extend(collect_columns(expr).iter().map(Column::index));
            return Ok(TreeNodeRecursion::Jump);
        }
        if asked(expr).is_some() {
            return Ok(TreeNodeRecursion::Jump);
        }
        plain.extend(expr.downcast_ref::<Column>().map(Column::index));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(plain)
}

/// An expression over a schema some of whose texts are views: what these are compared with are views, too.
pub(super) fn of_views(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let is_view = |expr: &Arc<dyn PhysicalExpr>| {
        let column = expr.downcast_ref::<Column>();
        column.and_then(|column| schema.fields().get(column.index())).is_some_and(|field| is_view(field))
    };
    let view = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Literal>().map(Literal::value) {
        Some(ScalarValue::Utf8(text)) => Arc::new(Literal::new(ScalarValue::Utf8View(text.clone()))) as Arc<dyn PhysicalExpr>,
        _ => Arc::clone(expr),
    };
    let rewritten = expr.transform_down(|expr| {
        let changed: Arc<dyn PhysicalExpr> = match asked(&expr) {
            Some(Asked::Compared(binary)) if is_view(binary.left()) || is_view(binary.right()) => {
                Arc::new(BinaryExpr::new(view(binary.left()), *binary.op(), view(binary.right())))
            }
            Some(Asked::OneOf(one_of)) if is_view(one_of.expr()) => {
                let list = one_of.list().iter().map(view).collect();
                in_list(Arc::clone(one_of.expr()), list, &one_of.negated(), schema)?
            }
            Some(Asked::Like(like)) if is_view(like.expr()) => {
                let (column, pattern) = (Arc::clone(like.expr()), view(like.pattern()));
                Arc::new(LikeExpr::new(like.negated(), like.case_insensitive(), column, pattern))
            }
            Some(_) => return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump)),
            None => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::new(changed, true, TreeNodeRecursion::Jump))
    })?;
    Ok(rewritten.data)
}

fn is_view(field: &Field) -> bool {
    *field.data_type() == DataType::Utf8View
}

/// Bytes of a text that a view itself holds (Arrow columnar format, "Variable-size Binary View Layout").
const INLINE_BYTES: usize = 12;

/// The texts that views show. As Arrow's cast; short texts, which most of these are, are copied without asking for their length.
pub(super) fn texts(views: &StringViewArray) -> Result<ArrayRef, ArrowError> {
    let length = |(row, view): (usize, &u128)| if views.is_null(row) { 0 } else { *view as u32 as usize };
    let lengths = || views.views().iter().enumerate().map(length);
    let bytes = lengths().fold(0, usize::saturating_add);
    if i32::try_from(bytes).is_err() {
        return Err(ArrowError::OffsetOverflowError(bytes));
    }
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths());
    let mut values = vec![0; bytes + INLINE_BYTES];
    for (view, span) in views.views().iter().zip(offsets.windows(2)) {
        let (start, end) = (span[0] as usize, span[1] as usize);
        if end - start <= INLINE_BYTES {
            // What is too much is overwritten by the next.
            values[start..start + INLINE_BYTES].copy_from_slice(&view.to_le_bytes()[4..]);
        } else {
            let view = ByteView::from(*view);
            let from = view.offset as usize;
            values[start..end].copy_from_slice(&views.data_buffers()[view.buffer_index as usize][from..from + end - start]);
        }
    }
    values.truncate(bytes);
    Ok(Arc::new(StringArray::try_new(offsets, values.into(), views.nulls().cloned())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_their_texts_are_the_same() {
        let all: Vec<Option<String>> = (0..300_usize)
            .map(|n| (n % 11 != 3).then(|| ["x", "ü", "漢"][n % 3].repeat(n % 17) + &"tail".repeat(n % 5)))
            .collect();
        let views: StringViewArray = all.iter().map(Option::as_deref).collect();
        let expected: StringArray = all.iter().map(Option::as_deref).collect();
        assert_eq!(texts(&views).unwrap().as_ref(), &expected as &dyn Array);
        assert_eq!(texts(&views.slice(100, 50)).unwrap().as_ref(), &expected.slice(100, 50) as &dyn Array);
        assert_eq!(texts(&views.slice(7, 0)).unwrap().len(), 0);
    }
}
