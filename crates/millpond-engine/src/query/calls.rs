//! Calls of Trino's functions as the planner knows them: other names, other expressions, other clauses.

use super::error::{Position, QueryError};
use super::parse::{parse_expression, position};
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions, Value,
};

/// Trino's scalar functions as expressions that the planner knows. `$1` is the first argument.
const TEMPLATES: &[(&str, usize, &str)] = &[
    ("if", 2, "CASE WHEN $1 THEN $2 END"),
    ("if", 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    ("mod", 2, "(($1) % ($2))"),
    ("date", 1, "CAST($1 AS DATE)"),
    ("year", 1, "CAST(date_part('year', $1) AS BIGINT)"),
    ("quarter", 1, "CAST(date_part('quarter', $1) AS BIGINT)"),
    ("month", 1, "CAST(date_part('month', $1) AS BIGINT)"),
    ("week", 1, "CAST(date_part('week', $1) AS BIGINT)"),
    ("week_of_year", 1, "CAST(date_part('week', $1) AS BIGINT)"),
    ("year_of_week", 1, "CAST(date_part('isoyear', $1) AS BIGINT)"),
    ("yow", 1, "CAST(date_part('isoyear', $1) AS BIGINT)"),
    ("day", 1, "CAST(date_part('day', $1) AS BIGINT)"),
    ("day_of_month", 1, "CAST(date_part('day', $1) AS BIGINT)"),
    ("day_of_week", 1, "CAST((date_part('dow', $1) + 6) % 7 + 1 AS BIGINT)"),
    ("dow", 1, "CAST((date_part('dow', $1) + 6) % 7 + 1 AS BIGINT)"),
    ("day_of_year", 1, "CAST(date_part('doy', $1) AS BIGINT)"),
    ("doy", 1, "CAST(date_part('doy', $1) AS BIGINT)"),
    ("hour", 1, "CAST(date_part('hour', $1) AS BIGINT)"),
    ("minute", 1, "CAST(date_part('minute', $1) AS BIGINT)"),
    ("second", 1, "CAST(floor(date_part('second', $1)) AS BIGINT)"),
    ("last_day_of_month", 1, "CAST(date_trunc('month', $1) + INTERVAL '1' MONTH - INTERVAL '1' DAY AS DATE)"),
    ("millisecond", 1, "CAST(date_part('millisecond', $1) AS BIGINT) % 1000"),
];

/// Trino's names for functions that are otherwise the same.
const RENAMED: &[(&str, &str)] = &[
    ("every", "bool_and"),
    ("stddev_samp", "stddev"),
    ("variance", "var_samp"),
    ("bitwise_and_agg", "bit_and"),
    ("bitwise_or_agg", "bit_or"),
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
    if let Err(error) = aggregate(&name, function) {
        return Some(Err(error));
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain =
        list.duplicate_treatment.is_none() && list.clauses.is_empty() && function.filter.is_none() && function.over.is_none();
    if !plain {
        return None;
    }
    let arguments: Vec<String> = list.args.iter().map(ToString::to_string).collect();
    if name == "try"
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice()
    {
        return Some(attempt(argument));
    }
    // A NULL makes the whole NULL in Trino, which `||` does and `concat` does not.
    if name == "concat" && arguments.len() >= 2 {
        let joined = arguments.iter().map(|argument| format!("({argument})")).collect::<Vec<_>>().join(" || ");
        return Some(parse_expression(&format!("({joined})")));
    }
    let (_, _, text) = TEMPLATES.iter().find(|(candidate, arity, _)| *candidate == name && *arity == arguments.len())?;
    Some(template(text, &arguments))
}

/// Times are kept in UTC; another zone would have to be shown, and is not yet.
pub(super) fn at_time_zone(timestamp: &Expr, zone: &Expr) -> Result<Expr, QueryError> {
    let name = zone.to_string().trim_matches('\'').to_uppercase();
    if !["UTC", "Z", "GMT", "+00:00", "ETC/UTC"].contains(&name.as_str()) {
        return Err(QueryError::NotSupported(format!("AT TIME ZONE {zone}: only 'UTC' is")));
    }
    parse_expression(&format!("CAST({timestamp} AS TIMESTAMP WITH TIME ZONE)"))
}

/// `try(x)`: NULL instead of an error, for what fails most.
fn attempt(argument: &Expr) -> Result<Expr, QueryError> {
    match argument {
        Expr::Cast { expr, data_type, .. } => parse_expression(&format!("TRY_CAST({expr} AS {data_type})")),
        Expr::Nested(inner) => attempt(inner),
        Expr::BinaryOp { left, op: ast::BinaryOperator::Divide | ast::BinaryOperator::Modulo, right } => {
            parse_expression(&format!("CASE WHEN ({right}) = 0 THEN NULL ELSE {left} {} ({right}) END", operator(argument)))
        }
        Expr::Function(function) => {
            let name = function.name.to_string();
            if LENIENT.contains(&name.as_str()) {
                let mut function = function.clone();
                rename(&mut function, &format!("try_{name}"));
                return Ok(Expr::Function(function));
            }
            Err(QueryError::NotSupported(format!("try({name}(…)); try takes casts, quotients, {}", LENIENT.join(", "))))
        }
        _ => Err(QueryError::NotSupported(format!("try of this expression; try takes casts, quotients, {}", LENIENT.join(", ")))),
    }
}

fn operator(expr: &Expr) -> &'static str {
    match expr {
        Expr::BinaryOp { op: ast::BinaryOperator::Modulo, .. } => "%",
        _ => "/",
    }
}

/// Functions that have a form which gives NULL.
const LENIENT: &[&str] = &["date_parse", "from_iso8601_timestamp", "from_iso8601_date", "json_parse"];

pub(super) fn template(text: &str, arguments: &[String]) -> Result<Expr, QueryError> {
    let mut sql = String::with_capacity(text.len() + arguments.iter().map(String::len).sum::<usize>());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        sql.push_str(&rest[..at]);
        let index = usize::from(rest.as_bytes()[at + 1] - b'1');
        sql.push_str(&arguments[index]);
        rest = &rest[at + 2..];
    }
    sql.push_str(rest);
    parse_expression(&sql)
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
    function.name = ObjectName::from(vec![Ident::new(name)]);
}

