"""A past hour in ClickHouse, written as the sink and the indexer would have, and rulers that ask of it minute by minute."""

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.sql.seed import PARTITION, Store
from waterline.connectors.stores.clickhouse.ledger import Offsets, Written
from waterline.ruler.ruler import Ruler
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.events import Event, Kind
from waterline.schemas.freshness import CANARY, INDEXED, SEARCHABLE_MS
from waterline.schemas.settings import Settings
from waterline.schemas.topics import ALERT_TRANSITIONS, Topic
from waterline.streams import rules_file
from waterline.streams.steps.moment import SECOND, micros
from waterline.streams.steps.rules import RuleBook, Rules

BEGIN = (datetime.now(UTC) - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
"""Minute 0 of the tests."""
TENANT = "acme"


def at(minute: float) -> datetime:
    return BEGIN + timedelta(minutes=minute)


def only(*names: str) -> Rules:
    """The default rules that are questions and have these names."""
    default = rules_file.default()
    return msgspec.structs.replace(default, asked=tuple(one for one in default.asked if one.name in names))


class World:
    """One test's own database, topics and clock."""

    def __init__(self, kafka: str, clickhouse: str, database: str, client: Client, new_topic: Callable[..., str]) -> None:
        self.settings = Settings(kafka=kafka, clickhouse=clickhouse, clickhouse_database=database, partitions=2)
        self.client, self.store = client, Store(clickhouse, database)
        self.transitions = new_topic(2, "alert.transitions")
        self.changelog = new_topic(1, "ruler.changelog", cleanup_policy="compact")
        self.name = f"ruler-{uuid.uuid4().hex[:8]}"
        self.now = BEGIN
        self.rulers: list[Ruler] = []
        self._offset = 0

    def close(self) -> None:
        for ruler in self.rulers:
            ruler.close()
        self.store.close()

    # what was stored

    def events(self, *events: Event) -> None:
        self.store.put("events", events, "agent.events", self._offset)
        self._offset += len(events)

    def wrote(self, minute: float, *events: Event, noted: bool = True) -> None:
        """The sink wrote these at that minute, and noted where it is."""
        first = self._offset
        self.events(*events)
        now, last = at(minute), self._offset - 1
        row = Written("agent.events", PARTITION, first, last, len(events), 0, len(events), 0, 0, [], [], "1", 0, last + 1, now)
        self.store.put("ranges", [row])
        if noted:
            self.noted(minute)

    def noted(self, minute: float, waiting: int = 0) -> None:
        self.store.put("topic_offsets", [Offsets("agent.events", PARTITION, 0, self._offset + waiting, self._offset, at(minute))])

    # rulers

    def ruler(self, rules: Rules, settings: Settings | None = None) -> Ruler:
        """It has begun, and shut out the one before."""
        made = Ruler(
            settings or self.settings,
            RuleBook(rules),
            clock=lambda: micros(self.now),
            name=self.name,
            transitions=self.topic,
            changelog=self.changelog,
        )
        self.rulers.append(made)
        made.open()
        return made

    @property
    def topic(self) -> Topic:
        return Topic(self.transitions, ALERT_TRANSITIONS.key, "", AlertTransition)

    def pass_to(self, ruler: Ruler, minute: float) -> None:
        """Time goes on by the minute, and a little more than the rows may take; the ruler turns each time."""
        while self.now < at(minute):
            self.now = min(self.now + timedelta(minutes=1), at(minute))
            ruler.turn()

    def told(self) -> list[AlertTransition]:
        """All that was committed, by alert in order."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka,
                "group.id": "-",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(self.transitions, number, 0) for number in range(2)])
        found, left = [], 2
        while left:
            for message in consumer.consume(100, 0.1):
                error = message.error()
                if error is None:
                    found.append(msgspec.json.decode(message.value() or b"", type=AlertTransition))
                else:
                    assert error.code() == KafkaError._PARTITION_EOF
                    left -= 1
        consumer.close()
        return sorted(found, key=lambda one: (one.rule, one.alert_id, one.transition))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a person would see who runs the SQL of an alert."""
        result = self.client.query(sql)
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def calls(minute: float, *lags: float, prefix: str = "d", **fields: Any) -> list[Event]:
    """Model calls that end so many seconds before the minute; received a second after their end, or as `fields` say."""
    made = []
    for number, lag in enumerate(lags):
        end = at(minute) - timedelta(seconds=lag)
        given: dict[str, Any] = {"received_at": end + timedelta(seconds=min(1, lag)), "source": "otlp", "agent": "a"} | fields
        key = f"{prefix}{minute:g}-{number}"
        made.append(
            Event(
                event_id=key,
                tenant=TENANT,
                decision_key=key,
                kind=Kind.MODEL_CALL,
                ts=end - timedelta(seconds=3),
                duration_ms=3000,
                **given,
            )
        )
    return made


def indexed(minute: float, seconds: float, source: str = "wiki", name: str = INDEXED) -> Event:
    """What the indexer tells of a change that was searchable at that minute."""
    return Event(
        event_id=f"i{minute:g}-{source}-{name}",
        tenant=TENANT,
        kind=Kind.EMBEDDING,
        name=name,
        target_system=source,
        decision_key=f"{source}/today",
        ts=at(minute) - timedelta(seconds=seconds),
        duration_ms=1000 * seconds,
        received_at=at(minute),
        measures={SEARCHABLE_MS: 1000 * seconds},
    )


def canaries(first: float, last: float, source: str = "wiki") -> Iterable[Event]:
    """One every 20 seconds."""
    count = round((last - first) * 3)
    return [indexed(first + number / 3, 2, source, CANARY) for number in range(count)]


def searched(minute: float, key: str, source: str = "wiki") -> Event:
    return Event(
        event_id=f"s{minute:g}-{key}",
        tenant=TENANT,
        agent="a",
        kind=Kind.RETRIEVAL,
        target_system=source,
        decision_key=key,
        ts=at(minute),
        received_at=at(minute),
    )


RUN = Path(__file__).with_name("run_ruler.py")
__all__ = ["BEGIN", "RUN", "SECOND", "World", "at", "calls", "canaries", "indexed", "only", "searched"]
