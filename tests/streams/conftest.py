"""An arena for each test; `@pytest.mark.parametrize("arena", [1], indirect=True)` gives it another number of partitions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streams.arena import PARTITIONS, Arena


@pytest.fixture
def arena(request: pytest.FixtureRequest, kafka: str, tmp_path: Path) -> Iterator[Arena]:
    made = Arena(kafka, tmp_path, getattr(request, "param", PARTITIONS))
    yield made
    made.close()
