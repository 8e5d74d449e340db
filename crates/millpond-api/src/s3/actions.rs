//! What S3's operations are called in policies, and which resources they touch: S3 user guide, "Required permissions for Amazon S3 API
//! operations". S3's protocol is not generated here, so the list stands here instead of in `services.toml`.

use s3s::path::S3Path;

/// Which resource an action is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// All buckets.
    Everything,
    /// The bucket of the request.
    Bucket,
    /// The object of the request.
    Object,
    /// The objects of the bucket that the document names, which is not read yet.
    Objects,
}

/// The actions of an operation, each with its resource's ARN; `source` is the object that a copy reads, as the header names it. `None` for
/// operations that are not implemented.
pub(super) fn of(operation: &str, path: &S3Path, source: Option<&str>) -> Option<Vec<(&'static str, String)>> {
    let (_, action, on) = ACTIONS.iter().find(|(name, ..)| *name == operation)?;
    let (bucket, key) = match path {
        S3Path::Root => ("", ""),
        S3Path::Bucket { bucket } => (&**bucket, ""),
        S3Path::Object { bucket, key } => (&**bucket, &**key),
    };
    let resource = match on {
        On::Everything => "*".to_owned(),
        On::Bucket => format!("arn:aws:s3:::{bucket}"),
        On::Object => format!("arn:aws:s3:::{bucket}/{key}"),
        On::Objects => format!("arn:aws:s3:::{bucket}/*"),
    };
    let mut actions = vec![(*action, resource)];
    if let Some(source) = source {
        let source = percent_encoding::percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy();
        let source = source.split_once("?versionId=").map_or(&*source, |(source, _)| source);
        actions.push(("s3:GetObject", format!("arn:aws:s3:::{source}")));
    }
    Some(actions)
}

const ACTIONS: &[(&str, &str, On)] = &[
    ("AbortMultipartUpload", "s3:AbortMultipartUpload", On::Object),
    ("CompleteMultipartUpload", "s3:PutObject", On::Object),
    ("CopyObject", "s3:PutObject", On::Object),
    ("CreateBucket", "s3:CreateBucket", On::Bucket),
    ("CreateMultipartUpload", "s3:PutObject", On::Object),
    ("DeleteBucket", "s3:DeleteBucket", On::Bucket),
    ("DeleteBucketTagging", "s3:PutBucketTagging", On::Bucket),
    ("DeleteObject", "s3:DeleteObject", On::Object),
    ("DeleteObjectTagging", "s3:DeleteObjectTagging", On::Object),
    ("DeleteObjects", "s3:DeleteObject", On::Objects),
    ("GetBucketLocation", "s3:GetBucketLocation", On::Bucket),
    ("GetBucketNotificationConfiguration", "s3:GetBucketNotification", On::Bucket),
    ("GetBucketTagging", "s3:GetBucketTagging", On::Bucket),
    ("GetBucketVersioning", "s3:GetBucketVersioning", On::Bucket),
    ("GetObject", "s3:GetObject", On::Object),
    ("GetObjectAttributes", "s3:GetObjectAttributes", On::Object),
    ("GetObjectTagging", "s3:GetObjectTagging", On::Object),
    ("HeadBucket", "s3:ListBucket", On::Bucket),
    ("HeadObject", "s3:GetObject", On::Object),
    ("ListBuckets", "s3:ListAllMyBuckets", On::Everything),
    ("ListMultipartUploads", "s3:ListBucketMultipartUploads", On::Bucket),
    ("ListObjectVersions", "s3:ListBucketVersions", On::Bucket),
    ("ListObjects", "s3:ListBucket", On::Bucket),
    ("ListObjectsV2", "s3:ListBucket", On::Bucket),
    ("ListParts", "s3:ListMultipartUploadParts", On::Object),
    ("PutBucketNotificationConfiguration", "s3:PutBucketNotification", On::Bucket),
    ("PutBucketTagging", "s3:PutBucketTagging", On::Bucket),
    ("PutObject", "s3:PutObject", On::Object),
    ("PutObjectTagging", "s3:PutObjectTagging", On::Object),
    ("UploadPart", "s3:PutObject", On::Object),
    ("UploadPartCopy", "s3:PutObject", On::Object),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_that_is_implemented_has_an_action() {
        for operation in crate::s3::IMPLEMENTED {
            assert!(of(operation, &S3Path::Root, None).is_some(), "{operation}: name its action in s3/actions.rs");
        }
    }

    #[test]
    fn a_copy_reads_one_object_and_writes_another() {
        let path = S3Path::Object { bucket: "to".into(), key: "a/b".into() };
        assert_eq!(
            of("CopyObject", &path, Some("/from/k%20k?versionId=v")).unwrap(),
            [("s3:PutObject", "arn:aws:s3:::to/a/b".to_owned()), ("s3:GetObject", "arn:aws:s3:::from/k k".to_owned())]
        );
        let bucket = S3Path::Bucket { bucket: "b".into() };
        assert_eq!(of("DeleteObjects", &bucket, None).unwrap(), [("s3:DeleteObject", "arn:aws:s3:::b/*".to_owned())]);
        assert_eq!(of("ListBuckets", &S3Path::Root, None).unwrap(), [("s3:ListAllMyBuckets", "*".to_owned())]);
    }
}
