//! Pages of listings: an opaque token says after what the next page begins, so that it stays right while rows come and go.

use crate::glue::GlueError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the listing's order.
    pub items: Vec<T>,
    /// Where more follows: the token for the next page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`; where there are more, a token made of the last one's key.
    pub fn of(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        Self { items, next }
    }

    /// The same page of other items.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

fn wrong() -> GlueError {
    GlueError::InvalidInput("NextToken is not valid: take it from the answer before, or leave it out.".into())
}

/// The key that a token stands for; empty: the beginning.
pub fn after(token: Option<&str>) -> Result<String, GlueError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(String::new()) };
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// The number that a token stands for, of a listing that counts down.
pub fn before(token: Option<&str>) -> Result<i64, GlueError> {
    let key = after(token)?;
    if key.is_empty() { Ok(i64::MAX) } else { key.parse().map_err(|_| wrong()) }
}
