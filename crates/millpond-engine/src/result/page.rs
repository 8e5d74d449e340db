//! Pages of a written result, read back by byte offset.

use crate::query::QueryError;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// Values of one row; `None` is NULL, which is not the empty text.
pub type Row = Vec<Option<String>>;

/// Some rows of a result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// At offset 0 the first is the header, as in Athena's answers.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` at the end.
    pub next_offset: Option<u64>,
    /// Where this page ends.
    pub end_offset: u64,
}

const WINDOW_BYTES: u64 = 256 << 10;
/// A page does not grow beyond this, whatever its rows: the caller gets fewer of them and goes on.
const PAGE_BYTES_MAX: u64 = 16 << 20;

/// At most `rows_max` rows of a result CSV from the byte `offset` on: 0, or a `next_offset`.
///
/// # Errors
/// The store's, and an offset that is not one of a page.
pub async fn read_page(store: &dyn ObjectStore, location: &Path, offset: u64, rows_max: usize) -> Result<Page, QueryError> {
    read(store, location, offset, rows_max, csv_row).await
}

/// The same for the text that DDL statements give: each line is a row of one value.
///
/// # Errors
/// As [`read_page`].
pub async fn read_text_page(store: &dyn ObjectStore, location: &Path, offset: u64, rows_max: usize) -> Result<Page, QueryError> {
    read(store, location, offset, rows_max, text_row).await
}

/// One row from the front of a text, and how long it is; `None` when it does not end there.
type Take = fn(&[u8], bool) -> Option<(Row, usize)>;

async fn read(store: &dyn ObjectStore, location: &Path, offset: u64, rows_max: usize, take: Take) -> Result<Page, QueryError> {
    let failed =
        |error: object_store::Error| QueryError::Internal(format!("the result at {location} could not be read: {error}"));
    let size = store.head(location).await.map_err(failed)?.size;
    if offset > size {
        return Err(QueryError::InvalidArgument(format!("the token points behind the result's end ({offset} of {size} bytes)")));
    }
    let mut page = Page::default();
    let mut buffer: Vec<u8> = Vec::new();
    // Where the buffer begins in the object, and where in the buffer the next row begins.
    let (mut loaded, mut at) = (offset, 0);
    let mut window = WINDOW_BYTES;
    loop {
        while page.rows.len() < rows_max {
            let Some((row, length)) = take(&buffer[at..], loaded == size) else { break };
            page.rows.push(row);
            at += length;
        }
        let consumed = loaded - (buffer.len() - at) as u64;
        if page.rows.len() >= rows_max || loaded == size || (consumed - offset > PAGE_BYTES_MAX && !page.rows.is_empty()) {
            page.next_offset = (consumed < size).then_some(consumed);
            page.end_offset = consumed;
            return Ok(page);
        }
        buffer.drain(..at);
        at = 0;
        let end = size.min(loaded + window);
        buffer.extend_from_slice(&store.get_range(location, loaded..end).await.map_err(failed)?);
        loaded = end;
        // A row longer than a window is not read again and again.
        window = (window * 2).min(8 << 20);
    }
}

fn csv_row(text: &[u8], last: bool) -> Option<(Row, usize)> {
    if text.is_empty() {
        return None;
    }
    let mut row = Vec::new();
    let mut at = 0;
    loop {
        let value = match text.get(at) {
            Some(b'"') => {
                let (value, end) = quoted(text, at + 1)?;
                at = end;
                Some(value)
            }
            _ => None,
        };
        row.push(value);
        match text.get(at) {
            Some(b',') => at += 1,
            Some(b'\n') => return Some((row, at + 1)),
            None if last => return Some((row, at)),
            None => return None,
            // Not what we write: the rest of the field is skipped.
            Some(_) => at += memchr::memchr2(b',', b'\n', &text[at..])?,
        }
    }
}

/// The value up to the closing quote, and where that is passed.
fn quoted(text: &[u8], start: usize) -> Option<(String, usize)> {
    let mut value = Vec::new();
    let mut at = start;
    loop {
        let end = at + memchr::memchr(b'"', &text[at..])?;
        value.extend_from_slice(&text[at..end]);
        match text.get(end + 1) {
            Some(b'"') => {
                value.push(b'"');
                at = end + 2;
            }
            _ => return Some((String::from_utf8_lossy(&value).into_owned(), end + 1)),
        }
    }
}

fn text_row(text: &[u8], last: bool) -> Option<(Row, usize)> {
    if text.is_empty() {
        return None;
    }
    let line = |end: usize| vec![Some(String::from_utf8_lossy(&text[..end]).into_owned())];
    match memchr::memchr(b'\n', text) {
        Some(end) => Some((line(end), end + 1)),
        None => last.then(|| (line(text.len()), text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    async fn stored(text: &str) -> (InMemory, Path) {
        let (store, location) = (InMemory::new(), Path::from("result"));
        store.put(&location, text.as_bytes().to_vec().into()).await.unwrap();
        (store, location)
    }

    fn row(values: &[Option<&str>]) -> Row {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[tokio::test]
    async fn null_is_not_the_empty_text() {
        let (store, location) = stored("\"a\",\"b\"\n,\"\"\n\"x \"\"y\"\"\n,z\",\n").await;
        let page = read_page(&store, &location, 0, 1000).await.unwrap();
        let expected = vec![row(&[Some("a"), Some("b")]), row(&[None, Some("")]), row(&[Some("x \"y\"\n,z"), None])];
        assert_eq!((page.rows, page.next_offset), (expected, None));
    }

    #[tokio::test]
    async fn pages_of_any_size_give_all_rows_once() {
        let long = "y".repeat(700_000);
        let lines: Vec<String> = (0..3000).map(|i| if i == 1500 { long.clone() } else { format!("{i}\"\n,") }).collect();
        let text: String = lines.iter().map(|line| format!("\"{}\"\n", line.replace('"', "\"\""))).collect();
        let (store, location) = stored(&text).await;
        for rows_max in [1, 7, 999, 1000, 5000] {
            let (mut offset, mut rows) = (0, Vec::new());
            loop {
                let page = read_page(&store, &location, offset, rows_max).await.unwrap();
                assert!(page.rows.len() <= rows_max);
                rows.extend(page.rows);
                match page.next_offset {
                    Some(next) => offset = next,
                    None => break,
                }
                if rows_max == 1 && rows.len() > 20 {
                    break;
                }
            }
            let expected = if rows_max == 1 { &lines[..rows.len()] } else { &lines[..] };
            assert_eq!(rows.len(), expected.len());
            assert!(rows.iter().zip(expected).all(|(row, line)| row[0].as_deref() == Some(line.as_str())));
        }
    }

    #[tokio::test]
    async fn lines_of_text_are_rows() {
        let (store, location) = stored("a\tb\n\nlast").await;
        let page = read_text_page(&store, &location, 0, 2).await.unwrap();
        assert_eq!(page, Page { rows: vec![row(&[Some("a\tb")]), row(&[Some("")])], next_offset: Some(5), end_offset: 5 });
        let page = read_text_page(&store, &location, 5, 2).await.unwrap();
        assert_eq!(page, Page { rows: vec![row(&[Some("last")])], next_offset: None, end_offset: 9 });
    }
}
