"""Folding the whole history again, from the first event in Kafka, after a fold was changed or its state went bad.

The state of both stages goes, and with it what they told each other; both are in topics of their own, which are made anew. A
worker that starts then finds no place in its inputs and begins at the first record; its local copies are of topics that are no
more, so it wipes them. Facts are told again, under the same keys, into the same topics; what was told last counts.

Two things are kept, since others hold on to them: which decision a business id was elected for (the first proposal elected it,
and which is the first may turn out otherwise at another speed), and the running numbers of records, by which a hole is seen.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from waterline.refill import ASK_S, LOOK_AGAIN_S, Refused
from waterline.schemas.changelog import PLACE, Place
from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS, AGENT_MOVED, DECIDE_CHANGELOG, GROUP_INPUTS, GROUPS_CHANGELOG
from waterline.stack import topics
from waterline.streams.changelog import Block, Changelog, Unsettled
from waterline.streams.steps.keep import EXPIRY, LINK, expiry_key

ANEW = (AGENT_MOVED, GROUP_INPUTS, DECIDE_CHANGELOG, GROUPS_CHANGELOG)
CHANGELOGS = (DECIDE_CHANGELOG, GROUPS_CHANGELOG)
NOTE = "refold.state"
"""In the data directory from before the topics go until all is written: a refold that was broken off goes on from it."""
DELETED_S = 30.0
_DAY = len(expiry_key(0, b""))


class Kept(Struct):
    """`records` of `agent.events`, ticks among them, will be folded. `state`, by changelog and partition, is what goes into the
    new ones."""

    records: int
    state: dict[str, dict[int, dict[bytes, bytes]]]

    @property
    def links(self) -> int:
        return sum(key.startswith(LINK) for of in self.state.values() for held in of.values() for key in held)


_read_note = msgspec.msgpack.Decoder(Kept).decode


def look(config: Settings, admin: AdminClient) -> Kept:
    """What will be folded, and what is kept. Raises Refused when Kafka no longer holds the beginning, Transient without Kafka."""
    source = Changelog(kafka_config(config), AGENT_EVENTS.name)
    with _answered():
        partitions = range(len(admin.list_topics(AGENT_EVENTS.name, timeout=ASK_S).topics[AGENT_EVENTS.name].partitions))
        if gone := [f"{n} begins at offset {first:,}" for n in partitions if (first := source.start(n))]:
            raise Refused(
                f"Kafka does not hold the beginning of {AGENT_EVENTS.name} any more (partition {', '.join(gone[:3])}): what "
                "stands on older events would be told anew from less than it was. Nothing was done"
            )
        if (note := config.data_dir / NOTE).exists():
            return _read_note(note.read_bytes())
        kept = Kept(sum(source.ends(partitions).values()), {})
        for topic in CHANGELOGS:
            changelog = Changelog(kafka_config(config), topic.name)
            for number, end in changelog.ends(partitions).items():
                held = kept.state.setdefault(topic.name, {})[number] = {}
                changelog.read(number, changelog.start(number), end, partial(_keep, held))
    return kept


def _keep(held: dict[bytes, bytes], block: Block, _offset: int) -> None:
    for key, value in block.items():
        if not (key == PLACE or key.startswith(LINK) or (key.startswith(EXPIRY) and key[_DAY:].startswith(LINK))):
            continue
        if value is None:
            held.pop(key, None)
        elif key == PLACE:
            held[key] = msgspec.json.encode(Place(sequences=msgspec.json.decode(value, type=Place).sequences))
        else:
            held[key] = value


def run(config: Settings, admin: AdminClient, kept: Kept) -> None:
    """No worker may be in the group. Raises Transient without Kafka; the whole is then done again."""
    note = config.data_dir / NOTE
    note.parent.mkdir(parents=True, exist_ok=True)
    with note.open("wb") as file:
        file.write(msgspec.msgpack.encode(kept))
        file.flush()
        os.fsync(file.fileno())
    with _answered():
        present = admin.list_topics(timeout=ASK_S).topics
        names = [topic.name for topic in ANEW if topic.name in present]
        for future in (admin.delete_topics(names, operation_timeout=ASK_S) if names else {}).values():
            future.result()
        _make(config, admin)
        _write(config, kept)
    note.unlink()


def _make(config: Settings, admin: AdminClient) -> None:
    """Each is made by this process: while an old one is still there, it is waited for."""
    deadline = time.monotonic() + DELETED_S
    made: set[str] = set()
    while True:
        made.update(topics.create(admin, config.partitions, config.replication_factor, ANEW))
        if len(made) == len(ANEW):
            return
        if time.monotonic() > deadline:
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"Kafka did not make {', '.join(one.name for one in ANEW)} anew in time")
        time.sleep(LOOK_AGAIN_S)


def _write(config: Settings, kept: Kept) -> None:
    producer = Producer(kafka_config(config) | {"acks": "all", "enable.idempotence": True, "log_level": 0})
    failed: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error.str())

    for topic, partitions in kept.state.items():
        for number, held in partitions.items():
            for key, value in held.items():
                producer.produce(topic, value, key, partition=number, on_delivery=delivered)
                producer.poll(0)
    left = producer.flush(ASK_S)
    if left or failed:
        raise Transient(
            ErrorCode.KAFKA_UNAVAILABLE, f"{left + len(failed)} states were not written: {(failed or ['no answer'])[0]}"
        )


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"Kafka does not do what is needed: {error.args[0].str()}") from error
    except (Unsettled, topics.TopicError) as error:
        raise Transient(ErrorCode.KAFKA_UNAVAILABLE, str(error)) from error
