//! Multipart uploads.

use super::convert::{
    asked_algorithm, caller, checksum_document, checksum_headers, checksum_type, header_text, number, object_meta, owner,
    page_size, payload, strong, timestamp, with_headers, write_condition,
};
use super::error::wire;
use super::listing::Encoding;
use millpond_services::lake::objects::ObjectMeta;
use millpond_services::s3::checksum::{Algorithm, base64};
use millpond_services::s3::complete::{Complete, CompletedPart};
use millpond_services::s3::multipart::{ListUploads, PAGE_MAX, UploadRef};
use millpond_services::s3::{S3, S3Error};
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};
use std::collections::BTreeMap;

pub(super) async fn create(
    s3: &S3,
    request: S3Request<dto::CreateMultipartUploadInput>,
) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let meta = object_meta(&request.headers, input.metadata)?;
    let algorithm = asked_algorithm(&request.headers)?;
    let kind = checksum_type(input.checksum_type.as_ref())?;
    let upload = s3.create_upload(&caller, &input.bucket, &input.key, meta, algorithm, kind).await.map_err(wire)?;
    Ok(S3Response::new(dto::CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        checksum_algorithm: (!upload.by_default).then(|| upload.algorithm.name().to_owned().into()),
        checksum_type: (!upload.by_default).then(|| upload.checksum_type.name().to_owned().into()),
        ..Default::default()
    }))
}

pub(super) async fn upload_part(
    s3: &S3,
    mut request: S3Request<dto::UploadPartInput>,
) -> S3Result<S3Response<dto::UploadPartOutput>> {
    let caller = caller(s3, &request);
    let (bytes, md5) = (request.input.body.take(), request.input.content_md5.take());
    let payload = payload(&mut request, bytes, md5)?;
    let input = request.input;
    let at = UploadRef { bucket: input.bucket, key: input.key, id: input.upload_id };
    let number = u32::try_from(input.part_number).unwrap_or(0);
    let part = s3.upload_part(&caller, &at, number, payload).await.map_err(wire)?;
    let output = dto::UploadPartOutput { e_tag: strong(&part.etag()), ..Default::default() };
    Ok(with_headers(output, [(part.algorithm.header(), base64(&part.checksum))]))
}

fn completed_part(part: dto::CompletedPart) -> S3Result<CompletedPart> {
    let malformed = |what: &str| wire(S3Error::MalformedXml(format!("a Part without {what}")));
    let number = part.part_number.ok_or_else(|| malformed("PartNumber"))?;
    let checksums = [
        (Algorithm::Crc32, part.checksum_crc32),
        (Algorithm::Crc32c, part.checksum_crc32c),
        (Algorithm::Crc64Nvme, part.checksum_crc64nvme),
        (Algorithm::Sha1, part.checksum_sha1),
        (Algorithm::Sha256, part.checksum_sha256),
    ];
    Ok(CompletedPart {
        number: u32::try_from(number).map_err(|_| malformed("a PartNumber of 1 to 10000"))?,
        etag: part.e_tag.ok_or_else(|| malformed("ETag"))?.into_value(),
        checksums: checksums.into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?))).collect(),
    })
}

pub(super) async fn complete(
    s3: &S3,
    request: S3Request<dto::CompleteMultipartUploadInput>,
) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
    let caller = caller(s3, &request);
    let mut checksum = None;
    for algorithm in Algorithm::ALL {
        if let Some(value) = header_text(&request.headers, algorithm.header())? {
            checksum = Some((algorithm, value.to_owned()));
        }
    }
    let host = header_text(&request.headers, "host")?.unwrap_or("localhost").to_owned();
    let input = request.input;
    let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let complete = Complete {
        at: UploadRef { bucket: input.bucket.clone(), key: input.key, id: input.upload_id },
        parts: parts.into_iter().map(completed_part).collect::<S3Result<_>>()?,
        checksum,
        checksum_type: checksum_type(input.checksum_type.as_ref())?,
        size: input.mpu_object_size.and_then(|size| u64::try_from(size).ok()),
        condition: write_condition(input.if_match, input.if_none_match),
    };
    let object = s3.complete_upload(&caller, complete).await.map_err(wire)?;
    let sums = checksum_document(&object.meta);
    let others: Vec<_> = checksum_headers(&object.meta).map(|(name, value)| (name, value.to_owned())).collect();
    let path = percent_encoding::utf8_percent_encode(&object.key, percent_encoding::CONTROLS).to_string();
    let output = dto::CompleteMultipartUploadOutput {
        location: Some(format!("http://{host}/{}/{path}", input.bucket)),
        bucket: Some(input.bucket),
        key: Some(object.key),
        e_tag: strong(&object.etag),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: sums.checksum_type,
        ..Default::default()
    };
    Ok(with_headers(output, others))
}

