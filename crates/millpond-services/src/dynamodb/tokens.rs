//! The tokens of transactions (`ClientRequestToken`): a transaction that is sent again within ten minutes is done once. API reference,
//! `TransactWriteItems`.
//!
//! A token is an item of a table that no name leads to. It is put in the change that it stands for, and expires as items do.

use super::DynamoError;
use millpond_tables::store::{Change, Op, TableId, TableSpec};
use millpond_tables::value::key::{KeyAttribute, KeySchema, KeyType};
use millpond_tables::{Item, Value};

/// Rows of tables begin at 1.
const TABLE: TableId = TableId(0);

const TOKEN: &str = "token";
const REQUEST: &str = "request";
const EXPIRES: &str = "expires";

/// How long a token counts.
const KEPT_S: i64 = 10 * 60;

/// The table of tokens.
pub(super) fn spec() -> TableSpec {
    let hash = KeyAttribute { name: TOKEN.into(), key_type: KeyType::String };
    let key = KeySchema { hash, range: None };
    TableSpec { id: TABLE, key, indexes: Vec::new(), expiry: Some(EXPIRES.into()) }
}

/// What was made with a token before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The same: nothing is to be done.
    Same,
    /// Something else.
    Other,
}

/// Puts a token, with the digest of its request. Refused with [`DynamoError::TokenMismatch`] where it was used for another request, with [`DynamoError::Duplicate`] where
/// for the same.
pub(super) fn op(token: &str, request: [u8; 32], now_ms: i64) -> Op<DynamoError> {
    let now_s = now_ms.div_euclid(1000);
    let key = Item::from([(TOKEN.to_owned(), Value::from(token))]);
    let mut new = key.clone();
    new.insert(REQUEST.into(), Value::Binary(request.to_vec()));
    new.insert(EXPIRES.into(), Value::from(now_s + KEPT_S));
    Op::new(TABLE, key, move |old| {
        let lasts =
            |item: &&Item| item.get(EXPIRES).and_then(Value::as_number).and_then(|at| at.to_i64()).is_some_and(|at| at > now_s);
        match old.filter(lasts) {
            None => Ok(Change::Put(new)),
            Some(item) if item.get(REQUEST) == new.get(REQUEST) => Err(DynamoError::Duplicate),
            Some(_) => Err(DynamoError::TokenMismatch),
        }
    })
}

/// What the refusal of a token says.
pub(super) fn before(error: &DynamoError) -> Option<Before> {
    match error {
        DynamoError::Duplicate => Some(Before::Same),
        DynamoError::TokenMismatch => Some(Before::Other),
        _ => None,
    }
}
