//! Pages of Parquet files without their compression: what is read again and again is decompressed once.
//!
//! A column chunk that has been read before is also kept unpacked, in a cache of bounded bytes. A reader's metadata then say of such a chunk that it is
//! not compressed, and that it lies behind the end of any file; what is read from there comes out of the cache. The decoder is the same, and finds the
//! same pages. An unpacked chunk is a function of the packed one: when it has left the cache between the look at the metadata and the read, it is made
//! again.
//!
//! ClickHouse calls the like its *uncompressed cache*; what is scanned, and paid for, is counted as if there were none.

use crate::query::MeteredStore;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::Compression;
use parquet::column::page::{CompressedPage, PageReader, PageWriter};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::SerializedPageReader;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Where unpacked chunks begin in a file as its metadata show it. No file is as large.
const UNPACKED: u64 = 1 << 62;
/// Each unpacked chunk has so many bytes of addresses of its own (a power of 2).
const ADDRESSES_LOG2: u32 = 40;
/// Chunks of one file that have addresses.
const PLACES_MAX: usize = 1 << 21;
/// Smaller chunks are unpacked sooner than they are looked for.
const PACKED_BYTES_MIN: u64 = 4 << 10;
/// A chunk may take so much of the cache at the most.
const SHARE_MAX: u64 = 16;
/// Of a chunk that is read often, this part at the least is read each time (a divisor).
const MUCH: u64 = 4;
/// Chunks whose reads are counted.
const COUNTED: usize = 1 << 16;
/// Reads whose chunks wait to be unpacked.
const WAITING_MAX: usize = 4096;

/// The bytes of a file: another object of the same name has others.
#[derive(Debug, PartialEq, Eq, Hash)]
struct File {
    location: Path,
    size: u64,
    etag: Option<String>,
    modified_ms: i64,
}

/// A column chunk: the number of its row group times the columns, and the number of its column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    file: Arc<File>,
    place: usize,
}

/// A column chunk without its compression.
#[derive(Debug)]
struct Unpacked {
    bytes: Bytes,
    /// Where each data page begins with its header. A dictionary is before the first.
    pages: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Key, Arc<Unpacked>> for Weight {
    fn weight(&self, key: &Key, chunk: &Arc<Unpacked>) -> u64 {
        const ENTRY: usize = 256;
        let pages = chunk.pages.capacity() * size_of::<u64>();
        (ENTRY + key.file.location.as_ref().len() + pages + chunk.bytes.len()) as u64
    }
}

/// Unpacked column chunks, of all files together.
pub(crate) struct PageCache {
    chunks: Cache<Key, Arc<Unpacked>, Weight>,
    /// How often chunks were read packed, by a hash of their keys. One that is mistaken for another is unpacked sooner or later than it should be.
    reads: Cache<u64, u32>,
    hasher: RandomState,
    chunk_bytes_max: u64,
    /// Reads whose chunks may still come to wait.
    waiting: Arc<Semaphore>,
    /// One chunk at a time is unpacked: the statements have the other cores.
    unpacking: Semaphore,
}

impl std::fmt::Debug for PageCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageCache").field("capacity", &self.chunks.capacity()).field("weight", &self.chunks.weight()).finish()
    }
}

impl PageCache {
    /// Of so many bytes at the most; `None` for 0.
    pub(crate) fn new(bytes_max: u64) -> Option<Self> {
        const SHARDS: usize = 4;
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(bytes_max >> 18).unwrap_or(usize::MAX).max(SHARDS))
            .weight_capacity(bytes_max)
            .build()
            .ok()?;
        let chunks = Cache::with_options(options, Weight, DefaultHashBuilder::default(), Default::default());
        (bytes_max > 0).then(|| Self {
            chunks,
            reads: Cache::new(COUNTED),
            hasher: RandomState::new(),
            // A page's place is told in 32 bits.
            chunk_bytes_max: (bytes_max / SHARE_MAX).min(i32::MAX as u64),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            unpacking: Semaphore::new(1),
        })
    }

    /// Counts a read of a packed chunk. Whether it is to be unpacked now: at the second read, the fourth, the eighth …, so that chunks which the cache
    /// can't keep are unpacked ever more seldom.
    fn is_due(&self, key: &Key) -> bool {
        let hash = self.hasher.hash_one(key);
        let reads = self.reads.get(&hash).unwrap_or(0).saturating_add(1);
        self.reads.insert(hash, reads);
        reads > 1 && reads.is_power_of_two()
    }

    /// Reads a chunk and keeps it without its compression, unless somebody has done so.
    async fn unpack(&self, store: &dyn ObjectStore, key: Key, column: ColumnChunkMetaData, rows: i64) -> Result<()> {
        let _one = self.unpacking.acquire().await.map_err(|error| ParquetError::External(Box::new(error)))?;
        if self.chunks.contains_key(&key) {
            return Ok(());
        }
        let Some(at) = packed_place(&column) else { return Ok(()) };
        let read = store.get_range(&key.file.location, at).await;
        let packed = read.map_err(|error| ParquetError::External(Box::new(error)))?;
        let bytes_max = self.chunk_bytes_max;
        let unpacked = tokio::task::spawn_blocking(move || unpack(&column, rows, packed, bytes_max)).await;
        if let Some(chunk) = unpacked.map_err(|error| ParquetError::External(Box::new(error)))?? {
            self.chunks.insert(key, Arc::new(chunk));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.weight()
    }
}

