//! How a row becomes the bytes of an item.

use crate::lake::items::{AttributeTypes, ItemShape, column_of};
use millpond_engine::rows::{Cell, Cells, Fault, RowCheck, Rows};
use millpond_tables::Number;
use millpond_tables::value::binary::Writer;
use millpond_tables::value::key::{HASH_KEY_BYTES_MAX, KeySchema, KeyType, RANGE_KEY_BYTES_MAX};
use millpond_tables::value::{ITEM_SIZE_BYTES_MAX, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Hexadecimal digits of a row's id: those of 128 bits, as an MD5 has them.
const ID_DIGITS: usize = 32;

/// How rows become items of one table.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    keys: Vec<KeyRule>,
    shape: ItemShape,
}

/// What an attribute of a key must be.
#[derive(Debug, Clone)]
struct KeyRule {
    name: String,
    key_type: KeyType,
    bytes_max: usize,
    /// Whether it is of the table's key. Without those of an index, an item is not in that.
    required: bool,
}

impl KeyRule {
    /// Of the table's key, then those of its indexes that are not: each attribute once, with the tightest bound.
    fn of<'s>(table: &'s KeySchema, indexes: impl Iterator<Item = &'s KeySchema>) -> Vec<Self> {
        let mut rules: Vec<Self> = Vec::new();
        for (schema, required) in std::iter::once((table, true)).chain(indexes.map(|schema| (schema, false))) {
            let range = schema.range.iter().map(|one| (one, RANGE_KEY_BYTES_MAX));
            for (one, bytes_max) in std::iter::once((&schema.hash, HASH_KEY_BYTES_MAX)).chain(range) {
                match rules.iter_mut().find(|rule| rule.name == one.name) {
                    Some(rule) => rule.bytes_max = rule.bytes_max.min(bytes_max),
                    None => rules.push(Self { name: one.name.clone(), key_type: one.key_type, bytes_max, required }),
                }
            }
        }
        rules
    }

    /// Whether the item is without it: there is nothing in the cell, or a text of which no key can be.
    fn is_left_out(&self, cell: Cell<'_>) -> bool {
        !self.required && (cell.is_null() || matches!(cell, Cell::Text("")))
    }
}

/// What rows are written to, used again for each.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    item: Vec<u8>,
    text: String,
    hashed: Vec<u8>,
}

/// What becomes of a column.
struct Attribute<'r> {
    name: &'r str,
    cells: &'r Cells<'r>,
    /// Where it is of a key.
    key: Option<&'r KeyRule>,
    /// Whether it counts for the row's id.
    hashed: bool,
}

/// The columns of some rows, in the order of their names.
pub(super) struct Columns<'r> {
    mapping: &'r Mapping,
    attributes: Vec<Attribute<'r>>,
    /// The attribute that gets the row's id, and its place among the others.
    id: Option<(&'r str, usize)>,
    order: Option<&'r Cells<'r>>,
    /// Key attributes for which there is no column.
    missing: Option<&'r str>,
}

/// Why a value is none of an attribute.
struct Misfit(String);

impl Attribute<'_> {
    fn is_left_out(&self, cell: Cell<'_>) -> bool {
        self.key.map_or_else(|| cell.is_null(), |rule| rule.is_left_out(cell))
    }
}

