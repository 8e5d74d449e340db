//! The lists of objects, in the forms of three operations.

use super::convert::{caller, invalid, number, owner, page_size, strong, timestamp};
use super::error::wire;
use millpond_services::lake::objects::{ListSpec, Listing, Object};
use millpond_services::s3::list::{PAGE_MAX, after_of_token, token};
use millpond_services::s3::{Caller, S3};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};

/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// How keys are written in an answer: a key may hold characters that XML cannot.
pub(super) struct Encoding {
    url: bool,
}

impl Encoding {
    pub(super) fn of(asked: Option<&dto::EncodingType>) -> S3Result<Self> {
        match asked.map(dto::EncodingType::as_str) {
            None | Some("") => Ok(Self { url: false }),
            Some("url") => Ok(Self { url: true }),
            Some(_) => Err(invalid("Invalid Encoding Method specified in Request")),
        }
    }

    pub(super) fn write(&self, text: &str) -> String {
        if self.url { utf8_percent_encode(text, PLAIN).to_string() } else { text.to_owned() }
    }

    pub(super) fn some(&self, text: Option<String>) -> Option<String> {
        text.map(|text| self.write(&text))
    }

    pub(super) fn prefixes(&self, prefixes: &[String]) -> Vec<dto::CommonPrefix> {
        prefixes.iter().map(|prefix| dto::CommonPrefix { prefix: Some(self.write(prefix)) }).collect()
    }
}

fn listed(object: &Object, encoding: &Encoding, owner: Option<dto::Owner>) -> dto::Object {
    let class = object.meta.storage_class.clone().unwrap_or_else(|| dto::ObjectStorageClass::STANDARD.into());
    let algorithms: Vec<dto::ChecksumAlgorithm> = object.meta.checksums.keys().cloned().map(Into::into).collect();
    dto::Object {
        checksum_type: object.meta.checksum_type.clone().filter(|_| !algorithms.is_empty()).map(Into::into),
        checksum_algorithm: Some(algorithms).filter(|algorithms| !algorithms.is_empty()),
        e_tag: strong(&object.etag),
        key: Some(encoding.write(&object.key)),
        last_modified: Some(timestamp(object.modified_ms)),
        owner,
        size: number(object.size),
        storage_class: Some(class.into()),
        ..Default::default()
    }
}

async fn page(
    s3: &S3,
    caller: &Caller,
    bucket: &str,
    prefix: Option<&str>,
    delimiter: Option<&str>,
    after: String,
    limit: usize,
) -> S3Result<Listing> {
    let spec = ListSpec {
        prefix: prefix.unwrap_or_default().to_owned(),
        delimiter: delimiter.unwrap_or_default().to_owned(),
        after,
        limit,
    };
    s3.list_objects(caller, bucket, spec).await.map_err(wire)
}

pub(super) async fn list_v2(
    s3: &S3,
    request: S3Request<dto::ListObjectsV2Input>,
) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = page_size(input.max_keys, PAGE_MAX, "max-keys")?;
    let after = match input.continuation_token.as_deref() {
        Some(token) => after_of_token(token).map_err(wire)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let listing = page(s3, &caller, &input.bucket, input.prefix.as_deref(), input.delimiter.as_deref(), after, limit).await?;
    let owner = input.fetch_owner.unwrap_or(false).then(|| owner(s3));
    Ok(S3Response::new(dto::ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.write(input.prefix.as_deref().unwrap_or_default())),
        delimiter: encoding.some(input.delimiter),
        max_keys: number(limit as u64),
        key_count: number((listing.objects.len() + listing.common_prefixes.len()) as u64),
        is_truncated: Some(listing.next.is_some()),
        next_continuation_token: listing.next.as_deref().map(token),
        continuation_token: input.continuation_token,
        start_after: encoding.some(input.start_after),
        contents: Some(listing.objects.iter().map(|object| listed(object, &encoding, owner.clone())).collect()),
        common_prefixes: Some(encoding.prefixes(&listing.common_prefixes)),
        encoding_type: input.encoding_type,
        ..Default::default()
    }))
}

pub(super) async fn list(s3: &S3, request: S3Request<dto::ListObjectsInput>) -> S3Result<S3Response<dto::ListObjectsOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = page_size(input.max_keys, PAGE_MAX, "max-keys")?;
    let after = input.marker.clone().unwrap_or_default();
    let listing = page(s3, &caller, &input.bucket, input.prefix.as_deref(), input.delimiter.as_deref(), after, limit).await?;
    let owner = owner(s3);
    // Without a delimiter the last key is the marker, by the S3 API reference, "ListObjects".
    let next_marker = listing.next.clone().filter(|_| input.delimiter.is_some());
    Ok(S3Response::new(dto::ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.write(input.prefix.as_deref().unwrap_or_default())),
        marker: Some(encoding.write(input.marker.as_deref().unwrap_or_default())),
        delimiter: encoding.some(input.delimiter),
        max_keys: number(limit as u64),
        is_truncated: Some(listing.next.is_some()),
        next_marker: encoding.some(next_marker),
        contents: Some(listing.objects.iter().map(|object| listed(object, &encoding, Some(owner.clone()))).collect()),
        common_prefixes: Some(encoding.prefixes(&listing.common_prefixes)),
        encoding_type: input.encoding_type,
        ..Default::default()
    }))
}

/// A bucket without versioning: each object has one version, named `null`.
pub(super) async fn versions(
    s3: &S3,
    request: S3Request<dto::ListObjectVersionsInput>,
) -> S3Result<S3Response<dto::ListObjectVersionsOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = page_size(input.max_keys, PAGE_MAX, "max-keys")?;
    if input.version_id_marker.as_deref().is_some_and(|marker| !marker.is_empty()) && input.key_marker.is_none() {
        return Err(invalid("A version-id marker cannot be specified without a key marker."));
    }
    let after = input.key_marker.clone().unwrap_or_default();
    let listing = page(s3, &caller, &input.bucket, input.prefix.as_deref(), input.delimiter.as_deref(), after, limit).await?;
    let owner = owner(s3);
    let version = |object: &Object| {
        let listed = listed(object, &encoding, Some(owner.clone()));
        dto::ObjectVersion {
            checksum_algorithm: listed.checksum_algorithm,
            checksum_type: listed.checksum_type,
            e_tag: listed.e_tag,
            is_latest: Some(true),
            key: listed.key,
            last_modified: listed.last_modified,
            owner: listed.owner,
            size: listed.size,
            storage_class: listed.storage_class.map(|class| class.as_str().to_owned().into()),
            version_id: Some("null".into()),
            ..Default::default()
        }
    };
    Ok(S3Response::new(dto::ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.write(input.prefix.as_deref().unwrap_or_default())),
        key_marker: Some(encoding.write(input.key_marker.as_deref().unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        delimiter: encoding.some(input.delimiter),
        max_keys: number(limit as u64),
        is_truncated: Some(listing.next.is_some()),
        next_version_id_marker: listing.next.is_some().then(|| "null".into()),
        next_key_marker: encoding.some(listing.next.clone()),
        versions: Some(listing.objects.iter().map(version).collect()),
        common_prefixes: Some(encoding.prefixes(&listing.common_prefixes)),
        encoding_type: input.encoding_type,
        ..Default::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::Encoding;

    #[test]
    fn keys_are_written_so_that_clients_read_them_again() {
        let url = Encoding { url: true };
        assert_eq!(url.write("a b/c+d/é\u{1}"), "a%20b/c%2Bd/%C3%A9%01");
        assert_eq!(Encoding { url: false }.write("a b"), "a b");
    }
}
