//! From a query's columns to a table's: which types there are, which may be put into which, and the casts.

use super::Target;
use super::assign::{assignable, assigned};
use crate::query::{Position, QueryError};
use crate::types::{HiveType, TrinoType};
use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use millpond_core::catalog::Column;
use std::sync::Arc;

/// A refusal by Trino's name of it.
pub(super) fn refused(name: &'static str, message: impl Into<String>) -> QueryError {
    QueryError::Table { name, message: message.into() }
}

/// The columns of a table (or of files) that a query's output becomes. `named`: whether each must have been given a name.
///
/// # Errors
/// A column without a name, two of one name, a type that Hive's tables do not have: in Athena's words.
pub fn new_columns(schema: &Schema, named: bool) -> Result<Vec<Column>, QueryError> {
    let at = Position::START;
    let mut columns: Vec<Column> = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let name = field.name().to_lowercase();
        if named && name == format!("_col{index}") {
            let message = format!("{at}: Column name not specified at position {}", index + 1);
            return Err(refused("MISSING_COLUMN_NAME", message));
        }
        if columns.iter().any(|column| column.name == name) {
            return Err(refused("DUPLICATE_COLUMN_NAME", format!("{at}: Column name '{name}' specified more than once")));
        }
        let trino = TrinoType::of_field(field);
        if trino == TrinoType::Unknown {
            let message = format!("{at}: Column type is unknown at position {}", index + 1);
            return Err(refused("COLUMN_TYPE_UNKNOWN", message));
        }
        columns.push(Column::new(name, hive_type(&trino)?.to_string()));
    }
    Ok(columns)
}

/// The longest `varchar` with a length in Hive.
const VARCHAR_MAX: u32 = 65_535;

/// The Hive type for values of a type of Trino's.
fn hive_type(trino: &TrinoType) -> Result<HiveType, QueryError> {
    Ok(match trino {
        TrinoType::Boolean => HiveType::Boolean,
        TrinoType::TinyInt => HiveType::TinyInt,
        TrinoType::SmallInt => HiveType::SmallInt,
        TrinoType::Integer => HiveType::Int,
        TrinoType::BigInt => HiveType::BigInt,
        TrinoType::Real => HiveType::Float,
        TrinoType::Double => HiveType::Double,
        TrinoType::Decimal(precision, scale) => HiveType::Decimal(*precision, *scale),
        TrinoType::Varchar(Some(length)) if (1..=VARCHAR_MAX).contains(length) => HiveType::Varchar(*length),
        TrinoType::Varchar(_) => HiveType::String,
        TrinoType::Char(length) => HiveType::Char(*length),
        TrinoType::Varbinary => HiveType::Binary,
        TrinoType::Date => HiveType::Date,
        TrinoType::Timestamp(_) => HiveType::Timestamp,
        TrinoType::Array(item) => HiveType::Array(Box::new(hive_type(item)?)),
        TrinoType::Map(key, value) => HiveType::Map(Box::new(hive_type(key)?), Box::new(hive_type(value)?)),
        TrinoType::Row(fields) => {
            let field = |(name, field): &(Option<String>, TrinoType)| {
                let name = name.as_ref().ok_or_else(|| {
                    QueryError::NotSupported(format!(
                        "Anonymous row type is not supported in Hive. Please give each field a name: {trino}"
                    ))
                });
                Ok::<_, QueryError>((name?.to_lowercase(), hive_type(field)?))
            };
            HiveType::Struct(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        TrinoType::Unknown
        | TrinoType::Time(_)
        | TrinoType::TimeWithZone(_)
        | TrinoType::TimestampWithZone(_)
        | TrinoType::IntervalYearToMonth
        | TrinoType::IntervalDayToSecond
        | TrinoType::Json
        | TrinoType::Uuid
        | TrinoType::IpAddress => return Err(QueryError::NotSupported(format!("Unsupported Hive type: {trino}"))),
    })
}

/// Checks that a query's columns can be put into a table's, one after another (Trino's `INSERT`).
///
/// # Errors
/// Their number is another, or one needs a cast: `TYPE_MISMATCH` with the types of both.
pub fn check_insert(schema: &Schema, columns: &[&Column]) -> Result<(), QueryError> {
    let parse = |column: &&Column| {
        HiveType::parse(&column.data_type)
            .map_err(|error| QueryError::InvalidMetadata(format!("column '{}': {error}", column.name)))
    };
    let table = columns.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let table: Vec<TrinoType> = table.iter().map(TrinoType::of_hive).collect();
    let query: Vec<TrinoType> = schema.fields().iter().map(|field| TrinoType::of_field(field)).collect();
    if table.len() == query.len() && query.iter().zip(&table).all(|(from, to)| assignable(from, to)) {
        return Ok(());
    }
    let list = |types: &[TrinoType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let message = format!("Insert query has mismatched column types: Table: [{}], Query: [{}]", list(&table), list(&query));
    Err(QueryError::TypeMismatch { position: Position::START, message })
}

/// Brings a query's batches into the form of a target's files: its columns, then its keys.
#[derive(Debug)]
pub(super) struct Conform {
    /// Of the columns alone.
    pub(super) files: SchemaRef,
    all: SchemaRef,
    types: Vec<HiveType>,
    sources: Vec<Option<usize>>,
}

impl Conform {
    pub(super) fn new(target: &Target) -> Result<Self, QueryError> {
        let parse = |column: &Column| {
            HiveType::parse(&column.data_type)
                .map_err(|error| QueryError::InvalidMetadata(format!("column '{}': {error}", column.name)))
        };
        let columns = target.columns.iter().chain(&target.keys);
        let types = columns.clone().map(parse).collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<Field> =
            columns.zip(&types).map(|(column, data_type)| Field::new(&column.name, data_type.to_arrow(), true)).collect();
        let files = Arc::new(Schema::new(fields[..target.columns.len()].to_vec()));
        Ok(Self { files, all: Arc::new(Schema::new(fields)), types, sources: target.sources.clone() })
    }

    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let column = |((source, data_type), field): ((&Option<usize>, &HiveType), &Arc<Field>)| match source {
            Some(place) => converted(batch.column(*place), data_type, field),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        };
        let columns = self.sources.iter().zip(&self.types).zip(self.all.fields()).map(column);
        let columns = columns.collect::<Result<Vec<_>, QueryError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.all), columns, &options)
            .map_err(|error| QueryError::Internal(format!("rows do not fit the table: {error}")))
    }
}

