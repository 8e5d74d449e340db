//! Query and Scan.

use super::capacity::{Consumed, Report, read_units};
use super::model::Projected;
use super::read::check_projection_way;
use super::request::{self, Expressions, Filter, Projection, written};
use super::table::{Table, TableIndex};
use super::{Attributes, DynamoDb, DynamoError, items_error, keys};
use millpond_tables::expression::{self, KeyCondition, Kind, legacy};
use millpond_tables::store::{ItemError, Limits, Page, Query, Record, Scan, Snapshot, StoreError};
use millpond_tables::value::item_size;
use millpond_tables::value::key::{KeyRange, KeySchema};
use millpond_tables::{Item, Value};
use serde_json::{Map, Value as Json};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Segments of a parallel scan at the most. API reference, `Scan`.
const SEGMENTS_MAX: i32 = 1_000_000;

/// `Select`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// Whole items.
    AllAttributes,
    /// What the index has.
    AllProjected,
    /// What the projection names.
    Specific,
    /// Only how many.
    Count,
}

/// `Query`.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// The table's name or ARN.
    pub table: String,
    /// The index.
    pub index: Option<String>,
    /// `KeyConditionExpression`.
    pub key_expression: Option<String>,
    /// `KeyConditions`.
    pub key_conditions: Option<Map<String, Json>>,
    /// What is left out of the answer.
    pub filter: Filter,
    /// Which parts of items.
    pub projection: Projection,
    /// Names and values of the expressions.
    pub expressions: Expressions,
    /// What is answered.
    pub select: Option<Select>,
    /// Against the order of the sort key.
    pub backward: bool,
    /// Items looked at, at the most.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub start: Option<Attributes>,
    /// Reads of tables and local indexes are always consistent here; it counts twice as on AWS.
    pub consistent: bool,
    /// What is told of capacity.
    pub report: Report,
}

/// `Scan`.
#[derive(Debug, Clone, Default)]
pub struct ScanRequest {
    /// The table's name or ARN.
    pub table: String,
    /// The index.
    pub index: Option<String>,
    /// What is left out of the answer.
    pub filter: Filter,
    /// Which parts of items.
    pub projection: Projection,
    /// Names and values of the expressions.
    pub expressions: Expressions,
    /// What is answered.
    pub select: Option<Select>,
    /// Items looked at, at the most.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub start: Option<Attributes>,
    /// `Segment` and `TotalSegments`.
    pub segment: (Option<i32>, Option<i32>),
    /// Reads of tables and local indexes are always consistent here; it counts twice as on AWS.
    pub consistent: bool,
    /// What is told of capacity.
    pub report: Report,
}

/// A page of a query or scan.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadPage {
    /// The items; absent where only their count was asked for.
    pub items: Option<Vec<Attributes>>,
    /// Items that passed the filter.
    pub count: usize,
    /// Items looked at.
    pub scanned: usize,
    /// Where to go on; absent at the end.
    pub last: Option<Attributes>,
    /// Where it was asked for.
    pub consumed: Option<Consumed>,
}

/// What is read, ready to be done.
pub(super) struct Plan {
    pub(super) table: Arc<Table>,
    pub(super) index: Option<TableIndex>,
    pub(super) filter: Option<expression::Condition>,
    pub(super) projection: Option<expression::Projection>,
    pub(super) counts_only: bool,
    /// Entries of the index do not have what is wanted.
    pub(super) fetches: bool,
    pub(super) start: Option<Item>,
    pub(super) limit: Option<usize>,
    pub(super) consistent: bool,
    pub(super) way: Way,
}

/// How the store is read.
pub(super) enum Way {
    /// One partition.
    Range { range: KeyRange, forward: bool },
    /// Everything, or a segment.
    Scan { segment: (u32, u32) },
}

/// What was read.
pub(super) struct Read {
    pub(super) items: Vec<Attributes>,
    pub(super) count: usize,
    pub(super) page: Page,
    /// Sizes of items that were fetched from the table for an index's entries.
    pub(super) fetched: Vec<usize>,
}

