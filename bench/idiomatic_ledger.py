"""The whole ledger in idiomatic Faust: the same fold and the same prices, one record an event, a table write for each state
that changed and a send for each fact. At-least-once.

    python -m bench.idiomatic_ledger PREFIX BOOTSTRAP PARTITIONS DATADIR
"""

import sys
from collections.abc import Iterator
from typing import Any

import faust
from mode.loop import use

from waterline.schemas.frames import parse_frame
from waterline.schemas.settings import Settings
from waterline.streams.price_list import changes, wanted
from waterline.streams.steps.decide import DecideFold
from waterline.streams.steps.fold import Position
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import EPOCH
from waterline.streams.steps.prices import PriceBook


class TableCold:
    """`Cold` over a Faust table."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._table.get(key)
        return found

    def scan(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        return iter(sorted(key for key in self._table.keys() if start <= key < stop))  # noqa: SIM118 - not a dict


def make(prefix: str, bootstrap: str, partitions: int, datadir: str) -> faust.App:
    app = faust.App(
        f"{prefix}-idiomatic",
        broker=f"kafka://{bootstrap}",
        datadir=datadir,
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
    )
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "partitions": partitions}
    events = app.topic(f"{prefix}.single", **raw)
    states = app.Table("states", key_type=bytes, value_type=bytes, partitions=partitions)
    book, limits = PriceBook(changes(wanted(Settings()), [], EPOCH)), Limits()
    folds = [DecideFold(number, partitions, TableCold(states), book, limits) for number in range(partitions)]
    facts: dict[str, Any] = {}

    @app.agent(events)
    async def ledger(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            at = Position(message.topic, message.partition, message.offset)
            fold = folds[message.partition]
            fold.apply(at, parse_frame(message.value, message.headers, int(message.timestamp * 1000)))
            told = fold.drain()
            for key, value in told.puts.items():
                if value is not None:
                    states[key] = value
                elif key in states:
                    del states[key]
            for out in told.outs:
                name = f"{prefix}.{out.topic.name}"
                topic = facts.get(name) or facts.setdefault(name, app.topic(name, **raw))
                await topic.send(key=out.key, value=out.value)

    return app


if __name__ == "__main__":
    prefix, bootstrap, partitions, datadir = sys.argv[1:]
    use("uvloop")
    app = make(prefix, bootstrap, int(partitions), datadir)
    app.finalize()
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()