/// The chunk that a request reads pages of.
struct Held {
    place: usize,
    chunk: Arc<Unpacked>,
    /// Its bytes were read from the file, and counted there.
    is_counted: bool,
}

/// The unpacked pages of one file, for one statement.
pub(super) struct FilePages {
    cache: Arc<PageCache>,
    store: Arc<MeteredStore>,
    file: Arc<File>,
    /// Where the compressed chunks end and their places, by where they begin.
    packed: Option<BTreeMap<u64, (u64, usize)>>,
}

impl FilePages {
    /// `None` for a file without chunks that are worth to be kept.
    pub(super) fn new(cache: Arc<PageCache>, store: Arc<MeteredStore>, meta: &ObjectMeta) -> Option<Self> {
        if meta.size < PACKED_BYTES_MIN {
            return None;
        }
        let file = File {
            location: meta.location.clone(),
            size: meta.size,
            etag: meta.e_tag.clone(),
            modified_ms: meta.last_modified.timestamp_millis(),
        };
        Some(Self { cache, store, file: Arc::new(file), packed: None })
    }

    fn key(&self, place: usize) -> Key {
        Key { file: Arc::clone(&self.file), place }
    }

    /// A row group, and its part of the offset index, as they are with the chunks that are in the cache.
    ///
    /// # Errors
    /// The file's metadata contradict themselves.
    pub(super) fn show(
        &self,
        number: usize,
        group: &RowGroupMetaData,
        offsets: Option<&[OffsetIndexMetaData]>,
    ) -> Result<Option<(RowGroupMetaData, Option<Vec<OffsetIndexMetaData>>)>> {
        // An index that comes later would speak of other places.
        if offsets.is_none() && group.columns().iter().any(|column| column.offset_index_offset().is_some()) {
            return Ok(None);
        }
        let first = number * group.num_columns();
        let mut shown: Option<(Vec<ColumnChunkMetaData>, Option<Vec<OffsetIndexMetaData>>)> = None;
        for (index, column) in group.columns().iter().enumerate() {
            let place = first + index;
            if packed_place(column).is_none() || place >= PLACES_MAX {
                continue;
            }
            let Some(chunk) = self.cache.chunks.get(&self.key(place)) else { continue };
            let own = offsets.and_then(|offsets| offsets.get(index));
            if own.is_some_and(|own| own.page_locations().len() != chunk.pages.len()) {
                continue;
            }
            let (columns, indexes) = shown.get_or_insert_with(|| (group.columns().to_vec(), offsets.map(<[_]>::to_vec)));
            let begin = address(place, 0);
            let data = begin + chunk.pages.first().copied().unwrap_or(0) as i64;
            let built = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED);
            let built = built.set_total_compressed_size(chunk.bytes.len() as i64).set_data_page_offset(data);
            columns[index] = built.set_dictionary_page_offset((data > begin).then_some(begin)).build()?;
            if let (Some(own), Some(indexes)) = (own, indexes) {
                indexes[index] = chunk.index(place, own, group.num_rows());
            }
        }
        let Some((columns, indexes)) = shown else { return Ok(None) };
        Ok(Some((group.clone().into_builder().set_column_metadata(columns).build()?, indexes)))
    }

    /// Reads ranges of the file, or of its unpacked chunks. `metadata` are those of the file itself.
    ///
    /// # Errors
    /// What the reader answers; a chunk that can't be decompressed; the statement's limit of scanned bytes.
    pub(super) async fn read(
        &mut self,
        reader: &mut (dyn AsyncFileReader + Send),
        metadata: &ParquetMetaData,
        ranges: Vec<Range<u64>>,
    ) -> Result<Vec<Bytes>> {
        let mut answers = vec![Bytes::new(); ranges.len()];
        let mut others = Vec::with_capacity(ranges.len());
        let mut held = None;
        for (answer, range) in answers.iter_mut().zip(&ranges) {
            match range.start.checked_sub(UNPACKED) {
                Some(address) => {
                    *answer = self.unpacked(reader, metadata, address, range.end.saturating_sub(range.start), &mut held).await?;
                }
                None => others.push(range.clone()),
            }
        }
        if others.is_empty() {
            return Ok(answers);
        }
        let read = reader.get_byte_ranges(others.clone()).await?;
        self.keep(metadata, &others);
        let mut read = read.into_iter();
        for (answer, range) in answers.iter_mut().zip(&ranges) {
            if range.start < UNPACKED {
                *answer = read.next().ok_or_else(|| ParquetError::EOF("a range was not read".into()))?;
            }
        }
        Ok(answers)
    }

    async fn unpacked(
        &self,
        reader: &mut (dyn AsyncFileReader + Send),
        metadata: &ParquetMetaData,
        address: u64,
        length: u64,
        held: &mut Option<Held>,
    ) -> Result<Bytes> {
        let outside = || ParquetError::EOF(format!("{length} bytes at {address} are not in the file"));
        let place = usize::try_from(address >> ADDRESSES_LOG2)?;
        let (number, index) = place_of(metadata, place).ok_or_else(outside)?;
        let group = metadata.row_group(number);
        let column = group.column(index);
        // The pages of one chunk come one after the other.
        let held = match held {
            Some(held) if held.place == place => held,
            _ => held.insert(self.hold(reader, place, column, group.num_rows()).await?.ok_or_else(outside)?),
        };
        let chunk = &held.chunk;
        let begin = address & ((1 << ADDRESSES_LOG2) - 1);
        let end = begin.checked_add(length).filter(|end| *end <= chunk.bytes.len() as u64).ok_or_else(outside)?;
        if !held.is_counted {
            let offsets = metadata.offset_index().and_then(|index| index.get(number)).and_then(|columns| columns.get(index));
            let packed = chunk.packed_bytes(column, offsets, begin..end);
            self.store.count(packed).map_err(|error| ParquetError::External(Box::new(error)))?;
        }
        Ok(chunk.bytes.slice(usize::try_from(begin)?..usize::try_from(end)?))
    }

    /// A chunk from the cache, or made again where it has left it; `None` where it has become too large.
    async fn hold(
        &self,
        reader: &mut (dyn AsyncFileReader + Send),
        place: usize,
        column: &ColumnChunkMetaData,
        rows: i64,
    ) -> Result<Option<Held>> {
        let key = self.key(place);
        if let Some(chunk) = self.cache.chunks.get(&key) {
            return Ok(Some(Held { place, chunk, is_counted: false }));
        }
        let Some(at) = packed_place(column) else { return Ok(None) };
        let packed = reader.get_bytes(at).await?;
        let Some(chunk) = unpack(column, rows, packed, self.cache.chunk_bytes_max)? else { return Ok(None) };
        let chunk = Arc::new(chunk);
        self.cache.chunks.insert(key, Arc::clone(&chunk));
        Ok(Some(Held { place, chunk, is_counted: true }))
    }

    /// Unpacks the chunks of which much was read and is read often, beside the statement. Where enough wait for that it is left to the next read.
    fn keep(&mut self, metadata: &ParquetMetaData, read: &[Range<u64>]) {
        let Ok(waiting) = Arc::clone(&self.cache.waiting).try_acquire_owned() else { return };
        let packed = self.packed.get_or_insert_with(|| packed_chunks(metadata));
        let mut read_bytes: BTreeMap<usize, u64> = BTreeMap::new();
        for range in read {
            let Some((_, (end, place))) = packed.range(..=range.start).next_back() else { continue };
            if range.end <= *end {
                *read_bytes.entry(*place).or_default() += range.end - range.start;
            }
        }
        let mut due = Vec::new();
        for (place, bytes) in read_bytes {
            let Some((number, index)) = place_of(metadata, place) else { continue };
            let group = metadata.row_group(number);
            let column = group.column(index);
            let Some(whole) = packed_place(column).map(|at| at.end - at.start) else { continue };
            let unpacked = u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX);
            if whole.max(unpacked) > self.cache.chunk_bytes_max || bytes < whole / MUCH {
                continue;
            }
            let key = Key { file: Arc::clone(&self.file), place };
            if !self.cache.chunks.contains_key(&key) && self.cache.is_due(&key) {
                due.push((key, column.clone(), group.num_rows()));
            }
        }
        if due.is_empty() {
            return;
        }
        let (cache, store) = (Arc::clone(&self.cache), Arc::clone(self.store.inner()));
        tokio::spawn(async move {
            for (key, column, rows) in due {
                let file = Arc::clone(&key.file);
                // Whoever reads or decodes it for a statement says what is wrong.
                if let Err(error) = cache.unpack(store.as_ref(), key, column, rows).await {
                    tracing::debug!(file = %file.location, %error, "a column chunk can't be unpacked");
                }
            }
            drop(waiting);
        });
    }
}

