"""One worker process: waits for Kafka, starts the app, watches that it moves, and ends it when it does not."""

import asyncio
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import faust
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faust.types import TP

from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import Permanent, Transient
from waterline.schemas.faults import Guard, without
from waterline.schemas.settings import Settings
from waterline.schemas.statusz import Statusz, Tells
from waterline.schemas.topics import DEAD_LETTERS
from waterline.streams.app import make_app
from waterline.streams.changelog import Changelog
from waterline.streams.graph import graph
from waterline.streams.health import serve
from waterline.streams.meter import Meter, Meters
from waterline.streams.slot import take
from waterline.streams.stage import BROKEN, Plan, Stage
from waterline.streams.tables import table
from waterline.streams.watch import Watch

log = structlog.get_logger("streams")

GROUP = "waterline-streams"
SETTLE_S = 3.0
STOP_S = 8.0
ASK_S = 0.5


class Companion(Protocol):
    """What the folds lean on, fed from topics of its own or from a file. `what` it is, for messages."""

    what: str
    topics: Sequence[str]

    def catch_up(self) -> None:
        """Blocking, once, before the worker joins its group. Raises Transient to be called again."""
        ...

    def listen(self) -> Any:
        """Blocking for some seconds at most, again and again as long as the worker lives: news. Raises Transient when Kafka
        does not answer."""
        ...

    def take(self, news: Any) -> None:
        """Hands news to the folds, between two batches."""
        ...


