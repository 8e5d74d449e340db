//! DataFusion's and Arrow's errors in Trino's words.
//!
//! Every message is caught by its kind and said again with Trino's name, types and place. What is not known goes through [`trino_words`]; what
//! still speaks of the engine's inside after that is logged, and a general sentence takes its place: no client ever reads `Utf8` or `Span`.

use super::error::{Position, QueryError, nearest};
use super::sites::Sites;
use super::words::trino_words;
use datafusion::common::{DataFusionError, SchemaError};

mod values;

pub(super) use values::between;
use values::{arrow_error, cast_error, clean, execution, first_lines, other, said};

/// What is known of the statement whose error is worded.
pub(super) struct Words<'a> {
    pub(super) locate: &'a dyn Fn(&str) -> Option<Position>,
    /// Its operators, where it is being planned.
    pub(super) sites: Option<&'a Sites>,
}

/// How the message begins of a `FILTER (WHERE …)` that gives no truth: its type follows.
pub(super) const FILTER_IS_NO_CONDITION: &str = "Filter expression must evaluate to a boolean (actual: ";

/// The name of an error and its message: what most kinds come to.
type Known = (&'static str, Position, String);

impl Words<'_> {
    fn at(&self, name: &str) -> Position {
        (self.locate)(name).unwrap_or(Position::START)
    }

    fn place_of_clause(&self, words: &[&str]) -> Position {
        words.iter().find_map(|word| (self.locate)(word)).unwrap_or(Position::START)
    }

    pub(super) fn reword(&self, error: &DataFusionError) -> QueryError {
        match error.find_root() {
            DataFusionError::SchemaError(schema, _) => self.schema(schema),
            DataFusionError::ResourcesExhausted(message) => QueryError::ExceededMemory(first_lines(message)),
            DataFusionError::ArrowError(arrow, _) => arrow_error(arrow),
            DataFusionError::NotImplemented(message) => self.not_implemented(message),
            DataFusionError::Plan(message) => self.plan(message),
            // A wrong argument is called an internal error when several forms of a function were tried.
            DataFusionError::Internal(message) if message.contains("failed to match any signature") => {
                self.plan(&error.strip_backtrace())
            }
            DataFusionError::Execution(message) => execution(message),
            DataFusionError::SQL(parser, _) => super::parse::syntax_error(parser),
            DataFusionError::Collection(all) => match all.first() {
                Some(first) => self.reword(first),
                None => other(&error.strip_backtrace()),
            },
            root => other(&root.strip_backtrace()),
        }
    }

    /// An error of ours that names an operator, at the operator's place.
    pub(super) fn placed(&self, error: QueryError) -> QueryError {
        const BEFORE: &str = "Cannot apply operator: ";
        match &error {
            QueryError::TypeMismatch { message, .. } => {
                let filtered = between(message, FILTER_IS_NO_CONDITION, ")");
                if let Some(position) = filtered.and_then(|actual| self.sites?.filter(actual)) {
                    return QueryError::TypeMismatch { position, message: message.clone() };
                }
                let operation = message.strip_prefix(BEFORE).and_then(split_operator);
                let site = operation.and_then(|(left, op, right)| self.sites?.operator(op, left, right));
                match (operation, site) {
                    (Some((left, op, right)), Some(site)) => {
                        let (left, right) = (site.left.name_or(left), site.right.name_or(right));
                        QueryError::TypeMismatch { position: site.position, message: format!("{BEFORE}{left} {op} {right}") }
                    }
                    _ => self.by_words(error),
                }
            }
            _ => error,
        }
    }

    /// What has no place of its own is where its keyword stands first.
    fn by_words(&self, error: QueryError) -> QueryError {
        match error {
            QueryError::TypeMismatch { position: Position::START, message } => {
                let words: &[&str] = match message.split_whitespace().next() {
                    Some("Cannot") => &["cast", "try_cast"],
                    Some("column") => &["union", "except", "intersect"],
                    _ => &[],
                };
                QueryError::TypeMismatch { position: self.place_of_clause(words), message }
            }
            other => other,
        }
    }

    fn schema(&self, error: &SchemaError) -> QueryError {
        match error {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let column = match &field.relation {
                    Some(relation) => format!("{}.{}", relation.table(), field.name),
                    None => field.name.clone(),
                };
                let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
                let position =
                    field.relation.as_ref().and_then(|_| self.sites?.compound(&column)).unwrap_or_else(|| self.at(&field.name));
                QueryError::ColumnNotFound { position, column, suggestion: nearest(&field.name, &names) }
            }
            SchemaError::AmbiguousReference { field } => {
                QueryError::AmbiguousColumn { position: self.at(&field.name), column: field.name.clone() }
            }
            SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
                QueryError::Analysis {
                    name: "DUPLICATE_COLUMN_NAME",
                    position: self.at(name),
                    message: format!("Column name '{name}' specified more than once"),
                }
            }
        }
    }

    fn not_implemented(&self, message: &str) -> QueryError {
        let text = clean(message);
        if let Some(unknown) = text.strip_prefix("Unsupported SQL type ") {
            let name = unknown.to_lowercase();
            let position = self.at(name.split(['(', ' ']).next().unwrap_or_default());
            return QueryError::Analysis { name: "TYPE_NOT_FOUND", position, message: format!("Unknown type: {name}") };
        }
        QueryError::NotSupported(said(&text, "this form of the statement is not supported"))
    }

    fn plan(&self, message: &str) -> QueryError {
        let text = clean(message);
        if let Some(function) = between(&text, "Invalid function '", "'") {
            if is_window(function) {
                let message = format!("Window function {function} requires an OVER clause");
                return QueryError::Analysis { name: "MISSING_OVER", position: self.at(function), message };
            }
            let suggestion = between(&text, "Did you mean '", "'").and_then(|near| nearest(function, &[near]));
            return QueryError::FunctionNotFound { position: self.at(function), function: function.to_owned(), suggestion };
        }
        if let Some(rest) = text.strip_prefix("table '").and_then(|rest| rest.split('\'').next()) {
            let mut parts = rest.rsplit('.');
            let table = parts.next().unwrap_or_default().to_owned();
            let database = parts.next().unwrap_or_default().to_owned();
            return QueryError::TableNotFound { position: self.at(&table), database, table, suggestion: None };
        }
        if let Some(error) = self.arguments(&text).or_else(|| self.operator(&text)) {
            return error;
        }
        if let Some((name, position, message)) = self.grouping(&text).or_else(|| self.shape(&text)) {
            return QueryError::Analysis { name, position, message };
        }
        if text.contains("could not be cast") || text.starts_with("Can't cast value") || text.starts_with("Cannot cast") {
            return cast_error(&text);
        }
        let lower = text.to_ascii_lowercase();
        let types =
            ["coerce", "coercion", "incompatible", "no function matches", "type signature", "argument type", "type mismatch"];
        let spoken = said(&text, "the types of the expression do not fit together");
        if types.iter().any(|word| lower.contains(word)) {
            return QueryError::TypeMismatch { position: Position::START, message: spoken };
        }
        QueryError::Semantic { position: Position::START, message: said(&text, "the statement cannot be analyzed") }
    }

    /// A function's arguments are of the wrong types, or of the wrong number.
    fn arguments(&self, text: &str) -> Option<QueryError> {
        if let Some(call) = between(text, "given name and argument types '", "'") {
            let (function, types) = call.strip_suffix(')')?.split_once('(')?;
            let types = self.argument_types(function, types);
            let expected = candidates(text, function);
            let expected = if expected.is_empty() { String::new() } else { format!(". Expected: {}", expected.join(", ")) };
            return Some(QueryError::TypeMismatch {
                position: self.at(function),
                message: format!("Unexpected parameters ({types}) for function {function}{expected}"),
            });
        }
        let function = between(text, "unction '", "'").or_else(|| text.strip_prefix('\'')?.split('\'').next())?;
        let counts = ["argument", "zero arguments", "expects ", "expected "];
        if !counts.iter().any(|word| text.contains(word)) {
            return None;
        }
        let message = match self.sites.and_then(|sites| sites.call(function)) {
            Some(types) => format!("Unexpected parameters ({types}) for function {function}"),
            None => format!("Unexpected parameters for function {function}"),
        };
        Some(QueryError::TypeMismatch { position: self.at(function), message })
    }

    /// The types of a call, with the lengths of its literals where the text has them.
    fn argument_types(&self, function: &str, types: &str) -> String {
        let worded: Vec<String> = split_top(types).iter().map(|one| trino_words(one)).collect();
        let written = self.sites.and_then(|sites| sites.call_kinds(function));
        let one = |(index, plain): (usize, String)| match written
            .as_ref()
            .and_then(|kinds| kinds.get(index))
            .and_then(|kind| kind.name())
        {
            Some(literal) => literal,
            None => plain,
        };
        let given = worded.into_iter().enumerate().map(one);
        given.collect::<Vec<_>>().join(", ")
    }

    fn operator(&self, text: &str) -> Option<QueryError> {
        let operation = [
            ("Cannot coerce arithmetic expression ", " to valid types"),
            ("for comparison operation ", ""),
            ("for logical boolean operation ", ""),
            ("for regex operation ", ""),
            ("for bitwise operation ", ""),
            ("for string concat operation ", ""),
            ("argument type for operation ", ""),
            ("for arithmetic operation ", ": "),
            ("for temporal operation ", ": "),
            ("for decimal operation ", ": "),
        ];
        let found = operation.iter().find_map(|(before, after)| {
            let rest = text.split_once(before)?.1;
            Some(if after.is_empty() { rest } else { rest.split(after).next().unwrap_or(rest) })
        })?;
        let (left, op, right) = split_operator(found)?;
        let (left, right) = (trino_words(left), trino_words(right));
        let op = if op == "!=" { "<>" } else { op };
        let site = self.sites.and_then(|sites| sites.operator(op, &left, &right));
        let position = site.as_ref().map_or(Position::START, |site| site.position);
        if op == "AND" || op == "OR" {
            let wrong = if left == "boolean" { right } else { left };
            let message = format!("Logical expression term must evaluate to a boolean (actual: {wrong})");
            return Some(QueryError::TypeMismatch { position, message });
        }
        let (left, right) = match site {
            Some(site) => (site.left.name_or(&left), site.right.name_or(&right)),
            None => (left, right),
        };
        Some(QueryError::TypeMismatch { position, message: format!("Cannot apply operator: {left} {op} {right}") })
    }

    fn grouping(&self, text: &str) -> Option<Known> {
        if !text.contains("must appear in the GROUP BY clause") && !text.contains("must be in GROUP BY") {
            return None;
        }
        if let Some(expr) = between(text, "HAVING clause references: ", " must appear") {
            let name = expr.rsplit('.').next().unwrap_or(expr).trim_matches('"');
            let message = format!("'{}' must be an aggregate expression or appear in GROUP BY clause", plain_expression(expr));
            return Some(("EXPRESSION_NOT_AGGREGATE", self.at(name), message));
        }
        let column = between(text, "column \"", "\"").or_else(|| between(text, "olumn '", "'"))?;
        let name = column.rsplit('.').next().unwrap_or(column).trim_matches('"');
        let message = format!("'{name}' must be an aggregate expression or appear in GROUP BY clause");
        Some(("EXPRESSION_NOT_AGGREGATE", self.at(name), message))
    }

    /// What is wrong with the shape of the statement.
    fn shape(&self, text: &str) -> Option<Known> {
        if text.starts_with("SELECT * with no tables") {
            return Some((
                "COLUMN_NOT_FOUND",
                self.place_of_clause(&["select"]),
                "SELECT * not allowed in queries without FROM clause".into(),
            ));
        }
        if let Some(rest) = text.strip_prefix("Cannot create filter with non-boolean predicate '") {
            let (_, actual) = rest.rsplit_once("' returning ")?;
            return Some((
                "TYPE_MISMATCH",
                self.place_of_clause(&["where", "having", "on"]),
                format!("WHERE clause must evaluate to a boolean: actual type {}", trino_words(actual)),
            ));
        }
        if text.contains("not allowed in the WHERE clause") {
            let message = "WHERE clause cannot contain aggregations, window functions or grouping operations".to_owned();
            return Some(("EXPRESSION_NOT_SCALAR", self.place_of_clause(&["where"]), message));
        }
        if let Some(operation) = text.strip_suffix(" queries have different number of columns") {
            let operation = operation.split_whitespace().next().unwrap_or("UNION").to_uppercase();
            let message = format!("{operation} query has different number of fields");
            return Some(("TYPE_MISMATCH", self.place_of_clause(&[&operation.to_lowercase()]), message));
        }
        if let Some(rest) = text.strip_prefix("Order by column out of bounds, specified: ") {
            let number = rest.split(',').next().unwrap_or_default();
            let message = format!("ORDER BY position {number} is not in select list");
            return Some(("INVALID_COLUMN_REFERENCE", self.place_of_clause(&["order"]), message));
        }
        if text.starts_with("For SELECT DISTINCT, ORDER BY expressions") {
            let message = "For SELECT DISTINCT, ORDER BY expressions must appear in select list".to_owned();
            return Some(("EXPRESSION_NOT_IN_DISTINCT", self.place_of_clause(&["select"]), message));
        }
        if text.starts_with("Order by index starts at 1") {
            return Some((
                "INVALID_COLUMN_REFERENCE",
                self.place_of_clause(&["order"]),
                "ORDER BY position 0 is not in select list".into(),
            ));
        }
        if let Some(number) = between(text, "Cannot find column with position ", " in SELECT") {
            let message = format!("GROUP BY position {number} is not in select list");
            return Some(("INVALID_COLUMN_REFERENCE", self.place_of_clause(&["group"]), message));
        }
        if text.starts_with("Too many columns! The subquery should only return one column") {
            let found = text.rsplit(": ").next().map_or(0, |columns| columns.split(", ").count());
            let message = format!("Multiple columns returned by subquery are not yet supported. Found {found}");
            return Some(("NOT_SUPPORTED", Position::START, message));
        }
        if text.starts_with("Decimal(precision") {
            let precision = between(text, "precision = ", ",").unwrap_or_default();
            let scale = between(text, "scale = ", ")").unwrap_or_default();
            let out = precision.parse::<u32>().is_ok_and(|precision| precision == 0 || precision > 38);
            let message = match out {
                true => format!("DECIMAL precision must be in range [1, 38]: {precision}"),
                false => format!("DECIMAL scale must be in range [0, precision ({precision})]: {scale}"),
            };
            return Some(("INVALID_FUNCTION_ARGUMENT", self.place_of_clause(&["decimal"]), message));
        }
        if let Some(window) = between(text, "The window ", " is not defined") {
            let window = window.trim_matches('"');
            return Some(("INVALID_WINDOW_REFERENCE", self.at(window), format!("Cannot resolve WINDOW name {window}")));
        }
        None
    }
}

