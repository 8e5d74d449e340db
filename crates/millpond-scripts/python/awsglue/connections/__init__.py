"""How frames come and go: S3 in all formats (`s3_source`, `csv_source`, `s3_sink`), DynamoDB (`dynamodb`), and the catalog's types (`types`)."""

import json


def flag(options, name, default=False):
    """An option that is true or false; scripts write booleans and texts."""
    value = options.get(name, default)
    return value.strip().lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)


def listed(value):
    """An option that is a list, or JSON of one, or a single text."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                return [str(one) for one in json.loads(text)]
            except ValueError as error:
                raise ValueError(f"{value!r} is not a list in JSON: {error}") from error
        return [text]
    return [str(one) for one in value]


class Unsupported(Exception):
    """A connection or a format that Millpond does not have; says what to use instead."""
