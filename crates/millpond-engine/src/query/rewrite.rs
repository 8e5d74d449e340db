//! Rewrites of the syntax tree: Trino's functions in terms of those that the planner knows, parameters, and result names.

pub(super) mod expressions;
mod marks;
mod order;
mod relations;
mod scopes;
mod session;
mod sets;
mod subqueries;

use super::calls::function_call;
use super::error::QueryError;
use super::parse::Names;
use crate::scan::Hidden;
use datafusion::common::DFSchema;
use datafusion::sql::sqlparser::ast::{
    self, ExcludeSelectItem, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// In names that the planner needs to be unique: what stands after it is not shown.
pub(super) const MARK: char = '\u{1}';

/// The result's columns as the outermost `SELECT` lists them.
#[derive(Debug)]
pub(crate) struct Outputs(Vec<Output>);

#[derive(Debug, Clone, PartialEq)]
enum Output {
    Named(String),
    Unnamed,
    Wildcard,
}

impl Outputs {
    /// The names of the result's columns: as written, `_col` and the place where there is none.
    pub(crate) fn names(&self, schema: &DFSchema) -> Vec<String> {
        let fields: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut names: Vec<String> = fields.iter().map(|name| shown(name).to_owned()).collect();
        let wildcards = self.0.iter().filter(|output| **output == Output::Wildcard).count();
        // What stands before the first wildcard counts from the front, what stands after the last from the back.
        let head = self.0.iter().take_while(|output| **output != Output::Wildcard).count();
        let tail = if wildcards == 0 { 0 } else { self.0.iter().rev().take_while(|output| **output != Output::Wildcard).count() };
        let mut put = |index: usize, output: &Output| {
            if let Some(name) = names.get_mut(index) {
                match output {
                    Output::Named(written) => name.clone_from(written),
                    Output::Unnamed => *name = format!("_col{index}"),
                    Output::Wildcard => {}
                }
            }
        };
        for (index, output) in self.0.iter().take(head).enumerate() {
            put(index, output);
        }
        for (back, output) in self.0.iter().rev().take(tail).enumerate() {
            if let Some(index) = fields.len().checked_sub(back + 1) {
                put(index, output);
            }
        }
        for (index, name) in names.iter_mut().enumerate() {
            if name.starts_with(MARK) || name.is_empty() {
                *name = format!("_col{index}");
            }
        }
        names
    }
}

fn shown(name: &str) -> &str {
    match name.find(MARK) {
        Some(0) | None => name,
        Some(at) => &name[..at],
    }
}

/// Rewrites a query for the planner.
///
/// # Errors
/// What of the dialect is known and not supported.
pub(crate) fn rewrite(query: &mut Query, names: &Names, hidden: &Hidden, database: Option<&str>) -> Result<Outputs, QueryError> {
    let outputs = outputs(query, names);
    scopes::rename(query);
    let ctes = cte_names(query);
    let rewriter = &mut Rewriter { hidden, ctes, database };
    if let ControlFlow::Break(error) = VisitMut::visit(query, rewriter) {
        return Err(error);
    }
    marks::place_operators(query, names);
    Ok(outputs)
}

fn outputs(query: &Query, names: &Names) -> Outputs {
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::Query(query) => query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => left.as_ref(),
            SetExpr::Select(select) => return Outputs(select.projection.iter().map(|item| output(item, names)).collect()),
            SetExpr::Values(values) => {
                let columns = values.rows.first().map_or(0, |row| row.len());
                return Outputs(vec![Output::Unnamed; columns]);
            }
            _ => return Outputs(vec![Output::Wildcard]),
        }
    }
}

fn output(item: &SelectItem, names: &Names) -> Output {
    let written = |ident: &Ident| Output::Named(names.as_written(ident.span, &ident.value));
    match item {
        SelectItem::ExprWithAlias { alias, .. } => written(alias),
        SelectItem::UnnamedExpr(expr) => match name_of(expr) {
            Some(ident) => written(ident),
            None => Output::Unnamed,
        },
        SelectItem::ExprWithAliases { .. } | SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => Output::Wildcard,
    }
}

/// The name that an expression without alias has in Trino: a column's or a field's own.
fn name_of(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        Expr::Nested(inner) => name_of(inner),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(ast::AccessExpr::Dot(Expr::Identifier(ident))) => Some(ident),
            _ => None,
        },
        _ => None,
    }
}

fn cte_names(query: &Query) -> HashSet<String> {
    struct Ctes(HashSet<String>);
    impl Visitor for Ctes {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| &with.cte_tables);
            self.0.extend(tables.map(|cte| cte.alias.name.value.clone()));
            ControlFlow::Continue(())
        }
    }
    let mut ctes = Ctes(HashSet::new());
    let _ = Visit::visit(query, &mut ctes);
    ctes.0
}

