"""DynamicFrames, Glue's transforms and EvaluateDataQuality, in the environment of scripts: each check of `glue_checks/` is a test here.

A module's checks share one process and one engine, which starts when the first of them is asked for.
"""

import ast
import json
import subprocess
from functools import cache
from pathlib import Path

import pytest

from glue_env import scripts_environment, scripts_python

HERE = Path(__file__).parent
MODULES = ("frames", "nulls", "rows", "relations", "quality", "parsing")


def checks_of(module):
    """Names of a module's checks, read from its text: the interpreter of the tests has no engine to import it with."""
    tree = ast.parse((HERE / "glue_checks" / f"{module}.py").read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


@cache
def outcomes_of(module):
    """(failure by check, what the process wrote on standard error)."""
    done = subprocess.run(
        [scripts_python(), "-m", f"glue_checks.{module}"], cwd=HERE, env=scripts_environment(), capture_output=True, text=True, timeout=280, check=False
    )
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"check"'):
            outcome = json.loads(line)
            found[outcome["check"]] = outcome["failure"]
    return found, done.stderr


@pytest.mark.parametrize(("module", "check"), [(module, check) for module in MODULES for check in checks_of(module)])
def test_check(module, check):
    found, said = outcomes_of(module)
    if check not in found:
        pytest.fail(f"the process of glue_checks.{module} did not come to this check:\n{said[-3000:]}")
    if found[check]:
        pytest.fail(found[check], pytrace=False)
