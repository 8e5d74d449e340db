"""S3 by its real clients: boto3, the AWS CLI, presigned URLs, and requests that no client sends."""

import base64
import binascii
import datetime
import hashlib
import http.client
import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request

import botocore
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

MIB = 1024 * 1024
PART = 5 * MIB


@pytest.fixture(scope="module")
def lake(module_lake):
    return module_lake


@pytest.fixture(scope="module")
def s3(lake):
    return lake.client("s3")


_buckets = iter(range(1_000_000))


@pytest.fixture
def bucket(lake):
    return lake.bucket(f"bucket-{next(_buckets)}")


def code_of(call, **arguments):
    """The error's code and status."""
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    response = raised.value.response
    assert response["ResponseMetadata"]["RequestId"]
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def put_all(s3, bucket, keys):
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def body(s3, bucket, key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def pattern(size, seed=0):
    block = bytes((n * 7 + seed) % 251 for n in range(251 * 8))
    return (block * (size // len(block) + 1))[:size]


# Buckets


def test_buckets_are_made_found_listed_and_deleted(lake, s3):
    assert s3.create_bucket(Bucket="life-1")["Location"] == "/life-1"
    s3.create_bucket(Bucket="life-1")
    west = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="life-2", CreateBucketConfiguration=west)
    assert code_of(s3.create_bucket, Bucket="life-2", CreateBucketConfiguration=west) == ("BucketAlreadyOwnedByYou", 409)
    assert s3.get_bucket_location(Bucket="life-1")["LocationConstraint"] is None
    assert s3.get_bucket_location(Bucket="life-2")["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket="life-2")["BucketRegion"] == "eu-west-1"
    listed = s3.list_buckets(Prefix="life-")
    assert [found["Name"] for found in listed["Buckets"]] == ["life-1", "life-2"]
    page = s3.list_buckets(Prefix="life-", MaxBuckets=1)
    rest = s3.list_buckets(Prefix="life-", ContinuationToken=page["ContinuationToken"])
    assert [found["Name"] for found in page["Buckets"] + rest["Buckets"]] == ["life-1", "life-2"]
    s3.put_object(Bucket="life-1", Key="k", Body=b"")
    assert code_of(s3.delete_bucket, Bucket="life-1") == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket="life-1", Key="k")
    s3.delete_bucket(Bucket="life-1")
    assert code_of(s3.head_bucket, Bucket="life-1") == ("404", 404)
    assert code_of(s3.list_objects_v2, Bucket="life-1") == ("NoSuchBucket", 404)
    assert code_of(s3.put_object, Bucket="life-1", Key="k", Body=b"x") == ("NoSuchBucket", 404)
    assert "Status" not in s3.get_bucket_versioning(Bucket="life-2")


@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "a..b", "192.168.1.1", "xn--a", "x" * 64])
def test_bucket_names_that_break_a_rule_are_refused(lake, name):
    status, text = raw(lake, "PUT", f"/{name}")
    assert status == 400 and "<Code>InvalidBucketName</Code>" in text


def test_bucket_tags(s3, bucket):
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)
    tags = [{"Key": "team", "Value": "data"}, {"Key": "Köln", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    twice = {"TagSet": [tags[0], tags[0]]}
    assert code_of(s3.put_bucket_tagging, Bucket=bucket, Tagging=twice) == ("InvalidTag", 400)
    s3.delete_bucket_tagging(Bucket=bucket)
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)


def test_notification_configurations_are_kept_and_checked(s3, bucket):
    def put(**configuration):
        # What it names is not there; that destinations are tried is in test_notifications.py.
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration=configuration, SkipDestinationValidation=True
        )

    def get():
        found = s3.get_bucket_notification_configuration(Bucket=bucket)
        found.pop("ResponseMetadata")
        return found

    assert get() == {}
    put(EventBridgeConfiguration={})
    assert get() == {"EventBridgeConfiguration": {}}
    queue = {
        "Id": "q",
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".csv"}]}},
    }
    function = {
        "LambdaFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "Events": ["s3:ObjectRemoved:*"],
    }
    topic = {"Id": "t", "TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Events": ["s3:ObjectTagging:Put"]}
    put(QueueConfigurations=[queue], LambdaFunctionConfigurations=[function], TopicConfigurations=[topic])
    found = get()
    assert found["QueueConfigurations"] == [queue] and found["TopicConfigurations"] == [topic]
    assert found["LambdaFunctionConfigurations"][0].pop("Id")
    assert found["LambdaFunctionConfigurations"] == [function] and "EventBridgeConfiguration" not in found
    overlap = {**queue, "Id": "q2", "Events": ["s3:ObjectCreated:Put"]}
    with pytest.raises(ClientError, match="Configuration is ambiguously defined"):
        put(QueueConfigurations=[queue, overlap])
    with pytest.raises(ClientError, match="not supported for notifications"):
        put(QueueConfigurations=[{**queue, "Events": ["s3:ObjectMoved:*"]}])
    with pytest.raises(ClientError, match="not well formed"):
        put(QueueConfigurations=[{**queue, "QueueArn": topic["TopicArn"]}])
    assert get()["QueueConfigurations"] == [queue], "a refused configuration changes nothing"
    put()
    assert get() == {}


# Objects

ODD_KEYS = [
    "a",
    "a//b",
    "/leading",
    "trailing/",
    "with space",
    "plus+and%25percent",
    "../x",
    "./y/../z",
    "ключ/鍵/🗝",
    "quote\"'<&>;",
    "a?b#c=d",
    "year=2024/month=01/part-0.csv",
    "tab\tnewline\nbell\x07",
    "x" * 1024,
    "é" * 512,
]


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: key[:12].encode("unicode_escape").decode())
def test_odd_keys_are_kept_as_they_are(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=b"odd", Metadata={"a": "b"})
    assert body(s3, bucket, key) == b"odd"
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 3
    listed = s3.list_objects_v2(Bucket=bucket)
    assert [found["Key"] for found in listed["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert body(s3, bucket, "copy") == b"odd"
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}]})
    assert deleted["Deleted"] == [{"Key": "copy"}]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_key_that_is_too_long_is_refused(s3, bucket):
    assert code_of(s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"") == ("KeyTooLongError", 400)
    assert code_of(s3.get_object, Bucket=bucket, Key="é" * 513) == ("KeyTooLongError", 400)


