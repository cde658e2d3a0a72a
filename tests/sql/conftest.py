"""A migrated database of its own for each module, on the real engine."""

import uuid
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.schemas.settings import Settings


@pytest.fixture(scope="session")
def engine(clickhouse_url: str) -> Iterator[Client]:
    client = connect(Settings(clickhouse=clickhouse_url), database="default")
    yield client
    client.close()


@pytest.fixture(scope="module")
def target(engine: Client) -> Iterator[Target]:
    """A fresh migrated database."""
    target = Target(f"test_{uuid.uuid4().hex[:12]}")
    migrate.apply(engine, target)
    yield target
    engine.command(f"DROP DATABASE {target.database}")
