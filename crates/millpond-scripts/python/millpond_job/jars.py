"""`python -m millpond_job.jars`: puts what PySpark needs for S3 beside its own jars, once for an environment.

By name from Maven Central (or the repository that `MILLPOND_MAVEN` names): `hadoop-aws` of the Hadoop that this PySpark was built with, and the
AWS SDK that it belongs to. Checked by the repository's SHA-1 sums; a file appears whole or not at all.
"""

import glob
import hashlib
import os
import re
import sys
import urllib.request

REPOSITORY = "https://repo1.maven.org/maven2"
#: The AWS SDK that a `hadoop-aws` was built with, by the beginning of its version.
SDKS = {
    "3.3.": "com/amazonaws/aws-java-sdk-bundle/1.12.262/aws-java-sdk-bundle-1.12.262.jar",
    "3.4.": "software/amazon/awssdk/bundle/2.29.52/bundle-2.29.52.jar",
}
CHUNK_BYTES = 1 << 20


def directory():
    """Where PySpark keeps its jars."""
    import importlib.util

    found = importlib.util.find_spec("pyspark")
    if found is None:
        raise FileNotFoundError(f"pyspark is not installed in the environment of {sys.executable}")
    return os.path.join(os.path.dirname(found.origin), "jars")


def present():
    """Whether they are there."""
    return bool(glob.glob(os.path.join(directory(), "hadoop-aws-*.jar")))


def needed():
    """Paths of the jars in a Maven repository."""
    clients = glob.glob(os.path.join(directory(), "hadoop-client-api-*.jar"))
    version = re.search(r"hadoop-client-api-([\d.]+)\.jar$", clients[0]).group(1) if clients else "3.3.4"
    sdk = next((path for beginning, path in SDKS.items() if version.startswith(beginning)), None)
    if sdk is None:
        raise ValueError(f"no AWS SDK is known for Hadoop {version}")
    return [sdk, f"org/apache/hadoop/hadoop-aws/{version}/hadoop-aws-{version}.jar"]


def fetch():
    """Fetches what is missing."""
    base = os.environ.get("MILLPOND_MAVEN", REPOSITORY).rstrip("/")
    for path in needed():
        target = os.path.join(directory(), os.path.basename(path))
        if os.path.exists(target):
            continue
        url = f"{base}/{path}"
        print(f"Downloading {url}", flush=True)
        with urllib.request.urlopen(url + ".sha1", timeout=60) as answer:
            wanted = answer.read().split()[0].decode()
        digest, unfinished = hashlib.sha1(), f"{target}.{os.getpid()}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, open(unfinished, "wb") as file:
                while chunk := answer.read(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != wanted:
                raise OSError(f"{url} came damaged: its SHA-1 is {digest.hexdigest()}, not {wanted}")
            os.replace(unfinished, target)
        finally:
            if os.path.exists(unfinished):
                os.unlink(unfinished)


if __name__ == "__main__":
    fetch()
