"""Objects in S3, as far as the launcher and the readers need them themselves: one boto3 client, listing, and paths."""

import fnmatch
import functools
import os
import posixpath
import re
import threading
from urllib.parse import quote, unquote

#: Spark's name of the directory of rows whose partition column is NULL or empty (Hive's `hive.exec.default.partition.name`).
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"

_lock = threading.Lock()


class _Config:
    """Attempts of our own clients: the lake is near, and answers."""

    @staticmethod
    def make():
        from botocore.config import Config

        return Config(retries={"max_attempts": 5, "mode": "standard"}, s3={"addressing_style": "path"}, max_pool_connections=32)


@functools.lru_cache(maxsize=None)
def _client(service):
    import boto3

    return boto3.client(service, config=_Config.make())


def client(service):
    """A boto3 client of this process's session, shared by its threads."""
    with _lock:
        return _client(service)


def split(path):
    """`s3://bucket/key` (also s3a, s3n) as bucket and key.

    Raises ValueError where it is no such path.
    """
    found = re.match(r"^s3[an]?://([^/]+)/?(.*)$", path, re.DOTALL)
    if not found:
        raise ValueError(f"{path!r} is not of the form s3://bucket/prefix")
    return found.group(1), found.group(2)


def quoted(path):
    """A path in the form that Sail reads to the letter: it decodes percent signs and takes *, ? and brackets for globs."""
    found = re.match(r"^(s3[an]?://[^/]+)(/.*)?$", path, re.DOTALL)
    if not found:
        return path
    return found.group(1) + quote(found.group(2) or "", safe="/=:,+@&$!'()~;-._ ")


def unquoted(path):
    """The path that `quoted` made its argument of."""
    return unquote(path)


def pages(bucket, prefix, delimiter=None):
    """Objects below a prefix, in pages of (contents, common prefixes)."""
    arguments = {"Bucket": bucket, "Prefix": prefix}
    if delimiter:
        arguments["Delimiter"] = delimiter
    for page in client("s3").get_paginator("list_objects_v2").paginate(**arguments):
        yield page.get("Contents", []), [one["Prefix"] for one in page.get("CommonPrefixes", [])]


def is_hidden(key):
    """Whether Spark leaves a file out: any part of its path begins with `_` or `.`, save partitions such as `_year=1`."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in key.split("/") if part)


def files_below(paths, recurse, exclusions=()):
    """Files that the paths (objects, directories or globs) stand for, as {Path, Size, ETag}, sorted by path; each once.

    Hidden files and markers of directories are left out. `exclusions` are globs, matched against the key below the path, or the whole path.
    """
    found = {}
    for path in paths:
        if re.search(r"[*?\[{]", path):
            for one in glob(path):
                _collect(one, recurse, exclusions, found)
        else:
            _collect(path, recurse, exclusions, found)
    return [found[path] for path in sorted(found)]


def _collect(path, recurse, exclusions, found):
    bucket, key = split(path)
    if key and not key.endswith("/"):
        for contents, _ in pages(bucket, key):
            for entry in contents:
                if entry["Key"] == key and entry["Size"] > 0:
                    _add(bucket, entry, found)
            break
        key += "/"
    for contents, _ in pages(bucket, key, None if recurse else "/"):
        for entry in contents:
            below = entry["Key"][len(key) :]
            if not below or entry["Size"] == 0 or entry["Key"].endswith("/") or is_hidden(below):
                continue
            full = f"s3://{bucket}/{entry['Key']}"
            if any(_excluded(full, below, pattern) for pattern in exclusions):
                continue
            _add(bucket, entry, found)


def _add(bucket, entry, found):
    path = f"s3://{bucket}/{entry['Key']}"
    found[path] = {"Path": path, "Size": entry["Size"], "ETag": entry["ETag"].strip('"'), "Partition": None}


def _excluded(full, below, pattern):
    pattern = re.sub(r"^s3[an]://", "s3://", pattern)
    return any(matches(candidate, pattern) for candidate in ((full,) if pattern.startswith("s3://") else (below, full, posixpath.basename(below))))


@functools.lru_cache(maxsize=1024)
def _pattern(pattern):
    """A glob of Hadoop's and Glue's: `*` within a part, `**` across parts, `?`, `[..]`, `{a,b}`."""
    out, index, depth = "", 0, 0
    while index < len(pattern):
        character = pattern[index]
        if pattern.startswith("**", index):
            out += ".*"
            index += 1
        elif character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "[" and "]" in pattern[index + 2 :]:
            end = pattern.index("]", index + 2)
            inner = pattern[index + 1 : end].replace("\\", "\\\\")
            out += "[" + ("^" + inner[1:] if inner[0] in "!^" else inner) + "]"
            index = end
        elif character == "{" and "}" in pattern[index:]:
            out += "(?:"
            depth += 1
        elif character == "}" and depth:
            out += ")"
            depth -= 1
        elif character == "," and depth:
            out += "|"
        else:
            out += re.escape(character)
        index += 1
    return re.compile(out + r"\Z", re.DOTALL)


def matches(text, pattern):
    """Whether a glob of Hadoop's matches the whole text."""
    try:
        return bool(_pattern(pattern).match(text))
    except re.error:
        return fnmatch.fnmatchcase(text, pattern)


