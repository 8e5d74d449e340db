//! What tests may be made of, whatever language they are written in.

use super::path::Path;
use super::{Operand, Test};
use crate::value::key::compare;
use crate::value::{Kind as Type, Value};

/// Types that have an order.
fn ordered(kind: Type) -> bool {
    matches!(kind, Type::String | Type::Number | Type::Binary)
}

/// What is wrong with a function's operands.
pub(crate) enum FunctionFault {
    Count,
    /// The first is no path.
    Path,
    /// One is of this type.
    Type(&'static str),
    /// No type has this name.
    TypeName(String),
}

/// The test that a function makes; `Err` if there is no such function.
pub(crate) fn function_test(function: &str, operands: Vec<Operand>) -> Result<Result<Test, FunctionFault>, ()> {
    let count = match function {
        "attribute_exists" | "attribute_not_exists" => 1,
        "attribute_type" | "begins_with" | "contains" => 2,
        _ => return Err(()),
    };
    if operands.len() != count {
        return Ok(Err(FunctionFault::Count));
    }
    let mut operands = operands.into_iter();
    let (Some(first), second) = (operands.next(), operands.next()) else { return Ok(Err(FunctionFault::Count)) };
    let Some(second) = second else {
        let Operand::Path(path) = first else { return Ok(Err(FunctionFault::Path)) };
        return Ok(Ok(if function == "attribute_exists" { Test::Exists(path) } else { Test::NotExists(path) }));
    };
    Ok(match function {
        "attribute_type" => attribute_type(first, &second),
        "begins_with" => {
            let wrong = [&first, &second].into_iter().find_map(|operand| match operand {
                Operand::Value(value) if !matches!(value.kind(), Type::String | Type::Binary) => Some(value.kind().name()),
                Operand::Size(_) => Some("N"),
                _ => None,
            });
            wrong.map_or(Ok(Test::BeginsWith(first, second)), |kind| Err(FunctionFault::Type(kind)))
        }
        _ => Ok(Test::Contains(first, second)),
    })
}

fn attribute_type(operand: Operand, name: &Operand) -> Result<Test, FunctionFault> {
    const TYPES: [Type; 10] = [
        Type::String,
        Type::Number,
        Type::Binary,
        Type::Bool,
        Type::Null,
        Type::List,
        Type::Map,
        Type::StringSet,
        Type::NumberSet,
        Type::BinarySet,
    ];
    match name {
        Operand::Value(Value::String(name)) => TYPES
            .into_iter()
            .find(|kind| kind.name() == name)
            .map(|kind| Test::HasType(operand, kind))
            .ok_or_else(|| FunctionFault::TypeName(name.clone())),
        Operand::Value(value) => Err(FunctionFault::Type(value.kind().name())),
        Operand::Size(_) => Err(FunctionFault::Type("N")),
        Operand::Path(_) => Err(FunctionFault::Type("{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")),
    }
}

pub(crate) fn unknown_type_name(name: &str) -> String {
    format!("Invalid attribute type name found; type: {name}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}")
}

pub(crate) fn too_many_in_operands(count: usize) -> String {
    format!("The IN operator is provided with too many operands; number of operands: {count}")
}

/// A path that is compared with itself.
pub(crate) fn same_path<'a, 'o>(first: &'o Operand, rest: impl IntoIterator<Item = &'a Operand>) -> Option<&'o Path> {
    let Operand::Path(path) = first else { return None };
    rest.into_iter().any(|operand| operand == first).then_some(path)
}

/// The type of an operand that has no order.
pub(crate) fn unordered_operand<'a>(operands: impl IntoIterator<Item = &'a Operand>) -> Option<Type> {
    operands.into_iter().find_map(|operand| match operand {
        Operand::Value(value) if !ordered(value.kind()) => Some(value.kind()),
        _ => None,
    })
}

/// Why these cannot be bounds of `BETWEEN`, if both are values.
pub(crate) fn wrong_bounds(low: &Operand, high: &Operand) -> Option<String> {
    let (Operand::Value(low), Operand::Value(high)) = (low, high) else { return None };
    if !ordered(low.kind()) || !ordered(high.kind()) {
        return None;
    }
    let what = match compare(low, high) {
        None => "requires same data type for lower and upper bounds",
        Some(order) if order.is_gt() => "requires upper bound to be greater than or equal to lower bound",
        Some(_) => return None,
    };
    let show = |value: &Value| match value {
        Value::String(text) => format!("AttributeValue: {{S:{text}}}"),
        Value::Number(number) => format!("AttributeValue: {{N:{number}}}"),
        other => format!("AttributeValue: {}", crate::value::json::write_value(other).to_string().replace('"', "")),
    };
    Some(format!("The BETWEEN operator {what}; lower bound operand: {}, upper bound operand: {}", show(low), show(high)))
}
