//! The optimized logical plan.

use super::{Node, expr};
use crate::query::catalog::CATALOG;
use crate::scan::LakeTable;
use crate::types::TrinoType;
use datafusion::common::{DFSchema, JoinType};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, TableScan};

pub(super) fn node(plan: &LogicalPlan) -> Node {
    let outputs = outputs(plan.schema());
    let mut node = match plan {
        LogicalPlan::SubqueryAlias(alias) => return self::node(&alias.input),
        LogicalPlan::Projection(projection) => {
            return project(projection.expr.as_slice(), self::node(&projection.input), outputs);
        }
        LogicalPlan::Filter(filter) => return filtered(expr::logical(&filter.predicate), self::node(&filter.input), outputs),
        LogicalPlan::TableScan(scan) => table_scan(scan),
        LogicalPlan::Window(window) => {
            let mut node = Node::new("Window");
            node.details = window.window_expr.iter().map(assignment).collect();
            node
        }
        LogicalPlan::Aggregate(aggregate) => {
            let keys: Vec<String> = aggregate.group_expr.iter().map(expr::logical).collect();
            let mut node = Node::new("Aggregate");
            if !keys.is_empty() {
                node = node.with("keys", format!("[{}]", keys.join(", ")));
            }
            node.details = aggregate.aggr_expr.iter().map(assignment).collect();
            node
        }
        LogicalPlan::Sort(sort) => {
            let keys = format!("[{}]", sort.expr.iter().map(expr::sort).collect::<Vec<_>>().join(", "));
            match sort.fetch {
                Some(count) => Node::new("TopN").with("count", count.to_string()).with("orderBy", keys),
                None => Node::new("Sort").with("orderBy", keys),
            }
        }
        LogicalPlan::Join(join) => self::join(join),
        LogicalPlan::Union(_) => Node::new("Union"),
        LogicalPlan::EmptyRelation(_) => Node::new("Values"),
        LogicalPlan::Values(values) => {
            let mut node = Node::new("Values");
            let row = |row: &Vec<Expr>| format!("({})", row.iter().map(expr::logical).collect::<Vec<_>>().join(", "));
            node.details = values.values.iter().take(20).map(row).collect();
            node
        }
        LogicalPlan::Limit(limit) => {
            let mut node = Node::new("Limit");
            if let Some(fetch) = &limit.fetch {
                node = node.with("count", expr::logical(fetch));
            }
            match &limit.skip {
                Some(skip) if !matches!(skip.as_ref(), Expr::Literal(value, _) if value.to_string() == "0") => {
                    node.with("offset", expr::logical(skip))
                }
                _ => node,
            }
        }
        LogicalPlan::Distinct(Distinct::All(_)) => Node::new("Aggregate").with("type", "DISTINCT"),
        LogicalPlan::Distinct(Distinct::On(_)) => Node::new("DistinctLimit"),
        LogicalPlan::Unnest(unnest) => {
            let columns: Vec<String> = unnest.exec_columns.iter().map(|column| expr::name(&column.name)).collect();
            Node::new("Unnest").with("unnest", format!("[{}]", columns.join(", ")))
        }
        LogicalPlan::RecursiveQuery(query) => Node::new("RecursiveUnion").with("name", query.name.clone()),
        LogicalPlan::Repartition(_) => Node::new("Exchange"),
        LogicalPlan::Subquery(_) => Node::new("EnforceSingleRow"),
        other => Node::new(expr::plain(other.display().to_string().split([':', ' ']).next().unwrap_or_default())),
    };
    node.outputs = outputs;
    node.children = plan.inputs().into_iter().map(self::node).collect();
    node
}

fn outputs(schema: &DFSchema) -> Vec<(String, String)> {
    schema.fields().iter().map(|field| (expr::name(field.name()), TrinoType::of_field(field).to_string())).collect()
}

/// `name := expression`
fn assignment(expr: &Expr) -> String {
    format!("{} := {}", expr::name(&expr.schema_name().to_string()), self::expr::logical(expr))
}

fn project(expressions: &[Expr], child: Node, outputs: Vec<(String, String)>) -> Node {
    let computed = |expr: &&Expr| !matches!(expr, Expr::Column(_));
    let details: Vec<String> = expressions.iter().filter(computed).map(assignment).collect();
    // As Trino: a filter or a scan that also projects is one operator.
    let merged = match child.name.as_str() {
        "ScanFilter" => Some("ScanFilterProject"),
        "TableScan" if !details.is_empty() => Some("ScanProject"),
        "Filter" => Some("FilterProject"),
        _ => None,
    };
    match merged {
        Some(name) => {
            let mut node = Node { name: name.to_owned(), outputs, ..child };
            node.details.splice(0..0, details);
            node
        }
        None if details.is_empty() && outputs.len() == child.outputs.len() => Node { outputs, ..child },
        None => Node { outputs, details, children: vec![child], ..Node::new("Project") },
    }
}

