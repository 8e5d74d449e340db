//! Rewrites of the syntax tree: Trino's functions in terms of those that the planner knows, parameters, and result names.

use super::error::{Position, QueryError};
use super::parse::{self, Names, parse_expression, position};
use crate::scan::Hidden;
use datafusion::common::DFSchema;
use datafusion::sql::sqlparser::ast::{
    self, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, LimitClause, ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// In names that the planner needs to be unique: what stands after it is not shown.
pub(super) const MARK: char = '\u{1}';

/// Replaces each `?` by its parameter, in the order of the text.
///
/// # Errors
/// There are more or fewer parameters than `?`, or one is not a literal.
pub(crate) fn bind_parameters(query: &mut Query, parameters: &[String]) -> Result<(), QueryError> {
    let mut places = Placeholders(Vec::new());
    let _ = Visit::visit(query, &mut places);
    let mut places = places.0;
    places.sort_unstable();
    if places.len() != parameters.len() {
        return Err(QueryError::Semantic {
            position: Position::START,
            message: format!("Incorrect number of parameters: expected {} but found {}", places.len(), parameters.len()),
        });
    }
    if places.is_empty() {
        return Ok(());
    }
    let mut values = Vec::with_capacity(parameters.len());
    for (index, text) in parameters.iter().enumerate() {
        let wrong = |why: String| QueryError::Semantic {
            position: Position::START,
            message: format!("execution parameter {} ({text}) {why}", index + 1),
        };
        let value = parse_expression(text).map_err(|error| wrong(format!("is not a SQL literal: {error}")))?;
        if !is_literal(&value) {
            return Err(wrong("is not a SQL literal; texts stand in single quotes: 'text'".into()));
        }
        values.push(value);
    }
    let _ = VisitMut::visit(query, &mut Bind { places, values });
    Ok(())
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
        Expr::TypedString(_) | Expr::Interval(_) => true,
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) | Expr::Cast { expr, .. } => is_literal(expr),
        Expr::Array(array) => array.elem.iter().all(is_literal),
        _ => false,
    }
}

struct Placeholders(Vec<(u64, u64)>);

impl Visitor for Placeholders {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Some(place) = placeholder(expr) {
            self.0.push(place);
        }
        ControlFlow::Continue(())
    }
}

fn placeholder(expr: &Expr) -> Option<(u64, u64)> {
    match expr {
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
            Some((value.span.start.line, value.span.start.column))
        }
        _ => None,
    }
}

struct Bind {
    places: Vec<(u64, u64)>,
    values: Vec<Expr>,
}

