"""What every test may lean on: a real broker, a real ClickHouse front, fresh topics, and no network but loopback."""

import ipaddress
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from waterline.schemas.settings import Settings
from waterline.stack import kafka as broker
from waterline.stack import ports, topics
from waterline.stack.process import Child

PARTITIONS = 12
START_S = 60.0

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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "network: may leave this machine")


@pytest.fixture(autouse=True)
def _network(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("network"):
        with LOOPBACK.open():
            yield
    else:
        yield


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real broker that has the declared topics; WATERLINE_TEST_KAFKA names a running one."""
    if external := os.environ.get("WATERLINE_TEST_KAFKA"):
        topics.create(broker.admin(external), PARTITIONS, 1)
        yield external
        return
    with LOOPBACK.open():
        jars = broker.classpath(Settings().cache_dir)
    home = tmp_path_factory.mktemp("kafka")
    node = broker.Broker(home, home / "kafka.log", ports.pick(), ports.pick(), jars)
    node.prepare()
    child = Child("kafka", node.command(), home / "kafka.out")
    child.start()
    try:
        child.wait_until(node.answers, time.monotonic() + START_S)
        topics.ensure(broker.admin(node.bootstrap), PARTITIONS, 1)
        yield node.bootstrap
    finally:
        child.stop()


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
    home, url = tmp_path_factory.mktemp("front"), f"http://127.0.0.1:{ports.pick()}"
    environment = {"WATERLINE_CLICKHOUSE": url, "WATERLINE_DATA_DIR": str(home)}
    child = Child(
        "front", [sys.executable, "-m", "waterline.connectors.stores.clickhouse.front"], home / "front.log", environment
    )
    child.start()
    try:
        child.wait_until(lambda: answers(f"{url}/ping"), time.monotonic() + START_S)
        yield url
    finally:
        child.stop()


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
