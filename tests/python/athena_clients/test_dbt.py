"""A project of dbt-athena: seeds, views, tables, incremental models of each strategy, snapshots, tests, documentation."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import clients

PROJECT = Path(__file__).parent / "dbt_project"


@pytest.fixture(scope="module")
def dbt(clients_lake, tmp_path_factory):
    """Runs dbt on a copy of the project; answers its standard output."""
    folder = tmp_path_factory.mktemp("dbt") / "project"
    shutil.copytree(PROJECT, folder)
    program = clients.python_of("dbt").with_name("dbt")
    variables = {**clients.client_environment(clients_lake), "DBT_PROFILES_DIR": str(folder), "DO_NOT_TRACK": "1"}

    def run(*arguments):
        command = list(map(str, [program, *arguments]))
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    run.folder = folder
    return run


def rows(lake, sql):
    return [tuple(row) for row in lake.sql(sql, "dbt_lake")]


def test_a_project_is_built_twice_and_documented(dbt, clients_lake):
    lake = clients_lake
    dbt("build")
    assert rows(lake, "SELECT name FROM cheap ORDER BY id") == [("apple",), ("plum",)]
    assert rows(lake, "SELECT day, count(*) FROM by_day GROUP BY day ORDER BY day") == [("2024-01-01", "2"), ("2024-01-02", "1")]
    assert rows(lake, "SELECT count(*) FROM ice") == [("3",)]
    assert rows(lake, "SELECT count(*) FROM prices") == [("3",)]

    dbt("build", "--vars", '{"round": "second"}')
    assert rows(lake, "SELECT id, round FROM overwritten ORDER BY id") == [("1", "first"), ("2", "first"), ("3", "second")]
    assert rows(lake, "SELECT round, count(*) FROM appended GROUP BY round ORDER BY round") == [("first", "3"), ("second", "3")]
    merged = [("1", "first"), ("2", "first"), ("3", "second"), ("4", "second")]
    assert rows(lake, "SELECT id, round FROM merged ORDER BY id") == merged
    assert rows(lake, "SELECT id, count(*) FROM prices GROUP BY id ORDER BY id") == [("1", "2"), ("2", "1"), ("3", "1")]

    dbt("docs", "generate")
    catalog = json.loads((dbt.folder / "target" / "catalog.json").read_text())
    columns = catalog["nodes"]["model.lake.by_day"]["columns"]
    assert sorted(columns) == ["day", "id", "name", "price"] and columns["id"]["type"] == "bigint", columns
