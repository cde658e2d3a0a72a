"""A world of its own for each test of the notifier."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.connectors.notifiers.world import World
from waterline.connectors.notifiers.receiver import Receiver


@pytest.fixture
def world(kafka: str, tmp_path: Path, new_topic: Callable[..., str]) -> Iterator[World]:
    made = World(kafka, tmp_path, new_topic)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made
