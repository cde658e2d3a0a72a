"""Which partitions are ours, and since when: taking over, giving up, and moving the reading position.

A partition is taken over by what its committed metadata says, and given up without a commit: a plain commit would erase an
open plan, and with it the only way to repeat the range exactly.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Event
from typing import TypeVar, cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from waterline.connectors.stores.clickhouse.batch import Form, encoder_name, window_of
from waterline.connectors.stores.clickhouse.ledger import OFFSETS, RANGES, Held
from waterline.connectors.stores.clickhouse.opening import Opened, Opening, open_partition
from waterline.connectors.stores.clickhouse.partition import Limits, Partition, Phase
from waterline.connectors.stores.clickhouse.plan import Lane, PlanError, read_plan
from waterline.connectors.stores.clickhouse.store import ClickHouse
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.faults import Guard, without
from waterline.schemas.settings import Settings

ASK_S = 10.0
AGAIN_S = 0.1
SHOWN = 5

Answer = TypeVar("Answer")

log = structlog.get_logger()


class Stopped(Exception):
    """The sink was told to stop while Kafka did not answer. Nothing was begun."""


def insist(consumer: Consumer, ask: Callable[[], Answer | None], what: str, stop: Event) -> Answer:
    """Asks until it is answered: to begin elsewhere than at the right position would be to lose or repeat. Raises Stopped
    once `stop` is set and the question under way (`ASK_S`) has no answer.

    The topics are asked for in between, since librdkafka believes for five minutes what a broker said of them that had just come
    back and did not know them yet.
    """
    reason = ""
    while True:
        try:
            if (answer := ask()) is not None:
                return answer
        except KafkaException as error:
            if reason != error.args[0].str():
                reason = error.args[0].str()
                log.warning("Kafka does not say, asking again", what=what, reason=reason)
        if stop.is_set():
            raise Stopped(what)
        _refresh(consumer)
        time.sleep(AGAIN_S)


def _refresh(consumer: Consumer) -> None:
    try:
        consumer.list_topics(timeout=ASK_S)
    except KafkaException as error:
        log.debug("cannot read metadata", reason=error.args[0].str())


class Assignment:
    """Belongs to the thread that reads Kafka; only `unready` is for others. What asks Kafka, and so `consume`, which calls
    what the group decides, raises Stopped."""

    def __init__(
        self,
        consumer: Consumer,
        store: ClickHouse,
        forms: Mapping[str, Form],
        limits: Limits,
        config: Settings,
        pool: ThreadPoolExecutor,
        stop: Event,
    ) -> None:
        self.partitions: dict[tuple[str, int], Partition] = {}
        self.joined = False
        self._consumer = consumer
        self._store = store
        self._forms = forms
        self._limits = limits
        self._config = config
        self._encoder = encoder_name(config.sink_window)
        self._pool = pool
        self._stop = stop
        self._prepared = False
        self._opened: SimpleQueue[tuple[Partition, int, Opened | Transient | PlanError]] = SimpleQueue()

    def subscribe(self, topics: list[str]) -> None:
        self._consumer.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    # what the group decides; called from within consume()

    def _assigned(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        positions = []
        for committed in self._committed(given):
            partition = self._take_over(committed)
            self.partitions[committed.topic, committed.partition] = partition
            positions.append(TopicPartition(committed.topic, committed.partition, partition.first))
        consumer.incremental_assign(positions)
        self.joined = True
        log.info("assigned", partitions=len(given), open_plans=sum(bool(p.forced) for p in self.partitions.values()))

    def _committed(self, given: list[TopicPartition]) -> list[TopicPartition]:
        def ask() -> list[TopicPartition]:
            found = self._consumer.committed(given, timeout=ASK_S)
            for position in found:
                if position.error:
                    raise KafkaException(position.error)
            return found

        return insist(self._consumer, ask, "committed positions", self._stop)

    def _take_over(self, committed: TopicPartition) -> Partition:
        lane = Lane(committed.topic, committed.partition)
        form = self._forms[lane.topic]
        if committed.offset < 0:
            begin = self._asked(lane).begin
            return Partition(lane, form, self._limits, self._encoder, begin, committed=None)
        try:
            plan = read_plan(committed.offset, committed.metadata)
            if plan and window_of(plan.encoder) is None:
                raise PlanError(f"the open plan {plan.metadata()} is of another version; run that version once")
        except PlanError as error:
            partition = Partition(lane, form, self._limits, self._encoder, committed.offset, committed=committed.offset)
            partition.halt(str(error))
            return partition
        encoder = plan.encoder if plan else self._encoder
        return Partition(lane, form, self._limits, encoder, committed.offset, committed=committed.offset, plan=plan)

    def _revoked(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        if without(Guard.REVOCATION):
            mine = [self.partitions[position.topic, position.partition] for position in taken]
            consumer.commit(offsets=[TopicPartition(p.lane.topic, p.lane.partition, p.committed or 0) for p in mine])
        self._lost(consumer, taken)

    def _lost(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        for position in taken:
            partition = self.partitions.pop((position.topic, position.partition), None)
            if partition:
                partition.lost = True
        self.joined = bool(self.partitions)
        consumer.incremental_unassign(taken)
        log.info("given up", partitions=len(taken))

    # opening

    def open(self, partition: Partition, now: float) -> None:
        """Have it opened by a thread, if that is not under way."""
        if partition.busy or now < partition.retry_at:
            return
        partition.busy = True
        plan = partition.forced[0] if partition.forced else None
        window = window_of(partition.encoder) or 0
        opening = Opening(partition.lane, partition.form, partition.asked, partition.first, plan, window)
        self._pool.submit(self._open, partition, partition.generation, opening)

    def _open(self, partition: Partition, generation: int, opening: Opening) -> None:
        """Never raises: nobody would ask again."""
        try:
            if not self._prepared:
                tables = [form.table for form in self._forms.values()]
                self._store.prepare([*tables, RANGES, OFFSETS], self._config.sink_durability)
                self._prepared = True
            self._opened.put((partition, generation, open_partition(self._store, opening)))
        except (Transient, PlanError) as error:
            self._opened.put((partition, generation, error))
        except Exception as error:
            fault = Transient(ErrorCode.BUG, f"{type(error).__name__}: {error}")
            self._opened.put((partition, generation, fault))

    def settle(self, now: float) -> None:
        """Take back what was opened. What was asked before the partition began anew or halted is dropped; `open` asks again
        if it is still to be opened."""
        while True:
            try:
                partition, generation, outcome = self._opened.get_nowait()
            except Empty:
                return
            partition.busy = False
            if partition.lost or generation != partition.generation:
                continue
            match outcome:
                case Transient():
                    partition.failed(str(outcome), now, Phase.OPENING)
                case PlanError():
                    partition.halt(str(outcome))
                case Opened():
                    if outcome.start != partition.first:
                        partition.restart(outcome.start)
                        self._read_from(partition)
                    partition.opened(outcome.window, outcome.present)

    # moving

    def settled(self, partition: Partition) -> bool:
        """Whether the next batch may be cut; if it has to begin elsewhere or in another way first, that is set going."""
        if partition.phase is not Phase.COLLECTING or partition.finished is not None or partition.forced:
            return True
        if partition.resume_at is not None and partition.covered == partition.first:
            self._begin(partition, partition.resume_at)
            return False
        if partition.encoder != self._encoder:
            self._begin(partition, partition.first)
            return False
        return True

    def _begin(self, partition: Partition, at: int) -> None:
        partition.restart(at)
        partition.asked = at
        partition.encoder = self._encoder
        self._read_from(partition)

    def _read_from(self, partition: Partition) -> None:
        """Have Kafka send what comes after what is in memory."""
        position = TopicPartition(partition.lane.topic, partition.lane.partition, partition.covered)
        self._consumer.incremental_unassign([position])
        self._consumer.incremental_assign([position])
        partition.paused = False

    def out_of_range(self, partition: Partition) -> int:
        """Kafka has no record where this partition is to be read. Answers how many offsets are lost for good.

        What is in memory is written first, whether it is decided how (the halves of a refused batch) or not. Only an open
        plan that was not read to its end can no longer be followed.
        """
        if partition.phase is Phase.HALTED:
            return 0
        wanted = partition.covered
        held = self._asked(partition.lane)
        if wanted > held.end:
            where = f"the position is {wanted}, but the topic ends at {held.end}: it was truncated or made anew"
            partition.halt(f"{where}; what is stored under these positions is of the old one")
            return 0
        if wanted >= held.begin:
            self._read_from(partition)
            return 0
        log.error("deleted before it was read", lane=str(partition.lane), first=wanted, last=held.begin - 1)
        if partition.incomplete:
            partition.restart(held.begin)
            partition.asked = None
            self._read_from(partition)
        else:
            partition.resume_at = held.begin
        return held.begin - wanted

    def _asked(self, lane: Lane) -> Held:
        return insist(self._consumer, lambda: self._watermarks(lane, cached=False), f"offsets of {lane}", self._stop)

    def held(self, lane: Lane) -> Held:
        """What Kafka holds, as last heard."""
        return self._watermarks(lane, cached=True) or Held(0, 0)

    def _watermarks(self, lane: Lane, cached: bool) -> Held | None:
        position = TopicPartition(lane.topic, lane.partition)
        known = cast("tuple[int, int] | None", self._consumer.get_watermark_offsets(position, ASK_S, cached))
        return Held(max(known[0], 0), max(known[1], 0)) if known else None

    def pause(self, partition: Partition, wanted: bool) -> None:
        if wanted != partition.paused:
            position = [TopicPartition(partition.lane.topic, partition.lane.partition)]
            (self._consumer.pause if wanted else self._consumer.resume)(position)
            partition.paused = wanted

    def unready(self) -> list[str]:
        """For other threads: what keeps partitions from being written."""
        if not self.joined:
            return ["has not joined the group yet"]
        partitions = list(self.partitions.values())
        told = [f"{p.lane}: {p.reason}" for p in partitions if p.reason]
        opening = sum(p.phase is Phase.OPENING and not p.reason for p in partitions)
        more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        return told[:SHOWN] + more + ([f"{opening} partitions are being opened"] if opening else [])
