//! Casts to and from JSON (Trino documentation, "JSON functions": Cast to JSON, Cast from JSON).

use super::{cannot, text};
use crate::query::width::bytes_of;
use crate::result::value::{typed_texts, write_double};
use crate::types::TrinoType as T;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StringArray, StructArray, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use serde_json::Value;
use std::sync::Arc;

/// About what a cast to or from JSON takes meanwhile: a tree, or the texts of all parts.
pub(super) fn tree_bytes(array: &ArrayRef, from: &T, to: &T) -> usize {
    match (from, to) {
        (T::Json, _) => {
            let bytes = |text: &str| {
                let values = memchr::memchr3_iter(b',', b'[', b'{', text.as_bytes()).count() + 1;
                values * (size_of::<Value>() + size_of::<String>()) + text.len()
            };
            array.as_string_opt::<i32>().map_or(0, |texts| texts.iter().flatten().map(bytes).sum())
        }
        (T::Array(item), _) => array.as_list_opt::<i32>().map_or(0, |lists| match item.as_ref() {
            item if *to == T::Json => parts(lists.values(), item) + array.len() * size_of::<String>(),
            item => tree_bytes(lists.values(), item, to),
        }),
        (_, T::Json) => parts(array, from),
        _ => 0,
    }
}

/// The bytes of the texts of all parts.
fn parts(array: &ArrayRef, from: &T) -> usize {
    const HEAP_BYTES: usize = 16;
    let below: usize = match from {
        T::Array(item) => array.as_list_opt::<i32>().map_or(0, |lists| parts(lists.values(), item)),
        T::Map(key, value) => {
            array.as_map_opt().map_or(0, |maps| parts(maps.keys(), key).saturating_add(parts(maps.values(), value)))
        }
        T::Row(fields) => array
            .as_struct_opt()
            .map_or(0, |rows| rows.columns().iter().zip(fields).map(|(column, (_, field))| parts(column, field)).sum()),
        _ => 0,
    };
    bytes_of(array.as_ref()).saturating_add(below).saturating_add(array.len() * (size_of::<String>() + HEAP_BYTES))
}

/// JSON texts of any values.
pub(super) fn to_json(array: &ArrayRef, from: &T) -> Result<ArrayRef> {
    let mut texts = Vec::with_capacity(array.len());
    let rows = rows_as_json(array, from)?;
    for (row, text) in rows.into_iter().enumerate() {
        texts.push(if array.is_null(row) { None } else { Some(text) });
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// One JSON text a row; `null` where there is nothing.
fn rows_as_json(array: &ArrayRef, from: &T) -> Result<Vec<String>> {
    let failed = |message: String| exec_datafusion_err!("{message}");
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let nulls = array.logical_nulls();
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let mut out = Vec::with_capacity(array.len());
    match from {
        T::Array(item) => {
            let lists = cast_list(array)?;
            let lists = lists.as_list::<i32>();
            let items = rows_as_json(lists.values(), item)?;
            for row in 0..lists.len() {
                let range = range(lists.value_offsets(), row);
                out.push(if is_null(row) { "null".into() } else { format!("[{}]", items[range].join(",")) });
            }
        }
        T::Map(key, value) => {
            let maps = array.as_map();
            let keys = typed_texts(maps.keys(), key).map_err(failed)?;
            let values = rows_as_json(maps.values(), value)?;
            for row in 0..maps.len() {
                let mut entries: Vec<(String, &String)> = range(maps.value_offsets(), row)
                    .map(|entry| (quoted(keys[entry].as_deref().unwrap_or_default()), &values[entry]))
                    .collect();
                entries.sort();
                let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
                out.push(if is_null(row) { "null".into() } else { format!("{{{}}}", entries.join(",")) });
            }
        }
        T::Row(fields) => {
            let rows = array.as_struct();
            let named = fields.iter().any(|(name, _)| name.is_some());
            let columns = rows
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, (_, field))| rows_as_json(column, field))
                .collect::<Result<Vec<_>>>()?;
            for row in 0..rows.len() {
                let parts: Vec<String> = columns
                    .iter()
                    .zip(fields)
                    .map(|(column, (name, _))| match name {
                        Some(name) if named => format!("{}:{}", quoted(name), column[row]),
                        _ => column[row].clone(),
                    })
                    .collect();
                let text = if named { format!("{{{}}}", parts.join(",")) } else { format!("[{}]", parts.join(",")) };
                out.push(if is_null(row) { "null".into() } else { text });
            }
        }
        T::Real | T::Double => {
            let numbers = cast(array, &DataType::Float64)?;
            for number in numbers.as_primitive::<Float64Type>() {
                out.push(match number {
                    Some(number) if number.is_finite() => {
                        let mut text = String::new();
                        write_double(number, &mut text);
                        text
                    }
                    Some(number) if number.is_nan() => quoted("NaN"),
                    Some(number) => quoted(if number > 0.0 { "Infinity" } else { "-Infinity" }),
                    None => "null".into(),
                });
            }
        }
        T::Boolean | T::Json => {
            let texts = typed_texts(array, from).map_err(failed)?;
            out.extend(texts.into_iter().map(|text| text.unwrap_or_else(|| "null".into())));
        }
        number if number.is_number() => {
            let texts = typed_texts(array, from).map_err(failed)?;
            out.extend(texts.into_iter().map(|text| text.unwrap_or_else(|| "null".into())));
        }
        _ => {
            let texts = typed_texts(array, from).map_err(failed)?;
            out.extend(texts.into_iter().map(|text| text.map_or_else(|| "null".into(), |text| quoted(&text))));
        }
    }
    Ok(out)
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0)
}