class Worker:
    """`run` returns when the process is asked to end; whatever else ends it ends the process."""

    def __init__(
        self,
        settings: Settings,
        decide: Plan,
        groups: Plan,
        group: str = GROUP,
        companions: Sequence[Companion] = (),
        meters: Meters | None = None,
        statusz: Tells = Statusz,
    ) -> None:
        self.settings = settings
        self.plans = (decide, groups)
        self.group = group
        self.companions = companions
        self.config = kafka_config(settings)
        self.meters = meters or Meters()
        self.statusz = statusz
        self.counts: dict[str, int] = {}
        self.watch = Watch(settings, self.meters)
        self.slot = take(settings.data_dir / "streams")
        self.threads = ThreadPoolExecutor(64, thread_name_prefix="partition")

    async def run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        port, host = self.settings.streams_metrics_port, self.settings.health_host
        serve(port, self.watch.alive, self.watch.ready, self.meters.registry, host, statusz=self.statusz)
        beat = asyncio.create_task(self.watch.beat())
        waiting = asyncio.create_task(self._prepare())
        await asyncio.wait({waiting, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            app, stages = self._build(await waiting)
            tasks = [asyncio.create_task(app.start()), *(asyncio.create_task(self._follow(one)) for one in self.companions)]
            await stop.wait()
            await self._end(app, stages, tasks)
        beat.cancel()
        os._exit(0)  # a thread may still wait for Kafka

    async def _prepare(self) -> int:
        partitions = await self._topics()
        for companion in self.companions:
            await self._catch_up(companion)
        self.watch.starting = "joining the group"
        return partitions

    async def _catch_up(self, companion: Companion) -> None:
        self.watch.starting = f"reading {companion.what}"
        behind = True
        while behind:
            try:
                await asyncio.to_thread(companion.catch_up)
                behind = False
            except Transient as failure:
                self.watch.starting = failure.reason
                await asyncio.sleep(ASK_S)
            except Permanent as failure:
                log.critical("worker ends", reason=failure.reason)
                os._exit(BROKEN)

    async def _follow(self, companion: Companion) -> None:
        try:
            while True:
                try:
                    companion.take(await asyncio.to_thread(companion.listen))
                except Transient as failure:
                    log.warning(f"{companion.what} are not heard of", reason=failure.reason)
                    await asyncio.sleep(failure.retry_after)
        except Exception:
            log.exception("worker ends", reason=f"{companion.what} cannot be followed")
            os._exit(BROKEN)

    async def _topics(self) -> int:
        """Waits until Kafka has every topic the plans name. Returns the number of partitions of the inputs."""
        admin = AdminClient({**self.config, "log_level": 2})
        names = {name for plan in self.plans for name in (*plan.inputs, *plan.outputs, plan.changelog, DEAD_LETTERS.name)}
        names.update(name for companion in self.companions for name in companion.topics)
        while True:
            try:
                found = (await asyncio.to_thread(admin.list_topics, timeout=2)).topics
                missing = sorted(names - found.keys())
                if not missing:
                    break
                self.watch.starting = f"topics are missing: {', '.join(missing)}; `waterline up` makes them"
            except KafkaException as failure:
                self.watch.starting = f"Kafka at {self.settings.kafka} does not answer: {failure.args[0].str()}"
            await asyncio.sleep(ASK_S)
        self.counts = {name: len(found[name].partitions) for name in names}
        together = {name: self.counts[name] for plan in self.plans for name in (*plan.inputs, plan.changelog)}
        if len(set(together.values())) > 1:
            log.critical("worker ends", reason="these topics must have the same number of partitions", partitions=together)
            os._exit(BROKEN)
        return next(iter(together.values()))

    def _build(self, partitions: int) -> tuple[faust.App, Sequence[Stage]]:
        app = make_app(self.settings, self.group, self.slot.instance)
        stages = [self._stage(app, plan, partitions) for plan in self.plans]
        for stage in stages:
            table(app, stage, partitions)
        graph(app, *stages)

        async def revoked(*_arguments: Any, **_named: Any) -> None:
            await rest(stages)

        async def complete(*_arguments: Any, **_named: Any) -> None:
            await go_on(app, stages)

        app.on_partitions_revoked.connect(revoked)
        app.on_rebalance_complete.connect(complete)
        self.watch.follow(app, stages)
        return app, stages

    def _stage(self, app: faust.App, plan: Plan, partitions: int) -> Stage:
        return Stage(
            name=plan.name,
            group=self.group,
            inputs=plan.inputs,
            fold=plan.fold,
            changelog=Changelog(self.config, plan.changelog),
            config=self.config,
            folder=self.slot.folder,
            partitions=partitions,
            partitions_of=self.counts.__getitem__,
            meter=Meter(self.meters, plan.name),
            generation=lambda: int(app.consumer_generation_id),
            threads=self.threads,
            batch_frames=self.settings.streams_batch_frames,
            linger_s=self.settings.streams_linger_s,
            bugs_in_a_row=self.settings.streams_bugs_in_a_row,
            owned={},
            ends={},
        )

    async def _end(self, app: faust.App, stages: Sequence[Stage], tasks: Sequence[asyncio.Task[Any]]) -> None:
        """Commits what is in flight and leaves. Cut short after a while: nothing is lost by that."""
        log.info("stopping")
        asyncio.get_running_loop().call_later(STOP_S, os._exit, 0)
        await rest(stages)
        for task in tasks:
            task.cancel()
        await app.stop()
        os._exit(0)


async def rest(stages: Sequence[Stage]) -> None:
    """Before partitions are given up: finish what is in flight, if that is possible soon. If not, the next owner's fence
    cuts it off."""
    for stage in stages:
        stage.rest()
    await asyncio.wait([asyncio.create_task(stage.settled()) for stage in stages], timeout=SETTLE_S)


async def go_on(app: faust.App, stages: Sequence[Stage]) -> None:
    """After a rebalance, before anything is read: waits for the state, and goes on exactly where it ends.

    What the state says is applied is the truth; the group's offset only reports it, and is set to it here. So neither an
    offset that Faust committed past a record in flight nor one that was reset by hand can lose or repeat a record.
    """
    for stage in stages:
        await stage.settled()
    places = {TP(*at): place for stage in stages for at, place in stage.places().items()}
    if places and not without(Guard.APPLIED):
        consumer: Any = app.consumer
        first, end = await consumer.earliest_offsets(*places), await consumer.highwaters(*places)
        for at, place in places.items():
            if place is not None and place > end[at]:
                reason = f"{at.topic} {at.partition} ends at {end[at]}, but the state has it up to {place}"
                stages[0].die(f"{reason}: the topic was made anew or lost its end; its changelogs must go with it", bug=True)
            elif place is not None and place < first[at]:
                log.error("records expired unread", topic=at.topic, partition=at.partition, records=first[at] - place)
        goals = {at: first[at] if place is None else max(place, first[at]) for at, place in places.items()}
        await consumer._commit(goals)
        await consumer.seek_wait(goals)
    for stage in stages:
        stage.wake()
