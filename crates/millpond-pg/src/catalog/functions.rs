//! PostgreSQL's functions about its catalog that `datafusion-pg-catalog` does not have, or not about a lake (PostgreSQL documentation, "System
//! Information Functions and Operators").

use super::relations::{Relations, Snapshot};
use crate::portal::named;
use crate::settings::Session;
use crate::text::quote_name;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Functions that are told about the lake, which must have been read when they run.
pub(super) const OF_LAKE: &[&str] = &[
    "col_description",
    "obj_description",
    "pg_get_viewdef",
    "pg_table_is_visible",
    REGCLASS_NAME,
    REGCLASS_NUMBER,
    "to_regclass",
];

/// What `oid::regclass::text` and `'name'::regclass` are rewritten to.
pub(super) const REGCLASS_NAME: &str = "regclass_name";
pub(super) const REGCLASS_NUMBER: &str = "regclass_number";

/// Whether something of a kind is found by its name alone: what is not a table always is.
const TRUE: &[&str] = &[
    "has_column_privilege",
    "has_function_privilege",
    "has_sequence_privilege",
    "has_type_privilege",
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_function_is_visible",
    "pg_has_role",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_statistics_obj_is_visible",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_type_is_visible",
];

const FALSE: &[&str] = &["pg_is_in_recovery", "pg_is_other_temp_schema"];

/// Texts about what a lake never has, or does not tell.
const NULL_TEXTS: &[&str] = &[
    "inet_client_addr",
    "inet_server_addr",
    "pg_get_expr",
    "pg_get_function_arg_default",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partition_constraintdef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_triggerdef",
    "pg_tablespace_location",
    "shobj_description",
];

/// Sizes, which the catalog does not know: the objects of a table are S3's.
const NULL_NUMBERS: &[&str] =
    &["pg_database_size", "pg_indexes_size", "pg_relation_size", "pg_table_size", "pg_tablespace_size", "pg_total_relation_size"];

type Body = dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync;

/// A function of arrays as long as each other.
#[derive(Clone)]
struct Function {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    body: Arc<Body>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.body, &other.body)
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let scalars = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays =
            args.args.iter().map(|argument| argument.to_array(if scalars { 1 } else { rows })).collect::<Result<Vec<_>>>()?;
        match scalars {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&(self.body)(&arrays, 1)?, 0)?)),
            false => Ok(ColumnarValue::Array((self.body)(&arrays, rows)?)),
        }
    }
}

/// A function that takes whatever it is given; `body` casts it.
fn function(
    name: &'static str,
    returns: DataType,
    body: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    let forms = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    let signature = Signature::new(TypeSignature::OneOf(forms), Volatility::Stable);
    ScalarUDF::from(Function { name, signature, returns, body: Arc::new(body) })
}

/// The same whatever it is asked.
fn constant(name: &'static str, value: ScalarValue) -> ScalarUDF {
    function(name, value.data_type(), move |_, rows| value.to_array_of_size(rows))
}

fn argument(arguments: &[ArrayRef], place: usize, as_type: &DataType) -> Result<ArrayRef> {
    let given = arguments.get(place).ok_or_else(|| plan_datafusion_err!("a function of the catalog has too few arguments"))?;
    Ok(cast(given, as_type)?)
}

/// A text about a relation, from its number and the rest of the arguments in the same row.
fn about_relation(
    name: &'static str,
    relations: &Arc<Relations>,
    about: impl Fn(&Snapshot, i32, Option<ArrayRef>) -> Option<String> + Send + Sync + 'static,
) -> ScalarUDF {
    let relations = Arc::clone(relations);
    function(name, DataType::Utf8, move |arguments, rows| {
        let oids = argument(arguments, 0, &DataType::Int32)?;
        let oids = oids.as_primitive::<Int32Type>();
        let snapshot = loaded(&relations)?;
        let more = |row: usize| arguments.get(1).map(|array| array.slice(row, 1));
        let one = |row: usize| if oids.is_null(row) { None } else { about(snapshot, oids.value(row), more(row)) };
        Ok(Arc::new((0..rows).map(one).collect::<StringArray>()))
    })
}

fn loaded(relations: &Relations) -> Result<&Snapshot> {
    relations.loaded().ok_or_else(|| internal_datafusion_err!("the lake was not read before a function about it"))
}

