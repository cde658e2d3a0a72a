"""Whether there is room to take more: Kafka answers, its topic is as declared, the disk and the queue are under their marks."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from waterline.connectors.sources.collector.publish import Publisher
from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS

STALLED_S = 5.0
ASK_S = 3.0
DISK_RETRY_S = 10.0


class Room:
    """`refusal` is what to tell a sender now; `reasons` is the same for /readyz, and earlier."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self.free = 0
        self._settings = settings
        self._publisher = publisher
        self._topic = f"Kafka at {settings.kafka} has not answered yet"
        config: dict[str, Any] = {**kafka_config(settings), "log_level": 0, "logger": logging.getLogger("librdkafka")}
        self._admin = AdminClient(config)

    async def look(self) -> None:
        """Look again, at the topic only until it was seen as declared."""
        if self._topic:
            self._topic = await asyncio.to_thread(self._ask)
        self.free = await asyncio.to_thread(free_bytes, self._settings.data_dir)

    def reasons(self) -> list[str]:
        """Why the collector is not ready; empty when it is."""
        publisher, settings = self._publisher, self._settings
        found = [self._topic] if self._topic else []
        stalled = publisher.stalled_s()
        if stalled > min(STALLED_S, settings.collector_deadline_s):
            found.append(f"Kafka has not confirmed a frame for {stalled:.0f} s")
        if self.free < settings.free_space_mark:
            found.append(self._disk())
        if publisher.queued >= settings.collector_queue_bytes:
            found.append(f"{publisher.queued} bytes wait for Kafka, the mark is {settings.collector_queue_bytes}")
        return found

    def refusal(self) -> Transient | None:
        """None = come in."""
        if self._topic:
            return Transient(ErrorCode.KAFKA_UNAVAILABLE, self._topic)
        if self.free < self._settings.free_space_mark:
            return Transient(ErrorCode.DISK_FULL, self._disk(), DISK_RETRY_S)
        stalled = self._publisher.stalled_s()
        if stalled > self._settings.collector_deadline_s:
            return Transient(ErrorCode.KAFKA_UNAVAILABLE, f"Kafka has not confirmed a frame for {stalled:.0f} s")
        return None

    def _disk(self) -> str:
        return (
            f"{self._settings.data_dir} has {self.free} bytes free, the mark is {self._settings.free_space_mark}; "
            "make room, or set WATERLINE_FREE_SPACE_MARK"
        )

    def _ask(self) -> str:
        """What is wrong with the topic, empty when nothing is."""
        name, partitions = AGENT_EVENTS.name, self._settings.partitions
        try:
            topic = self._admin.list_topics(name, timeout=ASK_S).topics[name]
        except KafkaException as error:
            return f"Kafka at {self._settings.kafka} does not answer: {error.args[0].str()}"
        if topic.error is not None:
            return f"Kafka has no topic {name}: {topic.error.str()}; `waterline migrate` makes it"
        if len(topic.partitions) != partitions:
            return f"topic {name} has {len(topic.partitions)} partitions, WATERLINE_PARTITIONS is {partitions}"
        return ""


def free_bytes(place: Path) -> int:
    """Free bytes of the disk that holds `place`, or will."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free
