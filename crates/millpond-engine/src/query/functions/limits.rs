//! What a statement's functions may make: so much for a batch, out of the statement's memory, until the statement is stopped.
//!
//! What becomes too large is made of fewer rows at a time, and all of it is counted. Where the statement has no memory for it, it begins again with fewer
//! rows in a batch ([`QueryError::WideRows`]).

use crate::query::QueryError;
use crate::query::width::{Sizes, bytes_of, is_long};
use arrow::array::{Array, ArrayData, ArrayRef, UInt32Array, make_array};
use arrow::buffer::Buffer;
use arrow::compute::concat;
use bytes::Bytes;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool};
use datafusion::logical_expr::ColumnarValue;
use std::any::Any;
use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio_util::sync::CancellationToken;

/// The most that a function makes at once: hostile arguments must not fill the memory before it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub bytes: usize,
    /// Items of arrays and maps.
    pub items: usize,
}

impl Room {
    /// Of one row, whose values can't be made in parts.
    const ONE: Self = Self { bytes: 128 << 20, items: 16 << 20 };
    const MANY: Self = Self { bytes: 32 << 20, items: 2 << 20 };

    /// For a batch of so many rows.
    pub(super) fn of(rows: usize) -> Self {
        if rows > 1 { Self::MANY } else { Self::ONE }
    }

    /// Whether what is made is within it.
    ///
    /// # Errors
    /// `what` is larger: [`made`] makes it in parts.
    pub(super) fn check(self, what: &str, bytes: usize, items: usize) -> Result<()> {
        if bytes > self.bytes || items > self.items { Err(too_many(what)) } else { Ok(()) }
    }
}

/// What is made of a batch is too large.
fn too_many(what: &str) -> DataFusionError {
    QueryError::WideRows { message: format!("{what} is larger than a function may make at once"), fit: 0 }.into()
}

/// Whether fewer rows may do.
pub(super) fn is_wide(error: &DataFusionError) -> bool {
    matches!(error, DataFusionError::External(inner) if matches!(inner.downcast_ref(), Some(QueryError::WideRows { .. })))
}

/// The error of a call over so many rows: where they are several, fewer in a batch may do.
fn settled(error: DataFusionError, rows: usize) -> DataFusionError {
    let message = match error {
        DataFusionError::ResourcesExhausted(_) if rows > 1 => match QueryError::from_execution(error) {
            QueryError::ExceededMemory(message) => message,
            other => return other.into(),
        },
        DataFusionError::External(inner) => match inner.downcast_ref() {
            Some(QueryError::WideRows { message, .. }) => message.clone(),
            _ => return DataFusionError::External(inner),
        },
        other => return other,
    };
    match rows {
        0 | 1 => QueryError::ExceededMemory(message).into(),
        _ => QueryError::WideRows { message, fit: rows / 8 }.into(),
    }
}

/// Computes a column: of the arguments of some rows, how many rows come before those, and how many they are.
type Make<'a> = dyn Fn(&[ArrayRef], usize, usize) -> Result<ArrayRef> + 'a;

/// A column that `make` computes of a batch's rows: of all of them, or of some after the others where that is too large. What is made
/// is counted towards the statement's memory until the last that has it lets it go.
///
/// # Errors
/// `make`'s; the statement has no memory for it, or was stopped.
pub(in crate::query) fn made(
    arguments: &[ColumnarValue],
    rows: usize,
    options: &ConfigOptions,
    make: &Make<'_>,
) -> Result<ArrayRef> {
    /// Together they are one column, whose places have 31 bits.
    const BYTES_MAX: usize = 1 << 30;
    let mut parts = Parts { arguments, options, make, made: Vec::new() };
    let done = parts.add(0, rows).and_then(|()| match parts.made.as_slice() {
        [whole] => Ok(Arc::clone(whole)),
        parts => {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            let bytes = parts.iter().map(|part| bytes_of(*part)).fold(0, usize::saturating_add);
            if bytes > BYTES_MAX {
                return Err(too_many("what a function gives for a batch"));
            }
            let room = reserved("functions", bytes, options)?;
            let whole = concat(&parts)?;
            drop(room);
            counted(whole, &[], options)
        }
    });
    done.map_err(|error| settled(error, rows))
}

