"""The sink: Kafka -> ClickHouse, each row once. One thread reads Kafka, cuts batches and commits; others write.

The way of a range is in the README. This loop owns all state; a writing thread owns its job until it hands it back.
"""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from waterline.connectors.stores.clickhouse import ledger
from waterline.connectors.stores.clickhouse.assignment import Assignment, Stopped
from waterline.connectors.stores.clickhouse.batch import form_of, read_record
from waterline.connectors.stores.clickhouse.health import Meters
from waterline.connectors.stores.clickhouse.letters import Burial
from waterline.connectors.stores.clickhouse.partition import Limits, Partition, Phase
from waterline.connectors.stores.clickhouse.store import ClickHouse
from waterline.connectors.stores.clickhouse.write import Done, Job, Later, Outcome, Refused, Writer
from waterline.schemas.clients import kafka_config
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.errors import Transient
from waterline.schemas.faults import Guard, Point, crash, without
from waterline.schemas.frames import Headers
from waterline.schemas.settings import Settings
from waterline.schemas.topics import STORED, Topic

GROUP = "sink"
CHUNK = 200
READERS = 2
POLL_S = 0.05
TOLD_S = 5.0
"""How often Kafka's offsets are noted in ClickHouse and the gauges are set."""
STALE_S = 60.0
DRAIN_S = 10.0

log = structlog.get_logger()


class Fenced(Exception):
    """The group knows this process no more: another has taken its name (`sink_instance`), or Kafka was away for longer than
    the session and librdkafka cannot join again under its name. Only a new process can."""


