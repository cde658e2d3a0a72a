"""The store's contract on the embedded ClickHouse, and on the server that WATERLINE_TEST_CLICKHOUSE names."""

import os
from collections.abc import Iterator

import pytest

from tests.contracts.store import StoreContract
from waterline.stack import Stack


class TestEmbeddedStore(StoreContract):
    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        with Stack(tmp_path_factory.mktemp("front"), ("front",), free_ports=True, restart=False) as stack:
            yield stack.clickhouse


EXTERNAL = os.environ.get("WATERLINE_TEST_CLICKHOUSE", "")


@pytest.mark.skipif(not EXTERNAL, reason="not run: WATERLINE_TEST_CLICKHOUSE names no server")
class TestExternalStore(StoreContract):
    @pytest.fixture
    def url(self) -> str:
        return EXTERNAL
