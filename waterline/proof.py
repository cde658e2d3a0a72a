"""The proof that nothing was lost and nothing is stored twice, up to the offsets that Kafka had when it was asked for.

1. Kafka says where each partition begins and ends.
2. The ledger must cover every offset in between. What it does not cover yet is in flight: waited for, up to a deadline.
   Offsets without a record (commit markers of transactions, compacted keys) and ticks are nothing to wait for.
3. The tables must hold what the ledger says was written: no row missing, none at a place where another lies already.
4. What the sink buried must be among the dead letters.

Two things are asked first, for a store that lost something cannot tell of it: whether all tables are there, and whether the
sink has passed offsets that its ledger knows nothing of.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from waterline.connectors.stores.clickhouse import migrate, questions
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.connectors.stores.clickhouse.sink import GROUP
from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.frames import H_TYPE, TICK
from waterline.schemas.settings import Settings
from waterline.schemas.topics import DEAD_LETTERS, STORED

ASK_S = 10.0
LOOK_AGAIN_S = 0.5

NEVER_READ = frozenset({"gap", "lost"})
REFILL = "Kafka still has it: stop the sink and run `waterline refill`"

Lane = tuple[str, int]
"""A topic and a partition of it."""
Held = Mapping[Lane, tuple[int, int]]
"""The first offset of a partition and the one after its last."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """A hole in the proof. Offsets are both included; None where it is not one of offsets."""

    topic: str
    partition: int
    what: str
    reason: str
    first: int | None = None
    last: int | None = None

    @property
    def offsets(self) -> int:
        return 0 if self.first is None or self.last is None else self.last - self.first + 1

    def __str__(self) -> str:
        if not self.topic:
            return f"{self.what}: {self.reason}"
        place = "" if self.first is None else f" offsets {self.first}-{self.last}"
        return f"{self.topic}/{self.partition}{place}: {self.what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Proof:
    """`lines` have one entry for each topic, `problems` are empty when it holds. Offsets in flight are not judged, and those
    in `since` only from there on: Kafka had deleted what came before when the ledger began."""

    lines: list[dict[str, Any]]
    problems: list[Problem]
    in_flight: dict[Lane, int] = field(default_factory=dict)
    since: dict[Lane, int] = field(default_factory=dict)

    @property
    def never_read(self) -> int:
        """Offsets that will not be read any more, unless someone has them read again."""
        return sum(one.offsets for one in self.problems if one.what in NEVER_READ)

    @property
    def holds(self) -> bool:
        return not self.problems


class Source(Protocol):
    """What the proof asks of Kafka."""

    def held(self) -> Held: ...

    def committed(self) -> Mapping[Lane, int]: ...

    def with_records(self, wanted: Held) -> set[Lane]: ...


class Kafka:
    """What the brokers say of the stored topics. Reads only what is committed, joins no group, commits nothing."""

    def __init__(self, config: Settings) -> None:
        own = {
            "group.id": "waterline-verify",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
            "fetch.wait.max.ms": 50,
        }
        self.consumer = Consumer({**kafka_config(config), **own, "isolation.level": "read_committed"})
        self.admin = AdminClient({**kafka_config(config), "log_level": 0})

    def close(self) -> None:
        self.consumer.close()

    def held(self) -> Held:
        """Of every partition of the stored topics. Raises Transient."""
        try:
            known = self.consumer.list_topics(timeout=ASK_S).topics
            names = [topic.name for topic in STORED if topic.name in known]
            lanes = [(name, partition) for name in names for partition in sorted(known[name].partitions)]
            return {lane: self._offsets(lane) for lane in lanes}
        except KafkaException as error:
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"Kafka does not answer: {error.args[0].str()}") from error

    def committed(self) -> Mapping[Lane, int]:
        """The offset that the sink reads next, of partitions where it has read. Raises Transient."""
        return {lane: offset for lane, (offset, _) in positions(self.admin).items()}

    def _offsets(self, lane: Lane) -> tuple[int, int]:
        begin, end = self.consumer.get_watermark_offsets(TopicPartition(*lane), timeout=ASK_S, cached=False)
        return int(begin), int(end)

    def with_records(self, wanted: Held) -> set[Lane]:
        """Those of the partitions that hold more than ticks at the offsets. Asked of all at once. Raises Transient."""
        found: set[Lane] = set()
        open_lanes = set(wanted)
        deadline = time.monotonic() + ASK_S
        self.consumer.assign([TopicPartition(*lane, first) for lane, (first, _) in wanted.items()])
        try:
            while open_lanes and (left := deadline - time.monotonic()) > 0:
                for message in self.consumer.consume(1000, min(left, 0.1)):
                    lane = str(message.topic()), int(message.partition() or 0)
                    if error := message.error():
                        if error.code() != KafkaError._PARTITION_EOF:
                            self._refuse(lane, error)
                            continue
                    elif lane in open_lanes and int(message.offset() or 0) < wanted[lane][1]:
                        if not _is_tick(message):
                            found.add(lane)
                        elif int(message.offset() or 0) + 1 < wanted[lane][1]:
                            continue
                    open_lanes.discard(lane)
        finally:
            self.consumer.unassign()
        if open_lanes:
            topic, partition = min(open_lanes)
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{topic}/{partition} was not answered in {ASK_S:.0f} s")
        return found

    @staticmethod
    def _refuse(lane: Lane, error: KafkaError) -> None:
        if not error.retriable():
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{lane[0]}/{lane[1]} cannot be read: {error.str()}")


def positions(admin: AdminClient, group: str = GROUP) -> dict[Lane, tuple[int, str]]:
    """Offset and metadata that the sink has committed. Raises Transient."""
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=ASK_S)
    try:
        told = asked[group].result().topic_partitions or []
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise Transient(
            ErrorCode.KAFKA_UNAVAILABLE, f"Kafka does not tell the sink's positions: {error.args[0].str()}"
        ) from error
    return {(one.topic, one.partition): (one.offset, one.metadata or "") for one in told if one.offset >= 0}


def _is_tick(message: Message) -> bool:
    return (H_TYPE, TICK) in (message.headers() or ())


def prove(kafka: Source, client: Client, wait_s: float, told: Callable[[int], None] = lambda left: None) -> Proof:
    """Waits up to `wait_s` for what is in flight; `told` hears how many offsets are left. Raises Transient."""
    if gone := missing(client):
        return Proof([], gone)
    held = kafka.held()
    deadline = time.monotonic() + wait_s
    while True:
        committed = kafka.committed()
        rows = by_lane(_ask(client, "completeness"))
        flying = in_flight(kafka, held, rows, committed)
        problems = (
            unread(held, rows, committed)
            + passed(held, rows, committed)
            + examine(rows, held, letters_in_flight=any(lane[0] == DEAD_LETTERS.name for lane in flying))
        )
        left = deadline - time.monotonic()
        if left <= 0 or not (flying or problems):
            break
        told(sum(flying.values()))
        time.sleep(min(LOOK_AGAIN_S, left))
    if any(row["missing_rows"] or row["surplus_rows"] for row in rows.values()):
        problems += [unequal(row) for row in _ask(client, "unequal_ranges")]
    twice = by_lane(_ask(client, "stored_twice"))
    problems += [Problem(*lane, "stored twice", f"{row['duplicates']} rows") for lane, row in twice.items() if row["duplicates"]]
    if wait_s:
        late = f"still in flight after {wait_s:g} s"
        problems += [
            Problem(*lane, "in flight", late, held[lane][1] - count, held[lane][1] - 1) for lane, count in flying.items()
        ]
    since = {lane: row["first_offset"] for lane, row in rows.items() if row["first_offset"] and not row["gaps"]}
    return Proof(lines(held, rows, twice, flying, problems), problems, flying, since)


def missing(client: Client) -> list[Problem]:
    """A problem for all tables and views that were made once and are not there. Raises Transient."""
    target = Target(str(client.database))
    gone = migrate.gone(client, target)
    if not gone:
        return []
    if lost := migrate.lost(gone):
        return [Problem("", 0, "missing tables", migrate.refusal(target, lost))]
    return [Problem("", 0, "missing views", f"{', '.join(sorted(gone))}; `waterline migrate` makes them again")]


def by_lane(rows: Sequence[dict[str, Any]]) -> dict[Lane, Row]:
    return {(row["topic"], row["partition"]): row for row in rows}


def _ask(client: Client, name: str) -> Sequence[dict[str, Any]]:
    return questions.ask(client, questions.find(name, questions.load())).rows


def reached(lane: Lane, rows: Mapping[Lane, Row]) -> int:
    """The offset after the last one that the ledger knows."""
    return int(rows[lane]["next_offset"]) if lane in rows else 0


def in_flight(kafka: Source, held: Held, rows: Mapping[Lane, Row], committed: Mapping[Lane, int]) -> dict[Lane, int]:
    """Offsets that are still to be read, of partitions where records lie at them."""
    above = {lane: (max(begin, reached(lane, rows), committed.get(lane, 0)), end) for lane, (begin, end) in held.items()}
    above = {lane: (first, end) for lane, (first, end) in above.items() if first < end}
    return {lane: above[lane][1] - above[lane][0] for lane in (kafka.with_records(above) if above else ())}


def examine(rows: Mapping[Lane, Row], held: Held, letters_in_flight: bool) -> list[Problem]:
    """What the three accounts of `completeness` do not agree on. Pure."""
    found: list[Problem] = []
    for lane, row in rows.items():
        for first, last in row["gaps"]:
            kept = lane in held and last >= held[lane][0]
            found.append(Problem(*lane, "gap", f"never read{f'; {REFILL}' if kept else ''}", first, last))
        found += [Problem(*lane, "overlap", "read twice", first, last) for first, last in row["overlaps"]]
        found += [Problem(*lane, "hole", f"{lost} records of {producer} never arrived") for producer, lost in row["holes"]]
        if row["missing_rows"]:
            found.append(Problem(*lane, "missing", f"{row['missing_rows']} rows"))
        if row["surplus_rows"]:
            found.append(Problem(*lane, "surplus", f"{row['surplus_rows']} rows more than were written"))
        if row["dead_letters"] < row["buried"] and not letters_in_flight:
            reason = f"{row['buried']} were buried, {row['dead_letters']} letters are there"
            found.append(Problem(*lane, "dead letters", reason))
    return found


def unread(held: Held, rows: Mapping[Lane, Row], committed: Mapping[Lane, int]) -> list[Problem]:
    """What Kafka has deleted and the store does not have, whether the sink had read it once or not. Pure."""
    found: list[Problem] = []
    for lane, (begin, _) in held.items():
        first = reached(lane, rows)
        if begin > first:
            passed_by = committed.get(lane, 0) > first
            why = "the store does not know it, and Kafka has deleted it" if passed_by else "deleted by Kafka before it was read"
            found.append(Problem(*lane, "gap", why, first, begin - 1))
    return found


def passed(held: Held, rows: Mapping[Lane, Row], committed: Mapping[Lane, int]) -> list[Problem]:
    """What the sink has read and ClickHouse does not know of: the store was lost, or put back to an older state. Pure."""
    found: list[Problem] = []
    for lane, offset in committed.items():
        if lane in held and offset > (first := max(held[lane][0], reached(lane, rows))):
            found.append(
                Problem(*lane, "lost", f"the sink had read this, the store does not know it; {REFILL}", first, offset - 1)
            )
    return found


def unequal(row: Row) -> Problem:
    """The range where rows are missing or too many. Pure."""
    what = "missing" if row["present_rows"] < row["expected_rows"] else "surplus"
    reason = f"{row['present_rows']} rows are there, {row['expected_rows']} were written"
    return Problem(row["topic"], row["partition"], what, reason, row["first_offset"], row["last_offset"])


SUMS = {"records": "records", "ticks": "ticks", "rows": "present_rows", "copies": "copies"}
SUMS |= {"buried": "buried", "missing": "missing_rows"}


def lines(
    held: Held, rows: Mapping[Lane, Row], twice: Mapping[Lane, Row], flying: Mapping[Lane, int], problems: Sequence[Problem] = ()
) -> list[dict[str, Any]]:
    """One line for each topic. Pure."""
    told: list[dict[str, Any]] = []
    for topic in sorted({lane[0] for lane in [*held, *rows]}):
        lanes = [lane for lane in {**held, **rows} if lane[0] == topic]
        line: dict[str, Any] = {"topic": topic, "partitions": len(lanes)}
        line |= {name: sum(rows[lane][column] for lane in lanes if lane in rows) for name, column in SUMS.items()}
        line["duplicates"] = sum(twice[lane]["duplicates"] for lane in lanes if lane in twice)
        line["never_read"] = sum(one.offsets for one in problems if one.topic == topic and one.what in NEVER_READ)
        line["in_flight"] = sum(flying.get(lane, 0) for lane in lanes)
        told.append(line)
    return told
