//! The operations that are implemented, each once: this list is both the trait's implementation and what the coverage table is computed from.
//! `s3s` answers all others with an error that names them.

use super::{buckets, copy, listing, multipart, notification, objects, tagging};
use async_trait::async_trait;
use millpond_services::s3::S3;
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};

/// The service behind the trait of `s3s`.
#[derive(Debug, Clone)]
pub(super) struct Handlers {
    pub s3: S3,
}

macro_rules! operations {
    ($($name:ident, $method:ident, $input:ident, $output:ident => $handler:path;)*) => {
        /// The names of the operations that are implemented, as AWS's model has them.
        pub const IMPLEMENTED: &[&str] = &[$(stringify!($name)),*];

        #[async_trait]
        impl s3s::S3 for Handlers {
            $(
                async fn $method(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                    $handler(&self.s3, request).await
                }
            )*
        }
    };
}

operations! {
    AbortMultipartUpload, abort_multipart_upload, AbortMultipartUploadInput, AbortMultipartUploadOutput => multipart::abort;
    CompleteMultipartUpload, complete_multipart_upload, CompleteMultipartUploadInput, CompleteMultipartUploadOutput => multipart::complete;
    CopyObject, copy_object, CopyObjectInput, CopyObjectOutput => copy::copy_object;
    CreateBucket, create_bucket, CreateBucketInput, CreateBucketOutput => buckets::create;
    CreateMultipartUpload, create_multipart_upload, CreateMultipartUploadInput, CreateMultipartUploadOutput => multipart::create;
    DeleteBucket, delete_bucket, DeleteBucketInput, DeleteBucketOutput => buckets::delete;
    DeleteBucketTagging, delete_bucket_tagging, DeleteBucketTaggingInput, DeleteBucketTaggingOutput => tagging::delete_of_bucket;
    DeleteObject, delete_object, DeleteObjectInput, DeleteObjectOutput => objects::delete;
    DeleteObjectTagging, delete_object_tagging, DeleteObjectTaggingInput, DeleteObjectTaggingOutput => tagging::delete_of_object;
    DeleteObjects, delete_objects, DeleteObjectsInput, DeleteObjectsOutput => objects::delete_many;
    GetBucketLocation, get_bucket_location, GetBucketLocationInput, GetBucketLocationOutput => buckets::location;
    GetBucketNotificationConfiguration, get_bucket_notification_configuration, GetBucketNotificationConfigurationInput,
        GetBucketNotificationConfigurationOutput => notification::get;
    GetBucketTagging, get_bucket_tagging, GetBucketTaggingInput, GetBucketTaggingOutput => tagging::get_of_bucket;
    GetBucketVersioning, get_bucket_versioning, GetBucketVersioningInput, GetBucketVersioningOutput => buckets::versioning;
    GetObject, get_object, GetObjectInput, GetObjectOutput => objects::get;
    GetObjectAttributes, get_object_attributes, GetObjectAttributesInput, GetObjectAttributesOutput => objects::attributes;
    GetObjectTagging, get_object_tagging, GetObjectTaggingInput, GetObjectTaggingOutput => tagging::get_of_object;
    HeadBucket, head_bucket, HeadBucketInput, HeadBucketOutput => buckets::head;
    HeadObject, head_object, HeadObjectInput, HeadObjectOutput => objects::head;
    ListBuckets, list_buckets, ListBucketsInput, ListBucketsOutput => buckets::list;
    ListMultipartUploads, list_multipart_uploads, ListMultipartUploadsInput, ListMultipartUploadsOutput => multipart::list_uploads;
    ListObjectVersions, list_object_versions, ListObjectVersionsInput, ListObjectVersionsOutput => listing::versions;
    ListObjects, list_objects, ListObjectsInput, ListObjectsOutput => listing::list;
    ListObjectsV2, list_objects_v2, ListObjectsV2Input, ListObjectsV2Output => listing::list_v2;
    ListParts, list_parts, ListPartsInput, ListPartsOutput => multipart::list_parts;
    PutBucketNotificationConfiguration, put_bucket_notification_configuration, PutBucketNotificationConfigurationInput,
        PutBucketNotificationConfigurationOutput => notification::put;
    PutBucketTagging, put_bucket_tagging, PutBucketTaggingInput, PutBucketTaggingOutput => tagging::put_of_bucket;
    PutObject, put_object, PutObjectInput, PutObjectOutput => objects::put;
    PutObjectTagging, put_object_tagging, PutObjectTaggingInput, PutObjectTaggingOutput => tagging::put_of_object;
    UploadPart, upload_part, UploadPartInput, UploadPartOutput => multipart::upload_part;
    UploadPartCopy, upload_part_copy, UploadPartCopyInput, UploadPartCopyOutput => copy::upload_part_copy;
}

#[cfg(test)]
mod tests {
    use super::IMPLEMENTED;

    #[test]
    fn implemented_operations_are_of_the_model_and_in_order() {
        let unknown: Vec<_> = IMPLEMENTED.iter().filter(|name| millpond_wire::s3::SERVICE.operation(name).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(IMPLEMENTED.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
