"""A migrated database of its own for each module, on the real engine; and its questions, asked as users ask them."""

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from clickhouse_connect.driver.client import Client

from tests.sql.seed import Ask, Rows, Store
from waterline.connectors.stores.clickhouse import migrate, questions
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


@pytest.fixture(scope="module")
def store(clickhouse_url: str, target: Target) -> Iterator[Store]:
    """Writes to the module's database; what all its tests ask about is put there by a fixture of its own."""
    with closing(Store(clickhouse_url, target.database)) as store:
        yield store


@pytest.fixture(scope="module")
def reader(clickhouse_url: str, target: Target) -> Iterator[Client]:
    with closing(connect(Settings(clickhouse=clickhouse_url, clickhouse_database=target.database))) as client:
        yield client


@pytest.fixture(scope="module")
def ask(reader: Client, request: pytest.FixtureRequest) -> Ask:
    """Rows of a question by name, or of some of its columns, with the parameters of the module's GIVEN unless said otherwise."""
    usual: dict[str, str] = request.module.GIVEN

    def answer(name: str, *columns: str, **given: str) -> Rows:
        question = questions.find(name, questions.load())
        known = {one.name for one in question.parameters}
        rows = questions.ask(reader, question, {key: value for key, value in (usual | given).items() if key in known}).rows
        return [{column: row[column] for column in columns} for row in rows] if columns else rows

    return answer
