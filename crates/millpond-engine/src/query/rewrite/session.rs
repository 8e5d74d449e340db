//! What a statement asks of its session: `current_user`, `current_catalog`, `current_schema`, and times of its start.

use super::super::catalog::CATALOG;
use super::super::error::QueryError;
use super::super::parse::first_span;
use super::super::template::instantiate;
use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

/// The one caller that the lake knows.
const USER: &str = "root";

/// The value of a name that stands for one, when it is not a column's (those are quoted).
pub(super) fn value(expr: &Expr, database: Option<&str>) -> Option<Result<Expr, QueryError>> {
    let (name, precision) = match expr {
        Expr::Identifier(ident) if ident.quote_style.is_none() => (ident.value.clone(), None),
        Expr::Function(function) if function.over.is_none() => {
            (function.name.to_string().to_lowercase(), precision(&function.args)?)
        }
        _ => return None,
    };
    let text = |text: &str| Some(Ok(Expr::Value(Value::SingleQuotedString(text.to_owned()).with_span(first_span(expr)))));
    let digits = precision.unwrap_or(3);
    let time = |data_type: &str| Some(instantiate(&format!("CAST(now() AS {data_type})"), &[], first_span(expr)));
    match name.as_str() {
        "current_user" => text(USER),
        "version" if matches!(expr, Expr::Function(_)) => text(concat!("Millpond ", env!("CARGO_PKG_VERSION"))),
        "current_catalog" => text(CATALOG),
        "current_schema" => match database {
            Some(database) => text(database),
            None => Some(Ok(Expr::value(Value::Null))),
        },
        "localtime" => time(&format!("time({digits})")),
        "localtimestamp" => time(&format!("timestamp({digits})")),
        "current_timestamp" if precision.is_some() => time(&format!("timestamp({digits}) with time zone")),
        _ => None,
    }
}

/// The digits of a second in `current_timestamp(6)`: `Some(None)` without any, `None` where there is something else.
fn precision(arguments: &FunctionArguments) -> Option<Option<u8>> {
    match arguments {
        FunctionArguments::None => Some(None),
        FunctionArguments::List(list) => match list.args.as_slice() {
            [] => Some(None),
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Extract { expr, .. }))] => match expr.as_ref() {
                Expr::Value(value) => match &value.value {
                    Value::Number(digits, _) => digits.parse().ok().filter(|digits| *digits <= 12).map(Some),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        FunctionArguments::Subquery(_) => None,
    }
}