def glob(path):
    """Objects and directories (with a final `/`) that a path with globs stands for."""
    bucket, pattern = split(path)
    parts = pattern.rstrip("/").split("/")
    prefixes = [""]
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if not re.search(r"[*?\[{]", part) and not last:
            prefixes = [prefix + part + "/" for prefix in prefixes]
            continue
        following = []
        for prefix in prefixes:
            start = re.split(r"[*?\[{]", part)[0]
            for contents, directories in pages(bucket, prefix + start, "/"):
                following += [one for one in directories if matches(one[len(prefix) : -1], part)]
                if last:
                    following += [entry["Key"] for entry in contents if entry["Size"] and matches(entry["Key"][len(prefix) :], part)]
        prefixes = following
    scheme = path.split("://", 1)[0]
    return [f"{scheme}://{bucket}/{prefix}" for prefix in prefixes if not is_hidden(posixpath.basename(prefix.rstrip("/")))]


def is_glob(path):
    """Whether a path has characters of globs."""
    return bool(re.search(r"[*?\[{]", path))


def exists(path):
    """Whether a path is an object or has objects below it."""
    bucket, key = split(path)
    key = unquote(key)
    answer = client("s3").list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=20)
    prefix = key if not key or key.endswith("/") else key + "/"
    found = [entry["Key"] for entry in answer.get("Contents", [])]
    if any(one == key or one.startswith(prefix) for one in found):
        return True
    return bool(client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents"))


def keys_below(path):
    """Keys of all objects below a prefix."""
    bucket, prefix = split(path)
    return (entry["Key"] for contents, _ in pages(bucket, prefix) for entry in contents)


def delete(bucket, keys):
    """Deletes objects, a thousand a request (S3's limit). Raises OSError with the first that cannot be deleted."""
    for start in range(0, len(keys), 1000):
        objects = [{"Key": key} for key in keys[start : start + 1000]]
        answer = client("s3").delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise OSError(f"s3://{bucket}/{first['Key']} cannot be deleted: {first.get('Code')}: {first.get('Message')}")


def delete_below(path, keep=lambda entry: False):
    """Deletes what lies below a prefix; answers how many objects that were."""
    bucket, prefix = split(path)
    count = 0
    for contents, _ in pages(bucket, prefix):
        keys = [entry["Key"] for entry in contents if not keep(entry)]
        delete(bucket, keys)
        count += len(keys)
    return count


def download(path, target):
    """Fetches an object to a file."""
    bucket, key = split(path)
    client("s3").download_file(bucket, key, target)


def table_of(name, current_database):
    """Database and table that a name in SQL stands for; a catalog's name before them is left out."""
    parts = [part.strip("`") for part in re.findall(r"`[^`]*`|[^.]+", name)]
    return (parts[-2] if len(parts) > 1 else current_database), parts[-1]


def filesystem():
    """PyArrow's S3 of this process's session."""
    from urllib.parse import urlsplit

    from pyarrow.fs import S3FileSystem

    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    parts = urlsplit(endpoint)
    more = {"endpoint_override": parts.netloc, "scheme": parts.scheme} if endpoint else {}
    token = os.environ.get("AWS_SESSION_TOKEN") or None
    return S3FileSystem(
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        session_token=token,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        **more,
    )
