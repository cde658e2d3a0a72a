"""Stages as Faust tables: a store under its own scheme, `tx://`, that keeps state and facts in one transaction.

Faust knows such a table by its changelog: it gives the changelog's partitions to the worker that owns the same partitions
of the inputs. On assignment the store shuts out the former owner, and says that all of the changelog up to its end is
persisted, so that Faust's own recovery, which would wait for ever for an offset that is a commit marker, has nothing to do.
"""

from collections.abc import Mapping
from typing import Any

import faust
from faust.stores import STORES
from faust.stores.memory import Store
from faust.types import TP

from waterline.streams.stage import Stage

SCHEME = "tx"


class TransactionalStore(Store[bytes, bytes]):
    """Nothing is read or written through Faust's table interface; the stage's partitions hold the state."""

    options: Mapping[str, Stage]

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        stage = self.options["stage"]
        await stage.own({tp.partition for tp in assigned if tp.topic == stage.changelog.topic})

    def persisted_offset(self, tp: TP) -> int | None:
        return self.options["stage"].ends[tp.partition] - 1

    async def need_active_standby_for(self, tp: TP) -> bool:
        return False


def table(app: faust.App, stage: Stage, partitions: int) -> Any:
    """The stage's table, by which Faust assigns its partitions."""
    STORES.aliases[SCHEME] = f"{__name__}:TransactionalStore"
    changelog = app.topic(stage.changelog.topic, partitions=partitions, internal=True, key_type=bytes, value_type=bytes)
    return app.Table(
        stage.name, store=f"{SCHEME}://{stage.name}", partitions=partitions, changelog_topic=changelog, options={"stage": stage}
    )
