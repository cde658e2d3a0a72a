"""One stage: topics in, one fold per partition, topics out; and which of its partitions this worker owns."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import structlog

from waterline.streams.changelog import Changelog
from waterline.streams.guard import Parse
from waterline.streams.meter import Meter
from waterline.streams.partition import Partition
from waterline.streams.steps.fold import Cold, Fold

log = structlog.get_logger("streams")

P = ParamSpec("P")
T = TypeVar("T")

RESTART, BROKEN = 75, 70
"""Exit codes: start me again; look at the log first (EX_TEMPFAIL and EX_SOFTWARE of sysexits.h)"""

MakeFold = Callable[[int, int, Cold], Fold]
"""(partition, partitions of the inputs, the state on disk) -> a fold without state"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stage is, before anything runs. All its topics and its changelog have the same number of partitions."""

    name: str
    inputs: Mapping[str, Parse]
    outputs: Sequence[str]
    changelog: str
    fold: MakeFold


@dataclass(slots=True)
class Stage:
    """See the module. Lives in the event loop; blocking work goes to threads."""

    name: str
    group: str
    inputs: Mapping[str, Parse]
    fold: MakeFold
    changelog: Changelog
    config: Mapping[str, str]
    folder: Path
    partitions: int
    partitions_of: Callable[[str], int]
    meter: Meter
    generation: Callable[[], int]
    threads: ThreadPoolExecutor
    batch_frames: int
    linger_s: float
    bugs_in_a_row: int
    owned: dict[int, Partition]
    ends: dict[int, int]
    identity: str = ""

    async def consume(self, stream: Any) -> None:
        """The agent's body: hands what comes to its partitions, which acknowledge it. Never raises."""
        stream.enable_acks = False
        try:
            async for event in stream.events():
                if partition := self.owned.get(event.message.partition):
                    await partition.offer(event)
        except Exception:
            log.exception("unforeseen", stage=self.name)
            self.die(f"{self.name}: the agent failed", bug=True)

    async def own(self, numbers: set[int]) -> None:
        """After a rebalance: gives up what is not in `numbers`, shuts out former owners of what is new, starts loading it.

        Short enough for a rebalance callback, in which no heartbeat is sent.
        """
        for number in self.owned.keys() - numbers:
            self.owned.pop(number).close()
        if not self.identity:
            self.identity = await self.thread(self.changelog.identity)
        new = [Partition(self, number, self.identity) for number in sorted(numbers - self.owned.keys())]
        await asyncio.gather(*(partition.fence() for partition in new))
        await asyncio.gather(*(partition.idle.wait() for partition in self.owned.values()))
        self.ends = await self.thread(self.changelog.ends, numbers)
        for partition in new:
            self.owned[partition.number] = partition
            partition.start()

    def rest(self) -> None:
        for partition in self.owned.values():
            partition.rest()

    async def settled(self) -> None:
        """All that was taken is committed or given up, and new partitions are loaded."""
        await asyncio.gather(*(partition.idle.wait() for partition in self.owned.values()))

    def places(self) -> dict[tuple[str, int], int | None]:
        """(topic, partition) -> offset to go on from, None for the beginning."""
        return {
            (topic, number): partition.state.applied[topic] + 1 if topic in partition.state.applied else None
            for number, partition in self.owned.items()
            for topic in self.inputs
        }

    def wake(self) -> None:
        for partition in self.owned.values():
            partition.wake()

    async def thread(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, lambda: act(*args, **kwargs))

    def die(self, reason: str, bug: bool = False) -> None:
        """Ends the process now. Nothing is lost by that: what is not committed comes again."""
        log.critical("worker ends", reason=reason)
        os._exit(BROKEN if bug else RESTART)
