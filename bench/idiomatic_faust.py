"""The same counting as Faust's own documentation would write it: one record an event, one table write an event, one fact an
event. At-least-once, state in memory and in a changelog.

    python -m bench.idiomatic_faust PREFIX BOOTSTRAP PARTITIONS DATADIR
"""

import sys
from typing import Any

import faust
from mode.loop import use


class Counted(faust.Record, serializer="json"):
    """What the fold reads of an event."""

    tenant: str
    decision_key: str
    tokens_input: int = 0


class Count(faust.Record, serializer="json"):
    tenant: str
    decision_key: str
    revision: int = 0
    total: int = 0


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
    events = app.topic(f"{prefix}.single", key_type=bytes, value_type=Counted, partitions=partitions)
    facts = app.topic(f"{prefix}.idiomatic.facts", key_type=bytes, value_type=Count, partitions=partitions)
    counts = app.Table("counts", value_type=Count, partitions=partitions)

    @app.agent(events)
    async def count(stream: Any) -> None:
        async for event in stream:
            key = f"{event.tenant}/{event.decision_key}"
            known = counts.get(key) or Count(tenant=event.tenant, decision_key=event.decision_key)
            counted = Count(
                tenant=known.tenant,
                decision_key=known.decision_key,
                revision=known.revision + 1,
                total=known.total + event.tokens_input,
            )
            counts[key] = counted
            await facts.send(key=key.encode(), value=counted)

    return app


if __name__ == "__main__":
    use("uvloop")
    prefix, bootstrap, partitions, datadir = sys.argv[1:]
    app = make(prefix, bootstrap, int(partitions), datadir)
    app.finalize()
    worker = faust.Worker(app, loglevel="WARNING")
    worker.execute_from_commandline()