struct Rewriter<'a> {
    hidden: &'a Hidden,
    /// The default one.
    database: Option<&'a str>,
    ctes: HashSet<String>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        match relations::query(query).and_then(|()| subqueries::in_order(query)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        match relations::values(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        if !select.lateral_views.is_empty() {
            return ControlFlow::Break(QueryError::NotSupported("LATERAL VIEW; use CROSS JOIN UNNEST(column) AS t(name)".into()));
        }
        if let Err(error) = relations::grouping(select) {
            return ControlFlow::Break(error);
        }
        if let Err(error) = sets::full_using(select).and_then(|()| subqueries::in_list(select)) {
            return ControlFlow::Break(error);
        }
        self.hide(select);
        name_items(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        match relations::table(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        if let Expr::InSubquery { expr, subquery, .. } = expr {
            match subqueries::rowed(expr, subquery) {
                Ok(Some(rowed)) => **subquery = rowed,
                Ok(None) => {}
                Err(error) => return ControlFlow::Break(error),
            }
        }
        expressions::before(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        if let Some(value) = session::value(expr, self.database) {
            return match value {
                Ok(value) => {
                    *expr = value;
                    ControlFlow::Continue(())
                }
                Err(error) => ControlFlow::Break(error),
            };
        }
        let rewritten = match expr {
            Expr::Function(function) => function_call(function),
            _ => expressions::after(expr),
        };
        match rewritten {
            None => ControlFlow::Continue(()),
            Some(Ok(new)) => {
                *expr = new;
                ControlFlow::Continue(())
            }
            Some(Err(error)) => ControlFlow::Break(error),
        }
    }
}

impl Rewriter<'_> {
    /// `*` does not include hidden columns, though the table has them when the statement names one.
    fn hide(&self, select: &mut Select) {
        if self.hidden.is_empty() {
            return;
        }
        let factors: Vec<&TableFactor> = select
            .from
            .iter()
            .flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)))
            .collect();
        let based = |factor: &TableFactor| match factor {
            TableFactor::Table { name, .. } => name.0.len() > 1 || !self.ctes.contains(&name.to_string()),
            _ => false,
        };
        let names: Vec<(String, bool)> = factors.iter().map(|factor| (alias_of(factor), based(factor))).collect();
        let exclude = || {
            let names = self.hidden.names().map(|name| ObjectName::from(vec![Ident::with_quote('"', name)]));
            Some(ExcludeSelectItem::Multiple(names.collect()))
        };
        let mut projection = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match item {
                // With several tables `*` is taken apart, since a name to exclude would be ambiguous.
                SelectItem::Wildcard(options) if names.iter().any(|(_, based)| *based) => {
                    for (name, based) in &names {
                        let kind =
                            SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![Ident::with_quote('"', name)]));
                        let mut options = options.clone();
                        options.opt_exclude = if *based { exclude() } else { None };
                        projection.push(SelectItem::QualifiedWildcard(kind, options));
                    }
                }
                SelectItem::QualifiedWildcard(kind, mut options) => {
                    let named = kind.to_string().trim_end_matches(".*").replace('"', "");
                    let last = named.rsplit('.').next().unwrap_or_default().to_owned();
                    if names.iter().any(|(name, based)| *based && *name == last) {
                        options.opt_exclude = exclude();
                    }
                    projection.push(SelectItem::QualifiedWildcard(kind, options));
                }
                other => projection.push(other),
            }
        }
        select.projection = projection;
    }
}

fn alias_of(factor: &TableFactor) -> String {
    let last =
        |name: &ObjectName| name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.clone()).unwrap_or_default();
    match factor {
        TableFactor::Table { name, alias, .. } => alias.as_ref().map_or_else(|| last(name), |alias| alias.name.value.clone()),
        TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } | TableFactor::NestedJoin { alias, .. } => {
            alias.as_ref().map(|alias| alias.name.value.clone()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// The planner wants unique names: expressions without one get a made-up one, and a name that is there already a mark.
fn name_items(select: &mut Select) {
    let mut seen = HashSet::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else {
            if let SelectItem::ExprWithAlias { alias, .. } = item
                && !seen.insert(alias.value.clone())
            {
                *alias = Ident::with_quote('"', format!("{}{MARK}{index}", alias.value));
            }
            continue;
        };
        let alias = match name_of(expr) {
            Some(ident) => {
                if seen.insert(ident.value.clone()) && matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    continue;
                }
                format!("{}{MARK}{index}", ident.value)
            }
            None => format!("{MARK}{index}"),
        };
        let placeholder = Expr::value(Value::Null);
        let expr = std::mem::replace(expr, placeholder);
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', alias) };
    }
}
