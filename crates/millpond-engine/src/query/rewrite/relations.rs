//! Clauses of queries and relations in terms of those that the planner has.

use super::super::calls::call;
use super::super::error::{Position, QueryError};
use super::super::parse::adapt::DISTINCT_SETS;
use super::super::parse::{first_span, parse_query, position};
use super::super::template::instantiate;
use super::super::travel;
use super::{MARK, order};
use datafusion::sql::sqlparser::ast::{
    Expr, Fetch, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, LimitClause, Offset, OrderBy, OrderByKind,
    Query, Select, SelectItem, SetExpr, Spanned, TableAlias, TableFactor, TableSample, TableSampleKind, Value, Values,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// The limits and orders of one query.
pub(super) fn query(query: &mut Query) -> Result<(), QueryError> {
    if let Some(OrderBy { kind: OrderByKind::Expressions(order), .. }) = &mut query.order_by {
        order.iter_mut().for_each(|by| keep_number(&mut by.expr));
    }
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            limit.iter_mut().for_each(keep_number);
            offset.iter_mut().for_each(|offset| keep_number(&mut offset.value));
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            keep_number(offset);
            keep_number(limit);
        }
        None => {}
    }
    order::of_distinct(query);
    recursive_names(query)?;
    if let SetExpr::Values(values) = query.body.as_ref() {
        alike(values)?;
    }
    super::sets::numbered(&mut query.body)?;
    match query.fetch.take() {
        Some(fetch) => fetched(query, fetch),
        None => Ok(()),
    }
}

/// A number that is a place or a count, and not a value.
fn keep_number(expr: &mut Expr) {
    if let Expr::Value(value) = expr
        && let Value::Number(_, kept) = &mut value.value
    {
        *kept = true;
    }
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetched(query: &mut Query, fetch: Fetch) -> Result<(), QueryError> {
    let one = || Expr::value(Value::Number("1".into(), true));
    let mut count = fetch.quantity.unwrap_or_else(one);
    if fetch.percent {
        return Err(QueryError::NotSupported("FETCH FIRST … PERCENT".into()));
    }
    keep_number(&mut count);
    if let Expr::Value(value) = &count
        && let Value::Number(digits, _) = &value.value
        && digits.parse::<u64>() == Ok(0)
    {
        let message = "FETCH FIRST row count must be positive (actual value: 0)".to_owned();
        return Err(QueryError::Analysis { name: "NUMERIC_VALUE_OUT_OF_RANGE", position: position(value.span), message });
    }
    let offset = match query.limit_clause.take() {
        Some(LimitClause::LimitOffset { offset, .. }) => offset,
        _ => None,
    };
    if fetch.with_ties {
        return with_ties(query, count, offset);
    }
    query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(count), offset, limit_by: Vec::new() });
    Ok(())
}

