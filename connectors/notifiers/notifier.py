"""The loop of the notifier: alert.transitions -> channels -> alert.deliveries, then the commit.

    read -> plan -> lanes send -> receipts -> the broker has them -> commit

This thread alone touches the consumer. Before it sends anything for a partition it reads the receipts to their end.
"""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from waterline.connectors.notifiers.book import Book
from waterline.connectors.notifiers.channels import build
from waterline.connectors.notifiers.dispatch import Dispatcher
from waterline.connectors.notifiers.health import Meters
from waterline.connectors.notifiers.progress import Way
from waterline.connectors.notifiers.receipts import Reader, Writer
from waterline.connectors.notifiers.watched import Watched
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import Transient
from waterline.schemas.faults import Guard, Point, crash, without
from waterline.schemas.settings import Settings
from waterline.schemas.statusz import Statusz
from waterline.schemas.topics import ALERT_DELIVERIES, ALERT_TRANSITIONS

GROUP = "waterline-notifier"
CHUNK, POLL_S = 200, 0.05
COMMIT_S, TOLD_S, STALE_S = 0.2, 1.0, 60.0
ASK_S = 10.0
DRAIN_S = 10.0
CATCH_UP_S = 60.0
SESSION_MS = 10_000
BEAT_S, LEASE_S = 1.5, 6.0
"""Positions are committed at least so often, and nothing is sent when the group has confirmed none for so long. Another process
can have our partitions only after a whole session without a word of ours: one that stood still finds out before it sends."""

_decode = msgspec.json.Decoder(AlertTransition).decode
log = structlog.get_logger()


class Fenced(Exception):
    """Another process has taken the place of this one; only a new one can go on."""


