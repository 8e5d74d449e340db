"""Real clients of Athena, each in an environment of its own (`./test` makes them), as processes of their own against a spawned lake.

A program in `programs/` is a module of functions `check_…`; it runs all of them in one process (imports of pandas and its like are most of the
time), and says of each how it ended. `test_programs.py` makes a test of each. What a check needs is in the environment: AWS's variables, and
`STAGING`, a location for its files.
"""

import ast
import json
import os
import subprocess
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
ENVIRONMENTS = Path(os.environ.get("MILLPOND_CLIENTS", Path.home() / ".cache" / "millpond" / "clients"))
BUCKET = "clients"


def python_of(environment):
    """The interpreter of an environment that `./test` made."""
    program = ENVIRONMENTS / environment / "bin" / "python"
    assert program.exists(), f"{program} is missing: ./test installs it (or name the environments' folder by MILLPOND_CLIENTS)"
    return program


def checks_of(program):
    """The names of a program's checks, in their order, without running it."""
    tree = ast.parse((PROGRAMS / f"{program}.py").read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")]


def client_environment(lake):
    """What a client finds in its environment: AWS's variables, PostgreSQL's, and where its files go."""
    host, port = json.loads((lake.data / "endpoint.json").read_text())["postgres"].rsplit(":", 1)
    keys = lake.credentials
    postgres = {"PGHOST": host, "PGPORT": port, "PGUSER": keys["access_key_id"], "PGPASSWORD": keys["secret_access_key"]}
    return {**lake.env, **postgres, "STAGING": f"s3://{BUCKET}/", "PYTHONDONTWRITEBYTECODE": "1"}


def run_program(program, lake, environment="athena", more=None, timeout_s=280):
    """Runs a program; answers its checks' ends: name to `None` or a traceback."""
    command = [python_of(environment), PROGRAMS / "run.py", program]
    variables = {**client_environment(lake), **(more or {})}
    done = subprocess.run(list(map(str, command)), env=variables, capture_output=True, text=True, timeout=timeout_s)
    ends = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"check"'):
            end = json.loads(line)
            ends[end["check"]] = end["error"]
    missing = f"the program ended with {done.returncode} before it\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return {name: ends.get(name, missing) for name in checks_of(program)}
