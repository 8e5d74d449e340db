"""Runs the checks of a program (`run.py NAME`), and prints one line of JSON for each: `{"check": …, "error": null or a traceback}`."""

import importlib
import json
import sys
import traceback


def main(name):
    module = importlib.import_module(name)
    checks = [(known, check) for known, check in vars(module).items() if known.startswith("check_")]
    for known, check in checks:
        error = None
        try:
            check()
        except Exception:
            error = traceback.format_exc()
        print(json.dumps({"check": known, "error": error}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