/// The functions of a statement of `session`.
pub(super) fn functions(session: &Session, relations: &Arc<Relations>) -> Vec<ScalarUDF> {
    let text = |value: String| ScalarValue::from(value);
    let version = session.get("server_version").unwrap_or_default();
    let mut all = vec![
        constant("current_schema", text(session.database.clone())),
        constant("current_user", text(session.user.clone())),
        constant("pg_client_encoding", text("UTF8".to_owned())),
        constant("pg_get_userbyid", text(session.user.clone())),
        constant("pg_my_temp_schema", ScalarValue::from(0_i32)),
        constant("session_user", text(session.user.clone())),
        constant("version", text(format!("PostgreSQL {version}"))),
        current_schemas(session),
        current_setting(session.clone()),
        to_regtype(),
        pg_size_pretty(),
        pg_table_is_visible(session.database.clone(), Arc::clone(relations)),
        regclass("to_regclass", session.database.clone(), Arc::clone(relations), false),
        regclass(REGCLASS_NUMBER, session.database.clone(), Arc::clone(relations), true),
        about_relation(REGCLASS_NAME, relations, {
            let database = session.database.clone();
            move |lake, oid, _| Some(lake.name(oid, &database).unwrap_or_else(|| oid.to_string()))
        }),
        about_relation("pg_get_viewdef", relations, |lake, oid, _| lake.view(oid).map(str::to_owned)),
        about_relation("obj_description", relations, |lake, oid, of| {
            let of = of.and_then(|of| cast(&of, &DataType::Utf8).ok());
            let of = of.as_ref().map(|of| of.as_string::<i32>().value(0));
            lake.comment(oid, of).map(str::to_owned)
        }),
        about_relation("col_description", relations, |lake, oid, number| {
            let number = cast(&number?, &DataType::Int32).ok()?;
            lake.column_comment(oid, number.as_primitive::<Int32Type>().value(0)).map(str::to_owned)
        }),
    ];
    all.extend(TRUE.iter().map(|name| constant(name, ScalarValue::from(true))));
    all.extend(FALSE.iter().map(|name| constant(name, ScalarValue::from(false))));
    all.extend(NULL_TEXTS.iter().map(|name| constant(name, ScalarValue::Utf8(None))));
    all.extend(NULL_NUMBERS.iter().map(|name| constant(name, ScalarValue::Int64(None))));
    all
}

/// `current_schemas(include_implicit)`
fn current_schemas(session: &Session) -> ScalarUDF {
    let field = Arc::new(Field::new("item", DataType::Utf8, true));
    let schema = session.database.clone();
    let list = DataType::List(Arc::clone(&field));
    function("current_schemas", list, move |arguments, _| {
        let implicit = argument(arguments, 0, &DataType::Boolean)?;
        let lists = implicit.as_boolean().iter().map(|implicit| match implicit {
            Some(true) => vec!["pg_catalog", schema.as_str()],
            _ => vec![schema.as_str()],
        });
        let lists: Vec<Vec<&str>> = lists.collect();
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
        let names: ArrayRef = Arc::new(StringArray::from(lists.concat()));
        Ok(Arc::new(ListArray::try_new(Arc::clone(&field), offsets, names, None)?))
    })
}

/// `to_regtype('name')`: the type's number; NULL where there is none, which is how clients ask for extensions.
fn to_regtype() -> ScalarUDF {
    function("to_regtype", DataType::Int32, |arguments, _| {
        let names = argument(arguments, 0, &DataType::Utf8)?;
        let oid = |name: &str| named(name).map(|kind| kind.oid().cast_signed());
        Ok(Arc::new(names.as_string::<i32>().iter().map(|name| name.and_then(oid)).collect::<Int32Array>()))
    })
}

/// `current_setting('name' [, missing_ok])`: NULL for one that there is not.
fn current_setting(session: Session) -> ScalarUDF {
    function("current_setting", DataType::Utf8, move |arguments, _| {
        let names = argument(arguments, 0, &DataType::Utf8)?;
        let values = names.as_string::<i32>().iter().map(|name| name.and_then(|name| session.get(name)));
        Ok(Arc::new(values.collect::<StringArray>()))
    })
}

/// `pg_table_is_visible(oid)`: NULL where there is no such relation.
fn pg_table_is_visible(database: String, relations: Arc<Relations>) -> ScalarUDF {
    function("pg_table_is_visible", DataType::Boolean, move |arguments, _| {
        let oids = argument(arguments, 0, &DataType::Int32)?;
        let lake = loaded(&relations)?;
        let visible = oids.as_primitive::<Int32Type>().iter().map(|oid| oid.and_then(|oid| lake.is_visible(oid, &database)));
        Ok(Arc::new(visible.collect::<BooleanArray>()))
    })
}

/// The number of the relation that a text names, which may be a number too; `must` there be one.
fn regclass(name: &'static str, database: String, relations: Arc<Relations>, must: bool) -> ScalarUDF {
    function(name, DataType::Int32, move |arguments, _| {
        let names = argument(arguments, 0, &DataType::Utf8)?;
        let lake = loaded(&relations)?;
        let numbers = names.as_string::<i32>().iter().map(|name| {
            let Some(name) = name else { return Ok(None) };
            let found = name.parse().ok().or_else(|| lake.find(name, &database));
            match found {
                None if must => plan_err!("relation {} does not exist", quote_name(name)),
                found => Ok(found),
            }
        });
        Ok(Arc::new(numbers.collect::<Result<Int32Array>>()?))
    })
}

/// `pg_size_pretty(bytes)`
fn pg_size_pretty() -> ScalarUDF {
    function("pg_size_pretty", DataType::Utf8, |arguments, _| {
        let sizes = argument(arguments, 0, &DataType::Int64)?;
        let shown = sizes.as_primitive::<Int64Type>().iter().map(|size| size.map(pretty));
        Ok(Arc::new(shown.collect::<StringArray>()))
    })
}

/// Whole numbers, in the first unit in which there are less than 10,240 of them (PostgreSQL documentation, `pg_size_pretty`).
fn pretty(size: i64) -> String {
    let (mut number, mut unit) = (i128::from(size), "bytes");
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if number.abs() < 10_240 {
            break;
        }
        (number, unit) = ((number + number.signum() * 512) / 1024, next);
    }
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_their_unit() {
        let check = |size: i64, expected: &str| assert_eq!(pretty(size), expected);
        check(0, "0 bytes");
        check(10_239, "10239 bytes");
        check(10_240, "10 kB");
        check(-20_000, "-20 kB");
        check(i64::MAX, "8192 PB");
    }
}
