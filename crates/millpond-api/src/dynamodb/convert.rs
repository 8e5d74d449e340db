//! The parts that many requests and answers share.

use millpond_services::dynamodb::{
    self as domain, Attributes, Condition, Consumed, Expressions, Filter, Legacy, Projection, Report, Returned, Units,
};
use millpond_wire::dynamodb::*;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Names and values of expressions.
pub(super) fn expressions(names: Option<BTreeMap<String, String>>, values: Option<Attributes>) -> Expressions {
    Expressions { names, values }
}

/// A map of structures, as the service reads it: the members that were given.
pub(super) fn json<T: Serialize>(given: Option<BTreeMap<String, T>>) -> Option<Map<String, Value>> {
    let given = given?;
    Some(given.into_iter().map(|(name, member)| (name, value(&member))).collect())
}

/// A structure as it was given, with AWS's names.
pub(super) fn value<T: Serialize>(given: &T) -> Value {
    serde_json::to_value(given).unwrap_or_default()
}

pub(super) fn condition<T: Serialize>(
    expression: Option<String>,
    expected: Option<BTreeMap<String, T>>,
    operator: Option<ConditionalOperator>,
) -> Condition {
    Condition { expression, legacy: legacy(expected, operator) }
}

pub(super) fn filter<T: Serialize>(
    expression: Option<String>,
    filter: Option<BTreeMap<String, T>>,
    operator: Option<ConditionalOperator>,
) -> Filter {
    Filter { expression, legacy: legacy(filter, operator) }
}

fn legacy<T: Serialize>(given: Option<BTreeMap<String, T>>, operator: Option<ConditionalOperator>) -> Legacy {
    Legacy { given: json(given), operator: operator.map(|operator| operator.as_str().to_owned()) }
}

pub(super) fn projection(expression: Option<String>, attributes: Option<Vec<String>>) -> Projection {
    Projection { expression, attributes }
}

pub(super) fn returned(wanted: Option<ReturnValue>) -> Returned {
    match wanted {
        None | Some(ReturnValue::None) => Returned::None,
        Some(ReturnValue::AllOld) => Returned::AllOld,
        Some(ReturnValue::UpdatedOld) => Returned::UpdatedOld,
        Some(ReturnValue::AllNew) => Returned::AllNew,
        Some(ReturnValue::UpdatedNew) => Returned::UpdatedNew,
    }
}

pub(super) fn item_on_failure(wanted: Option<ReturnValuesOnConditionCheckFailure>) -> bool {
    wanted == Some(ReturnValuesOnConditionCheckFailure::AllOld)
}

pub(super) fn report(wanted: Option<ReturnConsumedCapacity>) -> Report {
    match wanted {
        None | Some(ReturnConsumedCapacity::None) => Report::None,
        Some(ReturnConsumedCapacity::Total) => Report::Total,
        Some(ReturnConsumedCapacity::Indexes) => Report::Indexes,
    }
}

pub(super) fn collections(wanted: Option<ReturnItemCollectionMetrics>) -> bool {
    wanted == Some(ReturnItemCollectionMetrics::Size)
}

/// Units as AWS tells them: reads and writes apart only in transactions.
fn capacity(units: Units, apart: bool) -> Capacity {
    let given = |units: f64| Some(units).filter(|units| apart && *units > 0.0);
    Capacity {
        read_capacity_units: given(units.read),
        write_capacity_units: given(units.write),
        capacity_units: Some(units.read + units.write),
    }
}

pub(super) fn consumed(consumed: Consumed, report: Report) -> ConsumedCapacity {
    let Consumed { table, own, local, global, transactional } = &consumed;
    let total = capacity(consumed.total(), *transactional);
    let detailed = report == Report::Indexes;
    let by_index = |indexes: &BTreeMap<String, Units>| {
        let all: BTreeMap<_, _> = indexes.iter().map(|(name, units)| (name.clone(), capacity(*units, *transactional))).collect();
        (detailed && !all.is_empty()).then_some(all)
    };
    ConsumedCapacity {
        table_name: Some(table.clone()),
        capacity_units: total.capacity_units,
        read_capacity_units: total.read_capacity_units,
        write_capacity_units: total.write_capacity_units,
        table: detailed.then(|| capacity(*own, *transactional)),
        local_secondary_indexes: by_index(local),
        global_secondary_indexes: by_index(global),
        ..ConsumedCapacity::default()
    }
}

/// What several tables consumed; absent where it was not asked for.
pub(super) fn all_consumed(all: Vec<Consumed>, report: Report) -> Option<Vec<ConsumedCapacity>> {
    (report != Report::None).then(|| all.into_iter().map(|one| consumed(one, report)).collect())
}

/// An item collection's size is told as a range of gigabytes; here it is never known to be more than one.
pub(super) fn metrics(collection: Attributes) -> ItemCollectionMetrics {
    ItemCollectionMetrics { item_collection_key: Some(collection), size_estimate_range_gb: Some(vec![0.0, 1.0]) }
}

pub(super) fn all_metrics(all: BTreeMap<String, Vec<Attributes>>) -> Option<BTreeMap<String, Vec<ItemCollectionMetrics>>> {
    let all: BTreeMap<_, _> = all.into_iter().map(|(table, keys)| (table, keys.into_iter().map(metrics).collect())).collect();
    (!all.is_empty()).then_some(all)
}

/// A limit of items: the schema has seen that it is positive.
pub(super) fn limit(given: Option<i32>) -> Option<usize> {
    given.and_then(|limit| usize::try_from(limit).ok())
}

pub(super) fn select(wanted: Option<Select>) -> Option<domain::Select> {
    wanted.map(|wanted| match wanted {
        Select::AllAttributes => domain::Select::AllAttributes,
        Select::AllProjectedAttributes => domain::Select::AllProjected,
        Select::SpecificAttributes => domain::Select::Specific,
        Select::Count => domain::Select::Count,
    })
}

/// A count, as the wire has it.
pub(super) fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