fn converted(array: &ArrayRef, hive: &HiveType, to: &Field) -> Result<ArrayRef, QueryError> {
    let wrong = |error: ArrowError| QueryError::InvalidCast(format!("column '{}': {error}", to.name()));
    let array = assigned(array, to.data_type()).map_err(wrong)?;
    match hive {
        HiveType::Varchar(length) | HiveType::Char(length) => bounded(&array, *length as usize),
        nested if has_bounded(nested) => check_inside(&array, nested).map(|()| array),
        _ => Ok(array),
    }
}

/// Whether texts of a type have a greatest length.
fn has_bounded(hive: &HiveType) -> bool {
    match hive {
        HiveType::Varchar(_) | HiveType::Char(_) => true,
        HiveType::Array(item) => has_bounded(item),
        HiveType::Map(key, value) => has_bounded(key) || has_bounded(value),
        HiveType::Struct(fields) => fields.iter().any(|(_, field)| has_bounded(field)),
        _ => false,
    }
}

/// Refuses texts inside of arrays, maps and rows that are longer than the column's. What lies below a NULL is not there.
fn check_inside(array: &ArrayRef, hive: &HiveType) -> Result<(), QueryError> {
    if array.null_count() > 0 {
        let there = arrow::compute::is_not_null(array).and_then(|there| arrow::compute::filter(array, &there));
        return check_inside(&there.map_err(|error| QueryError::Internal(error.to_string()))?, hive);
    }
    let shown = |values: &ArrayRef, offsets: &[i32]| match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => values.slice(*first as usize, (last - first) as usize),
        _ => values.slice(0, 0),
    };
    match hive {
        HiveType::Varchar(length) | HiveType::Char(length) => bounded(array, *length as usize).map(drop),
        HiveType::Array(item) => {
            let lists = array.as_list::<i32>();
            check_inside(&shown(lists.values(), lists.value_offsets()), item)
        }
        HiveType::Map(key, value) => {
            let maps = array.as_map();
            check_inside(&shown(maps.keys(), maps.value_offsets()), key)?;
            check_inside(&shown(maps.values(), maps.value_offsets()), value)
        }
        HiveType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            columns.into_iter().try_for_each(|(column, (_, field))| check_inside(column, field))
        }
        _ => Ok(()),
    }
}

/// Texts of at most so many characters; blanks beyond are cut.
fn bounded(array: &ArrayRef, length: usize) -> Result<ArrayRef, QueryError> {
    let texts = array.as_string::<i32>();
    let end = |text: &str| text.char_indices().nth(length).map(|(end, _)| end);
    let longest = |text: Option<&str>| text.is_some_and(|text| text.len() > length && end(text).is_some());
    if !texts.iter().any(longest) {
        return Ok(Arc::clone(array));
    }
    let cut = |text: Option<&str>| -> Result<Option<String>, QueryError> {
        let Some(text) = text else { return Ok(None) };
        match end(text) {
            Some(end) if text[end..].chars().any(|c| c != ' ') => Err(QueryError::InvalidCast(format!(
                "Cannot truncate non-space characters when casting from varchar to varchar({length}) on INSERT: '{}…'",
                &text[..end]
            ))),
            Some(end) => Ok(Some(text[..end].to_owned())),
            None => Ok(Some(text.to_owned())),
        }
    };
    let texts: StringArray = texts.iter().map(cut).collect::<Result<_, _>>()?;
    Ok(Arc::new(texts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StructArray;
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{DataType, Fields};

    #[test]
    fn texts_inside_of_rows_that_are_null_are_not_there() {
        let fields = Fields::from(vec![Field::new("a", DataType::Utf8, true)]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["too long", "ok"]));
        let rows = |there: Vec<bool>| -> ArrayRef {
            Arc::new(StructArray::new(fields.clone(), vec![Arc::clone(&texts)], Some(NullBuffer::from(there))))
        };
        let hive = HiveType::parse("struct<a:varchar(2)>").unwrap();
        assert!(check_inside(&rows(vec![false, true]), &hive).is_ok());
        assert!(check_inside(&rows(vec![true, true]), &hive).is_err());
        assert!(has_bounded(&hive) && !has_bounded(&HiveType::parse("struct<a:string,b:array<int>>").unwrap()));
    }
}
