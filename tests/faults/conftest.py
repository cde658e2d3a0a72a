"""One whole stack for all tests here; the seeds one after the other leave it as they found it, or fail."""

from collections.abc import Iterator

import pytest

from tests.faults.__main__ import faulty_stack
from waterline.stack import Stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, jars: None) -> Iterator[Stack]:
    with faulty_stack(tmp_path_factory.mktemp("faults")) as stack:
        yield stack
