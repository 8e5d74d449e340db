"""Makes ../src/agreement/botocore.json: what botocore sends for an input with every member, for operations of REST and Query services.

    .venv/bin/python crates/millpond-wire/models/requests.py [data of an older botocore, whose sqs speaks Query]
"""

import base64
import json
import pathlib
import re
import sys
import urllib.parse

import botocore.awsrequest
import botocore.loaders
import botocore.model
import botocore.serialize

HERE = pathlib.Path(__file__).parent
DEPTH_MAX = 5


def typed():
    """The operations of services.toml, without a TOML parser: Python 3.10 has none."""
    text = (HERE.parent / "services.toml").read_text()
    services = {}
    for name, body in re.findall(r"^\[(\w+)\]\n(.*?)(?=^\[|\Z)", text, re.S | re.M):
        operations = re.search(r"^operations = \[(.*?)^\]", body, re.S | re.M) or re.search(r"^operations = \[(.*?)\]", body)
        services[name] = re.findall(r'"(\w+)"', operations.group(1)) if operations else []
    return services


class Sample:
    """Values that differ, with characters that must be escaped somewhere."""

    def __init__(self):
        self.count = 0

    def of(self, shape, depth=0):
        self.count += 1
        kind = shape.type_name
        if kind == "structure":
            names = shape.members if depth < DEPTH_MAX else shape.required_members
            return {name: self.of(shape.members[name], depth + 1) for name in names}
        if kind == "list":
            return [self.of(shape.member, depth + 1) for _ in range(2)] if depth < DEPTH_MAX else []
        if kind == "map":
            return {self.of(shape.key, depth + 1): self.of(shape.value, depth + 1) for _ in range(2)} if depth < DEPTH_MAX else {}
        if kind == "string":
            return shape.enum[self.count % len(shape.enum)] if shape.enum else f"a b/{self.count}:&=+%é~"
        if kind == "blob":
            return bytes([0, 255, self.count % 256])
        if kind == "boolean":
            return self.count % 2 == 0
        if kind in ("integer", "long"):
            return self.count
        if kind in ("float", "double"):
            return self.count + 0.5
        return 1714557600 + self.count  # a timestamp


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def header_safe(shape, params):
    """Headers carry ASCII."""
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header" and isinstance(params.get(name), str) and not member.enum:
            params[name] = params[name].encode("ascii", "ignore").decode()
    return params


def vectors(loader, service, operations):
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)
    serializer = botocore.serialize.create_serializer(model.metadata["protocol"], False)
    for name in operations:
        operation = model.operation_model(name)
        if operation.input_shape is None:
            continue
        params = header_safe(operation.input_shape, Sample().of(operation.input_shape))
        request = serializer.serialize_to_request(params, operation)
        body = request["body"]
        if isinstance(body, dict):
            body = urllib.parse.urlencode(body)
        query = request["query_string"] if isinstance(request.get("query_string"), dict) else {}
        prepared = botocore.awsrequest.AWSRequest(
            method=request["method"], url="http://h" + request["url_path"], params=query, headers=request["headers"]
        ).prepare()
        yield {
            "service": service,
            "operation": name,
            "protocol": model.metadata["protocol"],
            "method": request["method"],
            "uri": prepared.url.removeprefix("http://h"),
            "headers": {key: value if isinstance(value, str) else value.decode() for key, value in request["headers"].items()},
            "body": base64.b64encode(body.encode() if isinstance(body, str) else body).decode(),
            "input": plain(params),
        }


def main():
    found = []
    services = typed()
    loader = botocore.loaders.Loader()
    for service in ("iam", "lambda", "sns", "sts"):
        found += vectors(loader, service, services[service])
    older = botocore.loaders.Loader(extra_search_paths=[sys.argv[1]], include_default_search_paths=False)
    found += vectors(older, "sqs", services["sqs"])
    text = "[\n" + ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in found) + "\n]\n"
    (HERE.parent / "src/agreement/botocore.json").write_text(text)
    print(len(found), "requests,", len(text), "bytes")


main()
