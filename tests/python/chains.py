"""What the tests of chains share: the examples' scripts, and the mail at the end of a chain."""

import importlib.util
import re
import subprocess
import sys
import urllib.request

from harness import REPO, wait_until

CHAINS = REPO / "examples" / "chains"
MAIL = "ops@example.com"

# Lambda waits one and two minutes before it calls a failed function again; a test has not the time.
CONFIG = """
[smtp]
host = "{host}"
port = {port}
from = "lake@example.com"
tls = "none"
[functions]
retry_delays_s = [1, 2]
"""


def config(smtp):
    return CONFIG.format(host=smtp.host, port=smtp.port)


def run_script(lake, script, *arguments):
    """Runs a script of the examples as a user does, with only the environment to say where the lake is."""
    program = [sys.executable] if script.endswith(".py") else ["bash"]
    path = f"{REPO}/.venv/bin:" if (REPO / ".venv/bin/aws").exists() else f"{sys.prefix}/bin:"
    environment = {**lake.env, "PATH": f"{sys.prefix}/bin:{path}{lake.env['PATH']}"}
    done = subprocess.run([*program, str(CHAINS / script), *arguments], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def deployer(lake, monkeypatch):
    """The module deploy.py, whose boto3 clients talk to this lake."""
    import boto3

    for name, value in lake.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    spec = importlib.util.spec_from_file_location("deploy", CHAINS / "deploy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def confirm(smtp):
    """Follows the link of the mail that asks whether the subscription is wanted."""
    link = r"http://\S+Action=ConfirmSubscription\S+"
    body = wait_until(lambda: next((body for body in smtp.bodies() if re.search(link, body)), None), what="the mail that asks")
    with urllib.request.urlopen(re.search(link, body).group(0), timeout=10) as answer:
        assert answer.status == 200


def told(smtp):
    """The ids of the job runs that mails tell of, however often."""
    return {run for body in smtp.bodies() if "Glue Job State Change" in body for run in re.findall(r'"jobRunId":"([^"]+)"', body)}


def orders(first, rows):
    """A file of orders, numbered from `first` on."""
    lines = (f"{number},2026-11-{number % 28 + 1:02},{number % 7}.50,city {number % 5}" for number in range(first, first + rows))
    return "order_id,ordered,price,city\n" + "\n".join(lines) + "\n"
