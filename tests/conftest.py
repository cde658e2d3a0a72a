"""What every test may lean on: a real broker, a real ClickHouse front, fresh topics, and no network but loopback."""

import ipaddress
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests import jvm
from waterline.schemas.settings import Settings
from waterline.stack import Stack, topics
from waterline.stack import kafka as broker

PARTITIONS = 12

NewTopicOf = Callable[..., str]


class Loopback:
    """Refuses every Python socket that leaves this machine, while `closed`. librdkafka's own sockets are not seen."""

    closed = True

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.closed and event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            if isinstance(address, tuple) and not is_local(str(address[0])):
                raise PermissionError(f"a test without the marker `network` reached for {address}")

    @contextmanager
    def open(self) -> Iterator[None]:
        before, self.closed = self.closed, False
        try:
            yield
        finally:
            self.closed = before


def is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


LOOPBACK = Loopback()
sys.addaudithook(LOOPBACK)


hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "network: may leave this machine")
    config.addinivalue_line("markers", "alone: takes the whole machine, or times it; runs after all others, which share it")


@pytest.fixture(autouse=True)
def _network(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("network"):
        with LOOPBACK.open():
            yield
    else:
        yield


@pytest.fixture(scope="session")
def jars(request: pytest.FixtureRequest) -> None:
    """The broker's jars are at hand, and it starts quickly; this may be the only thing that needs the network."""
    with LOOPBACK.open():
        classpath = broker.classpath(Settings().cache_dir)
    folder = request.config.cache.mkdir("jvm") if request.config.cache else None
    os.environ.setdefault(jvm.VARIABLE, jvm.options(classpath, folder) if folder else jvm.QUICK)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    """Bootstrap servers of a real broker that has the declared topics; WATERLINE_TEST_KAFKA names a running one."""
    if external := os.environ.get("WATERLINE_TEST_KAFKA"):
        topics.create(broker.admin(external), PARTITIONS, 1)
        yield external
        return
    request.getfixturevalue("jars")
    with Stack(tmp_path_factory.mktemp("kafka"), ("kafka",), free_ports=True, restart=False) as stack:
        yield stack.kafka


@pytest.fixture(scope="session")
def kafka_admin(kafka: str) -> AdminClient:
    return broker.admin(kafka)


@pytest.fixture
def new_topic(kafka_admin: AdminClient) -> Iterator[NewTopicOf]:
    """`new_topic(partitions=12, name="t", **config)` makes a topic of its own for this test and returns its name.

    Keyword names are broker configuration with `_` for `.`, for example `cleanup_policy="compact"`.
    """
    made: list[str] = []

    def make(partitions: int = PARTITIONS, name: str = "test", **config: object) -> str:
        topic = f"{name}.{uuid.uuid4().hex[:12]}"
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        wanted = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=settings)
        kafka_admin.create_topics([wanted])[topic].result(30)
        made.append(topic)
        return topic

    yield make
    for future in (kafka_admin.delete_topics(made) if made else {}).values():
        future.result(30)


@pytest.fixture(scope="session")
def clickhouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real ClickHouse front on an empty data directory; WATERLINE_TEST_CLICKHOUSE names a running server."""
    if external := os.environ.get("WATERLINE_TEST_CLICKHOUSE"):
        yield external
        return
    with Stack(tmp_path_factory.mktemp("front"), ("front",), free_ports=True, restart=False) as stack:
        yield stack.clickhouse
