"""Two sinks share three partitions under load and are killed at random moments; a client sends everything twice or more."""

import json
import random
import time

import pytest

from tests.connectors.stores.clickhouse.conftest import NewWorld
from tests.connectors.stores.clickhouse.world import Sink, line, wait

PARTITIONS, ROUNDS, FRAMES, LINES = 3, 4, 60, 30


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_nine(new_world: NewWorld, seed: int) -> None:
    dice = random.Random(seed)
    world = new_world(PARTITIONS)
    names = ["one", "two"]
    sinks: dict[str, Sink] = {}

    def start(name: str) -> None:
        sinks[name] = world.sink(sink_instance=name, sink_rows=dice.choice([40, 200, 1000]), sink_linger_s=0.1, wait_ready=False)

    for name in names:
        start(name)
    wait(lambda: all(sink.ready() for sink in sinks.values()), "not all are ready")
    frames: list[tuple[int, list[bytes]]] = []
    for turn in range(ROUNDS):
        victim = dice.choice(names)
        for _ in range(dice.randrange(1, FRAMES)):
            partition = dice.randrange(PARTITIONS)
            frames.append((partition, [line(f"{turn}-{len(frames)}-{n}") for n in range(LINES)]))
            world.send(*frames[-1][1], partition=partition)
            if dice.random() < 0.3:
                partition, again = dice.choice(frames)
                world.send(*again, partition=partition)
        sinks[victim].kill()
        start(victim)
        deadline = time.monotonic() + dice.uniform(0.5, 2.5)
        while time.monotonic() < deadline and not sinks[victim].ready():
            wait(world.committed, "no answer")
    world.settle(*range(PARTITIONS))
    wait(lambda: all(sink.ready() for sink in sinks.values()), "not all are ready again")
    expected = sorted(event_id(text) for _, lines in frames for text in lines)
    assert world.ids() == expected
    positions = world.positions()
    assert len(positions) == len(set(positions))
    for partition in range(PARTITIONS):
        ranges = [row for row in world.ranges() if row["partition"] == partition]
        assert [row["first"] for row in ranges] == [0] + [row["last"] + 1 for row in ranges[:-1]]
        assert ranges[-1]["last"] + 1 == world.end(partition)
    assert sum(row["rows"] for row in world.ranges()) == len(expected)


def event_id(text: bytes) -> str:
    return str(json.loads(text)["event_id"])