def test_what_was_put_beside_the_bytes_comes_back(s3, bucket):
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    headers = {
        "ContentType": "text/csv; charset=utf-8",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentDisposition": 'attachment; filename="x.csv"',
        "CacheControl": "max-age=5",
        "WebsiteRedirectLocation": "/other",
        "StorageClass": "STANDARD_IA",
    }
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", Metadata={"Upper-Case": "v", "x": "1"}, Expires=expires, **headers)
    assert put["ETag"] == '"8d777f385d3dfec8815d20f7496026dc"'
    for found in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {name: found[name] for name in headers} == headers
        assert found["Metadata"] == {"upper-case": "v", "x": "1"} and found["ETag"] == put["ETag"]
        assert found["ContentLength"] == 4 and found["AcceptRanges"] == "bytes"
        assert found["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"
        assert abs((found["LastModified"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 60
    s3.put_object(Bucket=bucket, Key="k", Body=b"plain")
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["ContentType"] == "binary/octet-stream" and found["Metadata"] == {} and "StorageClass" not in found
    listed = s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]
    assert listed["StorageClass"] == "STANDARD" and len(listed["Owner"]["ID"]) == 64 and listed["Size"] == 5
    too_much = {"a": "x" * 2048}
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"", Metadata=too_much) == ("MetadataTooLarge", 400)
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="CHEAP") == ("InvalidStorageClass", 400)
    kms = {"ServerSideEncryption": "aws:kms"}
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"", **kms) == ("NotImplemented", 501)
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="public-read") == ("AccessControlListNotSupported", 400)


def test_ranges_and_overrides(s3, bucket):
    data = pattern(200_000)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    for text, expected in [
        ("bytes=0-0", data[:1]),
        ("bytes=10-19", data[10:20]),
        ("bytes=199990-", data[199_990:]),
        ("bytes=-5", data[-5:]),
        ("bytes=100000-999999999", data[100_000:]),
        ("bytes=-999999999", data),
    ]:
        found = s3.get_object(Bucket=bucket, Key="k", Range=text)
        assert found["Body"].read() == expected and found["ResponseMetadata"]["HTTPStatusCode"] == 206
        first = len(data) - len(expected) if text.startswith("bytes=-") else int(text[6:].split("-")[0])
        assert found["ContentRange"] == f"bytes {first}-{first + len(expected) - 1}/200000"
    assert s3.head_object(Bucket=bucket, Key="k", Range="bytes=5-9")["ContentLength"] == 5
    assert code_of(s3.get_object, Bucket=bucket, Key="k", Range="bytes=200000-") == ("InvalidRange", 416)
    whole = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert whole["Body"].read() == data
    assert code_of(s3.get_object, Bucket=bucket, Key="k", PartNumber=2) == ("InvalidPartNumber", 416)
    told = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/plain", ResponseContentDisposition="inline")
    assert told["ContentType"] == "text/plain" and told["ContentDisposition"] == "inline"


def test_a_malformed_range_is_ignored_as_by_s3(lake, s3, bucket):
    data = pattern(10_000)
    etag = s3.put_object(Bucket=bucket, Key="k", Body=data)["ETag"]
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    # object_store asks so for the rest of a file that has none.
    backwards = ["bytes=5-3", "bytes=10000-9999", "bytes=765864690-765864689"]
    for text in [*backwards, "bytes=0-1,5-6", "bytes=-", "bytes=a-b", "bytes 0-4", "items=0-4", "nonsense"]:
        found = s3.get_object(Bucket=bucket, Key="k", Range=text, ResponseContentType="text/plain")
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 200 and found["Body"].read() == data, text
        assert "ContentRange" not in found and found["ContentType"] == "text/plain" and found["ETag"] == etag
        head = s3.head_object(Bucket=bucket, Key="k", Range=text)
        assert head["ContentLength"] == 10_000 and head["ResponseMetadata"]["HTTPStatusCode"] == 200
    huge = s3.get_object(Bucket=bucket, Key="k", Range="bytes=9990-99999999999999999999")
    assert huge["Body"].read() == data[-10:] and huge["ContentRange"] == "bytes 9990-9999/10000"
    for text in ["bytes=10000-", "bytes=10000-10001", "bytes=99999999999999999999-", "bytes=-0"]:
        assert code_of(s3.get_object, Bucket=bucket, Key="k", Range=text) == ("InvalidRange", 416), text
    assert s3.get_object(Bucket=bucket, Key="empty", Range="bytes=1-0")["Body"].read() == b""
    # All else of the request counts as ever.
    assert code_of(s3.get_object, Bucket=bucket, Key="none", Range="bytes=5-3") == ("NoSuchKey", 404)
    assert code_of(s3.get_object, Bucket=bucket, Key="k", Range="bytes=5-3", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert code_of(s3.get_object, Bucket=bucket, Key="k", Range="bytes=5-3", VersionId="v")[0] == "InvalidArgument"
    for client in [s3, lake.client("s3", signature_version="s3")]:
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k", "ResponseContentType": "a/b"})
        request = urllib.request.Request(url, headers={"Range": "bytes=5-3"})
        with urllib.request.urlopen(request) as answer:
            assert (answer.status, answer.read(), answer.headers["Content-Type"]) == (200, data, "a/b")
        for wrong in [url.replace("Signature=", "Signature=0"), url.split("?")[0], url.replace("/k?", "/empty?")]:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(wrong, headers={"Range": "bytes=5-3"}))
            assert refused.value.code == 403, wrong