fn filtered(predicate: String, child: Node, outputs: Vec<(String, String)>) -> Node {
    if child.name == "TableScan" || child.name == "ScanFilter" {
        let mut node = Node { name: "ScanFilter".to_owned(), outputs, ..child };
        node.descriptor.retain(|(key, _)| *key != "filterPredicate");
        return node.with("filterPredicate", predicate);
    }
    Node { outputs, children: vec![child], ..Node::new("Filter") }.with("filterPredicate", predicate)
}

/// What is known of a table that is scanned.
pub(super) struct Scanned<'a> {
    pub(super) database: String,
    pub(super) table: String,
    pub(super) scan: &'a TableScan,
}

/// The tables of a plan, its subqueries too, in the order in which it names them.
pub(super) fn scans(plan: &LogicalPlan) -> Vec<Scanned<'_>> {
    let mut all = Vec::new();
    collect(plan, &mut all);
    all
}

fn collect<'a>(plan: &'a LogicalPlan, all: &mut Vec<Scanned<'a>>) {
    if let LogicalPlan::TableScan(scan) = plan {
        let (database, table) = names(scan);
        all.push(Scanned { database, table, scan });
    }
    for input in plan.inputs() {
        collect(input, all);
    }
}

fn names(scan: &TableScan) -> (String, String) {
    let provider = source_as_provider(&scan.source).ok();
    let lake = provider.as_ref().and_then(|provider| {
        let any: &dyn std::any::Any = provider.as_ref();
        any.downcast_ref::<LakeTable>()
    });
    match lake {
        Some(lake) => (lake.table().database.clone(), lake.table().name.clone()),
        None => (scan.table_name.schema().unwrap_or("information_schema").to_owned(), scan.table_name.table().to_owned()),
    }
}

pub(super) fn table_scan(scan: &TableScan) -> Node {
    let (database, table) = names(scan);
    let mut node = Node::new("TableScan").with("table", format!("{CATALOG}:{database}:{table}"));
    if !scan.filters.is_empty() {
        let all: Vec<String> = scan.filters.iter().map(expr::logical).collect();
        let predicate = if all.len() == 1 { all.join("") } else { format!("({})", all.join(" AND ")) };
        node = Node { name: "ScanFilter".to_owned(), ..node }.with("filterPredicate", predicate);
    }
    if let Some(limit) = scan.fetch {
        node = node.with("limit", limit.to_string());
    }
    let provider = source_as_provider(&scan.source).ok();
    if let Some(lake) = provider.as_ref().and_then(|provider| {
        let any: &dyn std::any::Any = provider.as_ref();
        any.downcast_ref::<LakeTable>()
    }) {
        let table = lake.table();
        node.details.push(format!("LAYOUT: {}.{}", table.database, table.name));
        for key in &table.partition_keys {
            let on_key = |filter: &&Expr| filter.column_refs().iter().any(|column| column.name.eq_ignore_ascii_case(&key.name));
            let conditions: Vec<String> = scan.filters.iter().filter(on_key).map(expr::logical).collect();
            if !conditions.is_empty() || scan.projected_schema.has_column_with_unqualified_name(&key.name) {
                node.details.push(format!("{0} := {0}:{1}:-1:PARTITION_KEY", key.name, key.data_type));
                node.details.extend(conditions.iter().map(|condition| format!("    :: [[{condition}]]")));
            }
        }
        for field in scan.projected_schema.fields() {
            let key = table.partition_keys.iter().find(|key| key.name.eq_ignore_ascii_case(field.name()));
            let column = table.storage.columns.iter().position(|column| column.name.eq_ignore_ascii_case(field.name()));
            let name = field.name();
            node.details.push(match (key, column) {
                (Some(_), _) => continue,
                (None, Some(index)) => format!("{name} := {name}:{}:{index}:REGULAR", table.storage.columns[index].data_type),
                (None, None) => format!("{name} := {name}:{}:-13:SYNTHESIZED", TrinoType::of_field(field)),
            });
        }
    }
    node
}

fn join(join: &Join) -> Node {
    let criteria: Vec<String> =
        join.on.iter().map(|(left, right)| format!("({} = {})", expr::logical(left), expr::logical(right))).collect();
    let mut node = Node::new(join_name(join.join_type, criteria.is_empty() && join.filter.is_none()));
    if !criteria.is_empty() {
        node = node.with("criteria", criteria.join(" AND "));
    }
    match &join.filter {
        Some(filter) => node.with("filter", expr::logical(filter)),
        None => node,
    }
}

/// Trino's name of a join.
pub(super) fn join_name(kind: JoinType, cross: bool) -> &'static str {
    match kind {
        JoinType::Inner if cross => "CrossJoin",
        JoinType::Inner => "InnerJoin",
        JoinType::Left => "LeftJoin",
        JoinType::Right => "RightJoin",
        JoinType::Full => "FullJoin",
        JoinType::LeftSemi | JoinType::RightSemi | JoinType::LeftMark | JoinType::RightMark => "SemiJoin",
        JoinType::LeftAnti | JoinType::RightAnti => "AntiJoin",
    }
}
