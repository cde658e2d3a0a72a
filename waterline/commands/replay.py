"""`waterline replay`: dead letters go back to the topic they came from, after what was wrong has been mended."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer
from confluent_kafka import KafkaError, Message, Producer

from waterline import reach
from waterline.connectors.stores.clickhouse.client import errors
from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.frames import H_COUNT, H_PRODUCER, H_REPLAYS, H_SEQ, H_TENANT, parse_event
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.settings import settings
from waterline.schemas.topics import AGENT_EVENTS, AGENT_MOVED, TOPICS

DEADLINE_S = 60
LARGEST = 8 * 2**20
"""Bytes of a record, as what was buried may have been squeezed into Kafka by compression."""
OF_THE_FRAME = frozenset({H_COUNT, H_PRODUCER, H_SEQ, H_REPLAYS})
LETTERS = """
SELECT id, consumer, topic, partition, code, reason, tenant, raw, headers, replays
FROM dead_letters
WHERE ({topic:String} = '' OR topic = {topic:String})
  AND ({code:String} = '' OR code = {code:String})
  AND ({tenant:String} = '' OR tenant = {tenant:String})
  AND ({id:String} = '' OR id = {id:String})
  AND first_seen >= now() - toIntervalHour({hours:UInt32})
ORDER BY first_seen, id
LIMIT 1 BY id
LIMIT {most:UInt32}
"""


def register(app: typer.Typer) -> None:
    app.command()(replay)


def replay(
    topic: Annotated[str, typer.Option(help="only letters from this topic")] = "",
    code: Annotated[str, typer.Option(help="only letters with this error code")] = "",
    tenant: Annotated[str, typer.Option(help="only letters of this tenant")] = "",
    letter: Annotated[str, typer.Option("--id", help="only this letter, as `waterline ask buried` shows it")] = "",
    hours: Annotated[int, typer.Option(help="only letters first seen within so many hours", min=1)] = 24,
    most: Annotated[int, typer.Option(help="at most so many", min=1)] = 10_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be sent, and send nothing")] = False,
) -> None:
    """Send dead letters to their topic again. What is still bad is buried again, with the count of its replays."""
    known = [str(one) for one in ErrorCode]
    if code and code not in known:
        raise typer.BadParameter(f"{code!r} is no error code; these are: {', '.join(known)}", param_hint="--code")
    if topic and topic not in {one.name for one in TOPICS}:
        raise typer.BadParameter(f"{topic!r} is no topic; `schemas/REFERENCE.md` lists them", param_hint="--topic")
    given = {"topic": topic, "code": code, "tenant": tenant, "id": letter, "hours": hours, "most": most}
    if not dry_run:
        reach.kafka(settings())
    with reach.store(settings()) as client, errors():
        letters = list(client.query(LETTERS, parameters=given).named_results())
    for one in letters:
        typer.echo(f"{one['id']}  {one['code']}  {one['reason']}")
    if not dry_run:
        send(letters)
    typer.echo(f"{len(letters):,} dead letters {'would be' if dry_run else 'were'} sent again")


def send(letters: Sequence[Mapping[str, Any]]) -> None:
    """Returns when Kafka has confirmed all. Raises Transient; what was sent until then is sent."""
    failed: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error.str())

    mine = {"enable.idempotence": True, "message.timeout.ms": DEADLINE_S * 1000, "message.max.bytes": LARGEST}
    producer = Producer(kafka_config(settings()) | mine)
    for topic, partition, value, headers in records(letters, settings().partitions):
        producer.produce(topic, value, partition=partition, headers=headers, on_delivery=delivered)
        producer.poll(0)
    left = producer.flush(DEADLINE_S)
    if left or failed:
        why = failed[0] if failed else "no answer"
        raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{left + len(failed)} dead letters were not sent again: {why}")


def records(
    letters: Sequence[Mapping[str, Any]], partitions: int
) -> Iterator[tuple[str, int, bytes, list[tuple[str, str | bytes | None]]]]:
    """Topic, partition, value and headers of each letter.

    An event that can be read now goes where its decision is. What the streams buried of `agent.events` is stored already: it
    goes to `agent.moved`, which they alone read. Numbers and count of the frame it came in are left out.
    """
    for one in letters:
        value = base64.b64decode(one["raw"])
        kept = {name: text.encode() for name, text in one["headers"].items() if name not in OF_THE_FRAME}
        if one["tenant"]:
            kept[H_TENANT] = str(one["tenant"]).encode()
        headers: list[tuple[str, str | bytes | None]] = [*kept.items(), (H_REPLAYS, b"%d" % (int(one["replays"]) + 1))]
        try:
            event = parse_event(value)
            key = routing_key(event.tenant, event.decision_key or event.trace_id, event.decision_id, event.event_id)
            partition = partition_of(key, partitions)
        except (msgspec.DecodeError, ValueError):
            partition = int(one["partition"])
        stored = one["consumer"] == "streams" and one["topic"] == AGENT_EVENTS.name
        yield AGENT_MOVED.name if stored else str(one["topic"]), partition, value, headers
