"""Runs a Python handler for the Lambda Runtime API.

Started as `python -S bootstrap.pyc OPT SITE...`: OPT is where layers are, each SITE a directory for the end of the module path. It must start fast, so it
imports little and speaks HTTP over a bare socket: its one peer is Millpond's own listener.

AWS's behaviour: "Using the Lambda runtime API for custom runtimes", "Define Lambda function handler in Python", and the messages of awslambdaric.
"""

import _socket
import gc
import json
import logging
import os
import sys
import time
import traceback

_WARNING = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. However, in rare cases, a Lambda runtime update can "
    "cause unexpected function behavior. For functions using managed runtimes, runtime updates can be triggered by a function change, or can be applied "
    "automatically. To determine if the runtime has been updated, check the runtime version in the INIT_START log entry. If this error correlates with a "
    "change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the previous runtime version. For more "
    "information, see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html"
)
_NAMED_LEVELS = {"TRACE": "DEBUG", "DEBUG": "DEBUG", "INFO": "INFO", "WARN": "WARNING", "WARNING": "WARNING", "ERROR": "ERROR", "FATAL": "CRITICAL", "CRITICAL": "CRITICAL"}
_JSON_LOGS = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
_ASCII_JSON = os.environ.get("AWS_EXECUTION_ENV", "")[-4:] not in ("3.12", "3.13", "3.14", "3.15")
_OWN_FILE = (lambda: 0).__code__.co_filename

_request_id = ""


class _Fault(Exception):
    """What the function got wrong, with AWS's name for it."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


class _Api:
    """One connection that is kept, one request at a time."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.address = (host, int(port))
        self.socket = None
        self.buffer = b""

    def call(self, method, path, headers=(), body=b""):
        head = ["%s /2018-06-01/runtime/%s HTTP/1.1" % (method, path), "Host: %s:%d" % self.address, "Content-Length: %d" % len(body)]
        head.extend("%s: %s" % pair for pair in headers)
        message = "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n"
        if self.socket is None:
            self.socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            self.socket.connect(self.address)
            self.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        if len(body) < 65536:
            self.socket.sendall(message + body)
        else:
            self.socket.sendall(message)
            self.socket.sendall(body)
        return self._answer()

    def _more(self):
        data = self.socket.recv(262144)
        if not data:
            # The lake is gone; there is nobody to tell.
            os._exit(1)
        return data

    def _answer(self):
        buffer = self.buffer
        end = buffer.find(b"\r\n\r\n")
        while end < 0:
            buffer += self._more()
            end = buffer.find(b"\r\n\r\n")
        lines = buffer[:end].decode("utf-8", "replace").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        parts = [buffer[end + 4 :]]
        missing = length - len(parts[0])
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        body = b"".join(parts)
        self.buffer = body[length:]
        return int(lines[0].split(" ", 2)[1]), headers, body[:length]


def _write_log(text):
    # A carriage return keeps a record of several lines together: Millpond makes it a line break within one event.
    sys.stdout.write(text.rstrip("\n").replace("\r\n", "\n").replace("\n", "\r") + "\n")
    sys.stdout.flush()


class _LogHandler(logging.Handler):
    def emit(self, record):
        try:
            _write_log(self.format(record))
        except Exception:
            self.handleError(record)


class _LogFilter(logging.Filter):
    def filter(self, record):
        record.aws_request_id = _request_id
        return True


class _JsonFormatter(logging.Formatter):
    _known = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "aws_request_id"}

    def format(self, record):
        entry = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.msg if isinstance(record.msg, dict) else record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0]:
            entry["stackTrace"] = traceback.format_tb(record.exc_info[2])
            entry["errorType"] = record.exc_info[0].__name__
            entry["errorMessage"] = str(record.exc_info[1])
            entry["location"] = "%s:%s:%d" % (record.pathname, record.funcName, record.lineno)
        entry["requestId"] = _request_id
        entry.update((name, value) for name, value in vars(record).items() if name not in self._known)
        return json.dumps({name: value for name, value in entry.items() if value not in (None, "")}, ensure_ascii=False, default=str)


def _set_up_logging():
    logging.Formatter.converter = time.gmtime
    handler = _LogHandler()
    if _JSON_LOGS:
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(_LogFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    level = _NAMED_LEVELS.get(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper())
    if level:
        root.setLevel(level)


class CognitoIdentity:
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]

    def __init__(self):
        self.cognito_identity_id = None
        self.cognito_identity_pool_id = None


class Client:
    __slots__ = ["installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"]


class ClientContext:
    __slots__ = ["custom", "env", "client"]


def _client_context(text):
    try:
        given = json.loads(text)
    except Exception as error:
        raise _Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse Client Context JSON: %s" % error)
    if not isinstance(given, dict):
        return None
    context = ClientContext()
    context.custom = given.get("custom")
    context.env = given.get("env")
    context.client = None
    if isinstance(given.get("client"), dict):
        context.client = Client()
        for name in Client.__slots__:
            setattr(context.client, name, given["client"].get(name))
    return context


class LambdaContext:
    """What a handler gets as its second argument."""

    def __init__(self, headers):
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id", "")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        text = headers.get("lambda-runtime-client-context")
        self.client_context = _client_context(text) if text else None
        self.identity = CognitoIdentity()
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms", "0"))

    def get_remaining_time_in_millis(self):
        return max(int(self._epoch_deadline_time_in_ms - time.time() * 1000), 0)

    def log(self, msg):
        for handler in logging.getLogger().handlers:
            if isinstance(handler, _LogHandler):
                return _write_log(str(msg))
        sys.stdout.write(str(msg))

    def __repr__(self):
        shown = ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb", "function_version", "invoked_function_arn", "client_context", "identity", "tenant_id")
        return "LambdaContext([%s])" % ",".join("%s=%s" % (name, getattr(self, name)) for name in shown)


