"""Fronts as processes of their own: one for all tests of this folder, and fresh ones to be killed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.connectors.stores.clickhouse.front.process import Front, NewFront


@pytest.fixture
def new_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewFront]:
    """`new_front(home=None, **environment)` makes a front, not started. They are killed in the end."""
    made: list[Front] = []

    def make(home: Path | None = None, **environment: str) -> Front:
        made.append(Front(home or tmp_path_factory.mktemp("front"), **environment))
        return made[-1]

    yield make
    for front in made:
        front.child.kill()


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    front = Front(tmp_path_factory.mktemp("front")).start()
    yield front
    front.child.stop()


@pytest.fixture
def http_client(front: Front) -> Iterator[httpx.Client]:
    with front.client() as client:
        yield client


@pytest.fixture
def table(http_client: httpx.Client) -> Iterator[str]:
    """A table of its own: (n UInt64, s String)."""
    name = f"t{os.getpid()}_{time.monotonic_ns()}"
    made = http_client.post("/", content=f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    assert made.status_code == 200, made.text
    yield name
    http_client.post("/", content=f"DROP TABLE IF EXISTS {name} SYNC")
