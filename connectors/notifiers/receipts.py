"""Receipts in Kafka: topic `alert.deliveries`, compacted, one record for each alert, transition and channel."""

import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from waterline.connectors.notifiers.book import Book
from waterline.connectors.notifiers.progress import Record
from waterline.schemas.alerts import AlertDelivery
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.topics import ALERT_DELIVERIES

ASK_S = 10.0
Entry = tuple[AlertDelivery, Record, Callable[[], None]]
_decode = msgspec.json.Decoder(AlertDelivery).decode
_encode = msgspec.json.Encoder().encode

log = structlog.get_logger()


def key_of(delivery: AlertDelivery) -> bytes:
    return f"{delivery.alert_id}/{delivery.transition}/{delivery.channel}".encode()


class Reader:
    """Fills a book from the topic; each call reads on from where the last one ended."""

    def __init__(self, config: dict[str, Any], topic: str = ALERT_DELIVERIES.name) -> None:
        mine = {
            "group.id": "waterline-notifier-receipts",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 2,
        }
        self._config, self._topic = config | mine, topic
        self._next: dict[int, int] = {}

    def catch_up(self, book: Book, patience_s: float, turn: Callable[[], None]) -> int:
        """Reads to the end of every partition and returns how many receipts came. Raises Transient when that takes longer than
        `patience_s`; what was read by then is kept. `turn` is called now and then."""
        consumer = Consumer(self._config)
        try:
            return self._read(consumer, book, time.monotonic() + patience_s, turn)
        except KafkaException as error:
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"receipts cannot be read: {error.args[0].str()}") from error
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, book: Book, latest: float, turn: Callable[[], None]) -> int:
        found = consumer.list_topics(self._topic, timeout=ASK_S).topics[self._topic]
        if found.error is not None:
            raise KafkaException(found.error)
        left = set(found.partitions)
        consumer.assign([TopicPartition(self._topic, number, self._next.get(number, 0)) for number in left])
        count = 0
        while left:
            if time.monotonic() > latest:
                raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{count} receipts were read, and that is not all")
            for message in consumer.consume(1000, 0.2):
                number, offset = message.partition(), message.offset()
                if number is None or offset is None:
                    raise KafkaException(message.error())
                error = message.error()
                if error is None:
                    count += _note(message, book)
                    self._next[number] = offset + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(number)
                else:
                    raise KafkaException(error)
            turn()
        return count


def _note(message: Message, book: Book) -> int:
    value = message.value()
    if not value:
        return 0
    try:
        book.note(_decode(value))
    except msgspec.MsgspecError as error:
        log.warning("a record is no receipt", partition=message.partition(), offset=message.offset(), reason=str(error))
        return 0
    return 1


class Writer:
    """Hands receipts to the broker in a thread of its own. Once it has one, the record is done with it and `after` is called.
    Safe in many threads."""

    def __init__(self, config: dict[str, Any], topic: str = ALERT_DELIVERIES.name) -> None:
        mine = {
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 2,
            "log_level": 2,
        }
        self._producer = Producer(config | mine)
        self._topic = topic
        self._waiting: SimpleQueue[Entry] = SimpleQueue()
        self._open = 0
        self._counting = Lock()
        self._over = Event()
        self._fatal: KafkaError | None = None
        self._thread = Thread(target=self._work, name="receipts", daemon=True)
        self._thread.start()

    def write(self, delivery: AlertDelivery, record: Record, after: Callable[[], None] = lambda: None) -> None:
        with self._counting:
            self._open += 1
        self._waiting.put((delivery, record, after))

    def check(self) -> None:
        """Raises KafkaException when only a new process can go on."""
        if self._fatal is not None:
            raise KafkaException(self._fatal)

    def flush(self, patience_s: float) -> bool:
        """Whether the broker has all."""
        latest = time.monotonic() + patience_s
        while self._open and time.monotonic() < latest and self._fatal is None:
            self._over.wait(0.005)
        return not self._open

    def close(self) -> None:
        self._over.set()
        self._thread.join(ASK_S)

    def _work(self) -> None:
        while not self._over.is_set():
            with suppress(Empty):
                self._hand_over(self._waiting.get(timeout=0.005 if len(self._producer) else 0.1))
            self._producer.poll(0)

    def _hand_over(self, entry: Entry) -> None:
        delivery, record, after = entry

        def confirmed(error: KafkaError | None, _message: object) -> None:
            if error is None:
                with self._counting:
                    self._open -= 1
                record.done()
                after()
            elif error.fatal():
                self._fatal = error
            else:
                self._waiting.put(entry)

        try:
            self._producer.produce(self._topic, _encode(delivery), key_of(delivery), on_delivery=confirmed)
        except BufferError:
            self._producer.poll(0.1)
            self._waiting.put(entry)
        except KafkaException as error:
            self._fatal = error.args[0]