impl Plan {
    /// Reads a page.
    pub(super) fn read(&self, snapshot: &Snapshot) -> Result<Read, DynamoError> {
        let (mut items, mut count, mut fetched, mut fetched_bytes) = (Vec::new(), 0, Vec::new(), 0);
        let visit = |record: Record<'_>| -> Result<ControlFlow<()>, StoreError> {
            if self.filter.is_none() && self.counts_only {
                count += 1;
                return Ok(ControlFlow::Continue(()));
            }
            let mut item = record.item()?;
            if self.fetches {
                let key = self.table.schema.key_of(&item).unwrap_or_default();
                if let Some(whole) = snapshot.get(self.table.id(), &key)? {
                    let size = item_size(&whole);
                    fetched_bytes += size;
                    fetched.push(size);
                    item = whole;
                }
            }
            if self.filter.as_ref().is_none_or(|filter| filter.holds(&item)) {
                count += 1;
                if !self.counts_only {
                    items.push(
                        self.projection.as_ref().map_or_else(|| written(&item), |projection| written(&projection.apply(&item))),
                    );
                }
            }
            // Entries of an index may be small, and the items that they stand for large.
            let full = fetched_bytes >= Limits::PAGE.bytes;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        let limits = Limits { items: self.limit.unwrap_or(usize::MAX), ..Limits::PAGE };
        let (table, index, after) = (self.table.id(), self.index.as_ref().map(|index| index.name.as_str()), self.start.as_ref());
        let page = match &self.way {
            Way::Range { range, forward } => {
                snapshot.query(&Query { table, index, range, forward: *forward, after, limits }, visit)
            }
            Way::Scan { segment } => snapshot.scan(&Scan { table, index, segment: *segment, after, limits }, visit),
        };
        let page = page.map_err(|error| match (&self.way, error) {
            (Way::Scan { segment: (segment, total) }, StoreError::Key(ItemError::Position)) => {
                DynamoError::invalid(format!(
                    "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: {total} Segment: {segment}"
                ))
            }
            (_, error) => items_error(error),
        })?;
        Ok(Read { items, count, page, fetched })
    }

    /// What the read consumed.
    pub(super) fn consumed(&self, read: &Read) -> Consumed {
        let mut consumed = Consumed::of(&self.table);
        consumed.count_read(self.index.as_ref(), read_units(read.page.bytes, self.consistent));
        for size in &read.fetched {
            consumed.count_read(None, read_units(*size, self.consistent));
        }
        consumed
    }

    fn into_page(self, snapshot: &Snapshot, report: Report) -> Result<ReadPage, DynamoError> {
        let read = self.read(snapshot)?;
        Ok(ReadPage {
            consumed: (report != Report::None).then(|| self.consumed(&read)),
            count: read.count,
            scanned: read.page.items,
            last: read.page.last_key.as_ref().map(written),
            items: (!self.counts_only).then_some(read.items),
        })
    }
}

/// What a request wants of the items, by `Select` and the projection: whether only their count, and whether index entries must be completed from the table.
fn selection(
    table: &Table,
    index: Option<&TableIndex>,
    select: Option<Select>,
    given: &Projection,
    projection: Option<&expression::Projection>,
    operation: &str,
) -> Result<(bool, bool), DynamoError> {
    let way = if given.expression.is_some() { "ProjectionExpression" } else { "AttributesToGet" };
    let no_projection = |what: &str| match given.is_given() {
        false => Ok(()),
        true => Err(DynamoError::invalid(format!("Cannot specify the {way} when choosing to get {what}"))),
    };
    let all = |wanted: bool| match index.filter(|index| index.projected != Projected::All) {
        Some(index) if wanted && index.global => Err(DynamoError::parameter(format!(
            "Select type ALL_ATTRIBUTES is not supported for global secondary index {} because its projection type is not ALL",
            index.name
        ))),
        Some(_) => Ok((false, wanted)),
        None => Ok((false, false)),
    };
    match select {
        Some(Select::AllAttributes) => {
            no_projection("ALL_ATTRIBUTES")?;
            all(true)
        }
        Some(Select::AllProjected) => {
            no_projection("ALL_PROJECTED_ATTRIBUTES")?;
            match index {
                Some(_) => all(false),
                None => Err(DynamoError::invalid(format!(
                    "ALL_PROJECTED_ATTRIBUTES can be used only when {operation} using an IndexName"
                ))),
            }
        }
        Some(Select::Count) => {
            no_projection("only the Count")?;
            Ok((true, false))
        }
        Some(Select::Specific) if !given.is_given() => Err(DynamoError::invalid(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        )),
        Some(Select::Specific) | None => {
            let (Some(index), Some(projection)) = (index, projection) else { return all(false) };
            let missing: Vec<&str> =
                projection.top_level_names().into_iter().filter(|name| !index.holds(&table.schema, name)).collect();
            match (missing.is_empty(), index.global) {
                (true, _) => Ok((false, false)),
                (false, false) => Ok((false, true)),
                (false, true) => Err(DynamoError::parameter(format!(
                    "Global secondary index {} does not project [{}]",
                    index.name,
                    missing.join(", ")
                ))),
            }
        }
    }
}

