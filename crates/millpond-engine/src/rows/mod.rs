//! Rows as plain values, for whoever keeps them elsewhere than in a table of the lake: cells that are borrowed from the columns, batch by batch.
//!
//! [`Rows`] is what a batch looks like from outside: names, and a [`Cell`] for each column and row. [`visit_parquet`] hands the rows of Parquet files to a
//! visitor, on several threads. A conversion shows its rows to a [`RowCheck`] before it takes them, so that those which are no good where they are to
//! go are in quarantine with their line and reason like all others.

mod cell;
mod parquet;
#[cfg(test)]
mod tests;

pub use cell::{Cell, Cells, List, Map, Struct};
pub use parquet::{Each, Place, VisitError, VisitSpec, Visitor, visit_parquet};

use arrow::record_batch::RecordBatch;

/// Some rows: a batch of at most some ten thousand.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: Vec<Column<'a>>,
    rows: usize,
}

/// A column of some rows.
#[derive(Debug)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its values.
    pub cells: Cells<'a>,
}

impl<'a> Rows<'a> {
    /// The rows of a batch.
    ///
    /// # Errors
    /// The Arrow type that no catalog column has.
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let schema = batch.schema_ref();
        let column = |(at, array): (usize, &'a arrow::array::ArrayRef)| {
            let name = schema.field(at).name().as_str();
            Cells::of(array.as_ref()).map(|cells| Column { name, cells }).map_err(|e| format!("column '{name}': {e}"))
        };
        let columns = batch.columns().iter().enumerate().map(column).collect::<Result<_, String>>()?;
        Ok(Self { columns, rows: batch.num_rows() })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// In the order of the files.
    pub fn columns(&self) -> &[Column<'a>] {
        &self.columns
    }
}

/// A row that is no good where it is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Among the rows that were shown.
    pub row: usize,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// Its value as text.
    pub value: Option<String>,
    /// For people: what is wrong.
    pub reason: String,
}

/// Looks at rows before a conversion takes them, on several threads.
pub trait RowCheck: Send + Sync {
    /// Those that are to be refused, in rising order, each once.
    fn check(&self, rows: &Rows<'_>) -> Vec<Fault>;
}

/// Bytes of a value that are shown in messages.
const SHOWN_BYTES_MAX: usize = 4 << 10;

impl Fault {
    /// A fault of one cell.
    pub fn of_cell(row: usize, column: &str, cell: Cell<'_>, reason: impl Into<String>) -> Self {
        let value = match cell {
            Cell::Null => None,
            cell => {
                let mut text = String::new();
                cell.write_text(&mut text);
                text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
                Some(text)
            }
        };
        Self { row, column: Some(column.to_owned()), value, reason: reason.into() }
    }
}
