"""Lines -> frames -> Kafka. A request is answered when the broker has confirmed every frame that holds one of its lines.

    1. lines of one tenant and partition gather in an open frame, whoever sent them
    2. the frame closes when it is full, when nothing is on its way to Kafka, or after the linger time
    3. it takes the partition's next sequence number and is handed to librdkafka (idempotent, acks=all, retried without end)
    4. its delivery report settles the requests that wait for it

    Kafka is away              the frame stays queued and in order; its requests are answered 503 at their deadline. It may
                               still be delivered: the sender's retry is then a second copy, which readers drop by event_id
    too much is queued         `send` refuses at once with 503 (setting collector_queue_bytes)
    Kafka refuses a frame      its requests are answered 503; the sequence number goes to a tick, so that the sequence has no hole
    the producer is broken     (a fatal error of idempotence) its frames are answered 503, another starts under a new name
    the process ends           `close` waits for the reports; a frame without one was never answered with success

So a hole in a sequence is a frame that Kafka confirmed and then lost.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from waterline.connectors.sources.collector.intake import Lines
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.frames import encode_frame, encode_tick, frame_headers, tick_headers
from waterline.schemas.topics import AGENT_EVENTS

POLL_S = 0.001
IDLE_POLL_S = 0.05
RETRY_S = 1.0

Count = Callable[[str], None]
Headers = list[tuple[str, str | bytes | None]]


def _uncounted(name: str) -> None:
    """Until someone counts."""


class Ticket:
    """A request that waits for its frames."""

    __slots__ = ("done", "open")

    def __init__(self, done: "asyncio.Future[None]") -> None:
        self.done = done
        self.open = 0

    def settle(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Transient) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Frame:
    """Lines that share a record. `tickets` are the requests they came in."""

    __slots__ = ("born", "lines", "size", "tickets")

    def __init__(self, born: float) -> None:
        self.born = born
        self.lines: list[bytes] = []
        self.size = 0
        self.tickets: list[Ticket] = []


class Publisher:
    """Belongs to one event loop; every call and every report happens in its thread."""

    def __init__(
        self,
        config: dict[str, Any],
        instance: str,
        partitions: int,
        *,
        frame_events: int,
        frame_bytes: int,
        linger_s: float,
        deadline_s: float,
        queue_bytes: int,
        topic: str = AGENT_EVENTS.name,
    ) -> None:
        self.partitions = partitions
        self.topic = topic
        self.frame_events, self.frame_bytes = frame_events, frame_bytes
        self.linger_s, self.deadline_s, self.queue_bytes = linger_s, deadline_s, queue_bytes
        self.queued = 0
        self.count: Count = _uncounted
        self._born: dict[int, float] = {}
        self._waiting: dict[int, Frame] = {}
        self._config = config
        self._instance = instance
        self._generation = 0
        self._open: dict[tuple[str, str, int], Frame] = {}
        self._in_flight = 0
        self._numbers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Handle | None = None
        self._poller: asyncio.TimerHandle | None = None
        self._seq: dict[tuple[str, int], int] = {}
        self._holes: dict[tuple[str, int], list[int]] = {}
        self._ticking: set[int] = set()
        self._producer: Producer
        self._broken: list[Producer] = []
        self._loop = asyncio.get_running_loop()
        self._start()

    @property
    def name(self) -> str:
        """What the frames' `wl-producer` says: instance, boot, and which producer of this process."""
        return f"{self._instance}-{self._generation}"

    def _start(self) -> None:
        self._producer = Producer(
            {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 0.5,
                "message.timeout.ms": 0,
                "queue.buffering.max.kbytes": max(4 * self.queue_bytes // 1024, 65_536),
                "queue.buffering.max.messages": 1_000_000,
                "message.max.bytes": self.frame_bytes + 2**16,
                "reconnect.backoff.max.ms": 1_000,
                "client.id": f"waterline-collector-{self._instance}",
                "log_level": 3,
                "logger": logging.getLogger("librdkafka"),
                "error_cb": self._problem,
                **self._config,
            }
        )
        self._poll_later(IDLE_POLL_S)

    # requests

    def send(self, tenant: str, lines: Lines, topic: str = "", ticket: Ticket | None = None) -> Ticket:
        """Queue lines; the ticket's future is done when Kafka has confirmed them all. Raises Transient over the mark."""
        if ticket is None:
            ticket = Ticket(self._loop.create_future())
        if self.queued >= self.queue_bytes:
            raise Transient(ErrorCode.OVERLOADED, f"{self.queued} bytes wait for Kafka, the mark is {self.queue_bytes}")
        opened, now, topic = self._open, time.monotonic(), topic or self.topic
        for partition, line in lines:
            key = (topic, tenant, partition)
            frame = opened.get(key)
            size = len(line) + 1
            if frame is not None and (len(frame.lines) >= self.frame_events or frame.size + size > self.frame_bytes):
                del opened[key]
                self._produce(key, frame)
                frame = None
            if frame is None:
                frame = opened[key] = Frame(now)
            frame.lines.append(line)
            frame.size += size
            self.queued += size
            if not frame.tickets or frame.tickets[-1] is not ticket:
                frame.tickets.append(ticket)
                ticket.open += 1
        if opened:
            self._close_soon()
        if not ticket.open and not ticket.done.done():
            ticket.done.set_result(None)
        return ticket

    def _close_soon(self) -> None:
        """With nothing on its way to Kafka a frame gains nothing by waiting; else it waits for company."""
        if not self._in_flight:
            if self._closing is None:
                self._closing = self._loop.call_soon(self.flush)
        elif self._timer is None:
            self._timer = self._loop.call_later(self.linger_s, self.flush)

    def flush(self) -> None:
        """Hand every open frame to Kafka."""
        if self._timer is not None:
            self._timer.cancel()
        if self._closing is not None:
            self._closing.cancel()
        self._timer = self._closing = None
        opened, self._open = self._open, {}
        for key, frame in opened.items():
            self._produce(key, frame)
        self._producer.poll(0)

    # Kafka

    def _produce(self, key: tuple[str, str, int], frame: Frame) -> None:
        topic, tenant, partition = key
        seq = self._next(topic, partition)
        value = encode_frame(frame.lines)
        count = len(frame.lines)
        frame.lines = []
        headers: Headers = [*frame_headers(tenant, count, self.name, seq)]
        number = self._track(frame.born)
        self._waiting[number] = frame
        generation = self._generation

        def report(error: KafkaError | None, _: Message) -> None:
            self._reported(number)
            self.queued -= frame.size
            if error is None:
                for ticket in frame.tickets:
                    ticket.settle()
                return
            if generation == self._generation:
                self._holes.setdefault((topic, partition), []).append(seq)
            self._refused(frame, f"Kafka refused the frame: {error.str()}")

        try:
            self._producer.produce(topic, value=value, partition=partition, headers=headers, on_delivery=report)
        except (BufferError, KafkaException) as error:
            self._reported(number)
            self.queued -= frame.size
            self._holes.setdefault((topic, partition), []).append(seq)
            self._refused(frame, f"Kafka's client refused the frame: {error}")
            return
        self.count("collector_frames_total")
        self._poll_later(POLL_S)

    def _refused(self, frame: Frame, reason: str) -> None:
        self.count("collector_frames_refused_total")
        for ticket in frame.tickets:
            ticket.fail(Transient(ErrorCode.KAFKA_UNAVAILABLE, reason))

    def _next(self, topic: str, partition: int) -> int:
        seq = self._seq.get((topic, partition), 0)
        self._seq[topic, partition] = seq + 1
        return seq

    def _track(self, born: float) -> int:
        self._numbers += 1
        self._in_flight += 1
        self._born[self._numbers] = born
        return self._numbers

    def _reported(self, number: int) -> None:
        self._in_flight -= 1
        self._born.pop(number, None)
        self._waiting.pop(number, None)
        if not self._in_flight and self._open:
            self._close_soon()

    def _poll_later(self, delay: float) -> None:
        if self._poller is not None:
            if self._poller.when() - self._loop.time() <= delay:
                return
            self._poller.cancel()
        self._poller = self._loop.call_later(delay, self._poll)

    def _poll(self) -> None:
        self._poller = None
        self._producer.poll(0)
        if self._broken:
            for broken in self._broken:
                broken.poll(0)
            self._broken = [broken for broken in self._broken if len(broken)]
        self._expire()
        self._poll_later(POLL_S if self._in_flight else IDLE_POLL_S)

    def _expire(self) -> None:
        """Answer the requests whose frame has waited for the deadline. The frame itself stays queued."""
        while self._waiting:
            number, frame = next(iter(self._waiting.items()))
            if time.monotonic() - frame.born < self.deadline_s:
                return
            del self._waiting[number]
            reason = f"Kafka did not confirm within {self.deadline_s:g} s; it may still do so"
            late = Transient(ErrorCode.KAFKA_UNAVAILABLE, reason)
            for ticket in frame.tickets:
                ticket.fail(late)

    def _problem(self, error: KafkaError) -> None:
        if error.fatal():
            self._loop.call_soon(self.restart)

    def restart(self) -> None:
        """Give up the producer and what is on its way; begin anew under another name, so that no sequence goes on with a hole."""
        self.count("collector_producer_restarts_total")
        self._generation += 1
        self._seq.clear()
        self._holes.clear()
        self._producer.purge()
        self._broken.append(self._producer)
        self._start()

    # ticks

    def tick(self, now: datetime | None = None) -> None:
        """One tick into every partition whose last one has arrived; a number that Kafka refused a frame under is used first."""
        moment = now or datetime.now(UTC)
        for partition in range(self.partitions):
            if partition not in self._ticking:
                self._tick(partition, encode_tick(moment))

    def _tick(self, partition: int, value: bytes) -> None:
        topic = self.topic
        holes = self._holes.get((topic, partition))
        seq = holes.pop(0) if holes else self._next(topic, partition)
        number = self._track(time.monotonic())
        generation = self._generation
        self._ticking.add(partition)

        def report(error: KafkaError | None, _: Message) -> None:
            self._reported(number)
            self._ticking.discard(partition)
            if error is not None and generation == self._generation:
                self._holes.setdefault((topic, partition), []).append(seq)

        try:
            headers: Headers = [*tick_headers(self.name, seq)]
            self._producer.produce(topic, value=value, partition=partition, headers=headers, on_delivery=report)
        except (BufferError, KafkaException):
            self._reported(number)
            self._ticking.discard(partition)
            self._holes.setdefault((topic, partition), []).append(seq)
        self._poll_later(POLL_S)

    # health and the end

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def stalled_s(self) -> float:
        """Age of the oldest frame or tick that Kafka has not confirmed."""
        return time.monotonic() - next(iter(self._born.values())) if self._born else 0.0

    async def close(self, deadline_s: float) -> int:
        """Send what is open and wait for the reports; returns how many frames are still without one."""
        self.flush()
        until = time.monotonic() + deadline_s
        while self._in_flight and time.monotonic() < until:
            self._producer.poll(0)
            await asyncio.sleep(POLL_S)
        if self._poller is not None:
            self._poller.cancel()
        return self._in_flight
