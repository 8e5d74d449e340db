"""Fixtures: lakes as separate processes, each in a directory of its own.

`lake` is a fresh one for each test, `module_lake` one for all tests of a file, `session_lake` one for all that do not mind company, `smtp` a real
SMTP server, `lake_with_smtp` a lake that sends its mail there, `new_lake` a function that starts one with a millpond.toml of the test's own.
When a test fails, the last lines of its lakes' logs are shown.
"""

import pytest

import harness
from harness import Smtp

_running = []


def _started(config_text=None, **more):
    lake = harness.new_lake(config_text, **more)
    _running.append(lake)
    return lake


def _ended(lake):
    _running.remove(lake)
    harness.discard(lake)


@pytest.fixture
def lake():
    lake = _started()
    yield lake
    _ended(lake)


@pytest.fixture(scope="module")
def module_lake():
    lake = _started()
    yield lake
    _ended(lake)


@pytest.fixture(scope="session")
def session_lake():
    lake = _started()
    yield lake
    _ended(lake)


@pytest.fixture
def new_lake():
    """Starts lakes: `new_lake(config_text=None, **Lake's own)`. All are ended with the test."""
    mine = []

    def start(config_text=None, **more):
        mine.append(_started(config_text, **more))
        return mine[-1]

    yield start
    for lake in mine:
        _ended(lake)


@pytest.fixture
def smtp():
    server = Smtp()
    yield server
    server.close()


@pytest.fixture
def lake_with_smtp(smtp):
    lake = _started(f'[smtp]\nhost = "{smtp.host}"\nport = {smtp.port}\nfrom = "lake@example.com"\ntls = "none"\n')
    lake.smtp = smtp
    yield lake
    _ended(lake)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for lake in _running:
            report.sections.append((f"log of the lake in {lake.data}", lake.log()))
