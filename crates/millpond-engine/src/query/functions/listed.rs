//! Which of Trino's functions there are, with their forms: what `SHOW FUNCTIONS` and the page of functions list.

use super::{aggregate, groups, lambda};
use std::collections::{BTreeMap, BTreeSet};

/// Functions that the planner, or DataFusion under the same or another name, has as Trino has them.
const ELSEWHERE: &[(&str, &[(&str, &str)])] = &[
    (
        "Aggregate",
        &[
            ("any_value", "(T) -> T"),
            ("approx_distinct", "(T) -> bigint; (T, double) -> bigint"),
            ("arbitrary", "(T) -> T"),
            ("array_agg", "(T [ORDER BY …]) -> array(T)"),
            ("avg", "(number) -> double"),
            ("bitwise_and_agg", "(bigint) -> bigint"),
            ("bitwise_or_agg", "(bigint) -> bigint"),
            ("bitwise_xor_agg", "(bigint) -> bigint"),
            ("bool_and", "(boolean) -> boolean"),
            ("bool_or", "(boolean) -> boolean"),
            ("corr", "(double, double) -> double"),
            ("count", "(*) -> bigint; (T) -> bigint"),
            ("count_if", "(boolean) -> bigint"),
            ("covar_pop", "(double, double) -> double"),
            ("covar_samp", "(double, double) -> double"),
            ("every", "(boolean) -> boolean"),
            ("listagg", "(varchar, varchar) WITHIN GROUP (ORDER BY …) -> varchar"),
            ("max", "(T) -> T"),
            ("min", "(T) -> T"),
            ("reduce_agg", "(T, S, (S, T) -> S, (S, S) -> S) -> S"),
            ("regr_intercept", "(double, double) -> double"),
            ("regr_slope", "(double, double) -> double"),
            ("stddev", "(double) -> double"),
            ("stddev_pop", "(double) -> double"),
            ("stddev_samp", "(double) -> double"),
            ("sum", "(number) -> number"),
            ("var_pop", "(double) -> double"),
            ("var_samp", "(double) -> double"),
            ("variance", "(double) -> double"),
        ],
    ),
    (
        "Conditional",
        &[("if", "(boolean, T[, T]) -> T"), ("coalesce", "(T, T...) -> T"), ("nullif", "(T, T) -> T"), ("try", "(T) -> T")],
    ),
    ("Conversion", &[("cast", "(T AS type) -> type"), ("try_cast", "(T AS type) -> type")]),
    (
        "Date and time",
        &[
            ("current_date", "date"),
            ("current_timestamp", "timestamp(3) with time zone"),
            ("date", "(varchar) -> date; (timestamp(3)) -> date"),
            ("date_trunc", "(varchar, T) -> T"),
            ("extract", "(field FROM T) -> bigint"),
            ("now", "() -> timestamp(3) with time zone"),
        ],
    ),
    ("Mathematical", &[("mod", "(number, number) -> number")]),
    (
        "Window",
        &[
            ("cume_dist", "() -> double"),
            ("dense_rank", "() -> bigint"),
            ("first_value", "(T) -> T"),
            ("grouping", "(column, …) -> bigint"),
            ("lag", "(T[, bigint[, T]]) -> T"),
            ("last_value", "(T) -> T"),
            ("lead", "(T[, bigint[, T]]) -> T"),
            ("nth_value", "(T, bigint) -> T"),
            ("ntile", "(bigint) -> bigint"),
            ("percent_rank", "() -> double"),
            ("rank", "() -> bigint"),
            ("row_number", "() -> bigint"),
        ],
    ),
    ("Session", &[("version", "() -> varchar")]),
];

/// Entries that are other functions' insides.
const INTERNAL: &[&str] = &[
    "btrim",
    "subscript",
    "try_date_parse",
    "try_from_iso8601_date",
    "try_from_iso8601_timestamp",
    "try_json_parse",
    "json_item",
    "json_format_item",
    "listagg_of",
];