class Sink:
    """`run` returns when `stop` is set: after at most DRAIN_S, one question to Kafka, and as long as a thread that sends
    waits for its answer. Raises Fenced."""

    def __init__(self, config: Settings, topics: Sequence[Topic] = STORED, group: str = GROUP) -> None:
        self.config = config
        self.forms = {topic.name: form_of(topic) for topic in topics}
        self.limits = Limits(config.sink_rows, config.sink_bytes, config.sink_linger_s)
        self.stop = Event()
        self.turned = time.monotonic()
        self.store = ClickHouse(config)
        graves = [topic.name for topic in topics if topic.model is DeadLetter]
        self.burial = Burial(kafka_config(config), *graves)
        self.writer = Writer(self.store, self.burial, config.sink_session_s)
        self.pool = ThreadPoolExecutor(config.sink_inserts, thread_name_prefix="write")
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self.finished: SimpleQueue[tuple[Partition, Job, Outcome]] = SimpleQueue()
        self.consumer = Consumer(self._consumer_config(group))
        self.assignment = Assignment(self.consumer, self.store, self.forms, self.limits, config, self.readers, self.stop)
        self.meters = Meters()
        self._told = 0.0

    def _consumer_config(self, group: str) -> dict[str, Any]:
        session = int(self.config.sink_session_s * 1000)
        mine: dict[str, Any] = {
            "group.id": group,
            "client.id": "waterline-sink",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session,
            "heartbeat.interval.ms": min(3000, session // 5),
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 200,
            "queued.max.messages.kbytes": 65536,
            "statistics.interval.ms": 5000,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 2,
        }
        if self.config.sink_instance:
            mine["group.instance.id"] = self.config.sink_instance
        return kafka_config(self.config) | mine

    # the loop

    def run(self) -> None:
        self.assignment.subscribe(list(self.forms))
        try:
            while not self.stop.is_set():
                self.turn()
            self._drain()
        except Stopped as unanswered:
            log.warning("stopped while Kafka did not answer", what=str(unanswered))
        finally:
            self.consumer.close()
            for pool in (self.pool, self.readers):
                pool.shutdown(wait=True, cancel_futures=True)
            self.store.close()
            self.burial.close(self.writer.deadline_s)

    def turn(self, starting: bool = True) -> None:
        """One round: read, take back what was written, start what is due, commit."""
        messages = self.consumer.consume(CHUNK, POLL_S)
        now = self.turned = time.monotonic()
        for message in messages:
            self._take(message, now)
        self._settle(now)
        if starting:
            self._start(now)
        self._commit(now)
        if now - self._told >= TOLD_S:
            self._told = now
            self._tell()

    def _drain(self) -> None:
        """Let what is under way be written and committed, so that the next start has less to repeat; nothing more is cut."""
        latest = time.monotonic() + DRAIN_S
        partitions = self.assignment.partitions.values()
        while time.monotonic() < latest and any(p.phase is Phase.WRITING or p.finished is not None for p in partitions):
            for partition in partitions:
                self.assignment.pause(partition, True)
            self.turn(starting=False)

    def _take(self, message: Message, now: float) -> None:
        error = message.error()
        topic, number, offset = message.topic() or "", message.partition(), message.offset()
        partition = self.assignment.partitions.get((topic, -1 if number is None else number))
        if error is not None:
            self._event(error, partition, offset, now)
        elif partition is not None and offset is not None and partition.wants(offset):
            headers = cast(Headers, message.headers())
            timestamp_ms = message.timestamp()[1]
            partition.take(read_record(partition.form, partition.lane, offset, message.value(), headers, timestamp_ms), now)

    def _event(self, error: KafkaError, partition: Partition | None, offset: int | None, now: float) -> None:
        code = error.code()
        if error.fatal() or code == KafkaError._FATAL:
            raise Fenced(error.str())
        if code == KafkaError._PARTITION_EOF and partition is not None and offset is not None:
            partition.reached(offset, now)
        elif code == KafkaError._AUTO_OFFSET_RESET and partition is not None:
            lost = self.assignment.out_of_range(partition)
            self.meters.lost.labels(partition.lane.topic).inc(lost)
        elif code != KafkaError._PARTITION_EOF:
            log.warning("kafka", code=error.name(), reason=error.str())

    def _start(self, now: float) -> None:
        """Cut batches while threads are free, where records have waited longest first; stop reading where there are enough."""
        partitions = list(self.assignment.partitions.values())
        press = sum(partition.held_bytes for partition in partitions) >= self.config.sink_memory
        due = [p for p in partitions if self.assignment.settled(p) and p.due(now, press)]
        due.sort(key=lambda partition: partition.since or now)
        for partition in due[: max(0, self._free(now))]:
            partition.start(self.assignment.held(partition.lane), now)
        for partition in partitions:
            if partition.phase is Phase.OPENING:
                self.assignment.open(partition, now)
            pressed = press and partition.held_bytes > 0 and not partition.incomplete
            self.assignment.pause(partition, partition.phase is Phase.HALTED or partition.full() or pressed)

    def _free(self, now: float) -> int:
        """Threads that no batch has or is about to have."""
        taken = (
            partition.phase is Phase.WRITING or (partition.phase is Phase.PLANNING and now >= partition.retry_at)
            for partition in self.assignment.partitions.values()
        )
        return self.config.sink_inserts - sum(taken)

    def _write(self, partition: Partition, job: Job, planned_at: float) -> None:
        job.planned_at = planned_at
        partition.phase = Phase.WRITING
        self.pool.submit(self._work, partition, job)

    def _work(self, partition: Partition, job: Job) -> None:
        if not partition.lost:
            self.finished.put((partition, job, self.writer.write(job)))

    def _settle(self, now: float) -> None:
        self.assignment.settle(now)
        while True:
            try:
                partition, job, outcome = self.finished.get_nowait()
            except Empty:
                return
            if not partition.lost and partition.job is job:
                self._ended(partition, job, outcome, now)

    def _ended(self, partition: Partition, job: Job, outcome: Outcome, now: float) -> None:
        topic = partition.lane.topic
        match outcome:
            case Done():
                if partition.failures:
                    self._hurry(now)
                partition.written()
                self.meters.done(topic, len(job.records), outcome)
            case Refused():
                self.meters.refused.labels(topic).inc()
                log.info("refused as data, split", lane=str(partition.lane), first=job.planned.first, last=job.planned.last)
                partition.halved()
            case Later():
                self.meters.retries.labels(topic).inc()
                if not partition.failures:
                    log.warning("not written, will try again", lane=str(partition.lane), reason=outcome.reason)
                partition.failed(outcome.reason, now, Phase.PLANNING)

    def _hurry(self, now: float) -> None:
        """The store took a range again that it had not taken before: what else waits for it need not wait longer."""
        for partition in self.assignment.partitions.values():
            if partition.failures:
                partition.retry_at = min(partition.retry_at, now)

    # committing

    def _commit(self, now: float) -> None:
        """One request for all partitions: the end of a finished range, the plan of the next one, or both at once."""
        asked_at = time.monotonic()
        due = self._due(now)
        crash_before(due)
        results = self._commit_now([self._position(partition) for partition in due]) if due else []
        for partition, error in zip(due, results, strict=True):
            if error and not without(Guard.FENCING):
                partition.failed(f"cannot commit: {error}", now, partition.phase)
                continue
            if partition.finished is not None:
                crash(Point.AFTER_COMMIT)
            partition.finished = None
            partition.committed = partition.job.planned.first if partition.job else partition.first
            if partition.phase is Phase.PLANNING and partition.job:
                crash(Point.AFTER_SPLIT if partition.job.split else Point.AFTER_PLAN)
                self._write(partition, partition.job, asked_at)
            else:
                partition.recovered()

    def _due(self, now: float) -> list[Partition]:
        """Where something is to be committed now. A plan only when a thread is free, so that its rows are sent at once."""
        ready = [partition for partition in self.assignment.partitions.values() if now >= partition.retry_at]
        free = self.config.sink_inserts - sum(partition.phase is Phase.WRITING for partition in ready)
        planning = sorted((p for p in ready if p.phase is Phase.PLANNING), key=lambda p: p.retry_at)[: max(0, free)]
        for partition in list(planning):
            if partition.job and partition.job.split and without(Guard.SPLIT_PLAN):
                planning.remove(partition)
                self._write(partition, partition.job, now)
        return planning + [p for p in ready if p.finished is not None and p.phase is Phase.COLLECTING]

    @staticmethod
    def _position(partition: Partition) -> TopicPartition:
        lane, job = partition.lane, partition.job
        if partition.phase is Phase.PLANNING and job:
            metadata = "" if without(Guard.PLAN) else job.planned.metadata()
            return TopicPartition(lane.topic, lane.partition, job.planned.first, metadata)
        return TopicPartition(lane.topic, lane.partition, partition.finished or 0)

    def _commit_now(self, positions: list[TopicPartition]) -> list[str]:
        """Synchronous. Per position: empty, or why it was refused."""
        try:
            answers = self.consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException as error:
            return [error.args[0].str()] * len(positions)
        errors = {(a.topic, a.partition): a.error.str() if a.error else "" for a in answers or ()}
        return [errors.get((p.topic, p.partition), "no answer") for p in positions]

    # telling

    def _tell(self) -> None:
        now = datetime.now(UTC)
        rows = []
        for partition in self.assignment.partitions.values():
            lane, held = partition.lane, self.assignment.held(partition.lane)
            rows.append(ledger.Offsets(lane.topic, lane.partition, held.begin, held.end, partition.committed or 0, now))
        self.meters.gauges(self.assignment.partitions.values(), rows)
        if rows:
            self.readers.submit(self._note, rows)

    def _note(self, rows: list[ledger.Offsets]) -> None:
        try:
            self.store.insert(ledger.OFFSETS, ledger.Offsets.__struct_fields__, ledger.encode(rows), "", self.writer.deadline_s)
        except Transient as error:
            log.debug("offsets not noted", reason=error.reason)

    def unready(self) -> list[str]:
        """Why this process does not do its work; empty when it does. Asked by other threads."""
        if time.monotonic() - self.turned > STALE_S:
            return [f"the loop has not turned for {time.monotonic() - self.turned:.0f} s"]
        return self.assignment.unready()


def crash_before(partitions: Iterable[Partition]) -> None:
    for partition in partitions:
        if partition.finished is not None:
            crash(Point.BEFORE_COMMIT)
        if partition.phase is Phase.PLANNING:
            crash(Point.BEFORE_PLAN)
