//! Arrow's names of types and values, as they stand in messages, in Trino's words.

use super::reword::split_top;

/// Names of types without parameters.
const PLAIN: &[(&str, &str)] = &[
    ("Utf8", "varchar"),
    ("LargeUtf8", "varchar"),
    ("Utf8View", "varchar"),
    ("Int8", "tinyint"),
    ("Int16", "smallint"),
    ("Int32", "integer"),
    ("Int64", "bigint"),
    ("UInt8", "smallint"),
    ("UInt16", "integer"),
    ("UInt32", "bigint"),
    ("UInt64", "bigint"),
    ("Float16", "real"),
    ("Float32", "real"),
    ("Float64", "double"),
    ("Boolean", "boolean"),
    ("Date32", "date"),
    ("Date64", "date"),
    ("Binary", "varbinary"),
    ("LargeBinary", "varbinary"),
    ("BinaryView", "varbinary"),
    ("Null", "unknown"),
];

/// Names of types with parameters, and how these are said.
const PARAMETRIC: &[&str] = &[
    "Timestamp",
    "Time32",
    "Time64",
    "Duration",
    "Interval",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Decimal256",
    "List",
    "LargeList",
    "ListView",
    "FixedSizeList",
    "Struct",
    "Map",
    "Dictionary",
    "FixedSizeBinary",
    "Union",
    "RunEndEncoded",
];

/// Words that only the engine's inside uses.
const INSIDE: &[&str] = &[
    "Arrow",
    "arrow",
    "DataFusion",
    "datafusion",
    "ScalarValue",
    "Span",
    "Utf8",
    "Int64",
    "Int32",
    "Float64",
    "UDF",
    "udf",
    "NativeType",
    "TypeSignature",
    "Coercible",
    "DataType",
    "LogicalPlan",
    "ExecutionPlan",
    "Expr",
    "Some(",
    "ast node",
    "RecordBatch",
    "Field {",
    "Ident {",
    "Location(",
    "PhysicalExpr",
    "sqlparser",
    "optimizer",
    "Optimizer",
    "expand_wildcard",
    "schema_name",
    "panicked",
];

/// Whether a text speaks of what no client knows.
pub(super) fn speaks_of_the_inside(text: &str) -> bool {
    INSIDE.iter().any(|word| text.contains(word)) || text.contains(super::rewrite::MARK)
}

/// The text with Arrow's types (`List(Int64)`) and literals (`Int64(1)`, `Utf8("x")`) said as Trino does (`array(bigint)`, `1`, `'x'`).
pub(super) fn trino_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside_word = false;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if inside_word || !first.is_ascii_uppercase() {
            inside_word = is_word(first);
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let arguments = after.strip_prefix('(').and_then(|inner| closing(inner).map(|end| (&inner[..end], &inner[end + 1..])));
        match (word_of(word, arguments.map(|(inner, _)| inner)), arguments) {
            (Some((said, true)), Some((_, behind))) => {
                out.push_str(&said);
                rest = behind;
            }
            (Some((said, _)), _) => {
                out.push_str(&said);
                rest = after;
            }
            (None, _) => {
                out.push_str(word);
                rest = after;
            }
        }
    }
    out
}

