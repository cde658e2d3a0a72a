"""The arithmetic of one partition: whatever arrives, however batches end, are refused, fail or are given up, the ranges that
are written follow each other without gap or overlap and hold every record once."""

from collections.abc import Iterator
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterline.connectors.stores.clickhouse.batch import Position, Record, cut, form_of
from waterline.connectors.stores.clickhouse.ledger import Held
from waterline.connectors.stores.clickhouse.partition import RETRY_MOST_S, Limits, Partition, Phase
from waterline.connectors.stores.clickhouse.plan import Lane, Range, read_plan
from waterline.schemas.topics import AGENT_EVENTS

FORM, LANE, HELD, ENCODER = form_of(AGENT_EVENTS), Lane("agent.events", 3), Held(0, 0), "1.5"


def record(offset: int, rows: int, days: frozenset[int] = frozenset()) -> Record:
    return Record(offset, 0, None, [b"row"] * rows, range(rows), b"", days, [], 3 * rows)


class Kafka:
    """The records of a partition with holes between them, and the group's commits."""

    def __init__(self, gaps: list[tuple[int, int]]) -> None:
        self.records: list[Record] = []
        end = 0
        for hole, rows in gaps:
            self.records.append(record(end + hole, rows))
            end += hole + 1
        self.end = end
        self.committed: tuple[int, str] = (0, "")

    def take_over(self, limits: Limits) -> Partition:
        offset, metadata = self.committed
        partition = Partition(LANE, FORM, limits, ENCODER, offset, offset, read_plan(offset, metadata))
        partition.opened(None, frozenset())
        return partition


FATES = ("written", "refused", "failed", "died", "died after writing")
moves = st.tuples(st.integers(1, 5), st.sampled_from(FATES), st.integers(1, 30), st.integers(1, 60))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=30), st.lists(moves, max_size=40))
def test_written_ranges_tile_the_partition(gaps: list[tuple[int, int]], turns: list[tuple[int, str, int, int]]) -> None:
    kafka, now = Kafka(gaps), 0.0
    written: dict[tuple[int, int], list[int]] = {}
    partition = kafka.take_over(Limits(10, 30, 1.0))
    for read, fate, rows, size in chain(turns, repeat((5, "written", 10, 30), 200)):
        now += 50.0
        for one in [one for one in kafka.records if partition.wants(one.offset)][:read]:
            partition.take(one, now)
        if not [one for one in kafka.records if partition.wants(one.offset)]:
            partition.reached(kafka.end, now)
        if partition.finished is not None:
            kafka.committed, partition.finished = (partition.finished, ""), None
        job = partition.job or (partition.start(HELD, now) if partition.due(now + 20) else None)
        if job is None:
            continue
        kafka.committed = (job.planned.first, job.planned.metadata())
        if fate == "refused" and (job.planned.first, job.planned.last) in written:
            fate = "written"  # what the store took once it takes again
        if fate in ("written", "died after writing"):
            written[job.planned.first, job.planned.last] = [one.offset for one in job.records]
        if fate == "written":
            partition.written()
        elif fate == "refused" and len(job.records) > 1:
            partition.halved()
        elif fate.startswith("died"):
            partition = kafka.take_over(Limits(rows, size, 1.0))
        else:
            partition.failed("away", now, Phase.PLANNING)
    assert kafka.committed == (kafka.end, "")
    tiles = sorted(written)
    assert [first for first, _ in tiles] == [0, *(last + 1 for _, last in tiles)][: len(tiles)]
    assert [offset for tile in tiles for offset in written[tile]] == [one.offset for one in kafka.records]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 60), st.integers(1, 200))
def test_a_batch_keeps_to_its_limits_unless_one_record_is_over_them(rows: list[int], most: int, size: int) -> None:
    records = [record(at, count) for at, count in enumerate(rows)]
    taken = records[: cut(records, most, size, 60)]
    assert taken
    assert len(taken) == 1 or (sum(len(one.rows) for one in taken) <= most and sum(one.size for one in taken) <= size)
    if len(taken) < len(records):
        more = records[: len(taken) + 1]
        assert sum(len(one.rows) for one in more) > most or sum(one.size for one in more) > size


