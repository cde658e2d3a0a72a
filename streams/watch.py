"""Whether the worker moves: lag, progress, and why it is not ready. A worker that stands still with work before it is ended,
since a restart is what helps against a rebalance or a recovery that hangs. While more than a batch waits, it stands back."""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faust.types import TP

from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings
from waterline.streams.meter import Meters
from waterline.streams.partition import Partition
from waterline.streams.stage import RESTART, Stage
from waterline.streams.standing import Standing

log = structlog.get_logger("streams")

BEAT_S = 1.0
SLOW_S = 10.0
DOINGS = ("fencing", "loading", "resting", "running")


class Watch:
    """Its task lives in the event loop; `alive` and `ready` are asked from other threads."""

    def __init__(self, settings: Settings, meters: Meters) -> None:
        self.starting = "starting"
        self._settings = settings
        self._meters = meters
        self._probe = AdminClient({**kafka_config(settings), "log_level": 2})
        self._app: Any = None
        self._stages: Sequence[Stage] = ()
        self._beat_at = time.monotonic()
        self._unreachable = ""
        self._lags: dict[TP, int] = {}
        self._behind_since: dict[TP, float] = {}
        self._unready_since: float | None = None
        self._standing = Standing()

    def follow(self, app: faust.App, stages: Sequence[Stage]) -> None:
        self._app, self._stages = app, stages

    async def beat(self) -> None:
        while True:
            self._beat_at = time.monotonic()
            before, self._unreachable = self._unreachable, await asyncio.to_thread(self._ask)
            if bool(before) != bool(self._unreachable):
                log.warning("Kafka", answers=not self._unreachable, reason=self._unreachable)
            if self._app is not None:
                if self._app.crashed:
                    self._end(f"Faust crashed: {self._app.crash_reason!r}")
                await self._measure()
                self._judge()
            await asyncio.sleep(BEAT_S)

    def alive(self) -> list[str]:
        silent = time.monotonic() - self._beat_at
        return [f"the event loop has not turned for {silent:.0f} s"] if silent > 3 * SLOW_S else []

    def ready(self) -> list[str]:
        """Reasons, none when every owned partition is at work and keeps up or catches up."""
        reasons = self.alive()
        if self._unreachable:
            reasons.append(f"Kafka at {self._settings.kafka} does not answer: {self._unreachable}")
        owned = self._owned()
        if not owned:
            reasons.append(self.starting or "no partition is assigned to this worker")
        for partition in owned:
            if partition.doing != "running" or partition.trouble:
                reasons.append(f"{partition}: {partition.doing} {partition.trouble}".strip())
        for at, since in list(self._behind_since.items()):
            if (still := time.monotonic() - since) > SLOW_S:
                reasons.append(f"{at.topic} {at.partition}: {self._lags.get(at, 0)} behind, none applied for {still:.0f} s")
        return reasons

    def _owned(self) -> list[Partition]:
        return [partition for stage in self._stages for partition in list(stage.owned.values())]

    def _ask(self) -> str:
        try:
            self._probe.list_topics(timeout=2)
        except KafkaException as failure:
            return str(failure.args[0].str())
        return ""

    async def _measure(self) -> None:
        """Lag of every input partition. A position behind which only commit markers lie counts as the end."""
        consumer = self._app.consumer
        fresh: dict[TP, int] = {}
        for partition in self._owned():
            for topic in partition.stage.inputs:
                at = TP(topic, partition.number)
                try:
                    async with asyncio.timeout(BEAT_S):
                        position = await consumer.position(at) or 0
                    high = consumer.highwater(at) or 0
                except (KafkaError, TimeoutError):
                    continue
                applied = partition.state.applied.get(topic, -1)
                fetched = consumer.fetched.get(at, -1)
                fresh[at] = 0 if position >= high and fetched <= applied else max(high - 1 - applied, 1)
                self._since(at, partition, fresh[at])
                self._meters["streams_lag_records"].labels(topic, str(partition.number)).set(fresh[at])
        for gone in self._lags.keys() - fresh.keys():
            self._behind_since.pop(gone, None)
            self._meters["streams_lag_records"].remove(gone.topic, str(gone.partition))
        self._lags = fresh
        self._standing.stand(back=max(fresh.values(), default=0) >= self._settings.streams_batch_frames)
        for stage in self._stages:
            owned = list(stage.owned.values())
            self._meters["streams_states"].labels(stage.name).set(sum(len(partition.state) for partition in owned))
            for doing in DOINGS:
                count = sum(partition.doing == doing for partition in owned)
                self._meters["streams_partitions"].labels(stage.name, doing).set(count)

    def _since(self, at: TP, partition: Partition, lag: int) -> None:
        if not lag:
            self._behind_since.pop(at, None)
        else:
            self._behind_since[at] = max(self._behind_since.get(at, self._beat_at), partition.moved_at)

    def _judge(self) -> None:
        """Ends a worker that has been unready for too long although Kafka answers and it does not load."""
        reasons = self.ready()
        loads = any(part.doing == "loading" and self._beat_at - part.state.read_at < SLOW_S for part in self._owned())
        if not reasons or self._unreachable or loads:
            self._unready_since = None
            return
        self._unready_since = self._unready_since or self._beat_at
        spare = not self._owned() and not self._app.rebalancing
        if not spare and self._beat_at - self._unready_since > self._settings.streams_stall_s:
            self._end("stalled: " + "; ".join(reasons[:5]))

    def _end(self, reason: str) -> None:
        log.critical("worker ends", reason=reason)
        os._exit(RESTART)
