//! JSON (Trino documentation, "JSON functions and operators"). JSON is kept as text; numbers keep their digits.

pub(crate) mod clauses;
mod functions;
mod path;
mod sql;
mod sql_path;
pub(crate) mod value;

use super::Function;
use super::call::Call;
use super::limits;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use std::ops::Deref;
use value::{Json, JsonError};

pub(super) fn functions() -> Vec<Function> {
    let mut all = functions::functions();
    all.extend(sql::functions());
    all
}

/// A text as a tree, and what that takes of the statement's memory.
struct Document {
    value: Json,
    /// Where it is large.
    _memory: Option<MemoryReservation>,
}

impl Document {
    /// Reads an argument; the inner error says what is wrong with it.
    ///
    /// # Errors
    /// The statement has no memory for its tree.
    fn read(call: &Call<'_>, text: &str) -> Result<std::result::Result<Self, String>> {
        let (mut memory, mut refused) = (None, None);
        let reserve = || limits::reservation("JSON", call.options);
        let read = Json::parse(text, &mut |bytes| match memory.get_or_insert_with(reserve).try_grow(bytes) {
            Ok(()) => true,
            Err(error) => {
                refused = Some(error);
                false
            }
        });
        match (read, refused) {
            (_, Some(error)) => Err(error),
            (Ok(value), None) => Ok(Ok(Self { value, _memory: memory })),
            (Err(JsonError::Wrong(why)), None) => Ok(Err(why)),
            (Err(JsonError::TooLarge), None) => unreachable!("it is refused with an error"),
        }
    }

    /// As `json_parse` gives it ([`Json::canonical`]).
    fn canonical(self) -> String {
        self.value.canonical().to_string()
    }

    /// The items of an array.
    fn items(&self) -> Option<&[Json]> {
        match &self.value {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }
}

impl Deref for Document {
    type Target = Json;

    fn deref(&self) -> &Json {
        &self.value
    }
}