/// The rows up to that one in the order, and those that the order does not tell from it: their rank says so.
fn with_ties(query: &mut Query, count: Expr, offset: Option<Offset>) -> Result<(), QueryError> {
    let Some(OrderBy { kind: OrderByKind::Expressions(order), .. }) = query.order_by.take() else {
        return Err(QueryError::Analysis {
            name: "MISSING_ORDER_BY",
            position: Position::START,
            message: "FETCH FIRST WITH TIES clause requires ORDER BY".into(),
        });
    };
    let (rank, row) = (format!("{MARK}rank"), format!("{MARK}row"));
    let mut outer = parse_query(&format!(
        "SELECT * EXCLUDE (\"{rank}\", \"{row}\") FROM (SELECT 1) AS \"{MARK}ties\" WHERE \"{rank}\" <= 1 AND \"{row}\" > 0 ORDER BY \"{row}\""
    ))?
    .query;
    let mut inner = query.clone();
    if !matches!(inner.body.as_ref(), SetExpr::Select(_)) {
        // An order of a UNION or VALUES is over its columns.
        let mut wrapped = parse_query(&format!("SELECT * FROM (SELECT 1) AS \"{MARK}body\""))?.query;
        set_derived(&mut wrapped, Box::new(Query { with: None, ..inner.clone() }));
        wrapped.with = inner.with.take();
        inner = *wrapped;
    }
    let SetExpr::Select(select) = inner.body.as_mut() else { return Ok(()) };
    let mut by = order;
    for key in &mut by {
        key.expr = order::resolved(&key.expr, select);
    }
    for (function, name) in [("rank", &rank), ("row_number", &row)] {
        let mut window = parse_query(&format!("SELECT {function}() OVER (ORDER BY 1) AS \"{name}\""))?.query;
        let SetExpr::Select(made) = window.body.as_mut() else { continue };
        let Some(SelectItem::ExprWithAlias { expr: Expr::Function(function), .. }) = made.projection.first_mut() else {
            continue;
        };
        if let Some(datafusion::sql::sqlparser::ast::WindowType::WindowSpec(spec)) = &mut function.over {
            spec.order_by.clone_from(&by);
        }
        select.projection.append(&mut made.projection);
    }
    let SetExpr::Select(shown) = outer.body.as_mut() else { return Ok(()) };
    if let Some(Expr::BinaryOp { left, right, .. }) = &mut shown.selection {
        let skipped = offset.map(|offset| offset.value);
        if let Expr::BinaryOp { right, .. } = left.as_mut() {
            **right = match &skipped {
                Some(skipped) => instantiate("$1 + $2", &[count, skipped.clone()], Span::empty())?,
                None => count,
            };
        }
        if let (Expr::BinaryOp { right, .. }, Some(skipped)) = (right.as_mut(), skipped) {
            **right = skipped;
        }
    }
    set_derived(&mut outer, Box::new(inner));
    *query = *outer;
    self::query(query)
}

/// Puts a query in the place of the one in `FROM`.
pub(super) fn set_derived(query: &mut Query, with: Box<Query>) {
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|table| &mut table.relation)
    {
        *subquery = with;
    }
}

/// `WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL …)`: the planner gives the table its names when all of it is planned, and what recurses would not find them.
fn recursive_names(query: &mut Query) -> Result<(), QueryError> {
    let Some(with) = query.with.as_mut().filter(|with| with.recursive) else { return Ok(()) };
    for table in &mut with.cte_tables {
        if table.alias.columns.is_empty() {
            continue;
        }
        let SetExpr::SetOperation { left, .. } = table.query.body.as_mut() else { continue };
        let mut named = parse_query(&format!("SELECT * FROM (SELECT 1) AS \"{MARK}base\""))?.query;
        if let SetExpr::Select(select) = named.body.as_mut()
            && let Some(TableFactor::Derived { alias: Some(alias), subquery, .. }) =
                select.from.first_mut().map(|table| &mut table.relation)
        {
            alias.columns.clone_from(&table.alias.columns);
            subquery.body = left.clone();
            **left = *named.body;
        }
    }
    Ok(())
}

/// `VALUES` with more than literals is a relation, which is planned by ours (see [`operators`](super::super::operators)).
pub(super) fn values(query: &mut Query) -> Result<(), QueryError> {
    let SetExpr::Values(values) = query.body.as_ref() else { return Ok(()) };
    let literal = |expr: &Expr| matches!(expr, Expr::Value(_) | Expr::Extract { .. });
    if values.value_keyword || values.rows.len() < 2 || values.rows.iter().all(|row| row.content.iter().all(literal)) {
        return Ok(());
    }
    let mut rows = parse_query("SELECT 1")?.query;
    let mut outer = parse_query(&format!("SELECT * FROM (SELECT 1) AS \"{MARK}values\""))?.query;
    std::mem::swap(&mut rows.body, &mut query.body);
    set_derived(&mut outer, rows);
    query.body = outer.body;
    Ok(())
}

