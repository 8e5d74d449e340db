"""Exceptions as a person can act on them: what an engine says, without the stack of the JVM and of its transport."""

import re
import traceback
from dataclasses import dataclass


class EngineLacks(Exception):
    """Something that the engine of this run does not have, with the setting that chooses another engine."""

    def __init__(self, what, instead=""):
        hint = f" {instead}" if instead else ""
        super().__init__(
            f"{what} is not available on a Spark Connect engine (Sail, or a remote sc:// endpoint).{hint} To run this script on PySpark, set "
            'engine = "pyspark" under [jobs] in millpond.toml, or give the job the argument --millpond-engine pyspark.'
        )


@dataclass
class Reduced:
    """An exception's class and message as they are told; `plain` where they are the exception's own."""

    name: str
    message: str
    plain: bool

    def traceback(self, error, trace):
        """The traceback with the reduced message in the place of the engine's."""
        frames = "".join(traceback.format_tb(trace))
        return f"Traceback (most recent call last):\n{frames}{self.name}: {self.message}\n"


#: From here on, an engine's message is of no use to the author of a script.
_NOISE = re.compile(r"\n+(JVM stacktrace:|Server stacktrace:|\s*at [\w.$]+\(|== SQL \(|Caused by:|Driver stacktrace:)")
_GRPC_DETAILS = re.compile(r'details = "((?:[^"\\]|\\.)*)"')
_CODES = re.compile(r"^\((?:[\w$]+\.)*[\w$]+\)\s*")
_TASK = re.compile(r"^Job aborted due to stage failure.*?:\s*(?=\S)", re.S)
#: What DataFusion puts before the sentence that matters.
_PREFIXES = re.compile(
    r"^(?:(?:External error|Execution error|Arrow error|Parquet error|Object Store error|DataFusion error|Error during planning|internal error|"
    r"error in DataFusion|error in Arrow|External|invalid argument|query planning|analysis error|Context|Shared|Diagnostic):\s*)+"
)


def reduced(error):
    """An exception as it is told: Python's own as they are, those of engines without their noise."""
    name = type(error).__name__
    module = type(error).__module__ or ""
    message = _text(error)
    if not module.startswith(("pyspark", "py4j", "grpc")):
        return Reduced(name, message, True)
    if module.startswith("grpc"):
        found = _GRPC_DETAILS.search(message)
        if found:
            message = found.group(1).replace('\\"', '"')
    if module.startswith("py4j"):
        message = _java_message(message)
    cut = _NOISE.search(message)
    if cut:
        message = message[: cut.start()]
    message = _CODES.sub("", message.strip())
    message = _PREFIXES.sub("", _TASK.sub("", message)).strip()
    if "MALLOC" in message.upper() or "resources exhausted" in message.lower():
        message += " (the engine's memory is used up: choose a larger WorkerType or NumberOfWorkers, or more memory for scripts under [jobs] in millpond.toml)"
    return Reduced(name, message or name, False)


def _text(error):
    try:
        return str(error)
    except Exception:
        return "(the exception cannot be shown as text)"


def _java_message(message):
    """The exception that the JVM threw, of the lines that Py4J makes of it."""
    lines = message.splitlines()
    if len(lines) > 1 and lines[0].startswith("An error occurred while calling"):
        return re.sub(r"^: ", "", "\n".join(lines[1:]))
    return message
