//! Reading: single items, queries of one partition, and scans, each of one snapshot.

use super::{StoreError, TableId};
use crate::value::Item;
use crate::value::key::KeyRange;
use std::ops::ControlFlow;

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
}

impl<'a> Record<'a> {
    /// Its bytes, as [`crate::value::binary`] has them.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its size, in bytes, without reading it.
    pub fn size_bytes(&self) -> usize {
        todo!()
    }

    /// The item; of an index, what that has of it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]
    pub fn item(&self) -> Result<Item, StoreError> {
        todo!()
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
pub struct Snapshot {}

impl Snapshot {
    /// The item with this key (its key attributes).
    ///
    /// # Errors
    /// A key that does not fit the table; see [`StoreError`].
    pub fn get(&self, table: TableId, key: &Item) -> Result<Option<Item>, StoreError> {
        let _ = (table, key);
        todo!()
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
        let _ = (query, visit);
        todo!()
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
        let _ = (scan, visit);
        todo!()
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