/// Trino's aggregates as the planner's.
fn aggregate(name: &str, function: &mut Function) -> Result<(), QueryError> {
    match name {
        "count_if" => {
            let [condition] = arguments::<1>(name, function)?;
            rename(function, "count");
            set_arguments(function, vec![parse_expression(&format!("CASE WHEN {condition} THEN 1 END"))?], Vec::new());
        }
        "arbitrary" | "any_value" => {
            let [value] = arguments::<1>(name, function)?;
            add_filter(function, format!("({value}) IS NOT NULL"))?;
            rename(function, "first_value");
        }
        "max_by" | "min_by" => {
            let [value, key] = arguments::<2>(name, function)?;
            add_filter(function, format!("({key}) IS NOT NULL"))?;
            rename(function, if name == "max_by" { "last_value" } else { "first_value" });
            let by =
                OrderByExpr { expr: key, options: OrderByOptions { asc: Some(true), nulls_first: Some(false) }, with_fill: None };
            set_arguments(function, vec![value], vec![FunctionArgumentClause::OrderBy(vec![by])]);
        }
        "listagg" => {
            let by = std::mem::take(&mut function.within_group);
            rename(function, "string_agg");
            if let FunctionArguments::List(list) = &mut function.args {
                list.clauses = if by.is_empty() { Vec::new() } else { vec![FunctionArgumentClause::OrderBy(by)] };
                if list.args.len() == 1 {
                    let nothing = Expr::value(Value::SingleQuotedString(String::new()));
                    list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(nothing)));
                }
            }
        }
        "approx_percentile" => {
            let [value, fraction] = arguments::<2>(name, function)?;
            rename(function, "approx_percentile_cont");
            set_arguments(function, vec![fraction], Vec::new());
            let options = OrderByOptions { asc: Some(true), nulls_first: None };
            function.within_group = vec![OrderByExpr { expr: value, options, with_fill: None }];
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

fn add_filter(function: &mut Function, condition: String) -> Result<(), QueryError> {
    let condition = match function.filter.take() {
        Some(filter) => format!("({filter}) AND {condition}"),
        None => condition,
    };
    function.filter = Some(Box::new(parse_expression(&condition)?));
    Ok(())
}
