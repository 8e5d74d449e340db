//! Reading: single items, queries of one partition, and scans, each of one snapshot.

use super::core::Core;
use super::table::{Index, Table};
use super::{ItemError, StoreError, TableId, keys};
use crate::value::Item;
use crate::value::binary::{Reader, decode};
use crate::value::key::{KeyRange, KeySchema, SortRange};
use fjall::Readable;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How much a page may hold. A page ends behind the item that reaches a limit, before any filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items that are looked at.
    pub items: usize,
    /// Their sizes, summed up, in bytes.
    pub bytes: usize,
}

impl Limits {
    /// None.
    pub const NONE: Self = Self { items: usize::MAX, bytes: usize::MAX };
    /// 1 MB, as DynamoDB's Query and Scan.
    pub const PAGE: Self = Self { items: usize::MAX, bytes: 1024 * 1024 };
}

/// A query of one partition of a table or index.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// Which table.
    pub table: TableId,
    /// Which index of it, if not the table itself.
    pub index: Option<&'a str>,
    /// Which partition, and which sort keys of it.
    pub range: &'a KeyRange,
    /// In the order of the sort key, or against it. In an index entries of equal keys are in the order of the table's key.
    pub forward: bool,
    /// Go on behind this position ([`Page::last_key`]).
    pub after: Option<&'a Item>,
    /// How much.
    pub limits: Limits,
}

/// A scan of a table or index, or of one segment of it. The order is that of a hash of the partition key, then that of the sort key; it is always the same.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    /// Which table.
    pub table: TableId,
    /// Which index of it, if not the table itself.
    pub index: Option<&'a str>,
    /// Which segment, from 0, of how many (1 to 1,000,000).
    pub segment: (u32, u32),
    /// Go on behind this position ([`Page::last_key`]).
    pub after: Option<&'a Item>,
    /// How much.
    pub limits: Limits,
}

/// An item that a query or scan comes by.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    bytes: &'a [u8],
    size_bytes: usize,
    folder: &'a std::path::Path,
}

impl<'a> Record<'a> {
    /// Its bytes, as [`crate::value::binary`] has them.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its size, in bytes, without reading it.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The item; of an index, what that has of it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]
    pub fn item(&self) -> Result<Item, StoreError> {
        decode(self.bytes).map_err(|error| StoreError::Damaged { folder: self.folder.to_owned(), reason: error.to_string() })
    }
}

/// What a query or scan looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// Items looked at.
    pub items: usize,
    /// Their sizes, in bytes.
    pub bytes: usize,
    /// The key of the last one (the table's attributes, and of an index its own, too), if the page ended at a limit or because the visitor said so: there may
    /// be more behind. `None` at the end.
    pub last_key: Option<Item>,
}

/// The tables at one point of time. Cheap; keeps old versions of items from being removed while it lives.
pub struct Snapshot(Option<Open>);

struct Open {
    core: Arc<Core>,
    view: fjall::Snapshot,
}

/// What a query or scan goes through.
struct Source {
    table: Arc<Table>,
    index: Option<Arc<Index>>,
}

impl Source {
    fn section(&self) -> Vec<u8> {
        match &self.index {
            None => vec![keys::ITEMS],
            Some(index) => keys::section(index.section),
        }
    }

    fn schema(&self) -> &KeySchema {
        self.index.as_ref().and_then(|index| index.spec()).map_or(&self.table.key, |spec| &spec.key)
    }

    fn position(&self, position: &Item) -> Result<Vec<u8>, ItemError> {
        match &self.index {
            None => keys::exact_item(&self.table.key, position),
            Some(index) => keys::entry_position(&self.table.key, index.section, self.schema(), position),
        }
    }

    fn decode_position(&self, key: &[u8]) -> Option<Item> {
        match &self.index {
            None => keys::decode_item(&self.table.key, key),
            Some(_) => keys::decode_entry(&self.table.key, self.schema(), key),
        }
    }
}

/// From the first (included) to the last (excluded).
struct Span {
    first: Vec<u8>,
    end: Vec<u8>,
}

impl Span {
    /// Only what comes behind the position, or before it.
    fn behind(&mut self, position: Vec<u8>, forward: bool) -> Result<(), ItemError> {
        if position < self.first || position >= self.end {
            return Err(ItemError::Position);
        }
        if forward {
            self.first = position;
            self.first.push(0);
        } else {
            self.end = position;
        }
        Ok(())
    }
}

impl Snapshot {
    pub(super) fn new(core: Option<Arc<Core>>) -> Self {
        Self(core.map(|core| Open { view: core.database.snapshot(), core }))
    }

    fn open(&self, table: TableId) -> Result<(&Open, Arc<Table>), StoreError> {
        let open = self.0.as_ref().ok_or(StoreError::NoTable(table))?;
        Ok((open, open.core.table(table)?))
    }