/// Literals of a column of `VALUES` are texts or numbers: the planner would read the texts as numbers.
fn alike(values: &Values) -> Result<(), QueryError> {
    let is_text = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(_) => Some(true),
            Value::Number(..) => Some(false),
            _ => None,
        },
        _ => None,
    };
    let mut known: Vec<Option<bool>> = Vec::new();
    for row in &values.rows {
        known.resize(known.len().max(row.content.len()), None);
        for (expr, known) in row.content.iter().zip(&mut known) {
            let found = is_text(expr);
            if known.is_some() && found.is_some() && *known != found {
                let message = "Values rows have mismatched types".to_owned();
                return Err(QueryError::TypeMismatch { position: position(first_span(expr)), message });
            }
            *known = known.or(found);
        }
    }
    Ok(())
}

/// A table, or what stands in the place of one.
pub(super) fn table(factor: &mut TableFactor) -> Result<(), QueryError> {
    travel::rename(factor)?;
    if let TableFactor::Table { sample, .. } | TableFactor::Derived { sample, .. } = factor
        && let Some(taken) = sample.take()
    {
        return sampled(factor, &taken);
    }
    if let TableFactor::TableFunction { expr, alias } = factor {
        *factor = table_function(expr, alias.take())?;
    }
    Ok(())
}

/// `t TABLESAMPLE BERNOULLI (p)`: each row with that chance. `SYSTEM` takes whole parts of a table in Trino; rows are taken here too.
fn sampled(factor: &mut TableFactor, sample: &TableSampleKind) -> Result<(), QueryError> {
    let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
    let percent = percentage(sample)?;
    let alias = match factor {
        TableFactor::Table { alias, name, .. } => alias.take().or_else(|| {
            let name = name.0.last().and_then(|part| part.as_ident()).cloned()?;
            Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None })
        }),
        TableFactor::Derived { alias, .. } => alias.take(),
        _ => None,
    };
    // The chance is a column: a condition on it alone would be asked once for many rows.
    let chance = format!("{MARK}chance");
    let mut outer = parse_query(&format!(
        "SELECT * EXCLUDE (\"{chance}\") FROM (SELECT *, random() AS \"{chance}\" FROM (SELECT 1) AS \"{MARK}sample\") AS \"{MARK}sampled\" WHERE \"{chance}\" < {}",
        if percent >= 100.0 { 2.0 } else { percent / 100.0 }
    ))?
    .query;
    if let SetExpr::Select(select) = outer.body.as_mut()
        && let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|table| &mut table.relation)
        && let SetExpr::Select(select) = subquery.body.as_mut()
        && let Some(table) = select.from.first_mut()
    {
        let mut inner = factor.clone();
        if let TableFactor::Derived { alias, .. } = &mut inner {
            *alias = Some(TableAlias {
                explicit: true,
                name: Ident::with_quote('"', format!("{MARK}sample")),
                columns: Vec::new(),
                at: None,
            });
        }
        table.relation = inner;
    }
    *factor = TableFactor::Derived { lateral: false, subquery: outer, alias, sample: None };
    Ok(())
}

