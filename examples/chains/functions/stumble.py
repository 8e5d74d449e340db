"""As start_crawler.py, but the first attempt at each message fails: to see that the queue gives it again, and that nothing is lost."""

from start_crawler import handler as start_crawler


def handler(event, context):
    if any(record["attributes"]["ApproximateReceiveCount"] == "1" for record in event["Records"]):
        raise RuntimeError("the first attempt always fails here")
    return start_crawler(event, context)
