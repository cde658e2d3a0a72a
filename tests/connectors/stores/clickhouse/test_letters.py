"""Dead letters: whole, the same however often they are made, and with an end."""

import base64

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.connectors.stores.clickhouse.world import LETTERS, World
from waterline.connectors.stores.clickhouse.batch import form_of, read_record
from waterline.connectors.stores.clickhouse.letters import RAW_LIMIT, Burial, letter, refused
from waterline.connectors.stores.clickhouse.plan import Lane
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.frames import BadLine
from waterline.schemas.topics import AGENT_EVENTS

LANE = Lane("agent.events", 3)
HEADERS: list[tuple[str, bytes]] = [("wl-tenant", b"acme"), ("wl-replays", b"2"), ("odd", b"\xff")]


def made(raw: bytes = b"{", **fields: object) -> DeadLetter:
    record = read_record(form_of(AGENT_EVENTS), LANE, 17, raw, HEADERS, 1_795_168_801_000)
    return letter(LANE, record, record.bad[0])


def test_it_is_whole() -> None:
    told = made()
    assert (told.id, told.index, told.code, told.tenant, told.replays) == (
        "sink/agent.events/3/17/0",
        0,
        ErrorCode.INVALID_JSON,
        "acme",
        2,
    )
    assert base64.b64decode(told.raw) == b"{"
    assert told.headers == {"wl-tenant": "acme", "wl-replays": "2", "odd": "\ufffd"}
    assert told.first_seen.isoformat() == "2026-11-20T10:00:01+00:00"
    assert made() == told


def test_a_refused_line_names_its_tenant() -> None:
    record = read_record(form_of(AGENT_EVENTS), LANE, 17, b"{", None, 0)
    told = refused(LANE, record, 4, b'{"tenant":"other"}', "why")
    assert (told.id, told.tenant, told.stage, told.code) == ("sink/agent.events/3/17/4", "other", "sending", "store_refused")


def test_what_is_too_long_for_the_topic_is_cut_and_says_so() -> None:
    record = read_record(form_of(AGENT_EVENTS), LANE, 17, b"{", None, 0)
    told = letter(LANE, record, BadLine(-1, b"x" * (RAW_LIMIT + 1), ErrorCode.TOO_LARGE, "long"))
    assert len(base64.b64decode(told.raw)) == RAW_LIMIT
    assert told.reason.endswith(f"(the first {RAW_LIMIT} of {RAW_LIMIT + 1} bytes; the rest lies in Kafka)")


def read(world: World, count: int) -> list[DeadLetter]:
    consumer = Consumer({"bootstrap.servers": world.kafka, "group.id": "look", "enable.auto.commit": False})
    consumer.assign([TopicPartition(world.topics[LETTERS], 0, 0)])
    messages = consumer.consume(count, 10)
    consumer.close()
    return [msgspec.json.decode(message.value() or b"", type=DeadLetter) for message in messages]


def test_it_is_in_kafka_when_burying_returns(world: World) -> None:
    burial = Burial({"bootstrap.servers": world.kafka}, world.topics[LETTERS])
    burial.bury([made(), made(b"x" * 900_000)], 10)
    assert world.end(topic=LETTERS) == 2
    assert read(world, 2)[0] == made()
    burial.close(5)


def test_a_letter_about_a_letter_about_a_letter_is_the_end(world: World) -> None:
    topic = world.topics[LETTERS]
    record = read_record(form_of(AGENT_EVENTS), Lane(topic, 0), 5, b"{", None, 0)
    garbage = letter(Lane(topic, 0), record, BadLine(0, b"no letter", ErrorCode.INVALID_JSON, "x"))
    nested = letter(Lane(topic, 0), record, BadLine(1, msgspec.json.encode(made()), ErrorCode.STORE_REFUSED, "x"))
    burial = Burial({"bootstrap.servers": world.kafka}, topic)
    burial.bury([garbage, nested], 10)
    assert [one.id for one in read(world, 1)] == [garbage.id]
    assert world.end(topic=LETTERS) == 1
    burial.close(5)


def test_a_broker_that_does_not_answer_may_pass() -> None:
    burial = Burial({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, "t")
    with pytest.raises(Transient, match="not confirmed"):
        burial.bury([made()], 0.2)
    burial.close(0)
