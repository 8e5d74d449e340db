//! The tokens of transactions (`ClientRequestToken`): a transaction that is sent again within ten minutes is done once. API reference,
//! `TransactWriteItems`.
//!
//! A token is an item of a table that no name leads to. It is put in the change that it stands for, and expires as items do.

use super::DynamoError;
use millpond_tables::store::{Change, Op, TableId, TableSpec};
use millpond_tables::value::key::{KeyAttribute, KeySchema, KeyType};
use millpond_tables::{Item, Value};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

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

/// A transaction's token, with a digest of what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    token: String,
    request: [u8; 32],
}

impl ClientToken {
    /// Of `ClientRequestToken`; an empty one is none. `request` is what must be the same where the token is: JSON with AWS's names, in whatever order the members of its
    /// objects are.
    pub fn new(token: Option<String>, request: impl FnOnce() -> Json) -> Option<Self> {
        let token = token.filter(|token| !token.is_empty())?;
        Some(Self { token, request: digest(&request()) })
    }

    /// Puts the token. Refused with [`DynamoError::TokenMismatch`] where it was used for another request, with [`DynamoError::Duplicate`] where for the same.
    pub(super) fn op(&self, now_ms: i64) -> Op<DynamoError> {
        let now_s = now_ms.div_euclid(1000);
        let key = Item::from([(TOKEN.to_owned(), Value::from(self.token.as_str()))]);
        let mut new = key.clone();
        new.insert(REQUEST.into(), Value::Binary(self.request.to_vec()));
        new.insert(EXPIRES.into(), Value::from(now_s + KEPT_S));
        Op::new(TABLE, key, move |old| {
            let lasts = |item: &&Item| {
                item.get(EXPIRES).and_then(Value::as_number).and_then(|at| at.to_i64()).is_some_and(|at| at > now_s)
            };
            match old.filter(lasts) {
                None => Ok(Change::Put(new)),
                Some(item) if item.get(REQUEST) == new.get(REQUEST) => Err(DynamoError::Duplicate),
                Some(_) => Err(DynamoError::TokenMismatch),
            }
        })
    }
}

/// SHA-256 of the JSON without blanks, members in the order of their names. It outlives the program that wrote it: it must stay as it is.
fn digest(request: &Json) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    feed(request, &mut sha256);
    sha256.finalize().into()
}

fn feed(json: &Json, sha256: &mut Sha256) {
    match json {
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            sha256.update("{");
            for (at, (name, value)) in sorted.into_iter().enumerate() {
                sha256.update(if at == 0 { "" } else { "," });
                sha256.update(Json::from(name.as_str()).to_string());
                sha256.update(":");
                feed(value, sha256);
            }
            sha256.update("}");
        }
        Json::Array(elements) => {
            sha256.update("[");
            for (at, element) in elements.iter().enumerate() {
                sha256.update(if at == 0 { "" } else { "," });
                feed(element, sha256);
            }
            sha256.update("]");
        }
        scalar => sha256.update(scalar.to_string()),
    }
}

/// What was made with a token before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The same: nothing is to be done.
    Same,
    /// Something else.
    Other,
}

/// What the refusal of a token says.
pub(super) fn before(error: &DynamoError) -> Option<Before> {
    match error {
        DynamoError::Duplicate => Some(Before::Same),
        DynamoError::TokenMismatch => Some(Before::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_digest_is_that_of_json_with_sorted_members() {
        let known = |text: &str| <[u8; 32]>::from(Sha256::digest(text));
        let request = json!([{ "Put": { "TableName": "t", "Item": { "b": { "N": "1" }, "a": { "L": [{ "BOOL": true }, { "S": "\"é\n" }] } } } }, {}, []]);
        let text = r#"[{"Put":{"Item":{"a":{"L":[{"BOOL":true},{"S":"\"é\n"}]},"b":{"N":"1"}},"TableName":"t"}},{},[]]"#;
        assert_eq!(digest(&request), known(text));
        let other = json!([{ "Put": { "Item": { "a": { "L": [{ "BOOL": true }, { "S": "\"é\n" }] }, "b": { "N": "1" } }, "TableName": "t" } }, {}, []]);
        assert_eq!(digest(&other), digest(&request));
        assert_ne!(digest(&json!(["a", "b"])), digest(&json!(["b", "a"])));
    }
}
