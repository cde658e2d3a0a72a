"""A database for the tests of the ruler, emptied for each of them, and topics of its own for each."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from clickhouse_connect.driver.client import Client

from tests.waterline.ruler.world import World
from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.schemas.settings import Settings


@pytest.fixture(scope="package")
def database(clickhouse_url: str) -> Iterator[Client]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connect(Settings(clickhouse=clickhouse_url), database="default") as engine:
        migrate.apply(engine, Target(name))
        with connect(Settings(clickhouse=clickhouse_url, clickhouse_database=name)) as client:
            yield client
        engine.command(f"DROP DATABASE {name}")


@pytest.fixture
def world(kafka: str, clickhouse_url: str, database: Client, new_topic: Callable[..., str]) -> Iterator[World]:
    for table in ("events", "ranges", "topic_offsets"):
        database.command(f"TRUNCATE TABLE {table}")
    made = World(kafka, clickhouse_url, str(database.database), database, new_topic)
    yield made
    made.close()
