"""Fixtures: `clients_lake`, one lake for all clients, and `ended`, which tells how a check of a program ended."""

import pytest

import clients
import harness


@pytest.fixture(scope="session")
def clients_lake():
    lake = harness.new_lake('[postgres]\nlisten = "127.0.0.1:0"\n')
    lake.bucket(clients.BUCKET)
    yield lake
    harness.discard(lake)


@pytest.fixture(scope="session")
def ended(clients_lake):
    """`ended(program, check)`: `None`, or why it failed. The program runs once, when the first of its checks is asked for."""
    ran = {}

    def of(program, check):
        if program not in ran:
            ran[program] = clients.run_program(program, clients_lake)
        return ran[program][check]

    return of
