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


_MISSING = re.compile(r"attribute ObjectName\(\[(.*?)\]\) is missing from the schema: cannot resolve attribute")
_IDENTIFIER = re.compile(r'Identifier\("((?:[^"\\]|\\.)*)"\)')
_SYNTAX = re.compile(r"^(?:invalid argument: )?found (.*?) at (\d+):(\d+) expected (.*)$", re.DOTALL)


def _plainer(name, message):
    """Sentences of Sail's that need a reader of its source, said as Spark says them."""
    found = _MISSING.search(message)
    if found:
        column = ".".join(_IDENTIFIER.findall(found.group(1)))
        return f"[UNRESOLVED_COLUMN] A column `{column}` does not exist in the frame or table that it is asked of. Look at printSchema() of what is read."
    found = _SYNTAX.match(message)
    if found:
        return f"[PARSE_SYNTAX_ERROR] Syntax error in SQL at or near {found.group(1)!r} (characters {found.group(2)} to {found.group(3)}); expected {found.group(4)}"
    if name == "PythonException":
        lines = [line for line in message.splitlines() if line.strip()]
        places = [line.strip() for line in lines if re.match(r'\s*File "/tmp/', line)]
        return (lines[-1].strip() if lines else message) + (f" (in a function of the script: {places[-1]})" if places else "")
    return message


def reduced(error):
    """An exception as it is told: Python's own as they are, those of engines without their noise."""
    name = type(error).__name__
    module = type(error).__module__ or ""
    message = _text(error)
    if hasattr(error, "code") and name == "RunError":
        # The lake's own answers have AWS's names.
        return Reduced(str(error.code), message, False)
    if not module.startswith(("pyspark", "py4j", "grpc")):
        return Reduced(name, message, True)
    if module.startswith("grpc"):
        found = _GRPC_DETAILS.search(message)
        if found:
            message = found.group(1).replace('\\"', '"')
    if module.startswith("py4j"):
        message = _java_message(message)
    if name == "PythonException":
        return Reduced(name, _plainer(name, message), False)
    cut = _NOISE.search(message)
    if cut:
        message = message[: cut.start()]
    message = _CODES.sub("", message.strip())
    message = _PREFIXES.sub("", _TASK.sub("", message)).strip()
    message = _plainer(name, message)
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
