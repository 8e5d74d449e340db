//! Operations on objects: put, get, head, delete, attributes.

use super::convert::{
    body, caller, checksum_document, checksum_headers, invalid, ms, number, object_headers, object_meta, payload,
    read_conditions, strong, timestamp, with_headers, write_condition,
};
use super::error::{code_name, wire};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use millpond_services::s3::S3;
use millpond_services::s3::checksum::Algorithm;
use millpond_services::s3::delete::{DeleteOne, check_version};
use millpond_services::s3::get::{Found, GetObject};
use millpond_services::s3::put::PutObject;
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};

pub(super) async fn put(s3: &S3, mut request: S3Request<dto::PutObjectInput>) -> S3Result<S3Response<dto::PutObjectOutput>> {
    let caller = caller(s3, &request);
    let meta = object_meta(&request.headers, request.input.metadata.take())?;
    let (bytes, md5) = (request.input.body.take(), request.input.content_md5.take());
    let payload = payload(&mut request, bytes, md5)?;
    let input = request.input;
    let put = PutObject {
        bucket: input.bucket,
        key: input.key,
        payload,
        meta,
        condition: write_condition(input.if_match, input.if_none_match),
    };
    let object = s3.put_object(&caller, put).await.map_err(wire)?;
    let checksums: Vec<_> = checksum_headers(&object.meta).map(|(name, value)| (name, value.to_owned())).collect();
    Ok(with_headers(dto::PutObjectOutput { e_tag: strong(&object.etag), ..Default::default() }, checksums))
}

fn part_number(asked: Option<i32>) -> S3Result<Option<u32>> {
    let wrong = |_| invalid("Part number must be an integer between 1 and 10000, inclusive");
    asked.map(u32::try_from).transpose().map_err(wrong)
}

/// `response-content-type` and its kin: what the caller wants to be told instead.
fn overrides(pairs: [(HeaderName, Option<String>); 5], expires: Option<dto::Timestamp>, headers: &mut HeaderMap) -> S3Result<()> {
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        let value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid(format!("response-{name} is no header value")))?;
        headers.insert(name, value);
    }
    if let Some(expires) = expires {
        headers.insert(http::header::EXPIRES, super::convert::http_date(ms(expires)));
    }
    Ok(())
}

fn content_range(found: &Found) -> Option<String> {
    found.partial.then(|| format!("bytes {}-{}/{}", found.range.start, found.range.end.saturating_sub(1), found.object.size))
}

/// Checksums are of the whole object: a part of it is answered without.
fn wants_checksums(mode: Option<&dto::ChecksumMode>, found: &Found) -> bool {
    mode.is_some_and(|mode| mode.as_str() == dto::ChecksumMode::ENABLED) && !found.partial
}

pub(super) async fn get(s3: &S3, request: S3Request<dto::GetObjectInput>) -> S3Result<S3Response<dto::GetObjectOutput>> {
    let caller = caller(s3, &request);
    let range = super::range::asked(request.input.range, &request.extensions);
    let input = request.input;
    check_version(input.version_id.as_deref()).map_err(wire)?;
    let asked = GetObject {
        bucket: input.bucket,
        key: input.key,
        range,
        part: part_number(input.part_number)?,
        conditions: read_conditions(input.if_match, input.if_none_match, input.if_modified_since, input.if_unmodified_since),
    };
    let (found, bytes) = s3.get_object(&caller, asked).await.map_err(wire)?;
    let mut headers = object_headers(&found.object, wants_checksums(input.checksum_mode.as_ref(), &found));
    let pairs = [
        (http::header::CONTENT_TYPE, input.response_content_type),
        (http::header::CONTENT_ENCODING, input.response_content_encoding),
        (http::header::CONTENT_LANGUAGE, input.response_content_language),
        (http::header::CONTENT_DISPOSITION, input.response_content_disposition),
        (http::header::CACHE_CONTROL, input.response_cache_control),
    ];
    overrides(pairs, input.response_expires, &mut headers)?;
    let length = found.range.end - found.range.start;
    let output = dto::GetObjectOutput {
        accept_ranges: Some("bytes".into()),
        body: Some(body(bytes, length)),
        content_length: number(length),
        content_range: content_range(&found),
        e_tag: strong(&found.object.etag),
        last_modified: Some(timestamp(found.object.modified_ms)),
        metadata: Some(found.object.meta.user.clone().into_iter().collect()),
        parts_count: found.parts.and_then(|count| number(count as u64)),
        tag_count: Some(found.object.meta.tags.len()).filter(|count| *count > 0).and_then(|count| number(count as u64)),
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, headers))
}

