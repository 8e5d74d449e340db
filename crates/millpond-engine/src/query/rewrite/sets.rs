//! Set operations that keep duplicates, and joins of both sides' rows by named columns, which the planner takes for others.

use super::super::calls::call;
use super::super::error::{Position, QueryError};
use super::super::parse::parse_query;
use super::relations::set_derived;
use super::{MARK, alias_of, name_of};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectNamePart, Query, Select, SelectItem, SetExpr, SetOperator,
    SetQuantifier, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// `a EXCEPT ALL b`, `a INTERSECT ALL b`: rows are numbered among their equals, and numbered rows are taken once.
pub(super) fn numbered(body: &mut SetExpr) -> Result<(), QueryError> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
    numbered(left)?;
    numbered(right)?;
    if *set_quantifier != SetQuantifier::All || !matches!(op, SetOperator::Except | SetOperator::Intersect) {
        return Ok(());
    }
    let Some(names) = names(left).or_else(|| names(right)) else {
        let message = "EXCEPT ALL and INTERSECT ALL of columns that are not listed: name them in place of *".to_owned();
        return Err(QueryError::NotSupported(message));
    };
    for side in [&mut *left, &mut *right] {
        let inner = std::mem::replace(side.as_mut(), SetExpr::Values(no_values()));
        **side = with_numbers(inner, &names)?;
    }
    *set_quantifier = SetQuantifier::None;
    let whole = std::mem::replace(body, SetExpr::Values(no_values()));
    let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let mut outer =
        parse_query(&format!("SELECT {0} FROM (SELECT 1) AS \"{MARK}sets\"({0}, \"{MARK}number\")", list.join(", ")))?.query;
    set_derived(&mut outer, Box::new(plain(whole)?));
    *body = SetExpr::Query(outer);
    Ok(())
}

fn no_values() -> datafusion::sql::sqlparser::ast::Values {
    datafusion::sql::sqlparser::ast::Values { explicit_row: false, rows: Vec::new(), value_keyword: false }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A query of nothing but that body.
fn plain(body: SetExpr) -> Result<Query, QueryError> {
    let mut query = parse_query("SELECT 1")?.query;
    *query.body = body;
    Ok(*query)
}

fn with_numbers(body: SetExpr, names: &[String]) -> Result<SetExpr, QueryError> {
    let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let list = list.join(", ");
    let mut query = parse_query(&format!(
        "SELECT {list}, row_number() OVER (PARTITION BY {list}) AS \"{MARK}number\" FROM (SELECT 1) AS \"{MARK}side\"({list})"
    ))?
    .query;
    set_derived(&mut query, Box::new(plain(body)?));
    Ok(*query.body)
}

/// The names of a body's columns, each its own; `None` where they are not listed.
fn names(body: &SetExpr) -> Option<Vec<String>> {
    let mut names: Vec<String> = match body {
        SetExpr::Query(query) => return self::names(&query.body),
        SetExpr::SetOperation { left, .. } => return self::names(left),
        SetExpr::Select(select) if matches!(select.projection.as_slice(), [SelectItem::Wildcard(_)]) => {
            let [table] = select.from.as_slice() else { return None };
            let TableFactor::Derived { subquery, alias, .. } = &table.relation else { return None };
            if !table.joins.is_empty() {
                return None;
            }
            match alias.as_ref().map(|alias| &alias.columns).filter(|columns| !columns.is_empty()) {
                Some(columns) => columns.iter().map(|column| column.name.value.clone()).collect(),
                None => return self::names(&subquery.body),
            }
        }
        SetExpr::Select(select) => select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
                SelectItem::UnnamedExpr(expr) => Some(name_of(expr).map(|ident| ident.value.clone()).unwrap_or_default()),
                _ => None,
            })
            .collect::<Option<_>>()?,
        SetExpr::Values(values) => vec![String::new(); values.rows.first()?.content.len()],
        _ => return None,
    };
    for index in 0..names.len() {
        if names[index].is_empty() || names[..index].contains(&names[index]) {
            names[index] = format!("{}{MARK}{index}", names[index]);
        }
    }
    Some(names)
}

/// `a FULL JOIN b USING (x)`: `x` is that of the side which has it, where the planner takes the left one's.
pub(super) fn full_using(select: &mut Select) -> Result<(), QueryError> {
    let [table] = select.from.as_slice() else { return Ok(()) };
    let using = table.joins.iter().find_map(|join| match &join.join_operator {
        JoinOperator::FullOuter(JoinConstraint::Using(columns)) => Some(columns.clone()),
        _ => None,
    });
    let Some(using) = using else { return Ok(()) };
    let columns: Vec<String> = using
        .iter()
        .filter_map(|name| name.0.last().and_then(ObjectNamePart::as_ident))
        .map(|ident| ident.value.clone())
        .collect();
    let [join] = table.joins.as_slice() else {
        return Err(QueryError::NotSupported(
            "FULL JOIN … USING beside another join; use ON, and coalesce of the two columns".into(),
        ));
    };
    let sides = [side(&table.relation)?, side(&join.relation)?];
    let mut visitor = Merged { columns: &columns, sides: &sides, depth: 0 };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && let Some(ident) = name_of(expr).filter(|ident| columns.contains(&ident.value)).cloned()
            && matches!(expr, Expr::Identifier(_))
        {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: ident };
        }
        let _ = VisitMut::visit(item, &mut visitor);
    }
    let _ = VisitMut::visit(&mut select.selection, &mut visitor);
    let _ = VisitMut::visit(&mut select.having, &mut visitor);
    if let GroupByExpr::Expressions(elements, _) = &mut select.group_by {
        let _ = VisitMut::visit(elements, &mut visitor);
    }
    Ok(())
}

fn side(factor: &TableFactor) -> Result<String, QueryError> {
    let name = alias_of(factor);
    if name.is_empty() {
        return Err(QueryError::Semantic {
            position: Position::START,
            message: "FULL JOIN … USING needs a name for each side".into(),
        });
    }
    Ok(name)
}

struct Merged<'a> {
    columns: &'a [String],
    sides: &'a [String; 2],
    depth: usize,
}

impl VisitorMut for Merged<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Identifier(ident) = &*expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 || !self.columns.contains(&ident.value) {
            return ControlFlow::Continue(());
        }
        let of = |side: &String| Expr::CompoundIdentifier(vec![Ident::with_quote('"', side), ident.clone()]);
        *expr = call("coalesce", self.sides.iter().map(of).collect(), Span::empty());
        ControlFlow::Continue(())
    }
}
