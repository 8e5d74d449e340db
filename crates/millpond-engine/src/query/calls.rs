//! Calls of Trino's functions as the planner knows them: other names, other expressions, other clauses.

use super::error::{Position, QueryError};
use super::operators;
use super::parse::{parse_expression, position};
use super::rewrite;
use super::template::instantiate;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident,
    ListAggOnOverflow, ObjectName, ObjectNamePart, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// Trino's scalar functions as expressions that the planner knows. `$1` is the first argument.
const TEMPLATES: &[(&str, usize, &str)] = &[
    ("if", 2, "CASE WHEN $1 THEN $2 END"),
    ("if", 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    ("mod", 2, "(($1) % ($2))"),
    ("date", 1, "CAST($1 AS DATE)"),
];

/// Trino's names for functions that are otherwise the same.
const RENAMED: &[(&str, &str)] = &[
    ("every", "bool_and"),
    ("stddev_samp", "stddev"),
    ("variance", "var_samp"),
    ("bitwise_and_agg", "bit_and"),
    ("bitwise_or_agg", "bit_or"),
    ("bitwise_xor_agg", "bit_xor"),
];

pub(super) fn function_call(function: &mut Function) -> Option<Result<Expr, QueryError>> {
    let name = match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => ident.value.clone(),
        _ => return None,
    };
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == name) {
        rename(function, new);
        return None;
    }
    if lambdas(function) {
        match name.as_str() {
            "array_sort" => rename(function, "array_sort_by"),
            "regexp_replace" => rename(function, "regexp_replace_by"),
            "reduce_agg" => return Some(reduce_agg(function)),
            _ => {}
        }
        return None;
    }
    if name == "listagg" {
        return Some(listagg(function));
    }
    // DataFusion's is an integer, and must stay the aggregate that it is.
    if name == "grouping" {
        let call = Expr::Function(function.clone());
        let data_type = ast::DataType::BigInt(None);
        return Some(Ok(Expr::Cast { kind: ast::CastKind::Cast, expr: Box::new(call), data_type, array: false, format: None }));
    }
    if let Err(error) = aggregate(&name, function) {
        return Some(Err(error));
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain =
        list.duplicate_treatment.is_none() && list.clauses.is_empty() && function.filter.is_none() && function.over.is_none();
    if !plain {
        return None;
    }
    let span = name_span(function);
    let FunctionArguments::List(list) = &function.args else { return None };
    let arguments: Option<Vec<Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    let arguments = arguments?;
    if name == "map" && arguments.is_empty() {
        rename(function, "empty_map");
        return None;
    }
    if name == "row" {
        function.name = ObjectName::from(vec![Ident::with_span(span, operators::ROW)]);
        return None;
    }
    // Hours and minutes decide the type, and must stay constants: `bigint`, as its signature has them, and not brought to it by casts.
    if name == "from_unixtime"
        && let FunctionArguments::List(list) = &mut function.args
    {
        for argument in list.args.iter_mut().skip(1) {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                rewrite::expressions::widen(expr);
            }
        }
        return None;
    }
    let (_, _, text) = TEMPLATES.iter().find(|(candidate, arity, _)| *candidate == name && *arity == arguments.len())?;
    Some(instantiate(text, &arguments, span))
}

/// Where a function's name stands.
fn name_span(function: &Function) -> Span {
    function.name.0.first().and_then(ObjectNamePart::as_ident).map_or_else(Span::empty, |ident| ident.span)
}

/// Prepares the lambdas of a call: parameters' fields (`r.name`) are taken by a function, since the planner looks for a table of that name; and all
/// parameters are made use of, since it counts wrongly where one before another is not. Whether there are lambdas.
fn lambdas(function: &mut Function) -> bool {
    let FunctionArguments::List(list) = &mut function.args else { return false };
    let mut any = false;
    for argument in &mut list.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(lambda))) = argument else { continue };
        any = true;
        let parameters: Vec<Ident> = lambda.params.iter().map(|parameter| parameter.name.clone()).collect();
        let _ = VisitMut::visit(&mut lambda.body, &mut Fields { parameters: &parameters });
        if parameters.len() > 1 {
            let placeholder = Expr::value(Value::Null);
            let body = std::mem::replace(lambda.body.as_mut(), placeholder);
            let all = std::iter::once(body).chain(parameters.into_iter().map(Expr::Identifier));
            *lambda.body = call("lambda_body", all.collect(), Span::empty());
        }
    }
    any
}

/// A call of one of our functions.
pub(super) fn call(name: &str, arguments: Vec<Expr>, span: Span) -> Expr {
    let mut function = Function {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::None,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    };
    set_arguments(&mut function, arguments, Vec::new());
    Expr::Function(function)
}

/// Fields of a lambda's parameters.
struct Fields<'a> {
    parameters: &'a [Ident],
}

impl VisitorMut for Fields<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundIdentifier(parts) = expr else { return ControlFlow::Continue(()) };
        if let [first, rest @ ..] = parts.as_slice()
            && self.parameters.iter().any(|parameter| parameter.value == first.value)
        {
            let field = |name: &Ident| Expr::value(Value::SingleQuotedString(name.value.clone()));
            *expr = rest
                .iter()
                .fold(Expr::Identifier(first.clone()), |row, name| call("get_field", vec![row, field(name)], first.span));
        }
        ControlFlow::Continue(())
    }
}

