"""History as ClickHouse keeps it: the events of a span in the order in which the streams took them, a slice at a time.

Within a partition of Kafka that order is the one of the rows' positions, exactly. Between partitions nothing was ever in order;
here they go side by side, second by second of their receipt.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client
from msgspec import Struct

from waterline.connectors.stores.clickhouse.client import errors
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.events import Event
from waterline.schemas.facts import PriceVersion
from waterline.schemas.frames import parse_event

SLICE_ROWS = 20_000
MINUTE_S = 60
NO_OFFSET = 2**62
READ = {"readonly": 2}
"""The engine itself refuses to write."""
FORM = READ | {
    "date_time_output_format": "iso",
    "output_format_json_quote_decimals": 1,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_named_tuples_as_objects": 1,
}
"""As the wire has it: the models of `schemas` read what ClickHouse answers."""
WANTED = """
({tenant:String} = '' OR tenant = {tenant:String})
  AND received_at >= {since:DateTime64(6, 'UTC')}
  AND (clock = 'replay' AND ts >= {since:DateTime64(6, 'UTC')} AND ts < {replay_until:DateTime64(6, 'UTC')}
    OR clock != 'replay' AND received_at < {until:DateTime64(6, 'UTC')})"""
MINUTES = f"""
SELECT kafka_partition, toUInt64(toUnixTimestamp(toStartOfMinute(received_at))) AS minute,
       min(kafka_offset), max(kafka_offset), count()
FROM events WHERE {WANTED}
GROUP BY kafka_partition, minute ORDER BY minute, kafka_partition"""
COUNT = f"SELECT count() FROM events WHERE {WANTED}"
ROWS = f"""
SELECT {", ".join(Event.__struct_fields__)}
FROM
(
    SELECT *, max(received_at) OVER (PARTITION BY kafka_partition ORDER BY kafka_offset, frame_index) AS taken_at
    FROM events
    WHERE {WANTED}
      AND received_at >= fromUnixTimestamp64Micro({{first:Int64}}, 'UTC')
      AND received_at < fromUnixTimestamp64Micro({{after:Int64}}, 'UTC')
      AND kafka_offset > {{above:Array(Int64)}}[kafka_partition + 1]
      AND kafka_offset <= {{upto:Array(Int64)}}[kafka_partition + 1]
)
ORDER BY toStartOfSecond(taken_at), kafka_partition, kafka_offset, frame_index"""
TOLD = f"""
SELECT {", ".join(f"`{name}`" for name in AlertTransition.__struct_fields__)}
FROM alert_transitions
WHERE ({{tenant:String}} = '' OR tenant = {{tenant:String}})
  AND at >= {{since:DateTime64(6, 'UTC')}} AND at < {{until:DateTime64(6, 'UTC')}}
