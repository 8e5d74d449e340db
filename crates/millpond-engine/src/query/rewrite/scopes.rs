//! Names of a `WITH` within a query that has a `WITH` itself. The inner one hides the outer one's of the same name, where the planner has one scope
//! for both: so such inner tables get names of their own.

use super::MARK;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Renames the tables that hide others, and what refers to them.
pub(super) fn rename(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Scopes::default());
}

/// The queries around what is being visited, the innermost last.
#[derive(Default)]
struct Scopes {
    open: Vec<Scope>,
    /// How many names were made.
    made: usize,
}

/// A query's `WITH`.
struct Scope {
    /// Each table as written, and as it is called.
    tables: Vec<(String, String)>,
    /// How many of them can be named here: a table's own query sees those before it.
    known: usize,
}

impl Scopes {
    fn find(&self, name: &str) -> Option<&str> {
        let mut known = self.open.iter().rev().flat_map(|scope| scope.tables[..scope.known].iter().rev());
        known.find(|(written, _)| written == name).map(|(_, called)| called.as_str())
    }
}

impl VisitorMut for Scopes {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut scope = Scope { tables: Vec::new(), known: 0 };
        if let Some(with) = &mut query.with {
            for table in &mut with.cte_tables {
                let written = table.alias.name.value.clone();
                if self.find(&written).is_some() {
                    self.made += 1;
                    table.alias.name.value = format!("{written}{MARK}{}", self.made);
                    table.alias.name.quote_style = Some('"');
                }
                scope.tables.push((written, table.alias.name.value.clone()));
            }
            if with.recursive {
                scope.known = scope.tables.len();
            }
        }
        self.open.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.open.pop();
        // The first queries within a query are those of its `WITH`, in their order.
        if let Some(around) = self.open.last_mut()
            && around.known < around.tables.len()
        {
            around.known += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, .. } = factor else { return ControlFlow::Continue(()) };
        let [ObjectNamePart::Identifier(written)] = name.0.as_slice() else { return ControlFlow::Continue(()) };
        let written = written.clone();
        if let Some(called) = self.find(&written.value)
            && called != written.value
        {
            *name = ObjectName::from(vec![Ident { value: called.to_owned(), quote_style: Some('"'), span: written.span }]);
            alias.get_or_insert(TableAlias { explicit: true, name: written, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}
