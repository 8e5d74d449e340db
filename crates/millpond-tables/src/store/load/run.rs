//! Runs: items in the order of their keys, in memory or in a file, and their merge.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes before an entry's key: the key's and the item's lengths, the order.
const HEADER: usize = 4 + 4 + 8;

/// Items in memory, not yet in order.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// The first eight bytes of the key's hash, for comparing, and where the entry is.
    entries: Vec<(u64, u32)>,
    limit_bytes: usize,
}

/// A sorted run without duplicate keys.
#[derive(Debug)]
pub(super) enum Run {
    Memory(Buffer),
    File(PathBuf),
}

/// What making a run or merging runs found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) kept: u64,
    pub(super) duplicates: u64,
    pub(super) bytes: u64,
}

/// Of one entry, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) key: &'a [u8],
    pub(super) item: &'a [u8],
    order: u64,
}

/// The bytes of an item's key that differ most: those of its hash.
fn prefix(key: &[u8]) -> u64 {
    key.get(1..9).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn lengths(header: &[u8]) -> Option<(usize, usize, u64)> {
    let (key, rest) = header.split_first_chunk::<4>()?;
    let (item, rest) = rest.split_first_chunk::<4>()?;
    let (order, _) = rest.split_first_chunk::<8>()?;
    Some((u32::from_le_bytes(*key) as usize, u32::from_le_bytes(*item) as usize, u64::from_le_bytes(*order)))
}

fn row(bytes: &[u8], at: usize) -> Option<Row<'_>> {
    let entry = bytes.get(at..)?;
    let (key_length, item_length, order) = lengths(entry.get(..HEADER)?)?;
    let key = entry.get(HEADER..HEADER + key_length)?;
    let item = entry.get(HEADER + key_length..HEADER + key_length + item_length)?;
    Some(Row { key, item, order })
}

impl Buffer {
    /// Of at most so many bytes, entries' places included.
    pub(super) fn new(limit_bytes: usize) -> Self {
        // Places are 32 bits.
        Self { bytes: Vec::new(), entries: Vec::new(), limit_bytes: limit_bytes.clamp(1 << 16, 1 << 31) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Would this entry go beyond the limit?
    pub(super) fn full_with(&self, key: &[u8], item: &[u8]) -> bool {
        !self.is_empty() && self.bytes.len() + HEADER + key.len() + item.len() + (self.entries.len() + 1) * 16 > self.limit_bytes
    }

    pub(super) fn push(&mut self, key: &[u8], item: &[u8], order: u64) {
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.entries.push((prefix(key), at));
        self.bytes.extend(length(key));
        self.bytes.extend(length(item));
        self.bytes.extend(order.to_le_bytes());
        self.bytes.extend(key);
        self.bytes.extend(item);
    }

    fn row(&self, at: u32) -> Row<'_> {
        row(&self.bytes, at as usize).unwrap_or(Row { key: &[], item: &[], order: 0 })
    }

    /// Sorts, and leaves the last of each key.
    pub(super) fn sort(&mut self) -> Tally {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|(first_prefix, first), (second_prefix, second)| {
            first_prefix.cmp(second_prefix).then_with(|| {
                let (first, second) = (self.row(*first), self.row(*second));
                first.key.cmp(second.key).then(second.order.cmp(&first.order))
            })
        });
        let before = entries.len();
        entries.dedup_by(|later, kept| later.0 == kept.0 && self.row(later.1).key == self.row(kept.1).key);
        self.entries = entries;
        let kept = self.entries.len() as u64;
        Tally { kept, duplicates: before as u64 - kept, bytes: self.bytes.len() as u64 }
    }

    /// Writes the sorted entries to a file, and empties the buffer.
    pub(super) fn spill(&mut self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
        for &(_, at) in &self.entries {
            let row = self.row(at);
            let start = at as usize;
            let end = start + HEADER + row.key.len() + row.item.len();
            file.write_all(self.bytes.get(start..end).unwrap_or_default())?;
        }
        file.flush()?;
        self.bytes.clear();
        self.entries.clear();
        Ok(())
    }
}

/// Reads a run from its start.
struct RunReader {
    source: Source,
    /// The entry that comes next; empty at the end.
    current: Vec<u8>,
    prefix: u64,
    order: u64,
    key_length: usize,
    ended: bool,
}

enum Source {
    Memory { buffer: Buffer, next: usize },
    File(BufReader<File>),
}

impl RunReader {
    fn open(run: Run, buffer_bytes: usize) -> io::Result<Self> {
        let source = match run {
            Run::Memory(buffer) => Source::Memory { buffer, next: 0 },
            Run::File(path) => {
                let file = File::open(&path)?;
                // The bytes go when the reader does.
                std::fs::remove_file(&path)?;
                Source::File(BufReader::with_capacity(buffer_bytes, file))
            }
        };
        let mut reader = Self { source, current: Vec::new(), prefix: 0, order: 0, key_length: 0, ended: false };
        reader.advance()?;
        Ok(reader)
    }

