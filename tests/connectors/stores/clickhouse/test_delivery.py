"""Whatever lies on the topic, and wherever the sink dies: lines sent = rows + copies + dead letters, each once."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.connectors.stores.clickhouse.world import EVENTS, LETTERS, World, line, wait
from waterline.schemas.faults import Point
from waterline.schemas.frames import encode_tick, tick_headers

NOT_A_TIME = "2026-11-20t10:00:00z"
"""Fit for the parser (RFC 3339 allows lower case), but not for ClickHouse."""


def mixture(world: World) -> tuple[set[str], list[tuple[int, int, str]], int]:
    """Send a bit of everything. Returns the ids that must be stored, the dead letters (offset, index, code), and the copies."""
    world.send(line("a0"), line("a1"))
    world.send(line("a0"), line("b0"), line("a1", name="other"))
    world.send(line("c0"), b"{not json", line("c1"), line("c2", kind="no such kind"))
    world.send(line("d0"), line("d1", queue_entered_at=NOT_A_TIME), line("d2"))
    world.send(line("e0", queue_entered_at=NOT_A_TIME))
    world.record(encode_tick(datetime(2026, 11, 20, tzinfo=UTC)), tick_headers("collector-1", 5))
    world.record(b"", None)
    world.record(line("g0") + b"\n" + line("g1"), [("wl-count", b"3")])
    world.record(line("h0", colour="blue"), None)
    world.record(line("i0") + b"\r\n\n  " + line("i1", queue_entered_at=None), None)
    stored = {"a0", "a1", "b0", "c0", "c1", "d0", "d2", "h0", "i0", "i1"}
    refused = [(2, 1, "invalid_json"), (2, 3, "invalid_event"), (3, 1, "store_refused"), (4, 0, "store_refused")]
    whole = [(6, -1, "invalid_frame"), (7, -1, "invalid_frame")]
    return stored, refused + whole, 2


def check(world: World, stored: set[str], buried: list[tuple[int, int, str]], copies: int) -> None:
    world.settle()
    world.settle(topic=LETTERS)
    assert world.ids() == sorted(stored)
    assert max(Counter(world.positions()).values()) == 1
    told = [(letter["offset"], letter["index"], letter["code"]) for letter in world.letters()]
    assert sorted(told) == sorted(buried)
    ranges = world.ranges()
    assert [row["first"] for row in ranges] == [0] + [row["last"] + 1 for row in ranges[:-1]]
    assert ranges[-1]["last"] + 1 == world.end()
    assert sum(row["rows"] for row in ranges) == len(stored)
    assert sum(row["buried"] for row in ranges) == len(buried)
    assert sum(row["copies"] for row in ranges) == copies == sum(len(row["copied"]) for row in ranges)
    assert sum(row["records"] for row in ranges) == world.end()
    assert sum(row["ticks"] for row in ranges) == 1
    numbered = [one for row in ranges for one in row["producers"]]
    assert sum(one["frames"] for one in numbered) == 6


def test_a_bit_of_everything(world: World) -> None:
    expected = mixture(world)
    with world.running():
        check(world, *expected)
    (unknown,) = world.rows(f"SELECT attributes FROM events WHERE event_id = 'h0' AND kafka_topic = '{world.topics[EVENTS]}'")
    assert unknown == ({"colour": "blue"},)


POINTS = [point for point in Point if point.meaning.startswith("sink") and point is not Point.BEFORE_INSERT]


@pytest.mark.parametrize("point", POINTS)
def test_dying_anywhere(world: World, point: Point) -> None:
    """The second run draws other batch edges where the first left it free to."""
    expected = mixture(world)
    sink = world.sink(wait_ready=False, crash=f"{point}:3", sink_rows=50 if point is Point.AFTER_SPLIT else 3)
    wait(sink.crashed, f"never came to {point} for the third time")
    with world.running(sink_rows=9):
        check(world, *expected)