    /// The item with this key (its key attributes).
    ///
    /// # Errors
    /// A key that does not fit the table; see [`StoreError`].
    pub fn get(&self, table: TableId, key: &Item) -> Result<Option<Item>, StoreError> {
        let (open, table) = self.open(table)?;
        let key = keys::exact_item(&table.key, key)?;
        let bytes = open.view.get(&table.keyspace, &key).map_err(|error| open.core.error(error))?;
        bytes.map(|bytes| decode(&bytes).map_err(|error| open.core.damaged(error))).transpose()
    }

    /// Calls `visit` with each item in order, until a limit, `Break` (which ends the page behind that item) or the end.
    ///
    /// # Errors
    /// A position or sort key that does not fit; an index that is being built; see [`StoreError`].
    pub fn query(
        &self,
        query: &Query<'_>,
        visit: impl FnMut(Record<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<Page, StoreError> {
        let (open, source) = self.source(query.table, query.index)?;
        let schema = source.schema();
        let prefix = keys::partition(source.section(), schema, &query.range.hash)?;
        check_sort(schema, &query.range.sort)?;
        let (first, end) = query.range.sort.bounds();
        let join = |part: Vec<u8>| [prefix.as_slice(), &part].concat();
        let first = first.map_or_else(|| prefix.clone(), join);
        let end = end.map_or_else(|| keys::successor(prefix.clone()), join);
        let mut span = Span { first, end };
        if let Some(position) = query.after {
            span.behind(source.position(position)?, query.forward)?;
        }
        open.page(&source, span, query.forward, query.limits, visit)
    }

    /// As [`Self::query`], over everything or a segment.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn scan(
        &self,
        scan: &Scan<'_>,
        visit: impl FnMut(Record<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<Page, StoreError> {
        let (open, source) = self.source(scan.table, scan.index)?;
        let (first, end) = keys::segment(scan.segment.0, scan.segment.1);
        let section = source.section();
        let first = [section.as_slice(), &first].concat();
        let end = match end {
            Some(end) => [section.as_slice(), &end].concat(),
            None => keys::successor(section),
        };
        let mut span = Span { first, end };
        if let Some(position) = scan.after {
            span.behind(source.position(position)?, true)?;
        }
        open.page(&source, span, true, scan.limits, visit)
    }

    fn source(&self, table: TableId, index: Option<&str>) -> Result<(&Open, Source), StoreError> {
        let (open, table) = self.open(table)?;
        let Some(name) = index else { return Ok((open, Source { table, index: None })) };
        let Some(index) = table.secondary(name) else { return Err(StoreError::NoIndex(table.id, name.to_owned())) };
        if !index.active() {
            return Err(StoreError::IndexBuilding(table.id, name.to_owned()));
        }
        Ok((open, Source { table, index: Some(index) }))
    }
}

impl Open {
    fn page(
        &self,
        source: &Source,
        span: Span,
        forward: bool,
        limits: Limits,
        mut visit: impl FnMut(Record<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<Page, StoreError> {
        let mut page = Page::default();
        if span.first >= span.end || limits.items == 0 {
            return Ok(page);
        }
        let mut entries = self.view.range(&source.table.keyspace, span.first..span.end);
        while let Some(entry) = if forward { entries.next() } else { entries.next_back() } {
            let (key, bytes) = entry.into_inner().map_err(|error| self.core.error(error))?;
            let size_bytes = Reader::new(&bytes).map_err(|error| self.core.damaged(error))?.size();
            page.items += 1;
            page.bytes += size_bytes;
            let flow = visit(Record { bytes: &bytes, size_bytes, folder: &self.core.folder })?;
            if flow.is_break() || page.items >= limits.items || page.bytes >= limits.bytes {
                let position = source.decode_position(&key);
                page.last_key = Some(position.ok_or_else(|| self.core.damaged(format!("a key of table {}", source.table.id)))?);
                break;
            }
        }
        Ok(page)
    }
}

/// Are the bounds of the sort key's type?
fn check_sort(schema: &KeySchema, sort: &SortRange) -> Result<(), ItemError> {
    let values: &[&crate::value::Value] = match sort {
        SortRange::All => return Ok(()),
        SortRange::Equal(value)
        | SortRange::Less(value)
        | SortRange::LessOrEqual(value)
        | SortRange::Greater(value)
        | SortRange::GreaterOrEqual(value)
        | SortRange::BeginsWith(value) => &[value],
        SortRange::Between(first, last) => &[first, last],
    };
    let Some(attribute) = &schema.range else { return Err(ItemError::Extra { attribute: "of the sort key".into() }) };
    match values.iter().find(|value| value.kind() != attribute.key_type.kind()) {
        Some(value) => {
            let (attribute, expected) = (attribute.name.clone(), attribute.key_type);
            Err(ItemError::Type { attribute, expected, actual: value.kind(), index: None })
        }
        None => Ok(()),
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