pub(super) async fn head(s3: &S3, request: S3Request<dto::HeadObjectInput>) -> S3Result<S3Response<dto::HeadObjectOutput>> {
    let caller = caller(s3, &request);
    let range = super::range::asked(request.input.range, &request.extensions);
    let input = request.input;
    check_version(input.version_id.as_deref()).map_err(wire)?;
    let asked = GetObject {
        bucket: input.bucket,
        key: input.key,
        range,
        part: part_number(input.part_number)?,
        conditions: read_conditions(input.if_match, input.if_none_match, input.if_modified_since, input.if_unmodified_since),
    };
    let found = s3.head_object(&caller, asked).await.map_err(wire)?;
    let mut headers = object_headers(&found.object, wants_checksums(input.checksum_mode.as_ref(), &found));
    let pairs = [
        (http::header::CONTENT_TYPE, input.response_content_type),
        (http::header::CONTENT_ENCODING, input.response_content_encoding),
        (http::header::CONTENT_LANGUAGE, input.response_content_language),
        (http::header::CONTENT_DISPOSITION, input.response_content_disposition),
        (http::header::CACHE_CONTROL, input.response_cache_control),
    ];
    overrides(pairs, input.response_expires, &mut headers)?;
    if !found.object.meta.tags.is_empty() {
        headers.insert("x-amz-tagging-count", HeaderValue::from(found.object.meta.tags.len()));
    }
    let partial = found.partial;
    let output = dto::HeadObjectOutput {
        accept_ranges: Some("bytes".into()),
        content_length: number(found.range.end - found.range.start),
        content_range: content_range(&found),
        e_tag: strong(&found.object.etag),
        last_modified: Some(timestamp(found.object.modified_ms)),
        metadata: Some(found.object.meta.user.clone().into_iter().collect()),
        parts_count: found.parts.and_then(|count| number(count as u64)),
        ..Default::default()
    };
    let mut response = S3Response::with_headers(output, headers);
    response.status = partial.then_some(StatusCode::PARTIAL_CONTENT);
    Ok(response)
}

pub(super) async fn delete(s3: &S3, request: S3Request<dto::DeleteObjectInput>) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    check_version(input.version_id.as_deref()).map_err(wire)?;
    let condition = write_condition(input.if_match, None);
    s3.delete_object(&caller, &input.bucket, &input.key, condition).await.map_err(wire)?;
    Ok(S3Response::new(dto::DeleteObjectOutput::default()))
}

pub(super) async fn delete_many(
    s3: &S3,
    request: S3Request<dto::DeleteObjectsInput>,
) -> S3Result<S3Response<dto::DeleteObjectsOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let quiet = input.delete.quiet.unwrap_or(false);
    let one = |object: dto::ObjectIdentifier| DeleteOne {
        key: object.key,
        version: object.version_id,
        condition: write_condition(object.e_tag.map(dto::ETagCondition::ETag), None),
    };
    let ones = input.delete.objects.into_iter().map(one).collect();
    let outcomes = s3.delete_objects(&caller, &input.bucket, ones).await.map_err(wire)?;
    let mut output = dto::DeleteObjectsOutput::default();
    for (one, outcome) in outcomes {
        match outcome {
            Ok(()) if quiet => {}
            Ok(()) => {
                let deleted = dto::DeletedObject { key: Some(one.key), version_id: one.version, ..Default::default() };
                output.deleted.get_or_insert_default().push(deleted);
            }
            Err(error) => output.errors.get_or_insert_default().push(dto::Error {
                code: Some(code_name(&error)),
                message: Some(error.to_string()),
                key: Some(one.key),
                version_id: one.version,
            }),
        }
    }
    Ok(S3Response::new(output))
}

pub(super) async fn attributes(
    s3: &S3,
    request: S3Request<dto::GetObjectAttributesInput>,
) -> S3Result<S3Response<dto::GetObjectAttributesOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    check_version(input.version_id.as_deref()).map_err(wire)?;
    // Some clients send the names in one header, others in one each.
    let names: Vec<&str> = input.object_attributes.iter().flat_map(|names| names.as_str().split(',')).map(str::trim).collect();
    if let Some(name) =
        names.iter().find(|name| !["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"].contains(name))
    {
        return Err(invalid(format!("Invalid attribute name specified: '{name}'")));
    }
    let wanted = |name: &str| names.contains(&name);
    let asked = GetObject { bucket: input.bucket, key: input.key, ..GetObject::default() };
    let object = s3.head_object(&caller, asked).await.map_err(wire)?.object;
    let parts = (wanted("ObjectParts") && !object.meta.parts.is_empty()).then(|| {
        let after = input.part_number_marker.unwrap_or(0).max(0);
        let limit = usize::try_from(input.max_parts.unwrap_or(1000)).unwrap_or(0).min(1000);
        let first = usize::try_from(after).unwrap_or(0).min(object.meta.parts.len());
        let page = object.meta.parts[first..].iter().take(limit);
        let listed: Vec<_> = page
            .enumerate()
            .map(|(index, size)| dto::ObjectPart {
                part_number: number((first + index + 1) as u64),
                size: number(*size),
                ..Default::default()
            })
            .collect();
        dto::GetObjectAttributesParts {
            is_truncated: Some(first + listed.len() < object.meta.parts.len()),
            max_parts: number(limit as u64),
            next_part_number_marker: number((first + listed.len()) as u64),
            part_number_marker: Some(after),
            total_parts_count: number(object.meta.parts.len() as u64),
            parts: Some(listed),
        }
    });
    let class = object.meta.storage_class.clone().unwrap_or_else(|| dto::StorageClass::STANDARD.into());
    let has_checksum = Algorithm::ALL.iter().any(|algorithm| object.meta.checksums.contains_key(algorithm.name()));
    Ok(S3Response::new(dto::GetObjectAttributesOutput {
        checksum: (wanted("Checksum") && has_checksum).then(|| checksum_document(&object.meta)),
        e_tag: strong(&object.etag).filter(|_| wanted("ETag")),
        last_modified: Some(timestamp(object.modified_ms)),
        object_parts: parts,
        object_size: number(object.size).filter(|_| wanted("ObjectSize")),
        storage_class: wanted("StorageClass").then(|| class.into()),
        ..Default::default()
    }))
}