fn cast_list(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::List(_) => Ok(Arc::clone(array)),
        DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Ok(cast(array, &DataType::List(Arc::clone(item)))?),
        other => internal_err!("a list, not {other}"),
    }
}

/// Values of JSON texts.
pub(super) fn from_json(array: &ArrayRef, to: &T, arrow: &DataType, safe: bool) -> Result<ArrayRef> {
    let texts = cast(array, &DataType::Utf8)?;
    let mut values = Vec::with_capacity(texts.len());
    for text in texts.as_string::<i32>() {
        values.push(match text.map(serde_json::from_str::<Value>).transpose() {
            Ok(Some(Value::Null)) | Ok(None) => None,
            Ok(value) => value,
            Err(_) if safe => None,
            Err(error) => return Err(cannot(format!("Cannot cast to {to}. {error}")).into()),
        });
    }
    if !safe {
        let values: Vec<Option<&Value>> = values.iter().map(Option::as_ref).collect();
        return build(&values, to, arrow);
    }
    let rows = values
        .iter()
        .map(|value| build(&[value.as_ref()], to, arrow).unwrap_or_else(|_| new_null_array(arrow, 1)))
        .collect::<Vec<_>>();
    if rows.is_empty() {
        return Ok(arrow::array::new_empty_array(arrow));
    }
    let rows: Vec<&dyn Array> = rows.iter().map(|row| row.as_ref()).collect();
    Ok(arrow::compute::concat(&rows)?)
}