def test_conditions_of_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    now = datetime.datetime.now(datetime.timezone.utc)
    before, after = now - datetime.timedelta(hours=1), now + datetime.timedelta(hours=1)
    for call in (s3.get_object, s3.head_object):
        assert call(Bucket=bucket, Key="k", IfMatch=etag, IfUnmodifiedSince=before)["ETag"] == etag
        assert code_of(call, Bucket=bucket, Key="k", IfMatch='"x"')[1] == 412
        assert code_of(call, Bucket=bucket, Key="k", IfUnmodifiedSince=before)[1] == 412
        assert code_of(call, Bucket=bucket, Key="k", IfNoneMatch=etag)[1] == 304
        assert code_of(call, Bucket=bucket, Key="k", IfModifiedSince=after)[1] == 304
        assert call(Bucket=bucket, Key="k", IfNoneMatch='"x"', IfModifiedSince=after)["ETag"] == etag
        assert call(Bucket=bucket, Key="k", IfModifiedSince=before)["ETag"] == etag
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    assert raised.value.response["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag


def test_conditions_of_writes(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert code_of(s3.put_object, Bucket=bucket, Key="none", Body=b"2", IfMatch=etag) == ("NoSuchKey", 404)
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert code_of(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == ("PreconditionFailed", 412)
    wins = []

    def race(n):
        try:
            s3.put_object(Bucket=bucket, Key="race", Body=str(n).encode(), IfNoneMatch="*")
            wins.append(n)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"

    threads = [threading.Thread(target=race, args=(n,)) for n in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(wins) == 1 and body(s3, bucket, "race") == str(wins[0]).encode()


def test_missing_objects(s3, bucket):
    assert code_of(s3.get_object, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert code_of(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    s3.delete_object(Bucket=bucket, Key="none")
    assert code_of(s3.get_object, Bucket=bucket, Key="none", VersionId="v1") == ("InvalidArgument", 400)
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket=bucket, Key="none")
    assert raised.value.response["Error"]["Resource"] == f"/{bucket}/none"


def test_object_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b=two%20words")
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "two words"}]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    s3.copy_object(Bucket=bucket, Key="other", CopySource=f"{bucket}/k", TaggingDirective="REPLACE", Tagging="c=3")
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == tags
    assert s3.get_object_tagging(Bucket=bucket, Key="other")["TagSet"] == [{"Key": "c", "Value": "3"}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "z", "Value": ""}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "z", "Value": ""}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    many = {"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]}
    assert code_of(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=many) == ("BadRequest", 400)
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"", Tagging="a=1&a=2") == ("InvalidArgument", 400)


def test_deleting_many(s3, bucket):
    keys = [f"k{n:04}" for n in range(1200)]
    threads = [threading.Thread(target=put_all, args=(s3, bucket, keys[n::8])) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket))
    assert [found["Key"] for page in pages for found in page["Contents"]] == keys and len(pages) == 2
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": key} for key in keys[:1000]]})
    assert "Deleted" not in quiet and "Errors" not in quiet
    told = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in [*keys[1000:], "none"]]})
    assert len(told["Deleted"]) == 201
    too_many = {"Objects": [{"Key": str(n)} for n in range(1001)]}
    assert code_of(s3.delete_objects, Bucket=bucket, Delete=too_many) == ("MalformedXML", 400)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


# Checksums and the ways in which bodies come


def crc32(data):
    return base64.b64encode(binascii.crc32(data).to_bytes(4, "big")).decode()


def digest(name, data):
    return base64.b64encode(hashlib.new(name, data).digest()).decode()


ALGORITHMS = ["CRC32", "SHA1", "SHA256", "SHA512"]
try:
    import awscrt.checksums  # noqa: F401

    ALGORITHMS += ["CRC32C", "CRC64NVME", "XXHASH64", "XXHASH3", "XXHASH128"]
except ImportError:
    pass


@pytest.mark.parametrize("size", [0, 10, 70_000, 3 * MIB])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_are_verified_kept_and_answered(s3, bucket, algorithm, size):
    data = pattern(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
    name = f"Checksum{algorithm}"
    assert put[name] and put["ChecksumType"] == "FULL_OBJECT"
    found = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == data and found[name] == put[name]
    assert name not in s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", Range="bytes=0-4") if size else True


KNOWN = {
    "crc32": lambda data: crc32(data),
    "crc32c": lambda data: "4waSgw==",
    "crc64nvme": lambda data: "rosUhgp5mIg=",
    "sha1": lambda data: digest("sha1", data),
    "sha256": lambda data: digest("sha256", data),
    "sha512": lambda data: digest("sha512", data),
    "md5": lambda data: digest("md5", data),
}


@pytest.mark.parametrize("algorithm", KNOWN)
def test_checksums_in_headers_are_compared(lake, bucket, algorithm):
    data = b"123456789"
    right = KNOWN[algorithm](data)
    status, _ = raw(lake, "PUT", f"/{bucket}/k", data, {f"x-amz-checksum-{algorithm}": right})
    assert status == 200
    wrong = base64.b64encode(bytes(len(base64.b64decode(right)))).decode()
    status, text = raw(lake, "PUT", f"/{bucket}/k", data, {f"x-amz-checksum-{algorithm}": wrong})
    assert status == 400 and "<Code>BadDigest</Code>" in text
    status, text = raw(lake, "PUT", f"/{bucket}/k", data, {f"x-amz-checksum-{algorithm}": "?"})
    assert status == 400 and "<Code>InvalidRequest</Code>" in text


def test_objects_without_a_checksum_get_one(lake, bucket):
    plain = lake.client("s3", request_checksum_calculation="when_required")
    put = plain.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    assert put["ChecksumCRC64NVME"] == "rosUhgp5mIg=" and put["ChecksumType"] == "FULL_OBJECT"


def test_content_md5_is_compared(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=digest("md5", b"x"))
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5=digest("md5", b"y")) == ("BadDigest", 400)
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="?") == ("InvalidDigest", 400)