fn percentage(sample: &TableSample) -> Result<f64, QueryError> {
    let Some(quantity) = &sample.quantity else {
        return Err(QueryError::NotSupported("TABLESAMPLE without a percentage".into()));
    };
    let (value, sign) = match &quantity.value {
        Expr::UnaryOp { op: datafusion::sql::sqlparser::ast::UnaryOperator::Minus, expr } => (expr.as_ref(), -1.0),
        other => (other, 1.0),
    };
    let number = match value {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse::<f64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let Some(number) = number.map(|number| number * sign) else {
        return Err(QueryError::NotSupported("TABLESAMPLE with a percentage that is not a number".into()));
    };
    if !(0.0..=100.0).contains(&number) {
        let message = "Sample percentage must be between 0 and 100".to_owned();
        let at = position(first_span(&quantity.value));
        return Err(QueryError::Analysis { name: "NUMERIC_VALUE_OUT_OF_RANGE", position: at, message });
    }
    Ok(number)
}

/// `TABLE(sequence(start => 0, stop => 3))`.
fn table_function(expr: &Expr, alias: Option<TableAlias>) -> Result<TableFactor, QueryError> {
    let not_registered =
        |position: Position, function: String| QueryError::FunctionNotFound { position, function, suggestion: None };
    let Expr::Function(function) = expr else {
        return Err(QueryError::syntax(position(first_span(expr)), "mismatched input. Expecting: a call of a table function"));
    };
    let name = function.name.to_string();
    let at = position(function.name.span());
    if name != "sequence" {
        return Err(not_registered(at, name));
    }
    let FunctionArguments::List(list) = &function.args else { return Err(not_registered(at, name)) };
    let mut arguments: [Option<Expr>; 3] = [None, None, None];
    let names = ["start", "stop", "step"];
    for (index, argument) in list.args.iter().enumerate() {
        let (place, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(index), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                (names.iter().position(|known| *known == name.value), value)
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                (names.iter().position(|known| *known == name.value), value)
            }
            _ => (None, expr),
        };
        let Some(slot) = place.and_then(|place| arguments.get_mut(place)) else {
            let message = format!("Unexpected argument of table function sequence: {argument}");
            return Err(QueryError::Analysis { name: "INVALID_FUNCTION_ARGUMENT", position: at, message });
        };
        *slot = Some(value.clone());
    }
    let [start, stop, step] = arguments;
    let Some(stop) = stop else {
        let message = "Missing argument: STOP".to_owned();
        return Err(QueryError::Analysis { name: "MISSING_ARGUMENT", position: at, message });
    };
    let number = |digits: &str| Expr::value(Value::Number(digits.to_owned(), false));
    let values = vec![start.unwrap_or_else(|| number("0")), stop, step.unwrap_or_else(|| number("1"))];
    let mut query =
        parse_query(&format!("SELECT sequential_number FROM UNNEST(ARRAY[1]) AS \"{MARK}sequence\"(sequential_number)"))?.query;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(TableFactor::UNNEST { array_exprs, .. }) = select.from.first_mut().map(|table| &mut table.relation)
    {
        *array_exprs = vec![call("sequence", values, function.name.span())];
    }
    Ok(TableFactor::Derived { lateral: false, subquery: query, alias, sample: None })
}

/// More sets of sets than this are refused.
const SETS_MAX: usize = 2048;
/// More columns than this in all sets are refused.
const SET_COLUMNS_MAX: usize = 100_000;