/// Checks where a page is to go on: the keys of the index and of the table, no more and no less.
fn check_start(table: &Table, index: Option<&TableIndex>, start: Option<&Attributes>) -> Result<Option<Item>, DynamoError> {
    let Some(start) = start else { return Ok(None) };
    let start = keys::read(start)?;
    let own = index.map_or(&table.schema, |index| &index.schema);
    let wanted: std::collections::BTreeMap<&str, _> =
        table.schema.attributes().chain(own.attributes()).map(|attribute| (attribute.name.as_str(), attribute)).collect();
    if start.len() != wanted.len() {
        return Err(DynamoError::invalid("The provided starting key is invalid"));
    }
    let fits = |(name, value): (&String, &Value)| {
        wanted.get(name.as_str()).is_some_and(|attribute| attribute.key_type.kind() == value.kind())
    };
    match start.iter().all(fits) {
        true => Ok(Some(start)),
        false => {
            Err(DynamoError::invalid("The provided starting key is invalid: The provided key element does not match the schema"))
        }
    }
}

fn check_boundaries(schema: &KeySchema, range: &KeyRange, start: Option<&Item>) -> Result<(), DynamoError> {
    let Some(start) = start else { return Ok(()) };
    let in_range = start.get(&schema.hash.name) == Some(&range.hash)
        && schema.range.as_ref().is_none_or(|sort| start.get(&sort.name).is_some_and(|value| range.sort.contains(value)));
    match in_range {
        true => Ok(()),
        false => Err(DynamoError::invalid("The provided starting key is outside query boundaries based on provided conditions")),
    }
}

fn index_of(table: &Table, name: Option<&str>, consistent: bool) -> Result<Option<TableIndex>, DynamoError> {
    let index = name.map(|name| table.index(name)).transpose()?;
    match index {
        Some(index) if index.global && consistent => {
            Err(DynamoError::invalid("Consistent reads are not supported on global secondary indexes"))
        }
        other => Ok(other.cloned()),
    }
}

/// A query's filter is of what the key does not say already.
fn check_filter(schema: &KeySchema, request: &Filter, filter: Option<&expression::Condition>) -> Result<(), DynamoError> {
    let Some(name) = filter.and_then(|filter| filter.top_level_names().into_iter().find(|name| schema.has(name))) else {
        return Ok(());
    };
    let what = if request.expression.is_some() { "Filter Expression" } else { "QueryFilter" };
    Err(DynamoError::invalid(format!("{what} can only contain non-primary key attributes: Primary key attribute: {name}")))
}

/// A filter looks at what the entries of an index have, unless they are completed from the table.
pub(super) fn check_filter_of_index(
    table: &Table,
    index: Option<&TableIndex>,
    filter: Option<&expression::Condition>,
    fetches: bool,
) -> Result<(), DynamoError> {
    let (Some(index), Some(filter), false) = (index, filter, fetches) else { return Ok(()) };
    let missing: Vec<&str> = filter.top_level_names().into_iter().filter(|name| !index.holds(&table.schema, name)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(DynamoError::parameter(format!(
            "Secondary index {} does not project one or more filter attributes: [{}]",
            index.name,
            missing.join(", ")
        ))),
    }
}