@pytest.mark.parametrize("size", [0, 1, 65_536, 3 * MIB + 1])
def test_chunked_bodies_with_unsigned_trailers(lake, bucket, size):
    data = pattern(size)
    head = {"x-amz-trailer": "x-amz-checksum-crc32"}

    def framed(chunk, checksum):
        parts = [data[at : at + chunk] for at in range(0, len(data), chunk)]
        out = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
        return out + b"0\r\nx-amz-checksum-crc32:" + checksum.encode() + b"\r\n\r\n"

    for chunk in (1 << 30, 64 * 1024, 8191):
        body_ = framed(chunk, crc32(data))
        status, text = raw(lake, "PUT", f"/{bucket}/k", body_, head, sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER", decoded=size)
        assert status == 200, text
        assert body(lake.client("s3"), bucket, "k") == data
    wrong = framed(65_536, crc32(data + b"x"))
    status, text = raw(lake, "PUT", f"/{bucket}/bad", wrong, head, sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER", decoded=size)
    assert status == 400 and "<Code>BadDigest</Code>" in text
    status, text = raw(
        lake, "PUT", f"/{bucket}/bad", framed(65_536, crc32(data)), head, sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER", decoded=size + 1
    )
    assert status == 400 and "<Code>IncompleteBody</Code>" in text
    bare = framed(65_536, "").split(b"0\r\nx-amz")[0] + b"0\r\n\r\n" if size else b"0\r\n\r\n"
    status, text = raw(lake, "PUT", f"/{bucket}/bad", bare, head, sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER", decoded=size)
    assert status == 400 and "MalformedTrailerError" in text
    garbage = b"zz\r\n" + data
    status, text = raw(lake, "PUT", f"/{bucket}/bad", garbage, head, sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER", decoded=size)
    assert status == 400, text
    assert code_of(lake.client("s3").head_object, Bucket=bucket, Key="bad")[1] == 404


def signed_chunks(lake, path, chunks, tamper=None):
    """A body in signed chunks, as the older SDKs of Java and others send it."""
    import hmac

    total = sum(map(len, chunks))
    url, headers = signed(
        lake, "PUT", path, b"", {"x-amz-decoded-content-length": str(total)}, sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    )
    authorization = headers["Authorization"]
    signature = authorization.split("Signature=")[1]
    date = headers["X-Amz-Date"]
    scope = authorization.split("Credential=")[1].split(",")[0].split("/", 1)[1]
    key = b"AWS4" + lake.credentials["secret_access_key"].encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    out = b""
    for index, chunk in enumerate([*chunks, b""]):
        text = "\n".join(
            ["AWS4-HMAC-SHA256-PAYLOAD", date, scope, signature, hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()]
        )
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        if tamper == index:
            chunk = bytes([chunk[0] ^ 1]) + chunk[1:]
        out += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), signature.encode(), chunk)
    return send("PUT", url, headers, out)


def test_chunked_bodies_with_signed_chunks(lake, s3, bucket):
    chunks = [pattern(65_536, 1), pattern(65_536, 2), pattern(1000, 3)]
    status, text = signed_chunks(lake, f"/{bucket}/k", chunks)
    assert status == 200, text
    assert body(s3, bucket, "k") == b"".join(chunks)
    status, text = signed_chunks(lake, f"/{bucket}/bad", chunks, tamper=1)
    assert status == 403 and "<Code>SignatureDoesNotMatch</Code>" in text
    status, text = signed_chunks(lake, f"/{bucket}/bad", [pattern(17 * MIB)])
    assert status == 400, "a signed chunk is held in memory, and so has a limit"
    assert code_of(s3.head_object, Bucket=bucket, Key="bad")[1] == 404


def test_a_body_that_is_not_the_signed_one_is_refused(lake, s3, bucket):
    url, headers = signed(lake, "PUT", f"/{bucket}/k", b"signed")
    status, text = send("PUT", url, headers, b"forged")
    assert status == 400 and "<Code>XAmzContentSHA256Mismatch</Code>" in text
    assert code_of(s3.head_object, Bucket=bucket, Key="k")[1] == 404


def test_a_client_that_is_refused_while_it_sends_hears_why(lake):
    status, text = raw(lake, "PUT", "/no-such-bucket/k", b"x" * 20 * MIB)
    assert status == 404 and "<Code>NoSuchBucket</Code>" in text
    status, text = send("PUT", f"{lake.endpoint}/no-such-bucket/k", {}, b"x" * 20 * MIB)
    assert status == 403 and "<Code>AccessDenied</Code>" in text


def test_a_body_that_breaks_off_leaves_nothing(lake, s3, bucket):
    url, headers = signed(lake, "PUT", f"/{bucket}/k", b"x" * 100_000, sha256="UNSIGNED-PAYLOAD")
    parsed = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=10)
    connection.putrequest("PUT", parsed.path, skip_host=True, skip_accept_encoding=True)
    for name, value in {**headers, "Content-Length": "100000"}.items():
        connection.putheader(name, value)
    connection.endheaders(b"x" * 70_000)
    connection.close()
    assert code_of(s3.head_object, Bucket=bucket, Key="k")[1] == 404


# Who may


def test_an_empty_session_token_is_none(lake):
    """delta-rs sends one with a key that lasts."""
    url, headers = signed(lake, "GET", "/", headers={"x-amz-security-token": ""})
    assert "x-amz-security-token" in headers["Authorization"], "it is signed"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        assert answer.status == 200
    url, headers = signed(lake, "GET", "/", headers={"x-amz-security-token": "none"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(url, headers=headers))


def signed(lake, method, path, data=b"", headers=None, sha256=None, keys=None, when=None, decoded=None):
    """The URL and the headers of a request that is signed as botocore signs it."""
    headers = dict(headers or {})
    if decoded is not None:
        headers["x-amz-decoded-content-length"] = str(decoded)
    own = lake.credentials
    access, secret = keys or (own["access_key_id"], own["secret_access_key"])
    url = lake.endpoint + urllib.parse.quote(path, safe="/?=&%~.-_:")
    request = AWSRequest(method=method, url=url, data=data, headers=headers)
    auth = S3SigV4Auth(Credentials(access, secret), "s3", "us-east-1")
    if sha256:
        auth.payload = lambda _request: sha256
        auth._should_sha256_sign_payload = lambda _request: False
    if when is None:
        auth.add_auth(request)
    else:
        import unittest.mock

        with unittest.mock.patch("botocore.auth.get_current_datetime", return_value=when.replace(tzinfo=None)):
            auth.add_auth(request)
    found = dict(request.headers.items())
    found["Host"] = urllib.parse.urlsplit(url).netloc
    return url, found


def send(method, url, headers, data=b""):
    parsed = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=60)
    path = parsed.path + (f"?{parsed.query}" if parsed.query else "")
    try:
        connection.request(method, path, body=data, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def raw(lake, method, path, data=b"", headers=None, **more):
    url, found = signed(lake, method, path, data, headers, **more)
    return send(method, url, found, data)


def test_strangers_are_refused(lake, bucket):
    own = lake.credentials
    for keys, code in [
        (("AKIAIOSFODNN7EXAMPLE", "x" * 40), "InvalidAccessKeyId"),
        ((own["access_key_id"], "x" * 40), "SignatureDoesNotMatch"),
    ]:
        status, text = raw(lake, "GET", f"/{bucket}", keys=keys)
        assert status == 403 and f"<Code>{code}</Code>" in text and "<Message>" in text and "<RequestId>" in text
    status, text = send("GET", f"{lake.endpoint}/{bucket}/k", {})
    assert status == 403 and "<Code>AccessDenied</Code>" in text
    status, text = send("PUT", f"{lake.endpoint}/{bucket}/k", {}, b"x")
    assert status == 403 and "<Code>AccessDenied</Code>" in text


@pytest.mark.parametrize("minutes", [-16, 16])
def test_clocks_that_differ_too_much_are_refused(lake, bucket, minutes):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    status, text = raw(lake, "GET", f"/{bucket}", when=when)
    assert status == 403 and "<Code>RequestTimeTooSkewed</Code>" in text


def test_headers_that_are_not_signed_are_refused(lake, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url, headers = signed(lake, "PUT", f"/{bucket}/new", b"")
    status, text = send("PUT", url, {**headers, "x-amz-copy-source": f"{bucket}/k"})
    assert status == 403 and "not signed" in text


def test_old_signatures_and_forms_are_refused(lake, bucket):
    status, text = send("GET", f"{lake.endpoint}/{bucket}/k", {"Authorization": "AWS AKID:c2ln", "Date": "x"})
    assert status == 400 and "AWS4-HMAC-SHA256" in text
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    status, text = send("POST", f"{lake.endpoint}/{bucket}", form, b"--b\r\n" + b"x" * 1000)
    assert status == 501 and "PostObject" in text


def test_presigned_urls(lake, s3, bucket):
    client = lake.client("s3", signature_version="s3v4")
    put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b/é+"}, ExpiresIn=60)
    assert send("PUT", put, {}, b"presigned")[0] == 200
    get = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/é+", "ResponseContentType": "text/x"})
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"presigned" and answer.headers["Content-Type"] == "text/x"
    assert send("GET", get.replace("X-Amz-Signature=", "X-Amz-Signature=0")[:-1], {})[0] == 403
    assert send("DELETE", get, {})[0] == 403, "the method is signed"
    status, text = send("PUT", put, {"x-amz-tagging": "a=b"}, b"x")
    assert status == 403 and "not signed" in text
    import unittest.mock

    past = datetime.datetime.utcnow() - datetime.timedelta(minutes=2)
    with unittest.mock.patch("botocore.auth.get_current_datetime", return_value=past):
        old = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    status, text = send("GET", old, {})
    assert status == 403 and "Request has expired" in text
    older = lake.client("s3", signature_version="s3").generate_presigned_url  # what boto3 makes by default in us-east-1
    with urllib.request.urlopen(older("get_object", Params={"Bucket": bucket, "Key": "a b/é+"}, ExpiresIn=60)) as answer:
        assert answer.read() == b"presigned"
    assert send("GET", older("get_object", Params={"Bucket": bucket, "Key": "a b/é+"}, ExpiresIn=-60), {})[0] == 403
    assert send("GET", older("list_objects", Params={"Bucket": bucket}) + "&prefix=a", {})[0] == 403
    long = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=604_801)
    status, text = send("GET", long, {})
    assert status == 400 and "AuthorizationQueryParametersError" in text


def test_buckets_may_be_named_in_the_host(lake, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"by host")
    port = urllib.parse.urlsplit(lake.endpoint).port
    for host in (f"{bucket}.localhost:{port}", f"{bucket}.s3.localhost:{port}", f"{bucket}.s3.us-east-1.localhost:{port}"):
        request = AWSRequest(method="GET", url=f"http://{host}/k")
        own = lake.credentials
        S3SigV4Auth(Credentials(own["access_key_id"], own["secret_access_key"]), "s3", "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/k", headers={**dict(request.headers.items()), "Host": host})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"by host"), host


# Copies


def test_copies(s3, bucket, lake):
    other = lake.bucket(f"{bucket}-other")
    data = pattern(100_000)
    etag = s3.put_object(Bucket=bucket, Key="k", Body=data, Metadata={"a": "1"}, ContentType="text/a")["ETag"]
    copied = s3.copy_object(Bucket=other, Key="c", CopySource={"Bucket": bucket, "Key": "k"})["CopyObjectResult"]
    assert copied["ETag"] == etag and copied["ChecksumCRC32"] == crc32(data)
    found = s3.get_object(Bucket=other, Key="c")
    assert found["Body"].read() == data and found["Metadata"] == {"a": "1"} and found["ContentType"] == "text/a"
    s3.copy_object(
        Bucket=bucket, Key="k", CopySource=f"{bucket}/k", MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="text/b"
    )
    found = s3.head_object(Bucket=bucket, Key="k")
    assert found["Metadata"] == {"b": "2"} and found["ContentType"] == "text/b"
    with pytest.raises(ClientError, match="trying to copy an object to itself"):
        s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k")
    summed = s3.copy_object(Bucket=bucket, Key="s", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA256")["CopyObjectResult"]
    assert summed["ChecksumSHA256"] == digest("sha256", data)
    for condition in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}, {"IfNoneMatch": "*"}, {"IfMatch": '"x"'}):
        assert code_of(s3.copy_object, Bucket=other, Key="c", CopySource=f"{bucket}/k", **condition) == ("PreconditionFailed", 412)
    s3.copy_object(Bucket=other, Key="c", CopySource=f"{bucket}/k", CopySourceIfMatch=etag)
    assert code_of(s3.copy_object, Bucket=other, Key="c", CopySource=f"{bucket}/none") == ("NoSuchKey", 404)
    assert code_of(s3.copy_object, Bucket=other, Key="c", CopySource="no-such-bucket-x/none") == ("NoSuchBucket", 404)


