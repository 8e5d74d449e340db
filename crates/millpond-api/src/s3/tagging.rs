//! Tags of buckets and objects.

use super::convert::caller;
use super::error::wire;
use millpond_services::s3::S3;
use millpond_services::s3::delete::check_version;
use millpond_services::s3::tagging::Tags;
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};

fn tags(tagging: dto::Tagging) -> Tags {
    tagging.tag_set.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect()
}

fn tag_set(tags: Tags) -> dto::TagSet {
    tags.into_iter().map(|(key, value)| dto::Tag { key: Some(key), value: Some(value) }).collect()
}

pub(super) async fn get_of_bucket(
    s3: &S3,
    request: S3Request<dto::GetBucketTaggingInput>,
) -> S3Result<S3Response<dto::GetBucketTaggingOutput>> {
    let found = s3.bucket_tags(&request.input.bucket).await.map_err(wire)?;
    Ok(S3Response::new(dto::GetBucketTaggingOutput { tag_set: tag_set(found) }))
}

pub(super) async fn put_of_bucket(
    s3: &S3,
    request: S3Request<dto::PutBucketTaggingInput>,
) -> S3Result<S3Response<dto::PutBucketTaggingOutput>> {
    s3.set_bucket_tags(&request.input.bucket, tags(request.input.tagging)).await.map_err(wire)?;
    Ok(S3Response::with_status(dto::PutBucketTaggingOutput::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn delete_of_bucket(
    s3: &S3,
    request: S3Request<dto::DeleteBucketTaggingInput>,
) -> S3Result<S3Response<dto::DeleteBucketTaggingOutput>> {
    s3.set_bucket_tags(&request.input.bucket, Tags::new()).await.map_err(wire)?;
    Ok(S3Response::new(dto::DeleteBucketTaggingOutput::default()))
}

pub(super) async fn get_of_object(
    s3: &S3,
    request: S3Request<dto::GetObjectTaggingInput>,
) -> S3Result<S3Response<dto::GetObjectTaggingOutput>> {
    check_version(request.input.version_id.as_deref()).map_err(wire)?;
    let caller = caller(s3, &request);
    let found = s3.object_tags(&caller, &request.input.bucket, &request.input.key).await.map_err(wire)?;
    Ok(S3Response::new(dto::GetObjectTaggingOutput { tag_set: tag_set(found), ..Default::default() }))
}

pub(super) async fn put_of_object(
    s3: &S3,
    request: S3Request<dto::PutObjectTaggingInput>,
) -> S3Result<S3Response<dto::PutObjectTaggingOutput>> {
    check_version(request.input.version_id.as_deref()).map_err(wire)?;
    let caller = caller(s3, &request);
    let tags = tags(request.input.tagging);
    s3.set_object_tags(&caller, &request.input.bucket, &request.input.key, tags).await.map_err(wire)?;
    Ok(S3Response::new(dto::PutObjectTaggingOutput::default()))
}

pub(super) async fn delete_of_object(
    s3: &S3,
    request: S3Request<dto::DeleteObjectTaggingInput>,
) -> S3Result<S3Response<dto::DeleteObjectTaggingOutput>> {
    check_version(request.input.version_id.as_deref()).map_err(wire)?;
    let caller = caller(s3, &request);
    s3.delete_object_tags(&caller, &request.input.bucket, &request.input.key).await.map_err(wire)?;
    Ok(S3Response::new(dto::DeleteObjectTaggingOutput::default()))
}