/// Several elements of `GROUP BY` one of which makes sets become the sets that they come to.
pub(super) fn grouping(select: &mut Select) -> Result<(), QueryError> {
    let GroupByExpr::Expressions(elements, _) = &mut select.group_by else { return Ok(()) };
    let distinct = matches!(elements.first(), Some(Expr::Identifier(first)) if first.value == DISTINCT_SETS);
    if distinct {
        elements.remove(0);
    }
    let resolve: Vec<Option<Expr>> = select
        .projection
        .iter()
        .map(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
            _ => None,
        })
        .collect();
    let makes_sets = |element: &Expr| match element {
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => true,
        Expr::Tuple(fields) => fields.is_empty(),
        _ => false,
    };
    elements.iter_mut().for_each(keep_number);
    count_sets(elements)?;
    if !elements.iter().any(makes_sets) || (elements.len() == 1 && !distinct && !matches!(elements[0], Expr::Tuple(_))) {
        for element in elements.iter_mut() {
            if let Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) = element {
                sets.iter_mut().flatten().for_each(keep_number);
            }
        }
        return Ok(());
    }
    let mut sets: Vec<Vec<Expr>> = vec![Vec::new()];
    for element in elements.drain(..) {
        let choices = sets_of(element);
        sets = sets
            .iter()
            .flat_map(|set| {
                choices.iter().map(|choice| {
                    let mut set = set.clone();
                    let fresh: Vec<Expr> = choice.iter().filter(|expr| !set.contains(expr)).cloned().collect();
                    set.extend(fresh);
                    set
                })
            })
            .collect();
    }
    for set in &mut sets {
        for expr in set.iter_mut() {
            if let Expr::Value(value) = &*expr
                && let Value::Number(digits, _) = &value.value
                && let Some(Some(item)) = digits.parse::<usize>().ok().and_then(|place| resolve.get(place.checked_sub(1)?))
            {
                *expr = item.clone();
            }
        }
    }
    if distinct {
        let mut seen: Vec<Vec<String>> = Vec::new();
        sets.retain(|set| {
            let mut key: Vec<String> = set.iter().map(ToString::to_string).collect();
            key.sort();
            let new = !seen.contains(&key);
            if new {
                seen.push(key);
            }
            new
        });
    }
    *elements = match sets.as_slice() {
        // A whole table is one group, of no rows too.
        [set] if set.is_empty() => {
            if select.having.is_none() && !has_aggregate(&select.projection) {
                vec![Expr::GroupingSets(vec![Vec::new()])]
            } else {
                Vec::new()
            }
        }
        [set] => set.clone(),
        _ => vec![Expr::GroupingSets(sets)],
    };
    Ok(())
}

/// Whether a list has a call at all: one without columns of its own is an aggregate, or the planner says what is wrong.
fn has_aggregate(items: &[SelectItem]) -> bool {
    items.iter().any(|item| {
        matches!(item, SelectItem::UnnamedExpr(Expr::Function(_)) | SelectItem::ExprWithAlias { expr: Expr::Function(_), .. })
    })
}

/// Refuses more grouping sets, or columns in all of them, than are taken, before there are any.
fn count_sets(elements: &[Expr]) -> Result<(), QueryError> {
    let mut sets = 1usize;
    let mut columns = 0usize;
    for element in elements {
        let (factor, width) = match element {
            Expr::Rollup(columns) => (columns.len() + 1, columns.iter().map(Vec::len).sum()),
            Expr::Cube(columns) => {
                let factor = u32::try_from(columns.len()).ok().and_then(|count| 1usize.checked_shl(count));
                (factor.unwrap_or(usize::MAX), columns.iter().map(Vec::len).sum())
            }
            Expr::GroupingSets(sets) => (sets.len().max(1), sets.iter().map(Vec::len).max().unwrap_or(0)),
            _ => (1, 1),
        };
        sets = sets.saturating_mul(factor);
        columns += width;
    }
    let too_many = |message| Err(QueryError::Analysis { name: "TOO_MANY_GROUPING_SETS", position: Position::START, message });
    if sets > SETS_MAX {
        return too_many(format!("GROUP BY has more than {SETS_MAX} grouping sets"));
    }
    if sets > 1 && sets * columns > SET_COLUMNS_MAX {
        return too_many(format!("the grouping sets of GROUP BY have more than {SET_COLUMNS_MAX} columns together"));
    }
    Ok(())
}

/// The sets of one element.
fn sets_of(element: Expr) -> Vec<Vec<Expr>> {
    match element {
        Expr::GroupingSets(sets) => sets,
        Expr::Rollup(columns) => (0..=columns.len()).rev().map(|count| columns[..count].concat()).collect(),
        Expr::Cube(columns) => {
            let count = columns.len() as u32;
            let chosen = |bits: u32| {
                columns
                    .iter()
                    .enumerate()
                    .filter(move |(index, _)| bits & (1 << (count - 1 - *index as u32)) != 0)
                    .flat_map(|(_, set)| set.clone())
            };
            (0..1u32 << count).rev().map(|bits| chosen(bits).collect()).collect()
        }
        Expr::Tuple(fields) if fields.is_empty() => vec![Vec::new()],
        other => vec![vec![other]],
    }
}