impl DynamoDb {
    /// `Query`.
    pub async fn query(&self, input: QueryRequest) -> Result<ReadPage, DynamoError> {
        check_query_way(&input)?;
        let table = self.table(&input.table)?;
        let index = index_of(&table, input.index.as_deref(), input.consistent)?;
        let schema = index.as_ref().map_or(&table.schema, |index| &index.schema).clone();
        let mut placeholders = input.expressions.placeholders()?;
        let range = match (&input.key_expression, &input.key_conditions) {
            (Some(text), _) => KeyCondition::parse(text, &mut placeholders, &schema).map_err(request::refused)?,
            (None, Some(conditions)) => {
                legacy::key_conditions(request::conditions(conditions), &schema).map_err(request::refused)?
            }
            (None, None) => {
                return Err(DynamoError::invalid(
                    "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
                ));
            }
        };
        let filter = input.filter.parse(&mut placeholders)?;
        let projection = input.projection.parse(&mut placeholders)?;
        placeholders.finish(&[Kind::KeyCondition, Kind::Filter, Kind::Projection]).map_err(request::refused)?;
        check_filter(&schema, &input.filter, filter.as_ref())?;
        let (counts_only, fetches) =
            selection(&table, index.as_ref(), input.select, &input.projection, projection.as_ref(), "Querying")?;
        check_filter_of_index(&table, index.as_ref(), filter.as_ref(), fetches)?;
        let start = check_start(&table, index.as_ref(), input.start.as_ref())?;
        check_boundaries(&schema, &range, start.as_ref())?;
        let way = Way::Range { range, forward: !input.backward };
        let (limit, consistent, report) = (input.limit, input.consistent, input.report);
        let plan = Plan { table, index, filter, projection, counts_only, fetches, start, limit, consistent, way };
        self.look_at_many(move |items| plan.into_page(&items.snapshot().map_err(items_error)?, report)).await
    }

    /// `Scan`.
    pub async fn scan(&self, input: ScanRequest) -> Result<ReadPage, DynamoError> {
        check_scan_way(&input)?;
        let segment = segment(input.segment)?;
        let table = self.table(&input.table)?;
        let index = index_of(&table, input.index.as_deref(), input.consistent)?;
        let mut placeholders = input.expressions.placeholders()?;
        let filter = input.filter.parse(&mut placeholders)?;
        let projection = input.projection.parse(&mut placeholders)?;
        placeholders.finish(&[Kind::Filter, Kind::Projection]).map_err(request::refused)?;
        let (counts_only, fetches) =
            selection(&table, index.as_ref(), input.select, &input.projection, projection.as_ref(), "Scanning")?;
        check_filter_of_index(&table, index.as_ref(), filter.as_ref(), fetches)?;
        let start = check_start(&table, index.as_ref(), input.start.as_ref())?;
        let (limit, consistent, report) = (input.limit, input.consistent, input.report);
        let way = Way::Scan { segment };
        let plan = Plan { table, index, filter, projection, counts_only, fetches, start, limit, consistent, way };
        self.look_at_many(move |items| plan.into_page(&items.snapshot().map_err(items_error)?, report)).await
    }
}

fn check_query_way(input: &QueryRequest) -> Result<(), DynamoError> {
    check_projection_way(&input.projection)?;
    let old = [
        ("KeyConditions", input.key_conditions.is_some()),
        ("QueryFilter", input.filter.legacy.given.is_some()),
        ("ConditionalOperator", input.filter.legacy.operator.is_some()),
        ("AttributesToGet", input.projection.attributes.is_some()),
    ];
    let new = [
        ("KeyConditionExpression", input.key_expression.is_some()),
        ("FilterExpression", input.filter.expression.is_some()),
        ("ProjectionExpression", input.projection.expression.is_some()),
    ];
    request::check_one_way(&old, &new)
}

fn check_scan_way(input: &ScanRequest) -> Result<(), DynamoError> {
    check_projection_way(&input.projection)?;
    let old = [
        ("ScanFilter", input.filter.legacy.given.is_some()),
        ("ConditionalOperator", input.filter.legacy.operator.is_some()),
        ("AttributesToGet", input.projection.attributes.is_some()),
    ];
    let new = [
        ("FilterExpression", input.filter.expression.is_some()),
        ("ProjectionExpression", input.projection.expression.is_some()),
    ];
    request::check_one_way(&old, &new)
}

fn segment(given: (Option<i32>, Option<i32>)) -> Result<(u32, u32), DynamoError> {
    let text = match given {
        (None, None) => return Ok((0, 1)),
        (Some(_), None) => {
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present".into()
        }
        (None, Some(_)) => {
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present".into()
        }
        (Some(segment), Some(total)) => match (u32::try_from(segment), u32::try_from(total)) {
            (Ok(one), Ok(of)) if one < of && total <= SEGMENTS_MAX => return Ok((one, of)),
            _ => format!(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is not less than TotalSegments: {total}"
            ),
        },
    };
    Err(DynamoError::Validation(text))
}
