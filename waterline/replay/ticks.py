"""Event time for a replay. The collector's ticks tell the time on the wall, which says nothing about events that were laid
over the past month; so a replay tells its own time, into every partition, once all that happened before has been accepted.
"""

import os
from datetime import datetime

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from waterline.schemas.clients import kafka_config
from waterline.schemas.frames import encode_tick, tick_headers
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS

REACH_S, CONFIRM_S = 5.0, 30.0


class Ticks:
    """Writes ticks to `agent.events`. Numbered from 0 in each partition under a producer name that is used once."""

    def __init__(self, settings: Settings) -> None:
        """Raises `KafkaException` when the broker or the topic is not there."""
        quiet = {"log_level": 0, "acks": "all", "enable.idempotence": True}
        self._producer = Producer({**kafka_config(settings), **quiet})
        topic = self._producer.list_topics(AGENT_EVENTS.name, timeout=REACH_S).topics[AGENT_EVENTS.name]
        if topic.error is not None:
            raise KafkaException(topic.error)
        self._partitions = sorted(topic.partitions)
        self._name = f"replay-{os.urandom(6).hex()}"
        self._seq = 0
        self._failed: KafkaError | None = None

    def tell(self, now: datetime, replay: bool = True) -> None:
        """It is `now` in every partition; not of a `replay`, on the wall. Returns when the broker has confirmed; raises
        `KafkaException` if it does not."""
        value, headers = encode_tick(now, replay), tick_headers(self._name, self._seq)
        for partition in self._partitions:
            self._producer.produce(
                AGENT_EVENTS.name, value, partition=partition, headers=list(headers), on_delivery=self._delivered
            )
        unconfirmed = self._producer.flush(CONFIRM_S)
        if unconfirmed or self._failed is not None:
            raise KafkaException(self._failed or KafkaError(KafkaError._TIMED_OUT))
        self._seq += 1

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failed = error or self._failed
