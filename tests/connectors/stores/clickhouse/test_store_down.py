"""The store goes away under load: the sink stays up, says why, and afterwards everything is there once."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.connectors.stores.clickhouse.world import Topics, World, create_tables, line, wait
from waterline.stack import Stack

FRAMES, LINES = 150, 40


def test_store_down_under_load(kafka: str, new_topic: Callable[..., str], tmp_path: Path) -> None:
    with Stack(tmp_path / "front", ("front",), free_ports=True, restart=False) as stack:
        database = create_tables(stack.clickhouse)
        world = World(kafka, stack.clickhouse, database, tmp_path, Topics(new_topic, 2))
        sink = world.sink(sink_rows=400)
        sent = 0
        for n in range(FRAMES):
            if n == FRAMES // 3:
                stack.kill("front")
                wait(lambda: "store_unavailable" in sink.get("/readyz")[1], "does not say that the store is away")
                assert sink.get("/readyz")[0] == 503
                assert sink.get("/healthz")[0] == 200
            world.send(*(line(f"{n:03}-{i:02}") for i in range(LINES)), partition=n % 2)
            sent += LINES
        wait(lambda: "sink_paused_partitions 2.0" in sink.get("/metrics")[1], "no partition was paused")
        stack.launch("front")
        begin = time.monotonic()
        world.settle(0, 1)
        wait(sink.ready, "is not ready again")
        assert len(world.positions()) == len(set(world.positions())) == len(set(world.ids())) == sent
        assert sum(row["rows"] for row in world.ranges()) == sent
        assert time.monotonic() - begin < 30
        world.close()
