"""Answers what it was given, and what it was told about itself."""

import os
import uuid

PROCESS = uuid.uuid4().hex


def handler(event, context):
    return {
        "event": event,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "request_id": context.aws_request_id,
        "client": getattr(context.client_context, "custom", None),
        "left_ms": context.get_remaining_time_in_millis(),
        "setting": os.environ.get("SETTING"),
        "region": os.environ["AWS_REGION"],
        "process": PROCESS,
    }
