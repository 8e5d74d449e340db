//! Where things lie: the bytes of keys in a table's keyspace.
//!
//! A keyspace has everything of one table, so that one commit, and one ingestion of sorted runs, change items, entries of indexes and counts together:
//!
//! | section | bytes |
//! |---|---|
//! | items | `01`, hash of the partition key (8 bytes), partition key, sort key |
//! | entries of secondary indexes | `02`, index's number (4 bytes), hash of the index's partition key, its partition key, its sort key, the table's partition key, its sort key |
//! | entries of expiry | `02`, number, second of expiry (8 bytes), the table's partition key, its sort key |
//! | what the store knows of the table | `FF`, a letter, … |
//!
//! Parts of keys are as [`encode_key_part`] has them; the hash is XXH3 (64 bits, seed 0) of the partition key's part. Counts come last, because a load knows them last.
//! A version of the program that changes any of this changes [`super::open::FORMAT`].

use super::ItemError;
use crate::value::key::{HASH_KEY_BYTES_MAX, KeyAttribute, KeySchema, RANGE_KEY_BYTES_MAX, decode_key_part, encode_key_part};
use crate::value::{Item, Value};

pub(super) const ITEMS: u8 = 0x01;
pub(super) const ENTRIES: u8 = 0x02;
pub(super) const META: u8 = 0xFF;
/// What the table is: [`super::table::Definition`].
pub(super) const DEFINITION: [u8; 2] = [META, b'd'];
/// How much is in it: [`super::table::Sums`].
pub(super) const SUMS: [u8; 2] = [META, b's'];

/// Bytes before the table's key in an item's key: section and hash.
const ITEM_PREFIX: usize = 1 + 8;
/// Bytes of section and number of an entry's key.
const ENTRY_PREFIX: usize = 1 + 4;

/// How far an index is built.
pub(super) fn cursor(section: u32) -> Vec<u8> {
    let mut key = vec![META, b'b'];
    key.extend(section.to_be_bytes());
    key
}

fn hash(part: &[u8]) -> [u8; 8] {
    twox_hash::XxHash3_64::oneshot(part).to_be_bytes()
}

/// Appends one part after checking it; `Ok(false)` if the attribute is not there.
fn append(
    attribute: &KeyAttribute,
    value: Option<&Value>,
    bytes_max: usize,
    index: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<bool, ItemError> {
    let Some(value) = value else { return Ok(false) };
    let name = || attribute.name.clone();
    let index = || index.map(str::to_owned);
    if value.kind() != attribute.key_type.kind() {
        return Err(ItemError::Type { attribute: name(), expected: attribute.key_type, actual: value.kind(), index: index() });
    }
    let length = match value {
        Value::String(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        _ => 1,
    };
    if length == 0 {
        return Err(ItemError::Empty { attribute: name(), index: index() });
    }
    if length > bytes_max {
        return Err(ItemError::Long { attribute: name(), bytes_max, index: index() });
    }
    if !encode_key_part(value, out) {
        return Err(ItemError::Type { attribute: name(), expected: attribute.key_type, actual: value.kind(), index: index() });
    }
    Ok(true)
}

/// Appends hash, partition key and sort key. `Ok(false)` if an attribute is not there: nothing useful was appended.
fn append_key<'v>(
    schema: &KeySchema,
    attribute: impl Fn(&str) -> Option<&'v Value>,
    index: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<bool, ItemError> {
    let start = out.len();
    out.extend([0; 8]);
    let mut whole = append(&schema.hash, attribute(&schema.hash.name), HASH_KEY_BYTES_MAX, index, out)?;
    let hashed = hash(&out[start + 8..]);
    out[start..start + 8].copy_from_slice(&hashed);
    if let Some(range) = &schema.range {
        // Looked at even if the other is missing: its type must be right all the same.
        whole &= append(range, attribute(&range.name), RANGE_KEY_BYTES_MAX, index, out)?;
    }
    Ok(whole)
}

/// The key of the item that has these attributes; others are of no account.
pub(super) fn item<'v>(schema: &KeySchema, attribute: impl Fn(&str) -> Option<&'v Value>) -> Result<Vec<u8>, ItemError> {
    let mut key = Vec::with_capacity(64);
    key.push(ITEMS);
    if append_key(schema, &attribute, None, &mut key)? {
        return Ok(key);
    }
    let missing = schema.attributes().find(|part| attribute(&part.name).is_none()).unwrap_or(&schema.hash);
    Err(ItemError::Missing { attribute: missing.name.clone() })
}

/// As [`item`], of attributes that must be the key's and no others.
pub(super) fn exact_item(schema: &KeySchema, key: &Item) -> Result<Vec<u8>, ItemError> {
    if let Some(extra) = key.keys().find(|name| !schema.has(name)) {
        return Err(ItemError::Extra { attribute: extra.clone() });
    }
    item(schema, |name| key.get(name))
}

/// The part of an item's key that entries repeat: partition key and sort key, without section and hash.
pub(super) fn suffix(item_key: &[u8]) -> &[u8] {
    item_key.get(ITEM_PREFIX..).unwrap_or_default()
}

/// What all entries of an index begin with.
pub(super) fn section(number: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    key.push(ENTRIES);
    key.extend(number.to_be_bytes());
    key
}

/// The key of an item's entry in a secondary index; `None` if it lacks an attribute of the index's key.
pub(super) fn entry(
    number: u32,
    schema: &KeySchema,
    index: &str,
    item: &Item,
    suffix: &[u8],
) -> Result<Option<Vec<u8>>, ItemError> {
    let mut key = section(number);
    if !append_key(schema, |name| item.get(name), Some(index), &mut key)? {
        return Ok(None);
    }
    key.extend(suffix);
    Ok(Some(key))
}

/// Would an item with these attributes fit a secondary index, or have no place in it?
pub(super) fn check_entry<'v>(
    schema: &KeySchema,
    index: &str,
    attribute: impl Fn(&str) -> Option<&'v Value>,
) -> Result<(), ItemError> {
    append_key(schema, attribute, Some(index), &mut Vec::new()).map(|_| ())
}

