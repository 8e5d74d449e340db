"""Runs a script as `__main__` of this process, and says why it ended.

The script's text is registered under the name that it has on AWS (`/tmp/<name>.py`), so that tracebacks show its lines wherever the file really lies.
An exception becomes the run's reason by `Fail`: its class, its message, and the last line of the script that it passed through.
"""

import linecache
import os
import sys
import threading
import traceback
import types

from millpond_job import errors

#: The longest reason that is sent; Glue cuts ErrorMessage at some thousand characters, and the whole is in the log.
MESSAGE_CHARS_MAX = 4000
TRACEBACK_CHARS_MAX = 30000


def main(arguments):
    """Runs `arguments[0]` with the rest as its `sys.argv[1:]`, and ends the process."""
    if not arguments:
        sys.stderr.write("usage: python -m millpond_job SCRIPT [ARGUMENT ...]\n")
        os._exit(2)
    code = run_script(arguments[0], arguments[1:])
    if code and "millpond_job.run" in sys.modules:
        sys.modules["millpond_job.run"].failed()
    _end(code)


def run_script(path, arguments):
    """Runs the script; answers the exit code."""
    shown = os.environ.get("MILLPOND_SCRIPT_NAME") or "/tmp/" + os.path.basename(path)
    from millpond_job import shims

    shims.install()
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        return _failed("ScriptNotReadable", f"the script {path} cannot be read: {error.strerror}", shown, None, "")
    sys.argv = [shown, *arguments]
    # Only what `-m` put there goes: our own directory came by PYTHONPATH.
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    module = types.ModuleType("__main__")
    module.__file__ = shown
    module.__builtins__ = __builtins__
    sys.modules["__main__"] = module
    try:
        text = _decoded(source)
        linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)
        exec(compile(source, shown, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:
        return _exited(error, shown)
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        return _raised(error, shown)
    return 0


def _decoded(source):
    """The text as the interpreter reads it: by its byte order mark or coding line (PEP 263)."""
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return source.decode(encoding, errors="replace")


def _exited(error, shown):
    code = error.code
    if code is None or code == 0:
        return 0
    if not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
    line = _script_line(error.__traceback__, shown)
    _tell("SystemExit", str(code), shown, line, "")
    return code & 0xFF or 1 if isinstance(code, int) else 1


def _raised(error, shown):
    # The launcher's own frames mean nothing to the script's author.
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    reduced = errors.reduced(error)
    text = "".join(traceback.format_exception(type(error), error, trace)) if reduced.plain else reduced.traceback(error, trace)
    if isinstance(error, SyntaxError):
        file, line = error.filename or shown, error.lineno
    else:
        file, line = shown, _script_line(trace, shown)
    return _failed(reduced.name, reduced.message, file, line, text)


def _script_line(trace, shown):
    """The last line of the script that the exception passed through."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == shown:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _failed(name, message, file, line, text):
    sys.stdout.flush()
    sys.stderr.write(text if text else f"{name}: {message}\n")
    sys.stderr.flush()
    _tell(name, message, file, line, text)
    return 1


def _tell(name, message, file, line, text):
    """Tells the run why it fails. What goes wrong here changes nothing of that: the exit code says it, too."""
    if not os.environ.get("MILLPOND_JOB_RUN"):
        return
    try:
        from millpond_job import run

        run.current().fail(name, message[:MESSAGE_CHARS_MAX], file, line, text[-TRACEBACK_CHARS_MAX:])
    except Exception as error:
        sys.stderr.write(f"the reason could not be told to the lake: {error}\n")


def _end(code):
    """Ends as an interpreter does (threads that are not daemons are waited for, `atexit` runs), but takes the engine's threads along at once."""
    try:
        threading._shutdown()
        import atexit

        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
        code = code or 1
    from millpond_job import engine

    engine.clean()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)