/// Where a chunk lies in its file; `None` where that is no place. (The crate's own `byte_range` panics then.)
pub(super) fn place_in_file(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset())).ok()?;
    let end = start.checked_add(u64::try_from(column.compressed_size()).ok()?)?;
    (end < UNPACKED).then_some(start..end)
}

/// Where a chunk lies that is worth to be kept without its compression.
fn packed_place(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let place = place_in_file(column)?;
    let worth = column.compression() != Compression::UNCOMPRESSED && place.end - place.start >= PACKED_BYTES_MIN;
    worth.then_some(place)
}

/// Where a file's compressed chunks end and their places, by where they begin.
fn packed_chunks(metadata: &ParquetMetaData) -> BTreeMap<u64, (u64, usize)> {
    let columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns).enumerate().take(PLACES_MAX);
    columns.filter_map(|(place, column)| packed_place(column).map(|at| (at.start, (at.end, place)))).collect()
}

/// The numbers of row group and column.
fn place_of(metadata: &ParquetMetaData, place: usize) -> Option<(usize, usize)> {
    let columns = metadata.file_metadata().schema_descr().num_columns();
    let number = place.checked_div(columns)?;
    let group = metadata.row_groups().get(number)?;
    let index = place % columns;
    (index < group.num_columns()).then_some((number, index))
}

