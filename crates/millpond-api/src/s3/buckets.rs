//! Operations on buckets.

use super::convert::{caller, number, owner, timestamp};
use super::error::wire;
use millpond_services::lake::objects::Bucket;
use millpond_services::s3::S3;
use millpond_services::s3::buckets::ListBuckets;
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};

/// `EU` is an old name of `eu-west-1`: S3 API reference, "GetBucketLocation".
fn region(bucket: &Bucket) -> &str {
    if bucket.region == "EU" { "eu-west-1" } else { &bucket.region }
}

pub(super) async fn create(s3: &S3, request: S3Request<dto::CreateBucketInput>) -> S3Result<S3Response<dto::CreateBucketOutput>> {
    let input = request.input;
    let constraint = input.create_bucket_configuration.and_then(|configuration| configuration.location_constraint);
    let constraint = constraint.as_ref().map(|constraint| constraint.as_str()).filter(|constraint| !constraint.is_empty());
    let bucket = s3.create_bucket(&input.bucket, constraint, Vec::new()).await.map_err(wire)?;
    Ok(S3Response::new(dto::CreateBucketOutput { location: Some(format!("/{}", bucket.name)) }))
}

pub(super) async fn head(s3: &S3, request: S3Request<dto::HeadBucketInput>) -> S3Result<S3Response<dto::HeadBucketOutput>> {
    let bucket = s3.head_bucket(&request.input.bucket).await.map_err(wire)?;
    Ok(S3Response::new(dto::HeadBucketOutput { bucket_region: Some(region(&bucket).to_owned()), ..Default::default() }))
}

pub(super) async fn delete(s3: &S3, request: S3Request<dto::DeleteBucketInput>) -> S3Result<S3Response<dto::DeleteBucketOutput>> {
    let caller = caller(s3, &request);
    s3.delete_bucket(&caller, &request.input.bucket).await.map_err(wire)?;
    Ok(S3Response::new(dto::DeleteBucketOutput::default()))
}

pub(super) async fn list(s3: &S3, request: S3Request<dto::ListBucketsInput>) -> S3Result<S3Response<dto::ListBucketsOutput>> {
    let input = request.input;
    let limit = match input.max_buckets {
        None => None,
        Some(limit @ 1..=10_000) => number(limit as u64),
        Some(_) => return Err(super::convert::invalid("Argument max-buckets must be an integer between 1 and 10000")),
    };
    let asked = ListBuckets {
        prefix: input.prefix.clone().unwrap_or_default(),
        region: input.bucket_region,
        token: input.continuation_token,
        limit,
    };
    let page = s3.list_buckets(asked).await.map_err(wire)?;
    let listed = page.buckets.iter().map(|bucket| dto::Bucket {
        name: Some(bucket.name.clone()),
        creation_date: Some(timestamp(bucket.created_ms)),
        bucket_region: Some(region(bucket).to_owned()),
    });
    Ok(S3Response::new(dto::ListBucketsOutput {
        buckets: Some(listed.collect()),
        continuation_token: page.token,
        owner: Some(owner(s3)),
        prefix: input.prefix,
    }))
}

pub(super) async fn location(
    s3: &S3,
    request: S3Request<dto::GetBucketLocationInput>,
) -> S3Result<S3Response<dto::GetBucketLocationOutput>> {
    let bucket = s3.head_bucket(&request.input.bucket).await.map_err(wire)?;
    // `us-east-1` is answered as nothing, by the same page.
    let constraint = (bucket.region != "us-east-1").then(|| bucket.region.into());
    Ok(S3Response::new(dto::GetBucketLocationOutput { location_constraint: constraint }))
}

/// Versioning was never switched on: the answer is empty.
pub(super) async fn versioning(
    s3: &S3,
    request: S3Request<dto::GetBucketVersioningInput>,
) -> S3Result<S3Response<dto::GetBucketVersioningOutput>> {
    s3.head_bucket(&request.input.bucket).await.map_err(wire)?;
    Ok(S3Response::new(dto::GetBucketVersioningOutput::default()))
}