# Listings


def test_listings_with_prefixes_delimiters_and_pages(s3, bucket):
    keys = ["a", "a/1", "a/2", "b//x", "b/1", "c", "d e/f", "é/1", "日/本"]
    put_all(s3, bucket, keys)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == sorted(keys, key=str.encode)
    for limit in range(1, 9):
        seen = []
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": limit}):
            assert page["KeyCount"] == len(page.get("Contents", [])) + len(page.get("CommonPrefixes", [])) <= limit
            seen += [found["Key"] for found in page.get("Contents", [])]
            seen += [found["Prefix"] for found in page.get("CommonPrefixes", [])]
        assert sorted(seen, key=str.encode) == ["a", "a/", "b/", "c", "d e/", "é/", "日/"]
        marked = []
        for page in s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": limit}):
            marked += [found["Key"] for found in page.get("Contents", [])]
        assert marked == sorted(keys, key=str.encode)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, StartAfter="b/1")["Contents"]][0] == "c"
    below = s3.list_objects_v2(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert [found["Key"] for found in below["Contents"]] == ["b/1"]
    assert below["CommonPrefixes"] == [{"Prefix": "b//"}]
    old = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert old["IsTruncated"] and old["NextMarker"] == "a/"
    rest = s3.list_objects(Bucket=bucket, Delimiter="/", Marker=old["NextMarker"])
    assert [found["Prefix"] for found in rest["CommonPrefixes"]] == ["b/", "d e/", "é/", "日/"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert code_of(s3.list_objects_v2, Bucket=bucket, ContinuationToken="forged") == ("InvalidArgument", 400)
    assert code_of(s3.list_objects_v2, Bucket=bucket, MaxKeys=-1) == ("InvalidArgument", 400)
    versions = s3.list_object_versions(Bucket=bucket, Prefix="a")["Versions"]
    assert [(found["Key"], found["VersionId"], found["IsLatest"]) for found in versions] == [
        ("a", "null", True),
        ("a/1", "null", True),
        ("a/2", "null", True),
    ]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": found["Key"], "VersionId": "null"} for found in versions]})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="a")


# Multipart uploads


def upload(s3, bucket, key, parts, complete=None, **more):
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)
    done = []
    for number, data in enumerate(parts, 1):
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=begun["UploadId"], PartNumber=number, Body=data)
        kept = {name: value for name, value in part.items() if name == "ETag" or name.startswith("Checksum")}
        done.append({"PartNumber": number, **kept})
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=begun["UploadId"], MultipartUpload={"Parts": done}, **(complete or {})
    )


