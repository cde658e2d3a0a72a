"""The broker dies under the worker and comes back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streams.arena import WAIT_S, Arena, until
from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings
from waterline.schemas.topics import DEAD_LETTERS
from waterline.stack import kafka, ports, topics
from waterline.stack.process import Child
from waterline.streams.changelog import Changelog, Unsettled


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[kafka.Broker, Child]]:
    home = tmp_path / "kafka"
    node = kafka.Broker(home, home / "kafka.log", ports.pick(), ports.pick(), kafka.classpath(Settings().cache_dir))
    node.prepare()
    child = Child("kafka", node.command(), home / "kafka.out")
    child.start()
    try:
        child.wait_until(node.answers, time.monotonic() + WAIT_S)
        topics.create(kafka.admin(node.bootstrap), 1, 1, [DEAD_LETTERS])
        yield node, child
    finally:
        child.kill()


def test_a_killed_broker_costs_time_and_nothing_else(broker: tuple[kafka.Broker, Child], tmp_path: Path) -> None:
    node, child = broker
    arena = Arena(node.bootstrap, tmp_path)
    worker = arena.start()
    arena.send(40)
    arena.ready(worker)
    child.kill()
    port = arena.ports[0]
    until(lambda: "does not answer" in arena.ask(port, "/readyz")[1], worker.tail)
    assert arena.ask(port, "/healthz")[0] == 200
    child.start()
    child.wait_until(node.answers, time.monotonic() + WAIT_S)
    back = time.monotonic()
    arena.send(40)
    if not worker.alive:
        worker = arena.start()
    arena.wait_applied(worker)
    assert time.monotonic() - back < 30
    arena.ready(worker)
    assert arena.wrongs() == {}
    arena.kill(worker)


def test_a_changelog_is_read_on_after_its_leader_began_anew(broker: tuple[kafka.Broker, Child]) -> None:
    """A client that goes on asking with the leader's old epoch is refused for as long as it lives."""
    node, child = broker
    changelog = Changelog(kafka_config(Settings(kafka=node.bootstrap)), DEAD_LETTERS.name)

    def ends() -> dict[int, int]:
        try:
            return changelog.ends([0])
        except Unsettled:
            return {}

    until(lambda: ends() == {0: 0}, lambda: "it does not begin")
    child.kill()
    child.start()
    child.wait_until(node.answers, time.monotonic() + WAIT_S)
    until(lambda: ends() == {0: 0}, lambda: "it does not go on", 15)