def _to_json(value):
    """As AWS: decimals become numbers, and newer runtimes write characters as they are."""
    mark = None

    def default(other):
        nonlocal mark
        decimal = sys.modules.get("decimal")
        if decimal is not None and isinstance(other, decimal.Decimal):
            # The standard encoder cannot write a number as text: it is marked here and unquoted below.
            mark = mark or os.urandom(16).hex()
            return mark + ("NaN" if other.is_nan() else str(other)) + mark
        raise TypeError("Object of type %s is not JSON serializable" % type(other).__name__)

    text = json.dumps(value, ensure_ascii=_ASCII_JSON, default=default)
    if mark:
        text = text.replace('"' + mark, "").replace(mark + '"', "")
    # A lone surrogate cannot be sent as UTF-8.
    return text.encode("utf-8", "backslashreplace")


def _error(message, kind, trace, request_id=""):
    return {"errorMessage": message or "", "errorType": kind or "", "requestId": request_id, "stackTrace": trace or []}


def _own_frames_cut(tb):
    frames = list(traceback.extract_tb(tb))
    for index, frame in enumerate(frames):
        if frame.filename != _OWN_FILE:
            return frames[index:]
    return frames


def _exception(request_id=""):
    kind, value, tb = sys.exc_info()
    return _error(str(value), kind.__name__, traceback.format_list(_own_frames_cut(tb)), request_id)


def _log_error(error):
    if _JSON_LOGS:
        entry = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "level": "ERROR"}
        entry.update(error)
        return _write_log(json.dumps(entry, ensure_ascii=False))
    lines = ["[ERROR]" + (" " + error["errorType"] if error["errorType"] else "")]
    if error["errorMessage"]:
        lines[0] += (": " if error["errorType"] else " ") + error["errorMessage"]
    lines.append("Traceback (most recent call last):")
    for element in error["stackTrace"]:
        lines.extend(element.splitlines() or [""])
    # Spaces at the beginning of a line are kept as they are shown on AWS: as no-break spaces.
    _write_log("\n".join("\u00a0" * (len(line) - len(line.lstrip(" "))) + line.lstrip(" ") for line in lines))


def _find_handler(name):
    try:
        module_name, function_name = name.rsplit(".", 1)
    except ValueError as error:
        raise _Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (name, error))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise _Fault("Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name)
    import importlib

    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise _Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error))
    except SyntaxError as error:
        trace = ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)]
        raise _Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error), trace)
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise _Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function_name, module_name))


def _run_once(handler, headers, body):
    """Answers (the path's end, headers, body) of what is to be posted."""
    request_id = headers["lambda-runtime-aws-request-id"]
    try:
        context = LambdaContext(headers)
        try:
            event = json.loads(body)
        except Exception as error:
            raise _Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
        answer = handler(event, context)
        if isinstance(answer, bytes):
            return "response", [("Content-Type", "application/unknown")], answer
        try:
            return "response", [("Content-Type", "application/json")], _to_json(answer)
        except Exception as error:
            raise _Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)
    except _Fault as fault:
        error = _error(str(fault), fault.kind, fault.trace, request_id)
    except Exception:
        error = _exception(request_id)
    _log_error(error)
    return "error", [("Content-Type", "application/json"), ("Lambda-Runtime-Function-Error-Type", error["errorType"])], _to_json(error)


def _set_up_paths(opt, sites):
    root = os.environ["LAMBDA_TASK_ROOT"]
    version = "python%d.%d" % sys.version_info[:2]
    first = [root, os.path.join(opt, "python", "lib", version, "site-packages"), os.path.join(opt, "python")]
    own = os.path.dirname(__file__)
    rest = [path for path in sys.path if path and path != own]
    sys.path[:] = first + rest + [site for site in sites if site not in rest]
    # What `site` would have given to programs.
    import _sitebuiltins
    import builtins

    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def _main():
    global _request_id
    opt, sites = sys.argv[1], sys.argv[2:]
    sys.argv[1:] = []
    _set_up_paths(opt, sites)
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    _set_up_logging()
    api = _Api(os.environ["AWS_LAMBDA_RUNTIME_API"])
    error = None
    # Importing makes many objects and hardly any garbage: without the collector a tenth of the time is saved.
    gc.disable()
    try:
        handler = _find_handler(os.environ["_HANDLER"])
    except _Fault as fault:
        error = _error(str(fault), fault.kind, fault.trace)
    except Exception:
        error = _exception()
    gc.enable()
    if error is not None:
        logging.warning(_WARNING)
        _log_error(error)
        _flush()
        headers = [("Content-Type", "application/json"), ("Lambda-Runtime-Function-Error-Type", error["errorType"])]
        api.call("POST", "init/error", headers, _to_json(error))
        sys.exit(1)
    while True:
        status, headers, body = api.call("GET", "invocation/next")
        if status != 200:
            sys.exit("the runtime API answered %d: %s" % (status, body.decode("utf-8", "replace")))
        _request_id = headers["lambda-runtime-aws-request-id"]
        trace = headers.get("lambda-runtime-trace-id")
        if trace:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        end, headers, body = _run_once(handler, headers, body)
        _flush()
        api.call("POST", "invocation/%s/%s" % (_request_id, end), headers, body)
        del headers, body


if __name__ == "__main__":
    _main()
