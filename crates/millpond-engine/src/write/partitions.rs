//! Rows to the files of their partitions.
//!
//! One file for each partition is the rule. Without partition keys each thread encodes its own row groups as rows come, and the one file takes them in
//! turn. With keys, rows wait in memory with others of their partition until a row group is full, or until all that wait is too much: then the
//! largest go first.

use super::{EncodedRowGroup, FileWriter, Output, RowGroup, WriteError, WrittenFile, partition_text};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Key = Vec<String>;

/// Open files at most; beyond it the files with most bytes are closed, and their partitions go on in new ones.
const OPEN_FILES_MAX: usize = 4_096;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<Key, Waiting>,
    waiting_bytes: usize,
    open: HashMap<Key, Arc<Mutex<Option<FileWriter>>>>,
    done: Vec<WrittenFile>,
    /// All that came so far, where their number has a limit.
    seen: HashSet<Key>,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

/// Writes one table's files; shared by all threads.
#[derive(Debug)]
pub struct PartitionWriter {
    output: Output,
    /// Positions of the partition keys in the batches that are given, in the keys' order.
    keys: Vec<usize>,
    state: Mutex<State>,
    /// Encoded bytes that open files hold and have not sent on, all together.
    held: AtomicIsize,
}

/// One thread's share of a [`PartitionWriter`].
#[derive(Debug, Default)]
pub struct Local {
    group: Option<RowGroup>,
}

impl PartitionWriter {
    /// `output.schema` is that of the files: the given batches' columns without `keys`.
    pub fn new(output: Output, keys: Vec<usize>) -> Self {
        Self { output, keys, state: Mutex::new(State::default()), held: AtomicIsize::new(0) }
    }