fn address(place: usize, offset: u64) -> i64 {
    (UNPACKED + ((place as u64) << ADDRESSES_LOG2) + offset) as i64
}

impl Unpacked {
    /// The offset index of a chunk whose pages lie here.
    fn index(&self, place: usize, packed: &OffsetIndexMetaData, rows: i64) -> OffsetIndexMetaData {
        let mut index = OffsetIndexBuilder::new();
        let ends = self.pages.iter().skip(1).copied().chain([self.bytes.len() as u64]);
        let first_rows: Vec<i64> = packed.page_locations().iter().map(|page| page.first_row_index).collect();
        let last_rows = first_rows.iter().skip(1).copied().chain([rows]);
        for (((begin, end), first), last) in self.pages.iter().zip(ends).zip(&first_rows).zip(last_rows) {
            index.append_row_count(last - first);
            index.append_offset_and_size(address(place, *begin), (end - begin) as i32);
        }
        index.build()
    }

    /// The bytes that pages within `range` take in the file.
    fn packed_bytes(&self, column: &ColumnChunkMetaData, offsets: Option<&OffsetIndexMetaData>, range: Range<u64>) -> u64 {
        let Some(Range { start, end }) = place_in_file(column) else { return 0 };
        let (all, unpacked) = (end - start, self.bytes.len() as u64);
        let locations = match offsets {
            _ if range == (0..unpacked) => return all,
            Some(offsets) => offsets.page_locations(),
            // Nothing tells: their share.
            None => return (u128::from(all) * u128::from(range.end - range.start)).div_ceil(u128::from(unpacked.max(1))) as u64,
        };
        let dictionary = match locations.first() {
            Some(first) if range.start == 0 => u64::try_from(first.offset).unwrap_or(start).saturating_sub(start),
            _ => 0,
        };
        let pages = self.pages.iter().zip(locations).filter(|(begin, _)| range.contains(begin));
        pages
            .map(|(_, page)| u64::try_from(page.compressed_page_size).unwrap_or(0))
            .fold(dictionary, u64::saturating_add)
            .min(all)
    }
}

/// A chunk's pages without their compression; `None` when they would be larger than `bytes_max`.
fn unpack(column: &ColumnChunkMetaData, rows: i64, packed: Bytes, bytes_max: u64) -> Result<Option<Unpacked>> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let builder = column.clone().into_builder().set_data_page_offset(column.data_page_offset() - start);
    let here = builder.set_dictionary_page_offset(column.dictionary_page_offset().map(|offset| offset - start)).build()?;
    let mut reader = SerializedPageReader::new(Arc::new(packed), &here, usize::try_from(rows)?, None)?;
    let expected = u64::try_from(column.uncompressed_size())?.min(bytes_max);
    let mut sink = TrackedWrite::new(Vec::with_capacity(usize::try_from(expected)?));
    let mut pages = Vec::new();
    while let Some(page) = reader.get_next_page()? {
        let (bytes, is_data) = (page.buffer().len(), page.is_data_page());
        if (sink.bytes_written() + bytes) as u64 > bytes_max {
            return Ok(None);
        }
        let written = SerializedPageWriter::new(&mut sink).write_page(CompressedPage::new(page, bytes))?;
        if is_data {
            pages.push(written.offset);
        }
    }
    let bytes = sink.into_inner()?.into_boxed_slice();
    Ok(Some(Unpacked { bytes: bytes.into(), pages }))
}
