//! Files with the values that are the same for all of their rows, spread over partitions of work.

use super::{FILE_MODIFIED, FILE_SIZE, Hidden, Shape, partition};
use crate::table::{DataFile, FileGroup};
use datafusion::common::{Result, ScalarValue};
use std::ops::Range;
use std::sync::Arc;

/// A file and its constant columns' values: partition keys, then hidden columns.
#[derive(Debug, Clone)]
pub(crate) struct ScanFile {
    pub(crate) file: DataFile,
    /// Only the lines that begin in these bytes.
    pub(crate) range: Option<Range<u64>>,
    pub(crate) constants: Arc<[ScalarValue]>,
}

/// All files of the groups, in order. Empty files are left out: they have no rows in any format.
pub(super) fn scan_files(groups: Vec<FileGroup>, shape: &Shape) -> Result<Vec<ScanFile>> {
    let mut files = Vec::with_capacity(groups.iter().map(|group| group.files.len()).sum());
    for group in groups {
        let keys = shape.partition_keys.iter().enumerate();
        let keys = keys.map(|(index, (name, key))| partition::key_value(name, key, group.values.get(index).map(String::as_str)));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let shared: Arc<[ScalarValue]> = keys.into();
        for file in group.files {
            if file.size == 0 {
                continue;
            }
            let constants = if shape.hidden.is_empty() { Arc::clone(&shared) } else { with_hidden(&shared, &file, shape) };
            files.push(ScanFile { file, range: None, constants });
        }
    }
    Ok(files)
}

fn with_hidden(keys: &[ScalarValue], file: &DataFile, shape: &Shape) -> Arc<[ScalarValue]> {
    keys.iter().cloned().chain(shape.hidden.values(file)).collect()
}

impl Hidden {
    /// What the columns have for all rows of a file.
    pub(crate) fn values<'a>(&'a self, file: &'a DataFile) -> impl Iterator<Item = ScalarValue> + 'a {
        self.names().map(|name| match name {
            FILE_SIZE => ScalarValue::Int64(i64::try_from(file.size).ok()),
            FILE_MODIFIED => ScalarValue::TimestampMillisecond(Some(file.modified_ms), Some("UTC".into())),
            _ => ScalarValue::Utf8(Some(file.uri.clone())),
        })
    }
}

impl ScanFile {
    /// Of the file or its part.
    pub(super) fn bytes(&self) -> u64 {
        self.range.as_ref().map_or(self.file.size, |range| range.end - range.start)
    }
}

/// Cuts files that are too large for one of `parts` partitions of work into ranges of about the same size, of at least `least` bytes.
pub(super) fn divide(files: Vec<ScanFile>, parts: usize, least: u64) -> Vec<ScanFile> {
    let total: u64 = files.iter().map(|file| file.file.size).sum();
    let share = (total / parts.max(1) as u64).max(least);
    let mut divided = Vec::with_capacity(files.len());
    for file in files {
        let pieces = if parts > 1 { file.file.size / share } else { 1 };
        if pieces < 2 {
            divided.push(file);
            continue;
        }
        let size = u128::from(file.file.size);
        let bound = |piece: u64| (size * u128::from(piece) / u128::from(pieces)) as u64;
        divided.extend((0..pieces).map(|piece| ScanFile { range: Some(bound(piece)..bound(piece + 1)), ..file.clone() }));
    }
    divided
}

/// Pieces of Parquet files by partition of work: whoever is done with one takes the next that nobody has begun, so that none waits long for the others.
const PIECES: usize = 4;

/// Smaller pieces of Parquet files are not worth another look at the footer.
const PIECE_BYTES_MIN: u64 = 2 << 20;

/// Parquet files for `partitions` of work, in pieces that may go from one to another. A row group belongs to the piece in which it begins.
pub(crate) fn spread_pieces(files: Vec<ScanFile>, partitions: usize) -> Vec<Vec<ScanFile>> {
    let pieces = if partitions > 1 { partitions * PIECES } else { 1 };
    spread(divide(files, pieces, PIECE_BYTES_MIN), partitions)
}

/// Cuts the files into at most `parts` runs of about the same number of bytes. Opening a file counts as a few of them.
pub(super) fn spread(files: Vec<ScanFile>, parts: usize) -> Vec<Vec<ScanFile>> {
    const OPENING: u64 = 16 << 10;
    let cost = |file: &ScanFile| file.bytes().saturating_add(OPENING);
    let total: u64 = files.iter().map(cost).sum::<u64>().max(1);
    let parts = parts.clamp(1, files.len().max(1));
    let mut runs: Vec<Vec<ScanFile>> = vec![Vec::new(); parts];
    let mut before: u64 = 0;
    for file in files {
        // A file belongs to the run in which its middle lies.
        let middle = u128::from(before) + u128::from(cost(&file) / 2);
        let index = usize::try_from(middle * parts as u128 / u128::from(total)).unwrap_or(0).min(parts - 1);
        before = before.saturating_add(cost(&file));
        runs[index].push(file);
    }
    runs.retain(|run| !run.is_empty());
    if runs.is_empty() {
        runs.push(Vec::new());
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> ScanFile {
        let file = DataFile { blob: "b".into(), uri: "s3://b/k".into(), size, etag: String::new(), modified_ms: 0 };
        ScanFile { file, range: None, constants: Vec::new().into() }
    }

    #[test]
    fn files_are_spread_by_size() {
        let check = |sizes: &[u64], parts: usize, expected: &[usize]| {
            let runs = spread(sizes.iter().map(|size| file(*size)).collect(), parts);
            assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{sizes:?}");
        };
        check(&[1 << 20; 4], 2, &[2, 2]);
        check(&[10 << 20, 1, 1, 1], 2, &[1, 3]);
        check(&[1 << 20], 4, &[1]);
        check(&[100; 10_000], 2, &[5_000, 5_000]);
        check(&[], 2, &[0]);
    }

    #[test]
    fn large_files_are_divided_without_gaps() {
        let check = |sizes: &[u64], parts: usize, expected: usize| {
            let divided = divide(sizes.iter().map(|size| file(*size)).collect(), parts, 8 << 20);
            assert_eq!(divided.len(), expected, "{sizes:?}");
            assert_eq!(divided.iter().map(ScanFile::bytes).sum::<u64>(), sizes.iter().sum::<u64>());
        };
        check(&[100 << 20], 4, 4);
        check(&[100 << 20], 1, 1);
        check(&[9 << 20], 4, 1);
        check(&[100 << 20, 1, 10 << 20], 2, 3);
        check(&[64 << 20; 8], 2, 8);
    }
}