/// Where the parenthesis closes that was opened right before the text.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0_u32, None);
    for (index, character) in text.char_indices() {
        match (quoted, character) {
            (Some(quote), found) if quote == found => quoted = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quoted = Some(character),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return Some(index),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A name said in Trino's way, and whether its arguments are part of that.
fn word_of(word: &str, arguments: Option<&str>) -> Option<(String, bool)> {
    if let Some((_, name)) = PLAIN.iter().find(|(arrow, _)| *arrow == word) {
        return Some(match arguments {
            Some(value) => (literal(name, value), true),
            None => ((*name).to_owned(), false),
        });
    }
    if !PARAMETRIC.contains(&word) {
        return None;
    }
    let Some(arguments) = arguments else { return Some((base(word).to_owned(), false)) };
    Some((parametric(word, arguments), true))
}

fn base(word: &str) -> &'static str {
    match word {
        "Timestamp" => "timestamp",
        "Time32" | "Time64" => "time",
        "Interval" => "interval day to second",
        "Duration" | "Dictionary" | "RunEndEncoded" => "bigint",
        "Struct" | "Union" => "row",
        "Map" => "map",
        "FixedSizeBinary" => "varbinary",
        word if word.starts_with("Decimal") => "decimal",
        _ => "array",
    }
}

fn parametric(word: &str, arguments: &str) -> String {
    let parts = split_top(arguments);
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    match word {
        "Timestamp" => {
            let zone = part(1);
            if zone.is_empty() || zone == "None" { "timestamp(3)".to_owned() } else { "timestamp(3) with time zone".to_owned() }
        }
        "Interval" if arguments.starts_with("YearMonth") => "interval year to month".to_owned(),
        word if word.starts_with("Decimal") => match (part(0).strip_prefix("Some("), parts.as_slice()) {
            (Some(digits), [_, _, scale]) => decimal(digits.trim_end_matches(')'), scale.parse().unwrap_or(0)),
            _ => format!("decimal({})", parts.join(",")),
        },
        "List" | "LargeList" | "ListView" => format!("array({})", trino_words(unmarked(part(0)))),
        "FixedSizeList" => {
            let item = part(0).rsplit(" x ").next().unwrap_or_default();
            format!("array({})", trino_words(unmarked(item)))
        }
        "Struct" => {
            let field = |one: &&str| match one.split_once(": ") {
                Some((name, data_type)) => format!("{} {}", name.trim_matches('"'), trino_words(unmarked(data_type))),
                None => trino_words(one),
            };
            format!("row({})", parts.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        "Map" => {
            let worded = trino_words(arguments);
            match worded.split_once("row(").and_then(|(_, row)| row.rsplit_once(')')).map(|(row, _)| split_top(row).len()) {
                Some(2) => {
                    let row = worded.split_once("row(").map_or("", |(_, row)| row);
                    let row = row.split(')').next().unwrap_or_default();
                    let types: Vec<&str> =
                        split_top(row).iter().filter_map(|field| field.split_once(' ')).map(|(_, t)| t).collect();
                    format!("map({})", types.join(", "))
                }
                _ => "map".to_owned(),
            }
        }
        "Dictionary" => trino_words(part(1)),
        other => base(other).to_owned(),
    }
}

/// A field's type without what says whether it may be null.
fn unmarked(text: &str) -> &str {
    text.trim().trim_start_matches("non-null ").trim_start_matches("nullable ")
}

fn literal(data_type: &str, value: &str) -> String {
    if value == "NULL" {
        return "null".to_owned();
    }
    match (data_type, value.strip_prefix('"').and_then(|value| value.strip_suffix('"'))) {
        ("date", Some(text)) => format!("DATE '{text}'"),
        (_, Some(text)) => format!("'{}'", text.replace('\'', "''")),
        _ => value.to_owned(),
    }
}

fn decimal(digits: &str, scale: usize) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_literals_are_said_as_trino_does() {
        for (arrow, trino) in [
            ("Utf8", "varchar"),
            ("List(Int64)", "array(bigint)"),
            ("List(non-null Utf8)", "array(varchar)"),
            ("Struct(\"a\": Int32, \"b\": List(Utf8))", "row(a integer, b array(varchar))"),
            ("Timestamp(µs, \"UTC\") and Timestamp(ms)", "timestamp(3) with time zone and timestamp(3)"),
            ("Decimal128(10, 2)", "decimal(10,2)"),
            ("Decimal128(Some(-15),2,1)", "-1.5"),
            ("Int64(1) + Utf8(\"it's\")", "1 + 'it''s'"),
            ("column MyInt64 of INTEGER", "column MyInt64 of INTEGER"),
            ("Interval(MonthDayNano)", "interval day to second"),
            ("Dictionary(Int32, Utf8)", "varchar"),
        ] {
            assert_eq!(trino_words(arrow), trino, "{arrow}");
        }
    }

    #[test]
    fn the_inside_is_noticed() {
        assert!(speaks_of_the_inside("Unsupported ast node TableFunction"));
        assert!(!speaks_of_the_inside("Cannot apply operator: varchar(1) + integer"));
    }
}