impl Mapping {
    /// Into a table of this key, with indexes of those.
    ///
    /// # Errors
    /// For people: the shape does not suit the key.
    pub(super) fn new<'s>(
        table: &str,
        schema: &'s KeySchema,
        indexes: impl Iterator<Item = &'s KeySchema>,
        shape: &ItemShape,
    ) -> Result<Self, String> {
        if let Some(id) = &shape.id {
            let hash = &schema.hash;
            if hash.name != id.attribute || hash.key_type != KeyType::String || schema.range.is_some() {
                let is: Vec<String> = schema.attributes().map(|one| format!("{} ({})", one.name, one.key_type.name())).collect();
                return Err(format!(
                    "Rows without a key get an id in the attribute '{}', which must be the only key of table '{table}', of type S; its key is {}.",
                    id.attribute,
                    is.join(", ")
                ));
            }
        }
        Ok(Self { keys: KeyRule::of(schema, indexes), shape: shape.clone() })
    }

    /// Looks at the columns of some rows.
    pub(super) fn columns<'r>(&'r self, rows: &'r Rows<'r>) -> Columns<'r> {
        // The last of columns with one name, as in every JSON parser.
        let mut by_name = BTreeMap::new();
        for column in rows.columns() {
            by_name.insert(column.name, &column.cells);
        }
        let order = self.shape.order.as_deref().and_then(|name| by_name.remove(name));
        for rule in &self.keys {
            // A column with the very name of another key attribute is that one's.
            let is_free = |name: &&str| *name == rule.name || !self.keys.iter().any(|other| other.name == **name);
            if let Some(column) = column_of(&rule.name, by_name.keys().copied().filter(is_free))
                && let Some(cells) = by_name.remove(column)
            {
                by_name.insert(&rule.name, cells);
            }
        }
        let id = self.shape.id.as_ref().filter(|id| !by_name.contains_key(id.attribute.as_str()));
        let mut missing = self.keys.iter().filter(|rule| rule.required).map(|rule| rule.name.as_str());
        let missing = missing.rfind(|name| !by_name.contains_key(name) && id.is_none_or(|id| id.attribute != *name));
        let attribute = |(name, cells)| Attribute {
            name,
            cells,
            key: self.keys.iter().find(|rule| rule.name == name),
            hashed: id.is_some_and(|id| !id.apart.iter().any(|apart| apart == name)),
        };
        let attributes: Vec<Attribute<'r>> = by_name.into_iter().map(attribute).collect();
        let id = id.map(|id| {
            let at = attributes.partition_point(|attribute| attribute.name < id.attribute.as_str());
            (id.attribute.as_str(), at)
        });
        Columns { mapping: self, attributes, id, order, missing }
    }
}

impl RowCheck for Mapping {
    fn check(&self, rows: &Rows<'_>) -> Vec<Fault> {
        let columns = self.columns(rows);
        if !columns.may_fail() {
            return Vec::new();
        }
        let mut scratch = Scratch::default();
        let all = columns.may_be_large();
        let check = |row| if all { columns.encode(row, &mut scratch).err() } else { columns.fault(row, &mut scratch) };
        (0..rows.len()).filter_map(check).collect()
    }
}

