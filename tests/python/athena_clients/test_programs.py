"""What users do with PyAthena, awswrangler, SQLAlchemy, PyIceberg and psycopg: each `check_…` of `programs/` is a test."""

import pytest

from clients import checks_of

PROGRAMS = (
    "pyathena_checks",
    "sqlalchemy_checks",
    "awswrangler_checks",
    "pyiceberg_checks",
    "pyiceberg_rest_checks",
    "pyiceberg_files_checks",
    "psycopg_checks",
    "postgres_alchemy_checks",
)


@pytest.mark.parametrize("program, check", [(program, check) for program in PROGRAMS for check in checks_of(program)])
def test_client(ended, program, check):
    error = ended(program, check)
    assert error is None, error