    /// Takes rows.
    ///
    /// # Errors
    /// Encoding's and the store's.
    pub fn write(&self, local: &mut Local, batch: &RecordBatch) -> Result<(), WriteError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.keys.is_empty() {
            return self.write_through(local, batch);
        }
        for (key, rows) in split(batch, &self.keys)? {
            self.admit(&key)?;
            self.wait(key, rows)?;
        }
        self.relieve()
    }

    /// What all its files share.
    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    fn options(&self) -> &super::WriteOptions {
        &self.output.options
    }

    fn write_through(&self, local: &mut Local, batch: &RecordBatch) -> Result<(), WriteError> {
        let group = match &mut local.group {
            Some(group) => group,
            none => {
                let file = self.file(&Key::new(), batch)?;
                let file = lock(&file);
                none.insert(file.as_ref().expect("an open file").row_group()?)
            }
        };
        group.write(batch)?;
        if group.rows >= self.options().row_group_rows || group.bytes() >= self.options().row_group_bytes {
            let encoded = group.finish()?;
            return self.append(&Key::new(), encoded, batch);
        }
        Ok(())
    }

    /// Writes what a thread still holds.
    ///
    /// # Errors
    /// Encoding's and the store's.
    pub fn finish_local(&self, mut local: Local) -> Result<(), WriteError> {
        match local.group.take() {
            Some(mut group) if group.rows > 0 => {
                let encoded = group.finish()?;
                self.append(&Key::new(), encoded, &RecordBatch::new_empty(Arc::clone(&self.output.schema)))
            }
            _ => Ok(()),
        }
    }

    /// The partition's open file, made where there is none.
    fn file(&self, key: &Key, sample: &RecordBatch) -> Result<Arc<Mutex<Option<FileWriter>>>, WriteError> {
        let mut state = lock(&self.state);
        if let Some(file) = state.open.get(key) {
            return Ok(Arc::clone(file));
        }
        if state.open.len() >= OPEN_FILES_MAX {
            let largest =
                state.open.iter().max_by_key(|(_, file)| file.try_lock().map_or(0, |f| f.as_ref().map_or(0, FileWriter::held)));
            if let Some(largest) = largest.map(|(key, _)| key.clone()) {
                let file = state.open.remove(&largest).expect("it was just found");
                drop(state);
                self.close(&file, largest)?;
                state = lock(&self.state);
            }
        }
        let file = Arc::new(Mutex::new(Some(FileWriter::new(&self.output, sample)?)));
        Ok(Arc::clone(state.open.entry(key.clone()).or_insert(file)))
    }

    fn append(&self, key: &Key, encoded: EncodedRowGroup, sample: &RecordBatch) -> Result<(), WriteError> {
        loop {
            let file = self.file(key, sample)?;
            let mut slot = lock(&file);
            // Another thread may have closed it between the two locks.
            let Some(writer) = slot.as_mut() else { continue };
            let before = writer.held();
            writer.append(encoded)?;
            let full = writer.bytes() >= self.options().file_bytes;
            let change = writer.held().cast_signed() - before.cast_signed();
            let held = self.held.fetch_add(change, Ordering::Relaxed) + change;
            drop(slot);
            if full {
                lock(&self.state).open.remove(key);
                self.close(&file, key.clone())?;
            } else if held > self.options().buffer_bytes.cast_signed() {
                // Parts of an upload have a least size, so that what is held cannot be sent as it is: a file is closed early instead.
                self.close_largest()?;
            }
            return Ok(());
        }
    }

    /// Closes the open file that holds most; its partition goes on in another.
    fn close_largest(&self) -> Result<(), WriteError> {
        let mut state = lock(&self.state);
        let held = |file: &Mutex<Option<FileWriter>>| file.try_lock().map_or(0, |f| f.as_ref().map_or(0, FileWriter::held));
        let Some(key) = state.open.iter().max_by_key(|(_, file)| held(file)).map(|(key, _)| key.clone()) else { return Ok(()) };
        let file = state.open.remove(&key).expect("it was just found");
        drop(state);
        self.close(&file, key)
    }

    fn close(&self, file: &Mutex<Option<FileWriter>>, key: Key) -> Result<(), WriteError> {
        let mut slot = lock(file);
        let Some(writer) = slot.take() else { return Ok(()) };
        self.held.fetch_sub(writer.held().cast_signed(), Ordering::Relaxed);
        drop(slot);
        let written = writer.close(key)?;
        lock(&self.state).done.push(written);
        Ok(())
    }

    /// Counts a partition, where their number has a limit.
    fn admit(&self, key: &Key) -> Result<(), WriteError> {
        let Some(most) = self.options().partitions_max else { return Ok(()) };
        let mut state = lock(&self.state);
        if !state.seen.contains(key) {
            if state.seen.len() >= most {
                return Err(WriteError::TooManyPartitions(most));
            }
            state.seen.insert(key.clone());
        }
        Ok(())
    }

    fn wait(&self, key: Key, rows: RecordBatch) -> Result<(), WriteError> {
        let mut state = lock(&self.state);
        let bytes = rows.get_array_memory_size();
        state.waiting_bytes += bytes;
        let waiting = state.waiting.entry(key.clone()).or_default();
        waiting.rows += rows.num_rows();
        waiting.bytes += bytes;
        waiting.batches.push(rows);
        if waiting.rows < self.options().row_group_rows && waiting.bytes < self.options().row_group_bytes * 4 {
            return Ok(());
        }
        let full = state.waiting.remove(&key).expect("it was just filled");
        state.waiting_bytes -= full.bytes;
        drop(state);
        self.encode(&key, full)
    }

    /// Encodes the largest of those that wait, while all together are too much.
    fn relieve(&self) -> Result<(), WriteError> {
        loop {
            let mut state = lock(&self.state);
            if state.waiting_bytes <= self.options().buffer_bytes {
                return Ok(());
            }
            let Some(key) = state.waiting.iter().max_by_key(|(_, w)| w.bytes).map(|(key, _)| key.clone()) else { return Ok(()) };
            let largest = state.waiting.remove(&key).expect("it was just found");
            state.waiting_bytes -= largest.bytes;
            drop(state);
            self.encode(&key, largest)?;
        }
    }

    fn encode(&self, key: &Key, waiting: Waiting) -> Result<(), WriteError> {
        // Many slivers of batches are cheaper to encode as one.
        let batches = if waiting.batches.len() > 1 && waiting.rows / waiting.batches.len() < 1_024 {
            vec![concat_batches(&self.output.schema, &waiting.batches)?]
        } else {
            waiting.batches
        };
        let sample = batches.iter().max_by_key(|b| b.num_rows()).expect("something waits").clone();
        let file = self.file(key, &sample)?;
        let group = lock(&file).as_ref().map(FileWriter::row_group);
        let mut group = match group {
            Some(group) => group?,
            None => FileWriter::new(&self.output, &sample)?.row_group()?,
        };
        for batch in &batches {
            group.write(batch)?;
        }
        let encoded = group.finish()?;
        self.append(key, encoded, &sample)
    }

    /// Encodes one partition that still waits; `false` where none does. Threads call this together at the end.
    ///
    /// # Errors
    /// Encoding's and the store's.
    pub fn drain_one(&self) -> Result<bool, WriteError> {
        let mut state = lock(&self.state);
        let Some(key) = state.waiting.keys().next().cloned() else { return Ok(false) };
        let waiting = state.waiting.remove(&key).expect("it was just found");
        state.waiting_bytes -= waiting.bytes;
        drop(state);
        self.encode(&key, waiting)?;
        // Nothing more can come for this partition: its memory is given back at once.
        let file = lock(&self.state).open.remove(&key);
        if let Some(file) = file {
            self.close(&file, key)?;
        }
        Ok(true)
    }

    /// Closes all files; none is visible to anyone before its caller names it.
    ///
    /// # Errors
    /// The store's.
    pub fn finish(&self) -> Result<Vec<WrittenFile>, WriteError> {
        while self.drain_one()? {}
        let open: Vec<_> = lock(&self.state).open.drain().collect();
        for (key, file) in open {
            self.close(&file, key)?;
        }
        let mut done = std::mem::take(&mut lock(&self.state).done);
        done.sort_by(|a, b| a.partition_values.cmp(&b.partition_values));
        Ok(done)
    }

    /// Gives all open files up; answers those that were closed already.
    pub fn abort(&self) -> Vec<WrittenFile> {
        let mut state = lock(&self.state);
        for (_, file) in state.open.drain() {
            if let Some(writer) = lock(&file).take() {
                writer.abort();
            }
        }
        state.waiting.clear();
        std::mem::take(&mut state.done)
    }
}