def test_multipart_uploads(s3, bucket):
    parts = [pattern(PART, 1), pattern(PART + 1, 2), pattern(1000, 3)]
    done = upload(s3, bucket, "k", parts, Metadata={"m": "1"}, ContentType="text/big", Tagging="t=1", StorageClass="GLACIER_IR")
    etag = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert done["ETag"] == f'"{etag}-3"' and done["Bucket"] == bucket and done["Key"] == "k"
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == b"".join(parts)
    assert found["Metadata"] == {"m": "1"} and found["ContentType"] == "text/big" and found["TagCount"] == 1
    assert found["StorageClass"] == "GLACIER_IR"
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert second["Body"].read() == parts[1] and second["PartsCount"] == 3
    assert second["ContentRange"] == f"bytes {PART}-{2 * PART}/{2 * PART + 1001}"
    across = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={PART - 3}-{PART + 2}")["Body"].read()
    assert across == parts[0][-3:] + parts[1][:3]
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert told["ObjectSize"] == 2 * PART + 1001 and told["ObjectParts"]["TotalPartsCount"] == 3
    assert told["StorageClass"] == "GLACIER_IR" and told["Checksum"]


@pytest.mark.parametrize("algorithm,kind", [("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE"), ("SHA1", None)])
def test_checksums_of_multipart_uploads(s3, bucket, algorithm, kind):
    parts = [pattern(PART, 4), pattern(70_000, 5)]
    typed = {"ChecksumType": kind} if kind else {}
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, **typed)
    assert begun["ChecksumAlgorithm"] == algorithm
    at = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    name = f"Checksum{algorithm}"
    done = []
    for number, data in enumerate(parts, 1):
        part = s3.upload_part(**at, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm)
        done.append({"PartNumber": number, "ETag": part["ETag"], name: part[name]})
    listed = s3.list_parts(**at)
    assert [part[name] for part in listed["Parts"]] == [part[name] for part in done]
    completed = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": done})
    if kind == "FULL_OBJECT":
        assert completed[name] == crc32(b"".join(parts))
    else:
        raw_sums = b"".join(base64.b64decode(part[name]) for part in done)
        expected = crc32(raw_sums) if algorithm == "CRC32" else digest(algorithm.lower(), raw_sums)
        assert completed[name] == f"{expected}-2"
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[name] == completed[name] and head["ChecksumType"] == (kind or "COMPOSITE")


