//! CopyObject and UploadPartCopy.

use super::convert::{
    asked_algorithm, caller, checksum_document, invalid, object_meta, read_conditions, strong, timestamp, with_headers,
    write_condition_of,
};
use super::error::wire;
use http::HeaderMap;
use millpond_services::lake::objects::ObjectMeta;
use millpond_services::s3::checksum::base64;
use millpond_services::s3::copy::{CopyObject, Source};
use millpond_services::s3::delete::check_version;
use millpond_services::s3::get::ReadConditions;
use millpond_services::s3::multipart::UploadRef;
use millpond_services::s3::{S3, S3Error};
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};

fn source(source: dto::CopySource, conditions: ReadConditions) -> S3Result<Source> {
    match source {
        dto::CopySource::Bucket { bucket, key, version_id } => {
            check_version(version_id.as_deref()).map_err(wire)?;
            Ok(Source { bucket: bucket.into(), key: key.into(), conditions })
        }
        _ => Err(invalid("x-amz-copy-source names an access point or an outpost; only /bucket/key is taken")),
    }
}

/// `COPY` (also where nothing is said) or `REPLACE`.
fn replaces(headers: &HeaderMap, name: &str) -> S3Result<bool> {
    match super::convert::header_text(headers, name)? {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(invalid(format!("{name} must be COPY or REPLACE, not '{other}'"))),
    }
}

pub(super) async fn copy_object(
    s3: &S3,
    request: S3Request<dto::CopyObjectInput>,
) -> S3Result<S3Response<dto::CopyObjectOutput>> {
    let caller = caller(s3, &request);
    let headers = &request.headers;
    let input = request.input;
    let given = object_meta(headers, input.metadata)?;
    let conditions = read_conditions(
        input.copy_source_if_match,
        input.copy_source_if_none_match,
        input.copy_source_if_modified_since,
        input.copy_source_if_unmodified_since,
    );
    let ObjectMeta { headers: kept, user, tags, storage_class, .. } = given;
    let copy = CopyObject {
        source: source(input.copy_source, conditions)?,
        bucket: input.bucket,
        key: input.key,
        meta: replaces(headers, "x-amz-metadata-directive")?.then(|| ObjectMeta { headers: kept, user, ..ObjectMeta::default() }),
        tags: replaces(headers, "x-amz-tagging-directive")?.then_some(tags),
        storage_class,
        algorithm: asked_algorithm(headers)?,
        condition: write_condition_of(headers)?,
    };
    let object = s3.copy_object(&caller, copy).await.map_err(wire)?;
    let sums = checksum_document(&object.meta);
    let result = dto::CopyObjectResult {
        e_tag: strong(&object.etag),
        last_modified: Some(timestamp(object.modified_ms)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: sums.checksum_type,
    };
    Ok(S3Response::new(dto::CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
}

/// `bytes=first-last`, both given: S3 API reference, "UploadPartCopy".
fn copy_range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

pub(super) async fn upload_part_copy(
    s3: &S3,
    request: S3Request<dto::UploadPartCopyInput>,
) -> S3Result<S3Response<dto::UploadPartCopyOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let conditions = read_conditions(
        input.copy_source_if_match,
        input.copy_source_if_none_match,
        input.copy_source_if_modified_since,
        input.copy_source_if_unmodified_since,
    );
    let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
    let range = input.copy_source_range.as_deref().map(|text| copy_range(text).ok_or_else(|| invalid(message))).transpose()?;
    let number = u32::try_from(input.part_number).unwrap_or(0);
    let at = UploadRef { bucket: input.bucket, key: input.key, id: input.upload_id };
    let from = source(input.copy_source, conditions)?;
    let part = s3.upload_part_copy(&caller, &at, number, from, range).await.map_err(|error| match error {
        // What was not found is the source, and not what the path names.
        S3Error::InvalidRange { size } => invalid(format!("Range specified is not valid for source object of size: {size}")),
        error => wire(error),
    })?;
    let meta =
        ObjectMeta { checksums: [(part.algorithm.name().to_owned(), base64(&part.checksum))].into(), ..ObjectMeta::default() };
    let sums = checksum_document(&meta);
    let result = dto::CopyPartResult {
        e_tag: strong(&part.etag()),
        last_modified: Some(timestamp(part.modified_ms)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
    };
    Ok(with_headers(dto::UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() }, []))
}

#[cfg(test)]
mod tests {
    use super::copy_range;

    #[test]
    fn copy_ranges_have_both_ends() {
        assert_eq!(copy_range("bytes=0-9"), Some((0, 9)));
        for wrong in ["bytes=0-", "bytes=-9", "bytes=9-0", "0-9", "bytes=a-b", "bytes=0-9,12-13", ""] {
            assert_eq!(copy_range(wrong), None, "{wrong}");
        }
    }
}