/// The key of an item's entry in the index of expiry.
pub(super) fn expiry(number: u32, second: u64, suffix: &[u8]) -> Vec<u8> {
    let mut key = section(number);
    key.extend(second.to_be_bytes());
    key.extend(suffix);
    key
}

/// The item's key of an entry of expiry.
pub(super) fn item_of_expiry(schema: &KeySchema, entry: &[u8]) -> Option<Vec<u8>> {
    let suffix = entry.get(ENTRY_PREFIX + 8..)?;
    let (_, hash_length) = decode_key_part(schema.hash.key_type, suffix)?;
    let mut key = vec![ITEMS];
    key.extend(hash(suffix.get(..hash_length)?));
    key.extend(suffix);
    Some(key)
}

fn decode(schema: &KeySchema, mut bytes: &[u8], into: &mut Item) -> Option<usize> {
    let all = bytes.len();
    for attribute in schema.attributes() {
        let (value, length) = decode_key_part(attribute.key_type, bytes)?;
        into.insert(attribute.name.clone(), value);
        bytes = bytes.get(length..)?;
    }
    Some(all - bytes.len())
}

/// The key attributes of an item's key.
pub(super) fn decode_item(schema: &KeySchema, key: &[u8]) -> Option<Item> {
    let mut item = Item::new();
    decode(schema, key.get(ITEM_PREFIX..)?, &mut item)?;
    Some(item)
}

/// The key attributes, of index and table, of an entry's key.
pub(super) fn decode_entry(table: &KeySchema, index: &KeySchema, key: &[u8]) -> Option<Item> {
    let mut item = Item::new();
    let parts = key.get(ENTRY_PREFIX + 8..)?;
    let length = decode(index, parts, &mut item)?;
    decode(table, parts.get(length..)?, &mut item)?;
    Some(item)
}

/// The key of the entry at a position that a reader gave.
pub(super) fn entry_position(table: &KeySchema, number: u32, index: &KeySchema, position: &Item) -> Result<Vec<u8>, ItemError> {
    if let Some(extra) = position.keys().find(|name| !table.has(name) && !index.has(name)) {
        return Err(ItemError::Extra { attribute: extra.clone() });
    }
    let item_key = item(table, |name| position.get(name))?;
    match entry(number, index, "", position, suffix(&item_key))? {
        Some(key) => Ok(key),
        None => {
            let missing = index.attributes().find(|part| !position.contains_key(&part.name)).unwrap_or(&index.hash);
            Err(ItemError::Missing { attribute: missing.name.clone() })
        }
    }
}

/// What all items or entries of a partition begin with, behind `section`.
pub(super) fn partition(mut section: Vec<u8>, schema: &KeySchema, hash_value: &Value) -> Result<Vec<u8>, ItemError> {
    let mut part = Vec::with_capacity(64);
    append(&schema.hash, Some(hash_value), HASH_KEY_BYTES_MAX, None, &mut part)?;
    section.extend(hash(&part));
    section.extend(part);
    Ok(section)
}

/// The first hash of a segment, and that of the next one (`None` behind the last).
pub(super) fn segment(number: u32, of: u32) -> ([u8; 8], Option<[u8; 8]>) {
    let of = u128::from(of.max(1));
    let bound = |n: u128| (n << 64) / of;
    let bytes = |bound: u128| u64::try_from(bound).ok().map(u64::to_be_bytes);
    // The division rounds down: a hash belongs to the segment with the greatest bound that is not above it.
    (bytes(bound(u128::from(number))).unwrap_or([0xFF; 8]), bytes(bound(u128::from(number) + 1)))
}

/// The first key that does not begin with `prefix`.
pub(super) fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < 0xFF {
            prefix.push(last + 1);
            return prefix;
        }
    }
    vec![META, 0xFF]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_share_all_hashes_without_overlap() {
        for of in [1u32, 2, 3, 7, 1000, 1_000_000] {
            assert_eq!(segment(0, of).0, [0; 8]);
            assert_eq!(segment(of - 1, of).1, None);
            for number in (0..of - 1).step_by(of as usize / 7 + 1) {
                assert_eq!(segment(number, of).1, Some(segment(number + 1, of).0));
            }
        }
    }

    #[test]
    fn successor_carries() {
        assert_eq!(successor(vec![1, 2]), [1, 3]);
        assert_eq!(successor(vec![1, 0xFF, 0xFF]), [2]);
    }
}
