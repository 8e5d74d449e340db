"""Does what its event says: fails, exits, sleeps, prints."""

import os
import sys
import time

calls = 0


def handler(event, context):
    global calls
    calls += 1
    print("call", calls, event)
    if event.get("fail"):
        raise ValueError(event["fail"])
    if event.get("exit"):
        sys.stdout.flush()
        os._exit(3)
    if "sleep" in event:
        time.sleep(event["sleep"])
    if event.get("set"):
        return {1, 2}
    return event.get("answer", "fine")
