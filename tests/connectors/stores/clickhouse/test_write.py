"""What a writing thread does with its time: nothing is begun too late, and what took long is not done twice."""

import time
from collections.abc import Mapping, Sequence

import pytest

from tests.connectors.stores.clickhouse.world import line
from waterline.connectors.stores.clickhouse.batch import Form, Position, form_of, read_record
from waterline.connectors.stores.clickhouse.client import Inserter, refuse
from waterline.connectors.stores.clickhouse.ledger import RANGES, Held
from waterline.connectors.stores.clickhouse.plan import Lane, Range
from waterline.connectors.stores.clickhouse.store import QUICK_BYTES, ClickHouse
from waterline.connectors.stores.clickhouse.write import Done, Job, Later, Writer
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.errors import ErrorCode, Permanent, Transient
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


SESSION_S = 10.0
LINES, TRIALS = 64, 20


class Slow:
    """A table that takes no row of an `odd` name, and a topic for dead letters. So many trials take half a session."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.rows: list[bytes] = []
        self.letters: list[DeadLetter] = []
        self.trials = 0

    def insert(self, table: str, columns: Sequence[str], data: bytes, token: str, deadline_s: float) -> None:
        if table != RANGES:
            self._judge(data)
            self.rows = data.split(b"\n")

    def insert_quickly(self, form: Form, data: bytes, token: str, deadline_s: float) -> None:
        self.insert(form.table, form.columns, data, token, deadline_s)

    def trial(self, table: str, columns: Sequence[str], data: bytes, deadline_s: float) -> None:
        assert self.job is not None
        self.trials += 1
        self.job.planned_at -= SESSION_S / 2 / TRIALS
        self._judge(data)

    def _judge(self, data: bytes) -> None:
        if b"odd" in data:
            raise Permanent(ErrorCode.STORE_REFUSED, "odd")

    def positions(self, form: Form, lane: Lane, first: int, last: int | None) -> frozenset[Position]:
        return frozenset()

    def bury(self, letters: Sequence[DeadLetter], deadline_s: float, wait: bool = True) -> None:
        self.letters += letters


def test_a_frame_of_bad_lines_is_sifted_in_as_many_attempts_as_it_takes() -> None:
    slow, lane = Slow(), Lane("agent.events", 3)
    frame = b"\n".join(line(f"a{n}", name="good" if n % 8 == 5 else "odd") for n in range(LINES))
    slow.job = job = Job(
        lane, FORM, Range(7, 7, "1.0"), [read_record(FORM, lane, 7, frame, None, 0)], None, frozenset(), Held(0, 8)
    )
    writer, attempts = Writer(slow, slow, SESSION_S), 0
    outcome = None
    while not isinstance(outcome, Done):
        job.planned_at = time.monotonic()
        outcome, attempts = writer.write(job), attempts + 1
        assert isinstance(outcome, Done | Later)
        assert attempts < LINES, "never ends"
    assert attempts > 1, "the time of an attempt is not kept to"
    assert (outcome.rows, outcome.buried, len(slow.rows)) == (8, 56, 8)
    assert [letter.index for letter in slow.letters] == [n for n in range(LINES) if n % 8 != 5]