    fn advance(&mut self) -> io::Result<()> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a sorted run of a load is damaged");
        self.current.clear();
        match &mut self.source {
            Source::Memory { buffer, next } => {
                let Some(&(_, at)) = buffer.entries.get(*next) else {
                    self.ended = true;
                    return Ok(());
                };
                *next += 1;
                let row = buffer.row(at);
                let (start, length) = (at as usize, HEADER + row.key.len() + row.item.len());
                self.current.extend(buffer.bytes.get(start..start + length).ok_or_else(damaged)?);
            }
            Source::File(file) => {
                let mut header = [0; HEADER];
                match file.read(&mut header)? {
                    0 => {
                        self.ended = true;
                        return Ok(());
                    }
                    read => file.read_exact(header.get_mut(read..).unwrap_or_default())?,
                }
                let (key_length, item_length, _) = lengths(&header).ok_or_else(damaged)?;
                self.current.extend(header);
                self.current.resize(HEADER + key_length + item_length, 0);
                file.read_exact(self.current.get_mut(HEADER..).unwrap_or_default())?;
            }
        }
        let (key_length, _, order) = lengths(&self.current).ok_or_else(damaged)?;
        self.key_length = key_length;
        self.order = order;
        self.prefix = prefix(self.key());
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.current.get(HEADER..HEADER + self.key_length).unwrap_or_default()
    }

    /// Which comes first: by key, then the later order.
    fn compare(&self, other: &Self) -> Ordering {
        let keys = || self.prefix.cmp(&other.prefix).then_with(|| self.key().cmp(other.key())).then(other.order.cmp(&self.order));
        self.ended.cmp(&other.ended).then_with(keys)
    }
}

/// Runs as one, in order, without duplicate keys.
pub(super) struct Merge {
    /// A binary heap, the first entry at its top.
    readers: Vec<RunReader>,
    /// The entry that was given last.
    given: Vec<u8>,
    key_length: usize,
    pub(super) duplicates: u64,
}

impl Merge {
    pub(super) fn new(runs: Vec<Run>, memory_bytes: usize) -> io::Result<Self> {
        let each = (memory_bytes / runs.len().max(1)).clamp(16 << 10, 1 << 20);
        let readers = runs.into_iter().map(|run| RunReader::open(run, each)).collect::<io::Result<Vec<_>>>()?;
        let mut merge = Self { readers, given: Vec::new(), key_length: 0, duplicates: 0 };
        for at in (0..merge.readers.len() / 2).rev() {
            merge.sift(at);
        }
        Ok(merge)
    }

    fn before(&self, first: usize, second: usize) -> bool {
        match (self.readers.get(first), self.readers.get(second)) {
            (Some(first), Some(second)) => first.compare(second) == Ordering::Less,
            (first, _) => first.is_some(),
        }
    }

    fn sift(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.before(right, left) { right } else { left };
            if child >= self.readers.len() || !self.before(child, at) {
                return;
            }
            self.readers.swap(child, at);
            at = child;
        }
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> io::Result<Option<Row<'_>>> {
        loop {
            let Some(top) = self.readers.first_mut() else { return Ok(None) };
            if top.ended {
                return Ok(None);
            }
            let given = self.given.get(HEADER..HEADER + self.key_length).unwrap_or_default();
            let duplicate = !given.is_empty() && given == top.key();
            if !duplicate {
                std::mem::swap(&mut self.given, &mut top.current);
                self.key_length = top.key_length;
            }
            top.advance()?;
            self.sift(0);
            if duplicate {
                self.duplicates += 1;
            } else {
                return Ok(row(&self.given, 0));
            }
        }
    }
}

/// Merges runs into one file.
pub(super) fn merge_to_file(runs: Vec<Run>, memory_bytes: usize, path: &Path) -> io::Result<u64> {
    let mut merge = Merge::new(runs, memory_bytes)?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
    while let Some(row) = merge.next()? {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        file.write_all(&length(row.key))?;
        file.write_all(&length(row.item))?;
        file.write_all(&row.order.to_le_bytes())?;
        file.write_all(row.key)?;
        file.write_all(row.item)?;
    }
    file.flush()?;
    Ok(merge.duplicates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    #[test]
    fn merged_runs_give_the_last_of_each_key_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = StdRng::seed_from_u64(4);
        let mut expected: BTreeMap<Vec<u8>, (u64, Vec<u8>)> = BTreeMap::new();
        let (mut runs, mut duplicates, mut order) = (Vec::new(), 0, 0);
        for number in 0..9 {
            let mut buffer = Buffer::new(1 << 20);
            for _ in 0..500 {
                // Keys that share a prefix, keys that are equal, keys that are shorter than a prefix.
                let mut key = vec![1, 0, 0, 0, 0, 0, 0, 0, random.random_range(0..4)];
                key.extend((0..random.random_range(0..3)).map(|_| random.random_range(0..9u8)));
                let item: Vec<u8> = (0..random.random_range(0..40)).map(|_| random.random()).collect();
                order += 1;
                // Orders are not those of the runs.
                let order = order ^ 0x155;
                buffer.push(&key, &item, order);
                let entry = expected.entry(key).or_insert((order, item.clone()));
                if order >= entry.0 {
                    *entry = (order, item);
                }
            }
            duplicates += buffer.sort().duplicates;
            if number % 3 == 0 {
                runs.push(Run::Memory(buffer));
            } else {
                let path = folder.path().join(number.to_string());
                buffer.spill(&path).unwrap();
                runs.push(Run::File(path));
            }
        }
        let rest = runs.split_off(4);
        let path = folder.path().join("merged");
        duplicates += merge_to_file(rest, 1 << 20, &path).unwrap();
        runs.push(Run::File(path));
        let mut merge = Merge::new(runs, 1 << 20).unwrap();
        let mut found = Vec::new();
        while let Some(row) = merge.next().unwrap() {
            found.push((row.key.to_vec(), (row.order, row.item.to_vec())));
        }
        duplicates += merge.duplicates;
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(found.len() as u64 + duplicates, 9 * 500);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files of runs go when they are read");
    }
}
