"""Frames, sequence numbers and ticks: what is confirmed is in Kafka once, and a hole can be explained."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tests.conftest import NewTopicOf
from tests.connectors.sources.collector.conftest import Tap
from waterline.connectors.sources.collector.publish import Publisher
from waterline.schemas.errors import ErrorCode, Transient

Run = Callable[[Coroutine[Any, Any, None]], None]
CHOICES: dict[str, Any] = {
    "frame_events": 1000,
    "frame_bytes": 900_000,
    "linger_s": 0.02,
    "deadline_s": 10.0,
    "queue_bytes": 64 * 2**20,
}


def publisher(kafka: str, topic: str, partitions: int = 2, **more: Any) -> Publisher:
    return Publisher({"bootstrap.servers": kafka}, "host-1-abcd", partitions, topic=topic, **{**CHOICES, **more})


def line(number: int, text: str = "") -> bytes:
    told = {"tenant": "acme", "ts": "2026-11-20T09:00:00Z", "kind": "step", "event_id": f"e-{number}"}
    return orjson.dumps({**told, "received_at": "2026-11-20T09:00:01Z", "attributes": {"text": text}})


def sequences(tap: Tap) -> dict[tuple[str, int], list[int]]:
    found = defaultdict(list)
    for partition, frame in tap.frames:
        found[frame.producer, partition].append(frame.seq)
    return found


def whole(numbers: list[int]) -> bool:
    return sorted(numbers) == list(range(len(numbers)))


def test_requests_at_once_share_frames_and_each_is_answered(kafka: str, new_topic: NewTopicOf) -> None:
    topic = new_topic(2)
    tap = Tap(kafka, topic, 2)

    async def send() -> None:
        made = publisher(kafka, topic)
        await made.send("acme", [(0, line(0))]).done
        tickets = [made.send("acme", [(number % 2, line(number))]) for number in range(1, 201)]
        await asyncio.gather(*(ticket.done for ticket in tickets))
        await made.send("acme", []).done
        assert (made.queued, made.in_flight) == (0, 0)
        assert await made.close(5) == 0

    asyncio.run(send())
    events = tap.events(201)
    assert len({event["event_id"] for event in events}) == 201
    assert len(tap.frames) == 3, "the first went alone, the others filled one frame a partition while it was on its way"
    assert all(whole(numbers) for numbers in sequences(tap).values())


def test_a_frame_is_bounded_in_events_and_bytes(kafka: str, new_topic: NewTopicOf) -> None:
    topic = new_topic(1)
    tap = Tap(kafka, topic, 1)

    async def send() -> None:
        made = publisher(kafka, topic, 1, frame_events=10, frame_bytes=5_000)
        await made.send("acme", [(0, line(number)) for number in range(25)]).done
        await made.send("acme", [(0, line(number, "x" * 2_000)) for number in range(25, 30)]).done
        await made.close(5)

    asyncio.run(send())
    tap.events(30)
    assert [len(frame.lines) for _, frame in tap.frames] == [10, 10, 5, 2, 2, 1]


def test_tenants_never_share_a_frame(kafka: str, new_topic: NewTopicOf) -> None:
    topic = new_topic(1)
    tap = Tap(kafka, topic, 1)

    async def send() -> None:
        made = publisher(kafka, topic, 1)
        told = [(tenant, line(number).replace(b"acme", tenant.encode())) for number, tenant in enumerate("abab")]
        tickets = [made.send(tenant, [(0, raw)]) for tenant, raw in told]
        await asyncio.gather(*(ticket.done for ticket in tickets))
        await made.close(5)

    asyncio.run(send())
    tap.events(4)
    frames = [[line.event.tenant for line in frame.lines] for _, frame in tap.frames]
    assert all(len(set(tenants)) == 1 for tenants in frames)
    assert sorted(tenant for tenants in frames for tenant in tenants) == ["a", "a", "b", "b"]


def test_a_tick_a_partition_in_the_same_sequence(kafka: str, new_topic: NewTopicOf) -> None:
    topic = new_topic(2)
    tap = Tap(kafka, topic, 2)
    now = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)

    async def send() -> None:
        made = publisher(kafka, topic)
        made.tick(now)
        made.tick(now)  # the ticks before have not arrived yet
        await made.send("acme", [(0, line(0))]).done
        made.tick(now)
        await made.close(5)

    asyncio.run(send())
    tap.until(lambda: len(tap.frames) == 5)
    assert [frame.time for _, frame in tap.frames if frame.tick] == [now] * 4
    assert sequences(tap) == {("host-1-abcd-0", 0): [0, 1, 2], ("host-1-abcd-0", 1): [0, 1]}


def test_a_frame_that_kafka_refuses_leaves_no_hole(kafka: str, new_topic: NewTopicOf) -> None:
    """The topic takes smaller records than our limit: its request is told, and a tick takes the number."""
    topic = new_topic(1, max_message_bytes=20_000)
    tap = Tap(kafka, topic, 1)
    noise = random.Random(1).randbytes(50_000).hex()  # so that no compression makes it small

    async def send() -> None:
        made = publisher(kafka, topic, 1)
        refused = made.send("acme", [(0, line(1, noise))])
        with pytest.raises(Transient) as caught:
            await refused.done
        assert caught.value.code is ErrorCode.KAFKA_UNAVAILABLE
        await made.send("acme", [(0, line(2))]).done
        made.tick()
        await made.close(5)

    asyncio.run(send())
    tap.until(lambda: len(tap.frames) == 2)
    assert [event["event_id"] for event in tap.lines()] == ["e-2"]
    (numbers,) = sequences(tap).values()
    assert whole(numbers)
    assert tap.frames[1][1].tick


def test_a_new_producer_is_a_new_sequence(kafka: str, new_topic: NewTopicOf) -> None:
    topic = new_topic(1)
    tap = Tap(kafka, topic, 1)

    async def send() -> None:
        made = publisher(kafka, topic, 1)
        await made.send("acme", [(0, line(1))]).done
        await made.send("acme", [(0, line(2))]).done
        lost = made.send("acme", [(0, line(3))])
        made.flush()
        made.restart()
        with pytest.raises(Transient):
            await lost.done
        await made.send("acme", [(0, line(4))]).done
        assert (made.queued, made.in_flight) == (0, 0)
        await made.close(5)

    asyncio.run(send())
    tap.until(lambda: any(event["event_id"] == "e-4" for event in tap.lines()))
    assert all(whole(numbers) for numbers in sequences(tap).values())
    assert {producer for producer, _ in sequences(tap)} == {"host-1-abcd-0", "host-1-abcd-1"}


def test_without_kafka_requests_end_at_their_deadline_and_the_queue_at_its_mark() -> None:
    async def send() -> None:
        made = publisher("127.0.0.1:1", "nowhere", 1, deadline_s=0.3, queue_bytes=10_000)
        late = made.send("acme", [(0, line(1))])
        with pytest.raises(Transient, match=r"Kafka did not confirm within 0\.3 s"):
            await late.done
        assert made.stalled_s() >= 0.3
        while made.queued < 10_000:
            made.send("acme", [(0, line(2))])
        with pytest.raises(Transient) as caught:
            made.send("acme", [(0, line(3))])
        assert caught.value.code is ErrorCode.OVERLOADED
        assert made.queued < 10_000 + 1_000
        assert await made.close(0.1) > 0

    asyncio.run(send())