/// `reduce_agg(x, state, step, combine)` as `reduce` of all values: DataFusion's aggregates take no lambdas.
fn reduce_agg(function: &mut Function) -> Result<Expr, QueryError> {
    let [value, state, step, _] = arguments::<4>("reduce_agg", function)?;
    add_filter(function, "$1 IS NOT NULL", value.clone())?;
    set_arguments(function, vec![value], Vec::new());
    rename(function, "array_agg");
    let given = parse_expression("state -> state")?;
    let span = name_span(function);
    Ok(call("reduce", vec![Expr::Function(function.clone()), state, step, given], span))
}

/// `listagg(x, separator ON OVERFLOW …) WITHIN GROUP (ORDER BY …)` as the text of all values.
fn listagg(function: &mut Function) -> Result<Expr, QueryError> {
    let text = |text: &str| Expr::value(Value::SingleQuotedString(text.to_owned()));
    let wrong = || QueryError::TypeMismatch {
        position: position(name_span(function)),
        message: "function listagg takes a value and a separator".into(),
    };
    let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
    let mut given = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        _ => Err(wrong()),
    });
    let (value, separator) = (given.next().ok_or_else(wrong)??, given.next().unwrap_or_else(|| Ok(text("")))?);
    if given.next().is_some() {
        return Err(wrong());
    }
    let overflow = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::OnOverflow(overflow) => Some(overflow.clone()),
        _ => None,
    });
    let (filler, shown) = match overflow {
        Some(ListAggOnOverflow::Truncate { filler, with_count }) => {
            (filler.map_or_else(|| text("..."), |filler| *filler), if with_count { "count" } else { "filler" })
        }
        Some(ListAggOnOverflow::Error) | None => (text(""), "error"),
    };
    let by = std::mem::take(&mut function.within_group);
    let duplicate_treatment = list.duplicate_treatment;
    add_filter(function, "$1 IS NOT NULL", value.clone())?;
    let clauses = if by.is_empty() { Vec::new() } else { vec![FunctionArgumentClause::OrderBy(by)] };
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))];
    function.args = FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses });
    rename(function, "array_agg");
    let span = name_span(function);
    Ok(call("listagg_of", vec![Expr::Function(function.clone()), separator, filler, text(shown)], span))
}

pub(super) fn extract_field(field: &str) -> String {
    match field.to_ascii_lowercase().as_str() {
        "day_of_week" | "dow" => "isodow".into(),
        "day_of_year" => "doy".into(),
        "week_of_year" => "week".into(),
        "day_of_month" => "day".into(),
        "year_of_week" | "yow" => "isoyear".into(),
        other => other.replace('\'', ""),
    }
}

fn rename(function: &mut Function, name: &str) {
    function.name = ObjectName::from(vec![Ident::with_span(name_span(function), name)]);
}

/// Trino's aggregates as the planner's.
fn aggregate(name: &str, function: &mut Function) -> Result<(), QueryError> {
    let given = match &function.args {
        FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    };
    match name {
        "count_if" => {
            let [condition] = arguments::<1>(name, function)?;
            rename(function, "count");
            let counted = instantiate("CASE WHEN $1 THEN 1 END", &[condition], name_span(function))?;
            set_arguments(function, vec![counted], Vec::new());
        }
        "arbitrary" | "any_value" => {
            let [value] = arguments::<1>(name, function)?;
            add_filter(function, "$1 IS NOT NULL", value)?;
            rename(function, "first_value");
        }
        // The forms that give several values.
        "max" | "min" if given == 2 => rename(function, if name == "max" { "max_n" } else { "min_n" }),
        "approx_distinct" if given == 2 => {
            let [value, error] = arguments::<2>(name, function)?;
            let known = error.to_string().trim_matches(|one: char| "()'".contains(one)).parse::<f64>();
            if known.is_ok_and(|error| !(0.0040625..=0.26).contains(&error)) {
                return Err(QueryError::InvalidArgument(format!("Standard error must be in [0.0040625, 0.26000]: {error}")));
            }
            set_arguments(function, vec![value], Vec::new());
        }
        _ => {}
    }
    Ok(())
}

fn arguments<const N: usize>(name: &str, function: &Function) -> Result<[Expr; N], QueryError> {
    let wrong = || {
        let position =
            function.name.0.first().and_then(ObjectNamePart::as_ident).map_or(Position::START, |ident| position(ident.span));
        QueryError::TypeMismatch { position, message: format!("function {name} takes {N} argument(s)") }
    };
    let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
    let expressions: Vec<Expr> = list
        .args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    expressions.try_into().map_err(|_| wrong())
}

fn set_arguments(function: &mut Function, expressions: Vec<Expr>, clauses: Vec<FunctionArgumentClause>) {
    let args = expressions.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    function.args = FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses });
}

fn add_filter(function: &mut Function, pattern: &str, argument: Expr) -> Result<(), QueryError> {
    let condition = instantiate(pattern, &[argument], name_span(function))?;
    let condition = match function.filter.take() {
        Some(filter) => Expr::BinaryOp { left: filter, op: ast::BinaryOperator::And, right: Box::new(condition) },
        None => condition,
    };
    function.filter = Some(Box::new(condition));
    Ok(())
}
