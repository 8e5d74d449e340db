//! Long chains of `UNION` as trees of little depth: the parser makes a tree as deep as the chain is long, over which the planner recurses, and
//! whose parts it measures again at each step.

use datafusion::sql::sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, Values, VisitMut, VisitorMut};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// Shorter chains stay as they are.
const SHORT: usize = 16;

/// Balances all chains of a query.
pub(super) fn balance(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = Infallible;

    /// Before anybody goes down the chain.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
        balanced(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn balanced(body: &mut SetExpr) {
    let SetExpr::SetOperation { op, left, right, set_quantifier } = body else { return };
    if kind(*op, *set_quantifier).is_none() {
        balanced(left);
        balanced(right);
        return;
    }
    // The chain's parts from the last to the first, and whether the union before each drops duplicates.
    let mut parts = Vec::new();
    let mut rest = take(body);
    while let SetExpr::SetOperation { op, left, right, set_quantifier } = rest {
        let Some(distinct) = kind(op, set_quantifier) else {
            rest = SetExpr::SetOperation { op, left, right, set_quantifier };
            break;
        };
        parts.push((*right, distinct));
        rest = *left;
    }
    parts.push((rest, false));
    parts.reverse();
    for (part, _) in &mut parts {
        balanced(part);
    }
    if parts.len() <= SHORT {
        *body = chain(parts);
        return;
    }
    // Whatever stands before the last union that drops duplicates has none afterwards, however it was put together.
    let last_distinct = parts.iter().rposition(|(_, distinct)| *distinct);
    let mut parts: Vec<SetExpr> = parts.into_iter().map(|(part, _)| part).collect();
    *body = match last_distinct {
        None => tree(parts, SetQuantifier::All),
        Some(last) => {
            let mut all = parts.split_off(last + 1);
            let distinct = tree(parts, SetQuantifier::Distinct);
            all.insert(0, distinct);
            tree(all, SetQuantifier::All)
        }
    };
}

/// Whether a union drops duplicates; `None` for what is another operation.
fn kind(op: SetOperator, quantifier: SetQuantifier) -> Option<bool> {
    match (op, quantifier) {
        (SetOperator::Union, SetQuantifier::All) => Some(false),
        (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => Some(true),
        _ => None,
    }
}

fn take(body: &mut SetExpr) -> SetExpr {
    std::mem::replace(body, SetExpr::Values(Values { explicit_row: false, rows: Vec::new(), value_keyword: false }))
}

fn union(left: SetExpr, right: SetExpr, set_quantifier: SetQuantifier) -> SetExpr {
    SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left: Box::new(left), right: Box::new(right) }
}

/// As it was.
fn chain(parts: Vec<(SetExpr, bool)>) -> SetExpr {
    let quantifier = |distinct| if distinct { SetQuantifier::None } else { SetQuantifier::All };
    let chained = parts.into_iter().reduce(|(left, _), (right, distinct)| (union(left, right, quantifier(distinct)), false));
    chained.expect("a chain has parts").0
}

fn tree(mut parts: Vec<SetExpr>, root: SetQuantifier) -> SetExpr {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let right = parts.split_off(parts.len() / 2);
    union(tree(parts, SetQuantifier::All), tree(right, SetQuantifier::All), root)
}
