"""A migrated database of its own for each module, on the real engine."""

import uuid
from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.macros import Target


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = clickhouse_connect.get_client(interface="chdb", path=str(tmp_path_factory.mktemp("chdb")))
    yield client
    client.close()


@pytest.fixture(scope="module")
def target(engine: Client) -> Iterator[Target]:
    """A fresh migrated database."""
    target = Target(f"test_{uuid.uuid4().hex[:12]}")
    migrate.apply(engine, target)
    yield target
    engine.command(f"DROP DATABASE {target.database}")
