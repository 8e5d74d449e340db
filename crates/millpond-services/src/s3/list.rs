//! ListObjects, ListObjectsV2, and the tokens of all lists.

use super::{Caller, S3, S3Error, bucket_of};
use crate::lake::objects::{ListSpec, Listing};
use crate::lake::staging::View;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Keys and common prefixes of one page at the most.
pub const PAGE_MAX: usize = 1000;

/// The form of tokens; tokens of other forms are refused.
const TOKEN_FORM: u8 = 1;

/// A token that goes on after `after`. Opaque to clients.
pub fn token(after: &str) -> String {
    let mut bytes = vec![TOKEN_FORM];
    bytes.extend_from_slice(after.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a token goes on after.
///
/// # Errors
/// `InvalidArgument` where it is none of ours.
pub fn after_of_token(token: &str) -> Result<String, S3Error> {
    let wrong = || S3Error::InvalidArgument("The continuation token provided is incorrect".into());
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    match bytes.split_first() {
        Some((&TOKEN_FORM, after)) => String::from_utf8(after.to_vec()).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

impl S3 {
    /// A page of a bucket's keys.
    pub async fn list_objects(&self, caller: &Caller, bucket: &str, spec: ListSpec) -> Result<Listing, S3Error> {
        let (bucket, run) = (bucket.to_owned(), caller.job_run.clone());
        let spec = ListSpec { limit: spec.limit.min(PAGE_MAX), ..spec };
        let listed = self.lake.store.read(move |connection| {
            let bucket = bucket_of(connection, &bucket)?;
            Ok(View::of(connection, run.as_deref())?.list(connection, bucket.id, &spec)?)
        });
        listed.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_understood_again_and_others_are_refused() {
        for after in ["", "a/b", "ключ", "\u{10FFFF}"] {
            assert_eq!(after_of_token(&token(after)).unwrap(), after);
        }
        for wrong in ["", "a", "!!", "YWJj"] {
            assert!(after_of_token(wrong).is_err(), "{wrong}");
        }
    }
}
