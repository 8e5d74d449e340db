//! Results as Athena writes them: a CSV object, a metadata object beside it, and pages read back from the CSV.
//!
//! `GetQueryResults` is answered from the written object, not from memory: a page begins at a byte offset, which is all that its token holds.

pub mod columns;
pub mod csv;
pub mod metadata;
pub mod page;
pub(crate) mod times;
pub mod value;

pub use columns::ResultColumn;
pub use csv::{ResultObject, ResultSink, stream_csv, write_csv};
pub use metadata::metadata_file;
pub use page::{Page, Row, read_page, read_text_page};