/// The rows of each partition in the order of its first one, without the key columns, which stand at `keys`.
pub(crate) fn split(batch: &RecordBatch, keys: &[usize]) -> Result<Vec<(Key, RecordBatch)>, WriteError> {
    let columns: Vec<ArrayRef> = keys.iter().map(|&i| Arc::clone(batch.column(i))).collect();
    let converter = RowConverter::new(columns.iter().map(|k| SortField::new(k.data_type().clone())).collect())?;
    let rows = converter.convert_columns(&columns)?;
    let mut groups: HashMap<&[u8], Vec<u32>> = HashMap::new();
    let mut order: Vec<u32> = Vec::new();
    for i in 0..batch.num_rows() {
        let members = groups.entry(rows.row(i).data()).or_default();
        if members.is_empty() {
            order.push(i as u32);
        }
        members.push(i as u32);
    }
    let rest: Vec<usize> = (0..batch.num_columns()).filter(|i| !keys.contains(i)).collect();
    let data = batch.project(&rest)?;
    let mut split = Vec::with_capacity(groups.len());
    for first in order {
        let members = groups.remove(rows.row(first as usize).data()).expect("each first row has its group");
        let key = columns.iter().map(|k| value_text(k, first as usize)).collect::<Result<Key, _>>()?;
        let part =
            if members.len() == batch.num_rows() { data.clone() } else { take_record_batch(&data, &UInt32Array::from(members))? };
        split.push((key, part));
    }
    Ok(split)
}

fn value_text(array: &ArrayRef, row: usize) -> Result<String, WriteError> {
    if array.is_null(row) {
        return Ok(partition_text(None));
    }
    let options = FormatOptions::new().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let text = ArrayFormatter::try_new(array.as_ref(), &options)?.value(row).to_string();
    Ok(partition_text(Some(text)))
}

/// `year=2013/city=S%C3%A3o`: the folder of a partition, with those characters escaped that Hive escapes (`FileUtils.escapePathName`).
pub fn partition_path(keys: &[String], values: &[String]) -> String {
    let mut path = String::new();
    for (key, value) in keys.iter().zip(values) {
        if !path.is_empty() {
            path.push('/');
        }
        escape_into(&mut path, key);
        path.push('=');
        escape_into(&mut path, value);
    }
    path
}

fn escape_into(path: &mut String, text: &str) {
    for c in text.chars() {
        let escaped = c.is_ascii_control()
            || matches!(c, '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^');
        if escaped {
            path.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            path.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_folders_are_escaped_as_hive_does() {
        let keys = ["year".to_owned(), "city".to_owned()];
        let values = ["2013".to_owned(), "a/b=c d:é%".to_owned()];
        assert_eq!(partition_path(&keys, &values), "year=2013/city=a%2Fb%3Dc d%3Aé%25");
    }
}