pub(super) async fn abort(
    s3: &S3,
    request: S3Request<dto::AbortMultipartUploadInput>,
) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let at = UploadRef { bucket: input.bucket, key: input.key, id: input.upload_id };
    s3.abort_upload(&caller, &at).await.map_err(wire)?;
    Ok(S3Response::new(dto::AbortMultipartUploadOutput::default()))
}

fn initiator(s3: &S3) -> dto::Initiator {
    dto::Initiator { id: owner(s3).id, display_name: None }
}

pub(super) async fn list_parts(s3: &S3, request: S3Request<dto::ListPartsInput>) -> S3Result<S3Response<dto::ListPartsOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let limit = page_size(input.max_parts, PAGE_MAX, "max-parts")?;
    let after = u32::try_from(input.part_number_marker.unwrap_or(0))
        .map_err(|_| super::convert::invalid("Argument part-number-marker must be an integer between 0 and 2147483647"))?;
    let at = UploadRef { bucket: input.bucket, key: input.key, id: input.upload_id };
    let page = s3.list_parts(&caller, &at, after, limit).await.map_err(wire)?;
    let listed = page.parts.iter().map(|part| {
        let checksums = BTreeMap::from([(part.algorithm.name().to_owned(), base64(&part.checksum))]);
        let sums = checksum_document(&ObjectMeta { checksums, ..ObjectMeta::default() });
        dto::Part {
            part_number: number(u64::from(part.number)),
            size: number(part.size),
            e_tag: strong(&part.etag()),
            last_modified: Some(timestamp(part.modified_ms)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
        }
    });
    let class = page.upload.meta.storage_class.clone().unwrap_or_else(|| dto::StorageClass::STANDARD.into());
    let last = page.parts.last().map(|part| part.number);
    Ok(S3Response::new(dto::ListPartsOutput {
        parts: Some(listed.collect()),
        bucket: Some(at.bucket),
        key: Some(at.key),
        upload_id: Some(at.id),
        initiator: Some(initiator(s3)),
        owner: Some(owner(s3)),
        is_truncated: Some(page.truncated),
        max_parts: number(limit as u64),
        part_number_marker: number(u64::from(after)),
        next_part_number_marker: last.filter(|_| page.truncated).and_then(|last| number(u64::from(last))),
        storage_class: Some(class.into()),
        checksum_algorithm: Some(page.upload.algorithm.name().to_owned().into()),
        checksum_type: Some(page.upload.checksum_type.name().to_owned().into()),
        ..Default::default()
    }))
}

pub(super) async fn list_uploads(
    s3: &S3,
    request: S3Request<dto::ListMultipartUploadsInput>,
) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
    let caller = caller(s3, &request);
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = page_size(input.max_uploads, PAGE_MAX, "max-uploads")?;
    let asked = ListUploads {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        key_marker: input.key_marker.clone().unwrap_or_default(),
        id_marker: input.upload_id_marker.clone().unwrap_or_default(),
        limit,
    };
    let page = s3.list_uploads(&caller, &input.bucket, asked).await.map_err(wire)?;
    let listed = page.uploads.iter().map(|upload| dto::MultipartUpload {
        key: Some(encoding.write(&upload.key)),
        upload_id: Some(upload.id.clone()),
        initiated: Some(timestamp(upload.created_ms)),
        initiator: Some(initiator(s3)),
        owner: Some(owner(s3)),
        storage_class: Some(upload.meta.storage_class.clone().unwrap_or_else(|| dto::StorageClass::STANDARD.into()).into()),
        checksum_algorithm: Some(upload.algorithm.name().to_owned().into()),
        checksum_type: Some(upload.checksum_type.name().to_owned().into()),
    });
    let (next_key, next_id) = page.next.clone().unzip();
    Ok(S3Response::new(dto::ListMultipartUploadsOutput {
        uploads: Some(listed.collect()),
        common_prefixes: Some(encoding.prefixes(&page.common_prefixes)),
        bucket: Some(input.bucket),
        prefix: encoding.some(input.prefix),
        delimiter: encoding.some(input.delimiter),
        key_marker: Some(encoding.write(input.key_marker.as_deref().unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        next_key_marker: encoding.some(next_key),
        next_upload_id_marker: next_id,
        is_truncated: Some(page.next.is_some()),
        max_uploads: number(limit as u64),
        encoding_type: input.encoding_type,
        ..Default::default()
    }))
}