class Notifier:
    """`run` returns when `stop` is set, after at most DRAIN_S for what is under way. Raises Permanent when the routes file is
    wrong at the start; Fenced and KafkaException when only a new process can go on."""

    def __init__(
        self,
        config: Settings,
        transitions: str = ALERT_TRANSITIONS.name,
        deliveries: str = ALERT_DELIVERIES.name,
        group: str = GROUP,
    ) -> None:
        self.config = config
        self.stop = Event()
        self.turned = time.monotonic()
        self.meters = Meters()
        self._topic = transitions
        self._book = Book()
        self._reader = Reader(kafka_config(config), deliveries)
        self._writer = Writer(kafka_config(config), deliveries)
        self._watched = Watched(Path(config.routes_file)) if config.routes_file else None
        self._dispatcher = Dispatcher(
            lambda spec, routes: build(spec, routes, os.environ), self._book, self._writer.write, self.meters, self._leased
        )
        if self._watched:
            self._dispatcher.use(self._watched.routes)
        self._consumer = Consumer(self._consumer_config(group))
        self._ways: dict[int, Way] = {}
        self._stale = False
        self._ready = False
        self._pressed = False
        self._why = "no partition is assigned yet"
        self._committed_at = self._told_at = 0.0
        self._asked_at = self._confirmed_at = -math.inf
        self._asking = False

    def _consumer_config(self, group: str) -> dict[str, Any]:
        mine: dict[str, Any] = {
            "group.id": group,
            "client.id": "waterline-notifier",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": 2000,
            "fetch.wait.max.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            "on_commit": self._committed,
            "log_level": 2,
        }
        if self.config.notifier_instance:
            mine["group.instance.id"] = self.config.notifier_instance
        return kafka_config(self.config) | mine

    def run(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        try:
            while not self.stop.is_set():
                self._turn()
        finally:
            self._end()

    def unready(self) -> list[str]:
        """Why this process does not do its work; empty when it does. Asked by other threads."""
        if (still := time.monotonic() - self.turned) > STALE_S:
            return [f"the loop has not turned for {still:.0f} s"]
        if not self._ready:
            return [self._why]
        if self._ways and not self._leased() and self._confirmed_at > 0:
            return ["Kafka has not confirmed this process for some seconds: nothing is sent"]
        return [f"{self._dispatcher.waiting} notifications wait: no more are read"] if self._pressed else []

    def statusz(self) -> Statusz:
        """The routes it works by."""
        return Statusz(followed=(self._watched.followed,) if self._watched else ())

    def _turn(self) -> None:
        first = self._consumer.poll(POLL_S)  # `consume` would wait for a full chunk
        messages = [] if first is None else [first, *self._consumer.consume(CHUNK, 0)]
        now = self.turned = time.monotonic()
        for message in messages:
            self._take(message)
        if self._stale:
            self._catch_up()
        self._press()
        self._writer.check()
        if now - self._committed_at >= COMMIT_S:
            self._committed_at = now
            self._commit(wait=False)
        if now - self._told_at >= TOLD_S:
            self._told_at = now
            self._tell()

    def _take(self, message: Message) -> None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            if (way := self._ways.get(-1 if partition is None else partition)) is not None:
                way.reached = offset or 0
            return
        if error is not None:
            if error.fatal() or error.code() in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
                raise Fenced(error.str())
            log.warning("kafka", code=error.name(), reason=error.str())
            return
        way = self._ways.get(-1 if partition is None else partition)
        if way is None or offset is None:
            return
        record = way.take(offset)
        for line in (message.value() or b"").splitlines():
            try:
                alert = _decode(line)
            except msgspec.MsgspecError as bad:
                self.meters.unreadable.inc()
                log.warning("a record is no transition", partition=partition, offset=offset, reason=str(bad))
            else:
                self._dispatcher.take(alert, record)

    # partitions

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        for one in partitions:
            self._ways[one.partition] = Way(self._topic, one.partition)
        if partitions:
            consumer.pause(partitions)
            self._stale, self._ready, self._why = True, False, "receipts are being read"
        elif not self._stale:
            self._ready = True

    def _catch_up(self) -> None:
        """Others may have written receipts for what is ours now."""
        try:
            if not without(Guard.RECEIPTS):
                count = self._reader.catch_up(self._book, CATCH_UP_S, self._touch)
                log.info("receipts read", count=count)
            self._begin()
        except (Transient, KafkaException) as error:
            self._why = error.reason if isinstance(error, Transient) else error.args[0].str()
            log.warning("cannot begin yet", reason=self._why)
            return
        self._consumer.resume(self._places())
        self._stale, self._ready, self._pressed = False, True, False

    def _begin(self) -> None:
        new = [TopicPartition(self._topic, number) for number, way in self._ways.items() if way.position() < 0]
        for place in self._consumer.committed(new, timeout=ASK_S) if new else []:
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(self._topic, place.partition), timeout=ASK_S)
            self._ways[place.partition].begin(max(place.offset, low))

    def _touch(self) -> None:
        self.turned = time.monotonic()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """What is under way is waited for and committed, so that the next owner does not repeat it."""
        for one in partitions:
            if way := self._ways.get(one.partition):
                way.dropped = True
        self._wait_until(lambda: not self._dispatcher.finishing, DRAIN_S)
        self._writer.flush(DRAIN_S)
        self._commit(wait=True)
        consumer.incremental_unassign(partitions)
        self._drop(partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group has given them to another."""
        log.warning("partitions are lost", count=len(partitions))
        self._drop(partitions)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            if way := self._ways.pop(one.partition, None):
                way.dropped = True
        self._asking = False
        if not self._ways:
            self._ready, self._why = False, "no partition is assigned"

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in self._ways]

    def _press(self) -> None:
        """Back-pressure: stop reading while too much waits."""
        pressed = self._dispatcher.waiting > self.config.notifier_pending
        if pressed != self._pressed and not self._stale:
            (self._consumer.pause if pressed else self._consumer.resume)(self._places())
            self._pressed = pressed

    # the ends

    def _commit(self, wait: bool) -> None:
        known = [(way, position) for way in self._ways.values() if (position := way.position()) >= 0]
        due = [(way, position) for way, position in known if position > way.committed]
        now = time.monotonic()
        if not wait and (self._asking or not (due or now - self._asked_at >= BEAT_S) or not known):
            return
        if due:
            crash(Point.RECEIPT_WRITTEN)
        offsets = [TopicPartition(self._topic, way.partition, position) for way, position in (due or known)]
        for way, position in due:
            way.committed = position
        if not wait:
            self._asked_at, self._asking = now, True
            self._consumer.commit(offsets=offsets, asynchronous=True)
        elif offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                log.warning("cannot commit: the next start repeats what was read since", reason=error.args[0].str())

    def _committed(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """What could not be committed is committed again with the next."""
        self._asking = False
        failed = [(one.partition, error or one.error) for one in places if error or one.error]
        if not failed:
            self._confirmed_at = self._asked_at
        for partition, why in failed:
            if why and (way := self._ways.get(partition)):
                way.committed = -1
                log.warning("cannot commit yet", partition=partition, reason=why.str())

    def _leased(self) -> bool:
        return time.monotonic() - self._confirmed_at < LEASE_S or without(Guard.LEASE)

    def _tell(self) -> None:
        for name, lane in self._dispatcher.lanes.items():
            self.meters.pending.labels(name).set(lane.waiting)
            self.meters.failing.labels(name).set(lane.failures)
        for number, way in list(self._ways.items()):
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), cached=True)
            self.meters.lag.labels(self._topic, number).set(way.lag(end))
        if self._watched and (routes := self._watched.changed(self._dispatcher.use)) is not None:
            self.meters.routes_unreadable.set(0 if routes else 1)

    def _end(self) -> None:
        try:
            self._dispatcher.close(DRAIN_S)
            self._writer.flush(DRAIN_S)
            self._commit(wait=True)
        finally:
            self._consumer.close()
            self._writer.close()

    def _wait_until(self, asks: Callable[[], bool], patience_s: float) -> None:
        latest = time.monotonic() + patience_s
        while not asks() and time.monotonic() < latest:
            self.stop.wait(0.01)