def test_multipart_uploads_are_refused_for_the_documented_reasons(s3, bucket):
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    at = {"Bucket": bucket, "Key": "k", "UploadId": begun}
    small = s3.upload_part(**at, PartNumber=1, Body=b"small")["ETag"]
    last = s3.upload_part(**at, PartNumber=2, Body=b"last")["ETag"]

    def complete(*parts, **more):
        listed = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
        return s3.complete_multipart_upload(**at, MultipartUpload=listed, **more)

    for parts, code in [
        ([(1, small), (2, last)], "EntityTooSmall"),
        ([(2, last), (1, small)], "InvalidPartOrder"),
        ([(1, small), (1, small)], "InvalidPartOrder"),
        ([(1, last)], "InvalidPart"),
        ([(3, last)], "InvalidPart"),
    ]:
        with pytest.raises(ClientError) as raised:
            complete(*parts)
        assert raised.value.response["Error"]["Code"] == code
    s3.put_object(Bucket=bucket, Key="k", Body=b"there")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        complete((2, last), IfNoneMatch="*")
    assert code_of(s3.upload_part, **at, PartNumber=10_001, Body=b"") == ("InvalidArgument", 400)
    assert code_of(s3.upload_part, **{**at, "UploadId": "none"}, PartNumber=1, Body=b"") == ("NoSuchUpload", 404)
    assert code_of(s3.upload_part, **{**at, "Key": "other"}, PartNumber=1, Body=b"") == ("NoSuchUpload", 404)
    done = complete((2, last))
    assert complete((2, last))["ETag"] == done["ETag"], "asked again, answered again"
    with pytest.raises(ClientError, match="NoSuchUpload"):
        complete((1, small))
    assert body(s3, bucket, "k") == b"last"
    assert code_of(s3.abort_multipart_upload, **at) == ("NoSuchUpload", 404)


def test_lists_of_uploads_and_parts(s3, bucket):
    ids = {}
    for key in ("a", "b/1", "b/2", "c"):
        ids[key] = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    listed = s3.list_multipart_uploads(Bucket=bucket)
    assert [(found["Key"], found["UploadId"]) for found in listed["Uploads"]] == list(ids.items())
    grouped = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", MaxUploads=2)
    assert [found["Key"] for found in grouped["Uploads"]] == ["a"] and grouped["CommonPrefixes"] == [{"Prefix": "b/"}]
    rest = s3.list_multipart_uploads(
        Bucket=bucket, Delimiter="/", KeyMarker=grouped["NextKeyMarker"], UploadIdMarker=grouped["NextUploadIdMarker"]
    )
    assert grouped["IsTruncated"] and [found["Key"] for found in rest["Uploads"]] == ["c"]
    at = {"Bucket": bucket, "Key": "a", "UploadId": ids["a"]}
    for number in (1, 7, 10_000):
        s3.upload_part(**at, PartNumber=number, Body=b"part %d" % number)
    pages = s3.get_paginator("list_parts").paginate(**at, PaginationConfig={"PageSize": 2})
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 7, 10_000]
    s3.abort_multipart_upload(**at)
    assert code_of(s3.list_parts, **at) == ("NoSuchUpload", 404)
    assert [found["Key"] for found in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["b/1", "b/2", "c"]


def test_parts_from_objects(s3, bucket):
    data = pattern(PART + 100)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    at = {"Bucket": bucket, "Key": "k", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]}
    source = {"CopySource": {"Bucket": bucket, "Key": "source"}}
    one = s3.upload_part_copy(**at, **source, PartNumber=1)["CopyPartResult"]["ETag"]
    two = s3.upload_part_copy(**at, **source, PartNumber=2, CopySourceRange="bytes=10-19")["CopyPartResult"]["ETag"]
    assert one == f'"{hashlib.md5(data).hexdigest()}"'
    beyond = {"CopySourceRange": f"bytes=0-{len(data)}"}
    assert code_of(s3.upload_part_copy, **at, **source, PartNumber=3, **beyond) == ("InvalidArgument", 400)
    assert code_of(s3.upload_part_copy, **at, **source, PartNumber=3, CopySourceIfMatch='"x"') == ("PreconditionFailed", 412)
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    assert body(s3, bucket, "k") == data + data[10:20]


# Large, and through crashes


def test_large_bodies_go_through_bounded_memory(lake, s3, bucket, tmp_path):
    size = 300 * MIB
    path = tmp_path / "large"
    with open(path, "wb") as out:
        for n in range(300):
            out.write(pattern(MIB, n))
    before = lake.rss_kib()
    with open(path, "rb") as data:
        s3.put_object(Bucket=bucket, Key="large", Body=data)
    url, headers = signed(
        lake,
        "PUT",
        f"/{bucket}/one-chunk",
        b"",
        {"x-amz-trailer": "x-amz-checksum-crc32"},
        sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        decoded=size,
    )
    crc = 0
    with open(path, "rb") as data:
        while chunk := data.read(MIB):
            crc = binascii.crc32(chunk, crc)
    checksum = base64.b64encode(crc.to_bytes(4, "big"))
    framing = (b"%x\r\n" % size, b"\r\n0\r\nx-amz-checksum-crc32:" + checksum + b"\r\n\r\n")

    def pieces():
        yield framing[0]
        with open(path, "rb") as data:
            while chunk := data.read(MIB):
                yield chunk
        yield framing[1]

    headers["Content-Length"] = str(size + sum(map(len, framing)))
    status, text = send("PUT", url, headers, pieces())
    assert status == 200, text
    for key in ("large", "one-chunk"):
        received = hashlib.md5()
        for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(MIB):
            received.update(chunk)
        assert s3.head_object(Bucket=bucket, Key=key)["ETag"] == f'"{received.hexdigest()}"'
    grown = (lake.rss_kib("VmHWM") - before) / 1024
    assert grown < 64, f"the server's memory grew by {grown:.0f} MiB"