def test_a_batch_holds_at_most_so_many_days_of_receipt() -> None:
    records = [record(at, 1, frozenset({at, at + 1})) for at in range(100)]
    assert cut(records, 1000, 1000, 60) == 59


def test_what_is_decided_already_is_read_to_its_end_whatever_its_size() -> None:
    partition = Partition(LANE, FORM, Limits(1, 1, 1.0), ENCODER, 0, 0, Range(0, 9, "1.3"))
    partition.opened(None, frozenset())
    for offset in range(9):
        partition.take(record(offset, 5), 0.0)
        assert not partition.full()
        assert not partition.due(100.0)
    partition.take(record(12, 5), 0.0)
    assert partition.due(0.0)
    job = partition.start(HELD, 0.0)
    assert (job.planned, len(job.records)) == (Range(0, 9, "1.3"), 9)


def test_waiting_grows_and_ends() -> None:
    partition = Partition(LANE, FORM, Limits(1, 1, 1.0), ENCODER, 0, 0)
    waits = []
    for _ in range(12):
        partition.failed("away", 100.0, Phase.PLANNING)
        waits.append(partition.retry_at - 100.0)
    assert waits[0] == pytest.approx(0.1)
    assert waits == sorted(waits)
    assert waits[-1] == RETRY_MOST_S


class Counted(frozenset[Position]):
    """Rows that are there; counts how often all of them are looked at."""

    walks = 0

    def __iter__(self) -> Iterator[Position]:
        Counted.walks += 1
        return super().__iter__()


def test_rows_that_are_there_are_forgotten_when_passed_and_not_looked_through_for_each_range() -> None:
    partition = Partition(LANE, FORM, Limits(1, 1, 1.0), ENCODER, 0, 0)
    partition.opened(None, Counted({(0, 0), (3, 1), (2, 7)}))
    Counted.walks = 0
    for offset in range(5):
        assert bool(partition.present) is (offset <= 3)
        partition.take(record(offset, 1), 0.0)
        partition.start(HELD, 0.0)
        partition.written()
    assert Counted.walks == 0


def test_halves_know_the_rows_that_an_earlier_attempt_left() -> None:
    partition = Partition(LANE, FORM, Limits(4, 99, 1.0), ENCODER, 0, 0)
    partition.opened(None, frozenset({(9, 0)}))
    for offset in range(4):
        partition.take(record(offset, 1), 0.0)
    partition.start(HELD, 0.0).present |= {(1, 0), (3, 0)}
    partition.halved()
    for _ in range(2):
        assert partition.start(HELD, 0.0).present == {(1, 0), (3, 0), (9, 0)}
        partition.written()
    assert partition.present == {(1, 0), (3, 0), (9, 0)}, "kept until the highest of them is passed"


def under_way() -> Partition:
    partition = Partition(LANE, FORM, Limits(2, 99, 1.0), ENCODER, 0, 0)
    partition.opened(None, frozenset())
    for offset in range(2):
        partition.take(record(offset, 1), 0.0)
    partition.start(HELD, 0.0)
    partition.phase = Phase.WRITING
    return partition


@pytest.mark.parametrize("outcome", ["written", "halved", "failed", "opened"])
def test_only_a_person_sets_a_halted_partition_going(outcome: str) -> None:
    partition = under_way()
    partition.halt("truncated")
    match outcome:
        case "failed":
            partition.failed("away", 0.0, Phase.PLANNING)
        case "opened":
            partition.opened(None, frozenset())
        case _:
            getattr(partition, outcome)()
    assert (partition.phase, partition.reason) == (Phase.HALTED, "truncated")
    assert partition.finished is None, "its plan stays open"


def test_beginning_anew_drops_what_is_under_way() -> None:
    partition = under_way()
    partition.restart(7)
    assert (partition.job, partition.finished, partition.first, partition.held_bytes) == (None, None, 7, 0)
