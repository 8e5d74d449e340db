//! CreateBucket, HeadBucket, DeleteBucket, ListBuckets, GetBucketLocation.

use super::{Caller, S3, S3Error, bucket_of, list, sql};
use crate::lake::objects::{self, Bucket};
use crate::lake::staging;
use std::net::Ipv4Addr;

/// Buckets of one page of ListBuckets at the most. S3 API reference, "ListBuckets".
const PAGE_MAX: usize = 10_000;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListBuckets {
    /// Only names that begin so.
    pub prefix: String,
    /// Only buckets of this region.
    pub region: Option<String>,
    /// Of the page before.
    pub token: Option<String>,
    /// Buckets at the most.
    pub limit: Option<usize>,
}

/// A page of buckets.
#[derive(Debug, Clone, Default)]
pub struct BucketPage {
    /// By name.
    pub buckets: Vec<Bucket>,
    /// Where more follow.
    pub token: Option<String>,
}

/// The rules of the S3 user guide, "General purpose bucket naming rules".
///
/// # Errors
/// [`S3Error::InvalidBucketName`] with the rule that the name breaks.
pub fn check_name(name: &str) -> Result<(), S3Error> {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let rule = if !(3..=63).contains(&bytes.len()) {
        "must have 3 to 63 characters"
    } else if !bytes.iter().all(allowed) {
        "may have only lower-case letters, digits, periods and hyphens"
    } else if !edge(bytes.first()) || !edge(bytes.last()) {
        "must begin and end with a letter or a digit"
    } else if name.contains("..") {
        "must not have two periods in a row"
    } else if name.parse::<Ipv4Addr>().is_ok() {
        "must not have the form of an IP address"
    } else if let Some(prefix) = ["xn--", "sthree-", "amzn-s3-demo-"].iter().find(|prefix| name.starts_with(**prefix)) {
        return Err(S3Error::InvalidBucketName { name: name.into(), rule: reserved(prefix) });
    } else if ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|suffix| name.ends_with(suffix)) {
        "must not end with -s3alias, --ol-s3, .mrap, --x-s3 or --table-s3, which are reserved"
    } else {
        return Ok(());
    };
    Err(S3Error::InvalidBucketName { name: name.into(), rule })
}

fn reserved(prefix: &str) -> &'static str {
    match prefix {
        "xn--" => "must not begin with xn--, which is reserved",
        "sthree-" => "must not begin with sthree-, which is reserved",
        _ => "must not begin with amzn-s3-demo-, which is reserved",
    }
}

/// `EU`, or the form that all of AWS's regions have. `us-east-1` is not given as a constraint.
fn check_constraint(region: &str) -> Result<(), S3Error> {
    let mut parts = region.split('-');
    let area = parts.next().is_some_and(|area| area.len() == 2 && area.bytes().all(|b| b.is_ascii_lowercase()));
    let number = region.rsplit('-').next().is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()));
    let letters = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let sound = area && number && letters && (3..=4).contains(&region.split('-').count()) && region.len() <= 32;
    if region == "EU" || (sound && region != "us-east-1") {
        Ok(())
    } else {
        Err(S3Error::InvalidLocationConstraint(region.into()))
    }
}

impl S3 {
    /// Makes a bucket. Where the caller has it already, `us-east-1` answers as if it had just been made, and other regions with an error: S3 API
    /// reference, "CreateBucket".
    pub async fn create_bucket(
        &self,
        name: &str,
        constraint: Option<&str>,
        tags: Vec<(String, String)>,
    ) -> Result<Bucket, S3Error> {
        check_name(name)?;
        constraint.map(check_constraint).transpose()?;
        super::tagging::check_bucket_tags(&tags)?;
        let region = constraint.unwrap_or(&self.lake.place.region).to_owned();
        let legacy = region == "us-east-1";
        let name = name.to_owned();
        let made = self.lake.store.write(move |tx| {
            if let Some(mut bucket) = objects::create_bucket(tx, &name, &region)? {
                if !tags.is_empty() {
                    bucket.settings.tags = tags;
                    objects::update_bucket(tx, bucket.id, &bucket.settings)?;
                }
                return Ok(bucket);
            }
            let bucket = bucket_of(tx, &name)?;
            if legacy && bucket.region == region { Ok(bucket) } else { Err(S3Error::BucketAlreadyOwnedByYou(name)) }
        });
        made.await
    }

    /// The bucket, where it exists.
    pub async fn head_bucket(&self, name: &str) -> Result<Bucket, S3Error> {
        self.bucket(name).await
    }

    /// Removes an empty bucket; uploads under way in it are aborted. What the caller's run has staged is published first: it may have emptied the
    /// bucket, or put objects into it.
    pub async fn delete_bucket(&self, caller: &Caller, name: &str) -> Result<(), S3Error> {
        if let Some(run) = &caller.job_run {
            staging::publish_before(&self.lake, run, "s3:DeleteBucket").await?;
        }
        let name = name.to_owned();
        let deleted = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &name)?;
            if !objects::delete_bucket(tx, bucket.id)? {
                return Err(S3Error::BucketNotEmpty(name));
            }
            sql::remove_all(tx, bucket.id)
        });
        deleted.await
    }

    /// A page of the buckets, by name.
    pub async fn list_buckets(&self, asked: ListBuckets) -> Result<BucketPage, S3Error> {
        let limit = asked.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let after = asked.token.as_deref().map(list::after_of_token).transpose()?.unwrap_or_default();
        let listed = self.lake.store.read(move |connection| {
            let mut page = BucketPage::default();
            let mut after = after;
            // Names before the prefix are passed over by a look-up, those after it end the list.
            if after.as_str() < asked.prefix.as_str() {
                if let Some(bucket) = objects::bucket(connection, &asked.prefix)? {
                    page.buckets.push(bucket);
                }
                after.clone_from(&asked.prefix);
            }
            // A filter by region is applied afterwards, and so needs them all.
            let most = if asked.region.is_some() { i64::MAX as usize } else { limit + 1 };
            for bucket in objects::buckets(connection, &after, most)? {
                if !bucket.name.starts_with(&asked.prefix) {
                    break;
                }
                page.buckets.push(bucket);
            }
            if let Some(region) = &asked.region {
                page.buckets.retain(|bucket| bucket.region == *region);
            }
            if page.buckets.len() > limit {
                page.buckets.truncate(limit);
                page.token = page.buckets.last().map(|bucket| list::token(&bucket.name));
            }
            Ok(page)
        });
        listed.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_or_refused_by_the_documented_rules() {
        for name in ["abc", "my-bucket.1", "0-0", &"a".repeat(63)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "ab",
            &"a".repeat(64),
            "Abc",
            "a_b",
            "-ab",
            "ab.",
            "a..b",
            "192.168.5.4",
            "xn--abc",
            "sthree-x",
            "amzn-s3-demo-x",
            "x-s3alias",
            "x--ol-s3",
            "x.mrap",
            "x--x-s3",
            "x--table-s3",
            "bücket",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn constraints_are_regions() {
        for region in ["EU", "eu-west-1", "us-gov-east-1", "mx-central-1"] {
            assert!(check_constraint(region).is_ok(), "{region}");
        }
        for region in ["", "us-east-1", "europe", "eu_west_1", "eu-west-", "../..-1"] {
            assert!(check_constraint(region).is_err(), "{region}");
        }
    }
}
