"""A world of its own for each test of the sink: own topics and group; the tables are shared, unless a test changes them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.connectors.stores.clickhouse.world import Topics, World, create_tables

NewWorld = Callable[..., World]


@pytest.fixture(scope="session")
def sink_tables(clickhouse_url: str) -> str:
    return create_tables(clickhouse_url)


@pytest.fixture
def new_world(
    kafka: str, clickhouse_url: str, sink_tables: str, new_topic: Callable[..., str], tmp_path: Path
) -> Iterator[NewWorld]:
    """`new_world(partitions=1, own_tables=False)`."""
    made: list[World] = []

    def make(partitions: int = 1, own_tables: bool = False) -> World:
        database = create_tables(clickhouse_url) if own_tables else sink_tables
        made.append(World(kafka, clickhouse_url, database, tmp_path / str(len(made)), Topics(new_topic, partitions)))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world()