fn build(values: &[Option<&Value>], to: &T, arrow: &DataType) -> Result<ArrayRef> {
    let wrong = |value: &Value| {
        let shown: String = value.to_string().chars().take(200).collect();
        cannot(format!("Cannot cast to {to}.\n{shown}"))
    };
    let present = |value: &Option<&Value>| value.is_some_and(|value| !value.is_null());
    match (to, arrow) {
        (T::Array(item), DataType::List(field)) => {
            let mut items = Vec::new();
            let mut lengths = Vec::with_capacity(values.len());
            for value in values {
                match value {
                    Some(Value::Array(list)) => {
                        items.extend(list.iter().map(Some));
                        lengths.push(list.len());
                    }
                    None | Some(Value::Null) => lengths.push(0),
                    Some(other) => return Err(wrong(other).into()),
                }
            }
            let items = build(&items, item, field.data_type())?;
            let nulls = NullBuffer::from(values.iter().map(present).collect::<Vec<_>>());
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), items, Some(nulls))?))
        }
        (T::Map(key, value_type), DataType::Map(entries, ordered)) => {
            let DataType::Struct(pair) = entries.data_type() else { return internal_err!("a map's entries are pairs") };
            let (mut keys, mut inner, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(values.len()));
            for value in values {
                match value {
                    Some(Value::Object(object)) => {
                        keys.extend(object.keys().map(|key| Some(key.clone())));
                        inner.extend(object.values().map(Some));
                        lengths.push(object.len());
                    }
                    None | Some(Value::Null) => lengths.push(0),
                    Some(other) => return Err(wrong(other).into()),
                }
            }
            let keys: ArrayRef = Arc::new(StringArray::from(keys));
            let keys = super::convert(&keys, &T::Varchar(None), key, pair[0].data_type(), false)?;
            let inner = build(&inner, value_type, pair[1].data_type())?;
            let inner = StructArray::try_new(pair.clone(), vec![keys, inner], None)?;
            let nulls = NullBuffer::from(values.iter().map(present).collect::<Vec<_>>());
            let offsets = OffsetBuffer::from_lengths(lengths);
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, inner, Some(nulls), *ordered)?))
        }
        (T::Row(types), DataType::Struct(fields)) => {
            let mut columns: Vec<Vec<Option<&Value>>> = vec![Vec::with_capacity(values.len()); types.len()];
            for value in values {
                for (index, column) in columns.iter_mut().enumerate() {
                    column.push(match value {
                        Some(Value::Array(list)) if list.len() == types.len() => list.get(index),
                        Some(Value::Object(object)) => types[index].0.as_deref().and_then(|name| {
                            object
                                .get(name)
                                .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, found)| found))
                        }),
                        None | Some(Value::Null) => None,
                        Some(other) => return Err(wrong(other).into()),
                    });
                }
            }
            let columns = columns
                .iter()
                .zip(types.iter().zip(fields))
                .map(|(column, ((_, field_type), field))| build(column, field_type, field.data_type()))
                .collect::<Result<Vec<_>>>()?;
            let nulls = NullBuffer::from(values.iter().map(present).collect::<Vec<_>>());
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, Some(nulls))?))
        }
        (T::Json, _) => {
            let texts: StringArray = values.iter().map(|value| value.map(ToString::to_string)).collect();
            Ok(Arc::new(texts))
        }
        (T::Boolean, _) => {
            let mut flags = Vec::with_capacity(values.len());
            for value in values {
                flags.push(match value {
                    None | Some(Value::Null) => None,
                    Some(Value::Bool(flag)) => Some(*flag),
                    Some(Value::Number(number)) => number.as_f64().map(|number| number != 0.0),
                    Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                        "true" => Some(true),
                        "false" => Some(false),
                        _ => return Err(wrong(&Value::String(text.clone())).into()),
                    },
                    Some(other) => return Err(wrong(other).into()),
                });
            }
            Ok(Arc::new(BooleanArray::from(flags)))
        }
        _ => {
            let mut texts = Vec::with_capacity(values.len());
            for value in values {
                texts.push(match value {
                    None | Some(Value::Null) => None,
                    Some(Value::String(text)) => Some(text.clone()),
                    Some(Value::Bool(flag)) if to.is_number() => Some(u8::from(*flag).to_string()),
                    Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.to_string()),
                    Some(other) => return Err(wrong(other).into()),
                });
            }
            let texts: ArrayRef = Arc::new(StringArray::from(texts));
            if to.is_integer() {
                // `2.5` is rounded, and digits beyond those of a double are kept.
                return super::convert(&texts, &T::Varchar(None), to, arrow, false).or_else(|_| {
                    let numbers = text::from_text(&texts, &T::Double, &DataType::Float64, false)?;
                    super::convert(&numbers, &T::Double, to, arrow, false)
                });
            }
            super::convert(&texts, &T::Varchar(None), to, arrow, false)
        }
    }
}
