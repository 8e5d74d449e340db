//! Tags of buckets and objects. The rules are those of the S3 user guide, "Categorizing your objects using tags", and of cost allocation tags.

use super::{Caller, S3, S3Error, bucket_of};
use crate::lake::objects;
use crate::lake::staging::View;

/// Tags in the order given.
pub type Tags = Vec<(String, String)>;

/// Tags of an object at the most.
const OBJECT_TAGS_MAX: usize = 10;

/// Tags of a bucket at the most.
const BUCKET_TAGS_MAX: usize = 50;

pub(super) fn check_object_tags(tags: &[(String, String)]) -> Result<(), S3Error> {
    check(tags, OBJECT_TAGS_MAX, "Object")
}

pub(super) fn check_bucket_tags(tags: &[(String, String)]) -> Result<(), S3Error> {
    check(tags, BUCKET_TAGS_MAX, "Bucket")
}

fn check(tags: &[(String, String)], max: usize, of: &str) -> Result<(), S3Error> {
    if tags.len() > max {
        return Err(S3Error::TooManyTags(format!("{of} tags cannot be greater than {max}; {} were given", tags.len())));
    }
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    for (index, (key, value)) in tags.iter().enumerate() {
        let key_length = key.encode_utf16().count();
        if !(1..=128).contains(&key_length) || !key.chars().all(allowed) {
            return Err(S3Error::InvalidTag(format!("The TagKey you have provided is invalid: '{key}'")));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(S3Error::InvalidTag(format!("System tags cannot be added/updated by requester: '{key}'")));
        }
        if value.encode_utf16().count() > 256 || !value.chars().all(allowed) {
            return Err(S3Error::InvalidTag(format!("The TagValue you have provided is invalid: '{value}' (of '{key}')")));
        }
        if tags[..index].iter().any(|(before, _)| before == key) {
            return Err(S3Error::InvalidTag(format!("Cannot provide multiple Tags with the same key: '{key}'")));
        }
    }
    Ok(())
}

/// Decodes the `x-amz-tagging` header: URL query parameters.
///
/// # Errors
/// `InvalidArgument` where it is not that.
pub fn parse_header(text: &str) -> Result<Tags, S3Error> {
    let wrong = || {
        S3Error::InvalidArgument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."
                .into(),
        )
    };
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8().map(|decoded| decoded.into_owned());
        decoded.map_err(|_| wrong())
    };
    let mut tags = Tags::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decode(key)?, decode(value)?);
        if tags.iter().any(|(before, _)| *before == key) {
            return Err(wrong());
        }
        tags.push((key, value));
    }
    Ok(tags)
}

impl S3 {
    /// The tags of a bucket.
    pub async fn bucket_tags(&self, bucket: &str) -> Result<Tags, S3Error> {
        let found = self.bucket(bucket).await?;
        if found.settings.tags.is_empty() { Err(S3Error::NoSuchTagSet(found.name)) } else { Ok(found.settings.tags) }
    }

    /// Replaces the tags of a bucket; none removes them.
    pub async fn set_bucket_tags(&self, bucket: &str, tags: Tags) -> Result<(), S3Error> {
        check_bucket_tags(&tags)?;
        let bucket = bucket.to_owned();
        let set = self.lake.store.write(move |tx| {
            let mut bucket = bucket_of(tx, &bucket)?;
            bucket.settings.tags = tags;
            Ok(objects::update_bucket(tx, bucket.id, &bucket.settings)?)
        });
        set.await
    }

    /// The tags of an object.
    pub async fn object_tags(&self, caller: &Caller, bucket: &str, key: &str) -> Result<Tags, S3Error> {
        Ok(self.object(caller, bucket, key).await?.meta.tags)
    }

    /// Replaces the tags of an object.
    pub async fn set_object_tags(&self, caller: &Caller, bucket: &str, key: &str, tags: Tags) -> Result<(), S3Error> {
        check_object_tags(&tags)?;
        self.change_object_tags(caller, bucket, key, Some(tags)).await
    }

    /// Removes the tags of an object.
    pub async fn delete_object_tags(&self, caller: &Caller, bucket: &str, key: &str) -> Result<(), S3Error> {
        self.change_object_tags(caller, bucket, key, None).await
    }

    async fn change_object_tags(&self, caller: &Caller, bucket: &str, key: &str, tags: Option<Tags>) -> Result<(), S3Error> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let (place, cause, run) = (self.lake.place.clone(), caller.cause(""), caller.job_run.clone());
        let set = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &bucket)?;
            match View::of(tx, run.as_deref())?.set_tags(tx, &place, &bucket, &key, tags, &cause)? {
                true => Ok(()),
                false => Err(S3Error::NoSuchKey(key)),
            }
        });
        set.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn tags_are_taken_or_refused_by_the_documented_rules() {
        for sound in [&[][..], &[("a", "")], &[("Stadt", "Köln"), ("k:/=+-@_.", "v w")]] {
            assert!(check_object_tags(&tags(sound)).is_ok(), "{sound:?}");
        }
        let (long_key, long_value) = ("k".repeat(129), "v".repeat(257));
        for wrong in [
            &[("", "v")][..],
            &[("a", "1"), ("a", "2")],
            &[("aws:x", "1")],
            &[(&long_key, "")],
            &[("a", &long_value)],
            &[("a<", "")],
        ] {
            assert!(check_object_tags(&tags(wrong)).is_err(), "{wrong:?}");
        }
        let many: Tags = (0..11).map(|n| (n.to_string(), String::new())).collect();
        assert!(check_object_tags(&many).is_err() && check_bucket_tags(&many).is_ok());
    }

    #[test]
    fn the_tagging_header_is_a_query() {
        assert_eq!(parse_header("a=1&b=x%20y+z&c").unwrap(), tags(&[("a", "1"), ("b", "x y z"), ("c", "")]));
        assert!(parse_header("a=1&a=2").is_err() && parse_header("a=%ff").is_err());
    }
}