ORDER BY alert_id, transition, revision DESC, kafka_partition, kafka_offset, frame_index
LIMIT 1 BY alert_id, transition"""
HELD = """
SELECT count(), min(if(clock = 'replay', ts, received_at) AS own), max(own)
FROM events WHERE {tenant:String} = '' OR tenant = {tenant:String}"""
PRICES = f"SELECT {', '.join(PriceVersion.__struct_fields__)} FROM price_versions ORDER BY known_from LIMIT 1 BY price_id"

_price = msgspec.json.Decoder(PriceVersion).decode
_transition = msgspec.json.Decoder(AlertTransition).decode


class Span(Struct, frozen=True):
    """Whose events, `tenant` empty for everyone's: live ones received in [since, until), replayed ones of [since,
    replay_until) by their own time."""

    tenant: str
    since: datetime
    until: datetime
    replay_until: datetime

    @property
    def parameters(self) -> dict[str, Any]:
        times = {name: as_text(getattr(self, name)) for name in ("since", "until", "replay_until")}
        return {"tenant": self.tenant, **times}


class Minute(Struct, frozen=True):
    """Rows of one partition that were received in one minute (seconds since 1970): their offsets and number."""

    partition: int
    at: int
    low: int
    high: int
    rows: int


class Slice(Struct):
    """Rows at offsets in (above, upto] of each partition; all were received in [first, last] (minutes, in seconds)."""

    above: list[int]
    upto: list[int]
    first: int
    last: int


class History:
    """The events of a span. `rows` are known before any is read."""

    def __init__(self, client: Client, span: Span) -> None:
        self._client, self._span = client, span
        with errors():
            found = client.query(MINUTES, parameters=span.parameters, settings=READ).result_rows
        minutes = [Minute(*(int(value) for value in row)) for row in found]
        self.rows = sum(minute.rows for minute in minutes)
        self.slices = cut(minutes)

    def events(self) -> Iterator[Event]:
        """Raises Transient when rows that were counted are not there any more, or the store goes away."""
        read = 0
        for part in self.slices:
            for line in self._read(part).split(b"\n"):
                if line:
                    yield parse_event(line)
                    read += 1
        if read != self.rows:
            reason = f"{self.rows:,} events were kept at first and {read:,} could be read: history changed meanwhile, try again"
            raise Transient(ErrorCode.STORE_UNAVAILABLE, reason)

    def _read(self, part: Slice) -> bytes:
        times = {"first": part.first * 1_000_000, "after": (part.last + MINUTE_S) * 1_000_000}
        given = self._span.parameters | times | {"above": part.above, "upto": part.upto}
        with errors():
            return self._client.raw_query(ROWS, parameters=given, settings=FORM, fmt="JSONEachRow")


def cut(minutes: Sequence[Minute], most: int = SLICE_ROWS) -> list[Slice]:
    """Slices of about `most` rows, of whole minutes, that keep each partition's order. `minutes` are in order of time.

    A row may have been received long before those at the offsets around it (a dead letter that was sent again). It is taken
    where its offset is, and its slice looks back for it.
    """
    partitions = 1 + max((minute.partition for minute in minutes), default=-1)
    begin, upto = [NO_OFFSET] * partitions, [-1] * partitions
    for minute in minutes:
        begin[minute.partition] = min(begin[minute.partition], minute.low - 1)
        upto[minute.partition] = max(upto[minute.partition], minute.high)
    ends: list[tuple[int, list[int]]] = []
    rows, before = 0, 0
    for minute in reversed(minutes):
        if not ends or (rows >= most and minute.at != before):
            ends.append((minute.at, list(upto)))
            rows = 0
        rows, before = rows + minute.rows, minute.at
        upto[minute.partition] = min(upto[minute.partition], minute.low - 1)
    ends.reverse()
    slices = [Slice(ends[n - 1][1] if n else begin, upto, at, at) for n, (at, upto) in enumerate(ends)]
    _place(minutes, slices)
    return slices


def _place(minutes: Sequence[Minute], slices: Sequence[Slice]) -> None:
    """Tells each slice in which time the rows at its offsets were received."""
    upto = [[part.upto[at] for part in slices] for at in range(len(slices[0].upto) if slices else 0)]
    for minute in minutes:
        at = minute.partition
        for part in islice(slices, bisect_left(upto[at], minute.low), None):
            if part.above[at] >= minute.high:
                break
            part.first, part.last = min(part.first, minute.at), max(part.last, minute.at)


def told(client: Client, tenant: str, since: datetime, until: datetime) -> list[AlertTransition]:
    """Transitions that were concluded in [since, until) of event time."""
    given = {"tenant": tenant, "since": as_text(since), "until": as_text(until)}
    with errors():
        found = client.raw_query(TOLD, parameters=given, settings=FORM, fmt="JSONEachRow")
    return [_transition(line) for line in found.split(b"\n") if line]


def prices(client: Client) -> list[PriceVersion]:
    """Every price that was published."""
    with errors():
        found = client.raw_query(PRICES, settings=FORM, fmt="JSONEachRow")
    return [_price(line) for line in found.split(b"\n") if line]


def count(client: Client, span: Span) -> int:
    """How many events of the span are kept."""
    with errors():
        return int(client.query(COUNT, parameters=span.parameters, settings=READ).result_rows[0][0])


def held(client: Client, tenant: str) -> tuple[int, datetime, datetime]:
    """How many events there are at all, and when the first and the last one were received or, of a replay, happened."""
    with errors():
        rows, first, last = client.query(HELD, parameters={"tenant": tenant}, settings=READ).result_rows[0]
    return int(rows), first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)


def as_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"