impl Columns<'_> {
    /// Whether some row could be no item at all.
    fn may_fail(&self) -> bool {
        let typed = self.mapping.shape.types == AttributeTypes::Typed;
        let fails = |one: &Attribute<'_>| one.key.is_some() || typed && (one.cells.is_floating() || one.cells.is_nested());
        self.missing.is_some() || self.may_be_large() || self.attributes.iter().any(fails)
    }

    /// Whether some row could be too large for an item.
    fn may_be_large(&self) -> bool {
        // A bound for every type: no value counts for more than its text and a few bytes.
        let bytes: usize = self.attributes.iter().map(|one| one.name.len() + one.cells.bytes_max() + 8).sum();
        bytes + 2 * ID_DIGITS + 1024 > ITEM_SIZE_BYTES_MAX
    }

    /// The number by which rows with the same key are ordered, where a column says.
    pub(super) fn order(&self, row: usize) -> Option<u64> {
        match self.order?.get(row) {
            Cell::Int(order) => u64::try_from(order).ok(),
            _ => None,
        }
    }

    fn misfit(&self, row: usize, one: &Attribute<'_>, Misfit(reason): Misfit) -> Fault {
        Fault::of_cell(row, one.name, one.cells.get(row), reason)
    }

    fn missing(&self, row: usize) -> Result<(), Fault> {
        let Some(name) = self.missing else { return Ok(()) };
        let reason = "is missing: no column of this name, which is of the table's key".to_owned();
        Err(Fault { row, column: Some(name.to_owned()), value: None, reason })
    }

    /// What is wrong with a row, its size apart.
    fn fault(&self, row: usize, scratch: &mut Scratch) -> Option<Fault> {
        if let Err(fault) = self.missing(row) {
            return Some(fault);
        }
        let typed = self.mapping.shape.types == AttributeTypes::Typed;
        for one in &self.attributes {
            let cell = one.cells.get(row);
            let checked = match (one.key, cell) {
                (Some(rule), cell) if rule.is_left_out(cell) => Ok(()),
                (Some(rule), cell) => key_value(cell, rule, &mut scratch.text).map(drop),
                (None, Cell::Single(_) | Cell::Double(_)) if typed => number(cell, &mut scratch.text).map(drop),
                (None, Cell::List(_) | Cell::Map(_) | Cell::Struct(_)) if typed => value(cell).map(drop),
                _ => Ok(()),
            };
            if let Err(misfit) = checked {
                return Some(self.misfit(row, one, misfit));
            }
        }
        None
    }

    /// The row as the bytes of an item.
    ///
    /// # Errors
    /// What makes it no item.
    pub(super) fn encode<'s>(&self, row: usize, scratch: &'s mut Scratch) -> Result<&'s [u8], Fault> {
        self.missing(row)?;
        let id = self.id.map(|(name, at)| (name, at, self.hash(row, scratch)));
        let Scratch { item, text, .. } = scratch;
        item.clear();
        let there = self.attributes.iter().filter(|one| !one.is_left_out(one.cells.get(row))).count();
        let mut writer = Writer::begin(item, there + usize::from(id.is_some()));
        for (at, one) in self.attributes.iter().enumerate() {
            if let Some((name, _, id)) = id.as_ref().filter(|(_, place, _)| *place == at) {
                writer.string(name, id_text(id));
            }
            let cell = one.cells.get(row);
            match one.key {
                _ if one.is_left_out(cell) => Ok(()),
                Some(rule) => put_key(&mut writer, one.name, cell, rule, text),
                None => put(&mut writer, one.name, cell, self.mapping.shape.types, text),
            }
            .map_err(|misfit| self.misfit(row, one, misfit))?;
        }
        if let Some((name, _, id)) = id.as_ref().filter(|(_, place, _)| *place == self.attributes.len()) {
            writer.string(name, id_text(id));
        }
        let bytes = writer.finish();
        if bytes > ITEM_SIZE_BYTES_MAX {
            let reason = format!("the item would have {bytes} bytes, and may have {ITEM_SIZE_BYTES_MAX}");
            return Err(Fault { row, column: None, value: None, reason });
        }
        Ok(&scratch.item)
    }

    /// A hash of what is in the row: of each value's name and text with their lengths, in the order of the names. Numbers count by their value (`1` is `1.0`), so that a
    /// column's type can grow without changing ids.
    fn hash(&self, row: usize, scratch: &mut Scratch) -> [u8; ID_DIGITS] {
        let Scratch { text, hashed, .. } = scratch;
        hashed.clear();
        let mut add = |bytes: &[u8]| {
            hashed.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            hashed.extend_from_slice(bytes);
        };
        for one in self.attributes.iter().filter(|one| one.hashed) {
            let cell = one.cells.get(row);
            match cell {
                Cell::Null => continue,
                Cell::Text(text) => {
                    add(one.name.as_bytes());
                    add(text.as_bytes());
                    continue;
                }
                Cell::Int(_) | Cell::Decimal { .. } | Cell::Single(_) | Cell::Double(_) => match number(cell, text) {
                    Ok(number) => {
                        text.clear();
                        text.push_str(&number.to_string());
                    }
                    Err(_) => as_text(cell, text),
                },
                cell => as_text(cell, text),
            }
            add(one.name.as_bytes());
            add(text.as_bytes());
        }
        let digest = Sha256::digest(&*hashed);
        let mut digits = [0; ID_DIGITS];
        hex::encode_to_slice(&digest[..ID_DIGITS / 2], &mut digits).expect("two digits a byte");
        digits
    }
}

fn id_text(digits: &[u8; ID_DIGITS]) -> &str {
    std::str::from_utf8(digits).expect("hexadecimal digits")
}

fn as_text(cell: Cell<'_>, text: &mut String) {
    text.clear();
    cell.write_text(text);
}