def test_acknowledged_objects_and_uploads_survive_a_crash(new_lake):
    lake = new_lake()
    s3 = lake.client("s3")
    lake.bucket("kept")
    data = pattern(PART)
    s3.put_object(Bucket="kept", Key="small", Body=b"small")
    s3.put_object(Bucket="kept", Key="large", Body=data)
    at = {"Bucket": "kept", "Key": "upload", "UploadId": s3.create_multipart_upload(Bucket="kept", Key="upload")["UploadId"]}
    one = s3.upload_part(**at, PartNumber=1, Body=data)["ETag"]
    lake.kill9()
    lake.start()
    s3 = lake.client("s3")
    assert body(s3, "kept", "small") == b"small" and body(s3, "kept", "large") == data
    two = s3.upload_part(**at, PartNumber=2, Body=b"end")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]}
    s3.complete_multipart_upload(**at, MultipartUpload=parts)
    lake.kill9()
    lake.start()
    assert body(lake.client("s3"), "kept", "upload") == data + b"end"


# The AWS CLI


def test_the_aws_cli(lake, tmp_path):
    lake.aws("s3", "mb", "s3://cli-bucket")
    assert "cli-bucket" in lake.aws("s3", "ls")
    tree = tmp_path / "tree"
    (tree / "sub dir").mkdir(parents=True)
    (tree / "a.csv").write_text("a,b\n1,2\n")
    (tree / "sub dir" / "ü+.json").write_text("{}")
    big = tmp_path / "big.bin"
    big.write_bytes(pattern(20 * MIB + 7))
    lake.aws("s3", "cp", big, "s3://cli-bucket/big.bin")
    lake.aws("s3", "cp", "s3://cli-bucket/big.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == big.read_bytes()
    assert lake.client("s3").head_object(Bucket="cli-bucket", Key="big.bin")["ETag"].endswith('-3"'), "it was a multipart upload"
    lake.aws("s3", "cp", "s3://cli-bucket/big.bin", "s3://cli-bucket/copy.bin")
    assert lake.client("s3").head_object(Bucket="cli-bucket", Key="copy.bin")["ContentLength"] == 20 * MIB + 7
    lake.aws("s3", "cp", "-", "s3://cli-bucket/stdin.txt", input="from a pipe")
    assert lake.aws("s3", "cp", "s3://cli-bucket/stdin.txt", "-") == "from a pipe"
    lake.aws("s3", "sync", tree, "s3://cli-bucket/tree")
    assert lake.aws("s3", "sync", tree, "s3://cli-bucket/tree") == "", "nothing is left to do"
    listed = lake.aws("s3", "ls", "--recursive", "s3://cli-bucket/tree/")
    assert "tree/a.csv" in listed and "tree/sub dir/ü+.json" in listed
    back = tmp_path / "back"
    lake.aws("s3", "sync", "s3://cli-bucket/tree", back)
    assert (back / "sub dir" / "ü+.json").read_text() == "{}"
    lake.aws("s3", "mv", "s3://cli-bucket/tree/a.csv", "s3://cli-bucket/moved.csv")
    assert "PRE tree/" in lake.aws("s3", "ls", "s3://cli-bucket")
    told = json.loads(lake.aws("s3api", "get-object-attributes", "--bucket", "cli-bucket", "--key", "moved.csv", "--object-attributes", "ETag", "ObjectSize"))
    assert told["ObjectSize"] == 8
    url = lake.aws("s3", "presign", "s3://cli-bucket/moved.csv").strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"a,b\n1,2\n"
    lake.aws("s3", "rm", "--recursive", "s3://cli-bucket/tree")
    assert lake.aws("s3", "rb", "s3://cli-bucket", check=False).returncode != 0
    lake.aws("s3", "rb", "--force", "s3://cli-bucket")
    assert "cli-bucket" not in lake.aws("s3", "ls")


# What is not there


def minimal(shape):
    """The least value that botocore takes for a shape."""
    if shape.type_name == "structure":
        return {name: minimal(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [minimal(shape.member)]
    if shape.type_name == "string":
        return shape.enum[0] if getattr(shape, "enum", None) else "value"
    simple = {"integer": 1, "long": 1, "boolean": True, "timestamp": datetime.datetime(2030, 1, 1), "blob": b"x", "map": {}}
    return simple[shape.type_name]


def implemented():
    """The operations that the server lists as its own."""
    import harness

    text = (harness.REPO / "crates/millpond-api/src/s3/ops.rs").read_text()
    return set(re.findall(r"^    ([A-Z]\w+), [a-z_0-9]+, \w+Input,", text, re.MULTILINE))


# Their documents are served by the newer operation of the same path, or they are not of this endpoint.
ELSEWHERE = {
    "GetBucketNotification",
    "PutBucketNotification",
    "GetBucketLifecycle",
    "PutBucketLifecycle",
    "WriteGetObjectResponse",
    "CreateSession",
    "ListDirectoryBuckets",
    "SelectObjectContent",
}


def test_operations_that_are_not_implemented_say_so(lake, s3, bucket):
    s3.put_object(Bucket=bucket, Key="value", Body=b"kept")
    client = lake.client("s3", parameter_validation=False)
    known = implemented()
    wrong = {}
    for name in client.meta.service_model.operation_names:
        if name in known or name in ELSEWHERE:
            continue
        operation = client.meta.service_model.operation_model(name)
        arguments = minimal(operation.input_shape) if operation.input_shape else {}
        if "Bucket" in arguments:
            arguments["Bucket"] = bucket
        try:
            getattr(client, botocore.xform_name(name))(**arguments)
            wrong[name] = "it succeeded"
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NotImplemented", "501"):
                wrong[name] = error.response["Error"]
        except Exception as error:  # noqa: BLE001
            wrong[name] = repr(error)
    assert not wrong
    assert body(s3, bucket, "value") == b"kept"