struct Parts<'a> {
    arguments: &'a [ColumnarValue],
    options: &'a ConfigOptions,
    make: &'a Make<'a>,
    made: Vec<ArrayRef>,
}

impl Parts<'_> {
    fn add(&mut self, from: usize, rows: usize) -> Result<()> {
        check_running(self.options)?;
        let arguments = self.arguments.iter().map(|argument| match argument {
            ColumnarValue::Array(array) => Ok(array.slice(from, rows)),
            constant @ ColumnarValue::Scalar(_) => expanded(constant.clone(), rows),
        });
        let arguments = arguments.collect::<Result<Vec<_>>>();
        let made = arguments.and_then(|arguments| counted((self.make)(&arguments, from, rows)?, &arguments, self.options));
        match made {
            Ok(made) => self.made.push(made),
            Err(error) if rows > 1 && is_wide(&error) => {
                let step = (rows / 8).max(1);
                for first in (from..from + rows).step_by(step) {
                    self.add(first, step.min(from + rows - first))?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What is made of fewer bytes is not counted: it is gone before it matters.
const BYTES_COUNTED: usize = 1 << 20;
/// So many items are not measured where all of them together would be within the bound.
const ITEMS_MEASURED: usize = 1 << 10;

/// A plan has a constant, and its column's name, about so often while it is made.
const CONSTANT_COPIES: usize = 8;

/// A statement, as its functions know it.
#[derive(Debug, Clone)]
pub(crate) struct StatementLimits {
    memory: Arc<dyn MemoryPool>,
    /// What its constants take, until it ends.
    constants: Arc<MemoryReservation>,
    /// Whether it can be run from its beginning: it is planned again, and has given nothing yet.
    begins_again: Arc<AtomicBool>,
    cancel: CancellationToken,
}

impl StatementLimits {
    pub(crate) fn new(memory: &Arc<dyn MemoryPool>, cancel: CancellationToken) -> Self {
        let constants = Arc::new(MemoryConsumer::new("constants").register(memory));
        Self { memory: Arc::clone(memory), constants, begins_again: Arc::default(), cancel }
    }

    /// Whether the statement of these options can be run from its beginning.
    pub(crate) fn begins_again(options: &ConfigOptions) -> Arc<AtomicBool> {
        options.extensions.get::<Self>().map(|limits| Arc::clone(&limits.begins_again)).unwrap_or_default()
    }
}

impl ConfigExtension for StatementLimits {
    const PREFIX: &'static str = "statement";
}

impl ExtensionOptions for StatementLimits {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        plan_err!("a statement's limits have no setting {key}")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// Whether a statement goes on.
///
/// # Errors
/// It was stopped.
pub(super) fn check_running(options: &ConfigOptions) -> Result<()> {
    match options.extensions.get::<StatementLimits>() {
        Some(limits) if limits.cancel.is_cancelled() => Err(QueryError::Cancelled.into()),
        _ => Ok(()),
    }
}

/// Counts a constant that a function has made: it may be kept in the plan until the statement ends.
///
/// # Errors
/// The statement's constants take more than its memory.
pub(super) fn count_constant(value: &ScalarValue, options: &ConfigOptions) -> Result<()> {
    let bytes = value.size();
    match options.extensions.get::<StatementLimits>() {
        Some(limits) if bytes >= BYTES_COUNTED => limits.constants.try_grow(bytes.saturating_mul(CONSTANT_COPIES)),
        _ => Ok(()),
    }
}

/// Counts what was made, but for buffers that came in with its arguments.
fn counted(made: ArrayRef, arguments: &[ArrayRef], options: &ConfigOptions) -> Result<ArrayRef> {
    if made.get_buffer_memory_size() < BYTES_COUNTED {
        return Ok(made);
    }
    let mut own = HashSet::new();
    for argument in arguments {
        each_large(&argument.to_data(), &mut |buffer| {
            own.insert(buffer.data_ptr());
        });
    }
    let (data, mut bytes) = (made.to_data(), 0);
    each_large(&data, &mut |buffer| bytes += if own.contains(&buffer.data_ptr()) { 0 } else { buffer.capacity() });
    match reserved("functions", bytes, options)? {
        Some(reservation) => Ok(make_array(held(&data, &own, &Arc::new(reservation))?)),
        None => Ok(made),
    }
}

/// Buffers of fewer bytes are not looked at.
const LARGE: usize = 16 << 10;

fn each_large(data: &ArrayData, look: &mut dyn FnMut(&Buffer)) {
    data.buffers().iter().filter(|buffer| buffer.len() >= LARGE).for_each(&mut *look);
    data.child_data().iter().for_each(|child| each_large(child, look));
}

/// Takes bytes of the statement's memory, where they are many.
///
/// # Errors
/// The statement has not so much memory left.
pub(in crate::query) fn reserved(name: &str, bytes: usize, options: &ConfigOptions) -> Result<Option<MemoryReservation>> {
    if bytes < BYTES_COUNTED {
        return Ok(None);
    }
    let reservation = reservation(name, options);
    reservation.try_grow(bytes)?;
    Ok(Some(reservation))
}

/// A reservation in the statement's memory; what is computed without a statement (in tests) has no bounds.
pub(super) fn reservation(name: &str, options: &ConfigOptions) -> MemoryReservation {
    let memory = options.extensions.get::<StatementLimits>().map(|limits| Arc::clone(&limits.memory));
    MemoryConsumer::new(name).register(&memory.unwrap_or_else(|| Arc::new(UnboundedMemoryPool::default())))
}

/// A buffer and what it takes of the statement's memory.
struct Held {
    buffer: Buffer,
    _reservation: Arc<MemoryReservation>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

/// The same values, whose large buffers but those `own` have a reservation.
fn held(data: &ArrayData, own: &HashSet<NonNull<u8>>, reservation: &Arc<MemoryReservation>) -> Result<ArrayData> {
    let hold = |buffer: &Buffer| match buffer.len() {
        0..LARGE => buffer.clone(),
        _ if own.contains(&buffer.data_ptr()) => buffer.clone(),
        _ => Bytes::from_owner(Held { buffer: buffer.clone(), _reservation: Arc::clone(reservation) }).into(),
    };
    let buffers = data.buffers().iter().map(hold).collect();
    let children = data.child_data().iter().map(|child| held(child, own, reservation)).collect::<Result<_>>()?;
    Ok(data.clone().into_builder().buffers(buffers).child_data(children).build()?)
}

/// A constant, or a column, as a column.
///
/// # Errors
/// The constant's copies are larger than a function may make.
pub(super) fn expanded(value: ColumnarValue, rows: usize) -> Result<ArrayRef> {
    if let ColumnarValue::Scalar(scalar) = &value
        && rows > 1
        && is_long(&scalar.data_type())
    {
        let bytes = match scalar {
            ScalarValue::Utf8(text) => size_of::<i32>() + text.as_ref().map_or(0, String::len),
            other => other.size(),
        };
        Room::of(rows).check("a constant's copies for a batch", bytes.saturating_mul(rows), 0)?;
    }
    value.into_array(rows)
}

/// The items of these places, which may be named more than once.
///
/// # Errors
/// There is no room for them.
pub(super) fn take(values: &dyn Array, places: &UInt32Array, room: Room) -> Result<ArrayRef> {
    if is_long(values.data_type()) {
        let whole = values.get_array_memory_size();
        let few = places.len() <= ITEMS_MEASURED && whole.saturating_mul(places.len()) <= room.bytes;
        if !few {
            let sizes = Sizes::of(values);
            let bytes = places.iter().flatten().fold(0usize, |sum, place| sum.saturating_add(sizes.of_one(place as usize)));
            room.check("the arrays of a batch", bytes, places.len())?;
        }
    }
    Ok(arrow::compute::take(values, places, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    #[test]
    fn copies_are_measured_before_they_are_made() {
        let text = StringArray::from(vec!["x".repeat(100_000), "y".to_owned()]);
        let places = |place: u32, count: usize| UInt32Array::from(vec![place; count]);
        let take = |values: &dyn Array, places: &UInt32Array| take(values, places, Room::ONE);
        assert!(take(&text, &places(0, 10_000)).is_err());
        assert_eq!(take(&text, &places(1, 10_000)).unwrap().len(), 10_000);
        let long = ListArray::from_iter_primitive::<Int64Type, _, _>([Some((0..10_000).map(Some)), None]);
        assert!(take(&long, &places(0, 10_000)).is_err());
        assert_eq!(take(&long, &places(1, 10_000)).unwrap().len(), 10_000);
        assert_eq!(take(&long, &places(0, 100)).unwrap().len(), 100);
    }
}