/// A key's value, by the type that the table gives it.
enum KeyValue<'c> {
    Text(&'c str),
    Number(Number),
    Binary(&'c [u8]),
}

fn key_value<'c>(cell: Cell<'c>, rule: &KeyRule, text: &'c mut String) -> Result<KeyValue<'c>, Misfit> {
    let of = if rule.required { "the table's key" } else { "an index's key" };
    if cell.is_null() {
        return Err(Misfit(format!("is missing, and is of {of}")));
    }
    let value = match (rule.key_type, cell) {
        (_, Cell::List(_) | Cell::Map(_) | Cell::Struct(_)) => {
            return Err(Misfit("is a list or a structure, which cannot be a key".into()));
        }
        (KeyType::String, Cell::Text(text)) => KeyValue::Text(text),
        (KeyType::String, cell) => {
            as_text(cell, text);
            KeyValue::Text(text)
        }
        (KeyType::Number, Cell::Text(text)) => {
            let number = text.trim().parse().map_err(|_| Misfit(format!("is no number, as {of} needs")))?;
            KeyValue::Number(number)
        }
        (KeyType::Number, cell) => KeyValue::Number(number(cell, text)?),
        (KeyType::Binary, Cell::Binary(bytes)) => KeyValue::Binary(bytes),
        (KeyType::Binary, _) => return Err(Misfit(format!("is not binary, as {of} needs"))),
    };
    let bytes = match &value {
        KeyValue::Text(text) => text.len(),
        KeyValue::Binary(bytes) => bytes.len(),
        KeyValue::Number(_) => 1,
    };
    match bytes {
        0 => Err(Misfit(format!("is empty, and is of {of}"))),
        bytes if bytes > rule.bytes_max => Err(Misfit(format!("has {bytes} bytes; as a key it may have {}", rule.bytes_max))),
        _ => Ok(value),
    }
}

fn put_key(writer: &mut Writer<'_>, name: &str, cell: Cell<'_>, rule: &KeyRule, text: &mut String) -> Result<(), Misfit> {
    match key_value(cell, rule, text)? {
        KeyValue::Text(text) => writer.string(name, text),
        KeyValue::Number(number) => writer.number(name, number),
        KeyValue::Binary(bytes) => writer.binary(name, bytes),
    }
    Ok(())
}

fn put(writer: &mut Writer<'_>, name: &str, cell: Cell<'_>, types: AttributeTypes, text: &mut String) -> Result<(), Misfit> {
    match (types, cell) {
        (_, Cell::Text(text)) => writer.string(name, text),
        (AttributeTypes::String, cell) | (_, cell @ (Cell::Date(_) | Cell::Timestamp(_))) => {
            as_text(cell, text);
            writer.string(name, text);
        }
        (_, Cell::Int(_) | Cell::Decimal { .. } | Cell::Single(_) | Cell::Double(_)) => writer.number(name, number(cell, text)?),
        (_, Cell::Binary(bytes)) => writer.binary(name, bytes),
        (_, cell) => writer.value(name, &value(cell)?),
    }
    Ok(())
}

fn number(cell: Cell<'_>, text: &mut String) -> Result<Number, Misfit> {
    let not = |why: &str| Misfit(format!("is no number of a table: {why}"));
    match cell {
        Cell::Int(value) => Ok(Number::from(value)),
        Cell::Decimal { unscaled, scale } => {
            Number::from_decimal(unscaled, i32::from(scale)).map_err(|error| not(&error.to_string()))
        }
        Cell::Single(value) if !value.is_finite() => Err(not("not a number, or infinite")),
        Cell::Double(value) if !value.is_finite() => Err(not("not a number, or infinite")),
        Cell::Single(_) | Cell::Double(_) => {
            as_text(cell, text);
            text.parse().map_err(|error: millpond_tables::number::NumberError| not(&error.to_string()))
        }
        _ => Err(not("it is of another type")),
    }
}

/// A value within a list or structure.
fn value(cell: Cell<'_>) -> Result<Value, Misfit> {
    let mut text = String::new();
    Ok(match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::Bool(value),
        Cell::Text(text) => Value::String(text.to_owned()),
        Cell::Int(_) | Cell::Decimal { .. } | Cell::Single(_) | Cell::Double(_) => Value::Number(number(cell, &mut text)?),
        Cell::Binary(bytes) => Value::Binary(bytes.to_vec()),
        Cell::Date(_) | Cell::Timestamp(_) => {
            cell.write_text(&mut text);
            Value::String(text)
        }
        Cell::List(list) => Value::List(list.iter().map(value).collect::<Result<_, _>>()?),
        Cell::Map(map) => {
            let entry = |(key, inner): (Cell<'_>, Cell<'_>)| {
                let mut name = String::new();
                key.write_text(&mut name);
                Ok((name, value(inner)?))
            };
            Value::Map(map.iter().map(entry).collect::<Result<_, Misfit>>()?)
        }
        Cell::Struct(fields) => {
            let there = fields.iter().filter(|(_, inner)| !inner.is_null());
            let fields = there.map(|(name, inner)| Ok((name.to_owned(), value(inner)?)));
            Value::Map(fields.collect::<Result<_, Misfit>>()?)
        }
    })
}