impl VisitorMut for Bind {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(place) = placeholder(expr)
            && let Ok(index) = self.places.binary_search(&place)
        {
            *expr = self.values[index].clone();
        }
        ControlFlow::Continue(())
    }
}

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
pub(crate) fn rewrite(query: &mut Query, names: &Names, hidden: &Hidden) -> Result<Outputs, QueryError> {
    let outputs = outputs(query, names);
    let ctes = cte_names(query);
    match VisitMut::visit(query, &mut Rewriter { hidden, ctes }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(outputs),
    }
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
    ctes: HashSet<String>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        // FETCH FIRST n ROWS ONLY is LIMIT n.
        if let Some(fetch) = query.fetch.take() {
            if fetch.with_ties || fetch.percent {
                return ControlFlow::Break(QueryError::NotSupported(
                    "FETCH FIRST … WITH TIES; use LIMIT, or a rank() over the order".into(),
                ));
            }
            let one = || Expr::value(Value::Number("1".into(), false));
            let limit = Some(fetch.quantity.unwrap_or_else(one));
            query.limit_clause = Some(match query.limit_clause.take() {
                Some(LimitClause::LimitOffset { offset, limit_by, .. }) => LimitClause::LimitOffset { limit, offset, limit_by },
                _ => LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() },
            });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        if !select.lateral_views.is_empty() {
            return ControlFlow::Break(QueryError::NotSupported("LATERAL VIEW; use CROSS JOIN UNNEST(column) AS t(name)".into()));
        }
        self.hide(select);
        name_items(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        match factor {
            // Not said to be unknown by the planner, which would leave it out.
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                ControlFlow::Break(QueryError::NotSupported("TABLESAMPLE; use WHERE random() < fraction".into()))
            }
            TableFactor::Table { version: Some(_), .. } => {
                ControlFlow::Break(QueryError::NotSupported("FOR TIMESTAMP AS OF and FOR VERSION AS OF (Iceberg tables)".into()))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        let rewritten = match expr {
            Expr::AtTimeZone { timestamp, time_zone } => Some(at_time_zone(timestamp, time_zone)),
            Expr::Function(function) => function_call(function),
            // A number with an exponent is a double in Trino, without one a decimal.
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) if digits.contains(['e', 'E']) => {
                    Some(template("CAST('$1' AS DOUBLE)", std::slice::from_ref(digits)))
                }
                _ => None,
            },
            // A text that is longer than its type is cut.
            Expr::Cast { kind: ast::CastKind::Cast, expr: input, data_type: ast::DataType::Varchar(Some(length)), .. } => {
                match length {
                    ast::CharacterLength::IntegerLength { length, .. } => {
                        Some(template("substr(CAST($1 AS VARCHAR), 1, $2)", &[input.to_string(), length.to_string()]))
                    }
                    ast::CharacterLength::Max => None,
                }
            }
            // Trino's fields are bigint.
            Expr::Extract { field, expr: input, .. } => {
                Some(template("CAST(date_part('$1', $2) AS BIGINT)", &[extract_field(&field.to_string()), input.to_string()]))
            }
            _ => return ControlFlow::Continue(()),
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
    ("bitwise_and", 2, "(($1) & ($2))"),
    ("bitwise_or", 2, "(($1) | ($2))"),
    ("bitwise_xor", 2, "(($1) # ($2))"),
    ("contains", 2, "array_has($1, $2)"),
    ("element_at", 2, "($1)[$2]"),
    ("last_day_of_month", 1, "CAST(date_trunc('month', $1) + INTERVAL '1' MONTH - INTERVAL '1' DAY AS DATE)"),
    ("millisecond", 1, "CAST(date_part('millisecond', $1) AS BIGINT) % 1000"),
    ("to_utf8", 1, "CAST($1 AS VARBINARY)"),
    ("from_utf8", 1, "CAST($1 AS VARCHAR)"),
    ("sequence", 2, "generate_series($1, $2)"),
    ("sequence", 3, "generate_series($1, $2, $3)"),
    ("split", 2, "string_to_array($1, $2)"),
    ("array_join", 2, "array_to_string($1, $2)"),
    ("array_join", 3, "array_to_string($1, $2, $3)"),
];

/// Trino's names for functions that are otherwise the same.
const RENAMED: &[(&str, &str)] = &[
    ("ceiling", "ceil"),
    ("sign", "signum"),
    ("truncate", "trunc"),
    ("pow", "power"),
    ("is_nan", "isnan"),
    ("levenshtein_distance", "levenshtein"),
    ("rand", "random"),
    ("every", "bool_and"),
    ("stddev_samp", "stddev"),
    ("variance", "var_samp"),
    ("codepoint", "ascii"),
    ("transform", "array_transform"),
    ("filter", "array_filter"),
    ("bitwise_and_agg", "bit_and"),
    ("bitwise_or_agg", "bit_or"),
];

fn function_call(function: &mut Function) -> Option<Result<Expr, QueryError>> {
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
fn at_time_zone(timestamp: &Expr, zone: &Expr) -> Result<Expr, QueryError> {
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

fn template(text: &str, arguments: &[String]) -> Result<Expr, QueryError> {
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

fn extract_field(field: &str) -> String {
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
    function.filter = Some(Box::new(parse::parse_expression(&condition)?));
    Ok(())
}