/// Whether it is a function that is a window's alone.
fn is_window(function: &str) -> bool {
    let windows = datafusion::functions_window::all_default_window_functions();
    windows.iter().any(|window| window.name() == function)
}

/// What a candidate of the engine's says, where it is all types that Trino has.
fn candidates(text: &str, function: &str) -> Vec<String> {
    let Some((_, list)) = text.split_once("Candidate functions:") else { return Vec::new() };
    let mut all: Vec<String> = Vec::new();
    for line in list.lines().map(str::trim).filter(|line| line.starts_with(function)) {
        let worded = trino_words(line);
        let clear = worded
            .strip_prefix(function)
            .is_some_and(|types| types.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "(), ".contains(c)));
        if clear && !all.contains(&worded) {
            all.push(worded);
        }
    }
    all.truncate(8);
    all
}

fn plain_expression(expr: &str) -> String {
    trino_words(expr)
}

/// `L op R` with one operator that stands outside of parentheses.
fn split_operator(text: &str) -> Option<(&str, &str, &str)> {
    const OPERATORS: &[&str] = &[
        "IS NOT DISTINCT FROM",
        "IS DISTINCT FROM",
        "AND",
        "OR",
        "||",
        "<>",
        "!=",
        "<=",
        ">=",
        "<",
        ">",
        "=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&",
        "|",
        "^",
        "~",
        "!~",
    ];
    let mut depth = 0_i32;
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 => {
                let rest = &text[index + 1..];
                let op = OPERATORS.iter().find(|op| rest.strip_prefix(**op).is_some_and(|after| after.starts_with(' ')));
                if let Some(op) = op {
                    return Some((&text[..index], op, rest[op.len()..].trim()));
                }
            }
            _ => {}
        }
    }
    None
}

/// Splits at the commas that stand outside of parentheses.
pub(super) fn split_top(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (index, character) in text.char_indices() {
        match character {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() || !parts.is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}
