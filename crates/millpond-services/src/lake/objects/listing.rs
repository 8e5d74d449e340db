//! Lists of a bucket's objects: in pages for clients, by what came since a bookmark, and as they lie for those who read data.

use super::{OBJECT, Object, object_row, with_meta};
use millpond_engine::table::DataFile;
use millpond_store::StoreError;
use millpond_store::blobs::BlobId;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, Statement, ToSql, params};
use std::ops::ControlFlow;

/// The first text that is greater than every text that begins with `prefix`; `None` where there is none.
pub fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(other as u32 + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListSpec {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that go on after the prefix up to one are answered as one common prefix; empty: none.
    pub delimiter: String,
    /// Only keys (and common prefixes) that are greater.
    pub after: String,
    /// Keys and common prefixes together at the most.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// By key.
    pub objects: Vec<Object>,
    /// In order.
    pub common_prefixes: Vec<String>,
    /// Where more follows: what to give as `after` for the next page.
    pub next: Option<String>,
}

/// Lists a bucket in the order of keys' UTF-8 bytes. A common prefix costs one look-up, however many keys it stands for.
pub fn list(connection: &Connection, bucket: i64, spec: &ListSpec) -> Result<Listing, StoreError> {
    let select = format!("SELECT {OBJECT} FROM object WHERE bucket = ?1 AND key >= ?2 AND key < ?3 ORDER BY key");
    page(&mut *connection.prepare_cached(&select)?, &bucket, &[], spec)
}

/// A page of what `statement` finds: it has the bucket as its first parameter, the first key and what all keys are less than as the second and
/// the third, then `more`; and answers [`OBJECT`] by key.
pub(in crate::lake) fn page(
    statement: &mut Statement<'_>,
    bucket: &i64,
    more: &[&dyn ToSql],
    spec: &ListSpec,
) -> Result<Listing, StoreError> {
    let end = end_of(&spec.prefix);
    let mut listing = Listing::default();
    let mut from = start_of(spec);
    let mut last = String::new();
    'seek: loop {
        let values: Vec<&dyn ToSql> = [bucket as &dyn ToSql, &from, &end].into_iter().chain(more.iter().copied()).collect();
        let mut rows = statement.query(values.as_slice())?;
        while let Some(row) = rows.next()? {
            let full = listing.objects.len() + listing.common_prefixes.len() >= spec.limit;
            if full {
                listing.next = (spec.limit > 0).then_some(last);
                return Ok(listing);
            }
            let object = with_meta(object_row(row)?)?;
            if let Some(common) = common_prefix(&object.key, &spec.prefix, &spec.delimiter) {
                last.clone_from(&common);
                let next = after_prefix(&common);
                listing.common_prefixes.push(common);
                match next {
                    Some(next) => from = next,
                    None => return Ok(listing),
                }
                continue 'seek;
            }
            last.clone_from(&object.key);
            listing.objects.push(object);
        }
        return Ok(listing);
    }
}

/// What every key that begins with `prefix` is less than, as a value of SQLite: every text is less than a blob.
pub(in crate::lake) fn end_of(prefix: &str) -> Value {
    after_prefix(prefix).map_or(Value::Blob(Vec::new()), Value::Text)
}

/// The part of `key` up to and including the first delimiter after `prefix`, with which it must begin; `None` where there is none.
pub fn common_prefix(key: &str, prefix: &str, delimiter: &str) -> Option<String> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(prefix)?;
    rest.find(delimiter).map(|at| key[..prefix.len() + at + delimiter.len()].to_owned())
}

/// The least key that may be answered: after the common prefix, where the last page ended with one.
fn start_of(spec: &ListSpec) -> String {
    if spec.after.is_empty() || spec.after < spec.prefix {
        return spec.prefix.clone();
    }
    let is_common = common_prefix(&spec.after, &spec.prefix, &spec.delimiter).as_ref() == Some(&spec.after);
    match is_common.then(|| after_prefix(&spec.after)).flatten() {
        Some(next) => next,
        None => format!("{}\0", spec.after),
    }
}

/// The objects below `prefix` that came after `after_seq`, up to and including `until_seq`, in the order in which they came.
pub fn since(
    connection: &Connection,
    bucket: i64,
    prefix: &str,
    after_seq: i64,
    until_seq: i64,
    limit: usize,
) -> Result<Vec<Object>, StoreError> {
    let select = format!(
        "SELECT {OBJECT} FROM object WHERE bucket = ?1 AND seq > ?2 AND seq <= ?3 AND key >= ?4 AND (?5 IS NULL OR key < ?5)
         ORDER BY seq LIMIT ?6"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let values = params![bucket, after_seq, until_seq, prefix, after_prefix(prefix), limit as i64];
    let rows = statement.query_map(values, object_row)?;
    rows.map(|row| with_meta(row?)).collect()
}

/// What a reader of data needs of an object.
#[derive(Debug)]
pub struct FileRow<'a> {
    /// Its key.
    pub key: &'a str,
    /// Bytes.
    pub size: u64,
    row: &'a Row<'a>,
}

impl FileRow<'_> {
    /// The object as a file that the engine reads.
    pub fn data_file(&self, bucket: &str) -> Result<DataFile, StoreError> {
        let blob: BlobId = self.row.get(2)?;
        Ok(DataFile {
            blob: blob.path(),
            uri: format!("s3://{bucket}/{}", self.key),
            size: self.size,
            etag: self.row.get(3)?,
            modified_ms: self.row.get(4)?,
        })
    }
}

/// Calls `each` with the objects of a bucket from the key `from` on, in the order of keys, until it breaks off. Nothing is held in memory.
pub fn visit_files<E: From<StoreError>>(
    connection: &Connection,
    bucket: i64,
    from: &str,
    mut each: impl FnMut(&FileRow<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let select = "SELECT key, size, blob, etag, modified_ms FROM object WHERE bucket = ? AND key >= ? ORDER BY key";
    let mut statement = connection.prepare_cached(select).map_err(StoreError::from)?;
    let mut rows = statement.query(params![bucket, from]).map_err(StoreError::from)?;
    while let Some(row) = rows.next().map_err(StoreError::from)? {
        let key = row.get_ref(0).and_then(|key| key.as_str().map_err(Into::into)).map_err(StoreError::from)?;
        let size = row.get::<_, i64>(1).map_err(StoreError::from)? as u64;
        if each(&FileRow { key, size, row })?.is_break() {
            break;
        }
    }
    Ok(())
}
