"""What a writing thread does with its time: nothing is begun too late, and what took long is not done twice."""

import time
from collections.abc import Mapping, Sequence

import pytest

from waterline.connectors.stores.clickhouse.batch import Form, form_of
from waterline.connectors.stores.clickhouse.client import Inserter, refuse
from waterline.connectors.stores.clickhouse.store import QUICK_BYTES, ClickHouse
from waterline.schemas.errors import Transient
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS

FORM = form_of(AGENT_EVENTS)
REFUSED_BY_STATEMENT = 395


class Stalls(Inserter):
    """Refuses the quick way after as long as it was given."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.ways: list[str] = []

    def insert(
        self,
        table: str,
        pieces: Sequence[bytes],
        *,
        form: str = "JSONEachRow",
        options: Mapping[str, str | int] | None = None,
        columns: Sequence[str] = (),
        deadline_s: float = 1.0,
    ) -> int:
        self.ways.append(form)
        if form == "LineAsString":
            time.sleep(deadline_s)
            refuse(REFUSED_BY_STATEMENT, "throwIf")
        return 0


class Open(ClickHouse):
    def _quick(self, form: Form) -> str:
        return form.table


def test_the_strict_way_is_not_begun_when_the_time_of_an_insert_is_over() -> None:
    """A process may have stood still in between, and the partition be another's."""
    store = Open(Settings())
    stalls = store._mine.inserter = Stalls()
    with pytest.raises(Transient, match="too late"):
        store.insert_quickly(FORM, b" " * QUICK_BYTES, "token", 0.01)
    assert stalls.ways == ["LineAsString"]
    store.insert_quickly(FORM, b"", "token", 0.01)
    assert stalls.ways == ["LineAsString", "JSONEachRow"]