/// The name by which users call it.
fn shown(name: &str) -> &str {
    match name {
        "array_sort_by" => "array_sort",
        "regexp_replace_by" => "regexp_replace",
        "empty_map" => "map",
        "max_n" => "max",
        "min_n" => "min",
        "json_exists_by" => "json_exists",
        "json_value_by" => "json_value",
        "json_query_by" => "json_query",
        "json_object_of" => "json_object",
        "json_array_of" => "json_array",
        other => other,
    }
}

/// Group, name, forms.
pub(crate) type Catalog = BTreeMap<&'static str, BTreeMap<String, Vec<String>>>;

/// All functions that users may call.
pub(crate) fn present() -> Catalog {
    let mut catalog = Catalog::new();
    let mut add = |group: &'static str, name: &str, forms: &[&str]| {
        if !INTERNAL.contains(&name) {
            let entry = catalog.entry(group).or_default().entry(shown(name).to_owned()).or_default();
            // Clauses follow what stands in the forms.
            let clauses = name.starts_with("json_") && (name.ends_with("_by") || name.ends_with("_of"));
            let forms = if clauses { &["(…) with the clauses of SQL/JSON"][..] } else { forms };
            entry.extend(forms.iter().map(|form| (*form).to_owned()));
        }
    };
    for (group, functions) in ELSEWHERE {
        functions.iter().for_each(|(name, forms)| add(group, name, &forms.split("; ").collect::<Vec<_>>()));
    }
    for (group, functions) in groups() {
        functions.iter().for_each(|function| add(group, function.name, function.forms));
    }
    aggregate::functions().iter().for_each(|function| add("Aggregate", function.name, function.forms));
    for function in lambda::functions() {
        let group = match function.name {
            "map_filter" | "transform_keys" | "transform_values" | "map_zip_with" => "Map",
            "regexp_replace_by" => "Regular expression",
            _ => "Array",
        };
        add(group, function.name, function.forms);
    }
    catalog
}

/// The columns of `SHOW FUNCTIONS` (Trino documentation, "SHOW FUNCTIONS").
const COLUMNS: [&str; 6] = ["Function", "Return Type", "Argument Types", "Function Type", "Deterministic", "Description"];

/// The query whose result is that of `SHOW FUNCTIONS`: those whose name `wanted` takes, a row for each of their forms.
pub(crate) fn show_functions(wanted: impl Fn(&str) -> bool) -> String {
    let volatile: BTreeSet<&str> =
        groups().iter().flat_map(|(_, functions)| functions).filter(|function| function.volatile).map(|one| one.name).collect();
    let mut rows: Vec<[String; 6]> = Vec::new();
    for (group, functions) in present() {
        let kind = match group {
            "Aggregate" => "aggregate",
            "Window" => "window",
            _ => "scalar",
        };
        for (name, forms) in functions.into_iter().filter(|(name, _)| wanted(name)) {
            for form in forms {
                let (arguments, returns) = form.rsplit_once(" -> ").unwrap_or(("", &form));
                let arguments = arguments.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(arguments);
                let deterministic = (!volatile.contains(name.as_str())).to_string();
                rows.push([name.clone(), returns.to_owned(), arguments.to_owned(), kind.into(), deterministic, group.into()]);
            }
        }
    }
    rows.sort();
    let named: Vec<String> = COLUMNS.iter().map(|name| format!("\"{name}\"")).collect();
    let text = |value: &String| format!("'{}'", value.replace('\'', "''"));
    let row = |row: &[String; 6]| {
        let [name, returns, arguments, kind, deterministic, description] = row;
        let texts = [name, returns, arguments, kind].map(text).join(", ");
        format!("({texts}, {deterministic}, {})", text(description))
    };
    let some = !rows.is_empty();
    if !some {
        rows.push(["", "", "", "", "true", ""].map(str::to_owned));
    }
    let values: Vec<String> = rows.iter().map(row).collect();
    let columns = named.join(", ");
    format!("SELECT {columns} FROM (VALUES {}) AS functions ({columns}) WHERE {some}", values.join(", "))
}
