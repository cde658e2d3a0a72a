"""Filling tables again from what Kafka still keeps, after ClickHouse lost them.

All that can be refused is read first. Then each step may be the last one that happens: the whole is done again.

1. The sink's positions go back to the first offset that Kafka keeps, with a mark in their metadata. Kafka refuses that while a
   sink is in the group. A sink that starts between this and 4 finds the mark and stops; `look` finds it, whatever is lost.
2. The tables are dropped and made anew: with the rows go the tokens of their inserts, which would swallow them.
3. The ledger is copied, without the ranges of these topics, into a new table, which knows no token either. Of another topic's
   range that was under way (its plan is in the commit metadata) the ledger row goes too: the sink repeats that range, finds
   its rows there, and writes the ledger row again.
4. The mark is taken off.

Where the ledger is lost, alone or with tables, the group is deleted before 1, and 3 is left out. For tables that are not lost
with it the sink has no position then: it reads all that Kafka keeps, and sends no row that is there (opening.py). If that is
broken off before the ledger is dropped, the sink goes on behind the ledger's last range, as if nothing had been.
"""

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.client import errors
from waterline.connectors.stores.clickhouse.ledger import RANGES
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.connectors.stores.clickhouse.plan import REFILL, PlanError, read_plan
from waterline.connectors.stores.clickhouse.sink import GROUP
from waterline.proof import Held, Lane, positions
from waterline.schemas.errors import ErrorCode, Permanent, Transient
from waterline.schemas.topics import STORED, Topic

ASK_S = 30.0
LOOK_AGAIN_S = 0.5
ANEW = f"{RANGES}_anew"
Known = tuple[int, int]
"""Of a partition in the ledger: its first offset, and the one after its last."""
Positions = Mapping[Lane, tuple[int, str]]
"""What the sink has committed: offset and metadata."""
NAMES = (*(topic.table for topic in STORED), RANGES)
"""What can be refilled. The ledger has no topic of its own: it is written with the rows of all of them."""
LARGE = {"max_table_size_to_drop": 0}
"""However large the table is, whoever asked for this means it."""
GONE_GROUP = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.INVALID_GROUP_ID})


class Refused(Permanent):
    """It is not done, or not to its end. The message says why and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.INVALID_PARAMETER, reason)


@dataclass(frozen=True, slots=True)
class Refill:
    """`ledger`: the ledger is lost as a whole. `kept` is what Kafka holds of the topics, `gone` the offsets that it keeps no more
    (both included), `older` the rows of a table that stand at such offsets, and would be dropped with it."""

    topics: tuple[Topic, ...]
    ledger: bool
    kept: Held
    gone: Mapping[Lane, tuple[int, int]]
    older: Mapping[str, int]

    @property
    def empty(self) -> bool:
        return not self.topics and not self.ledger


def look(client: Client, target: Target, held: Held, committed: Positions, wanted: Iterable[str]) -> Refill:
    """What a refill of the `wanted` tables comes to; without any, of those that lost what Kafka still has. Those whose refill
    was broken off come with them.

    Raises Refused for a name that is no table, and on a cluster.
    """
    if target.cluster:
        raise Refused("a cluster is not refilled by this command: a lost replica is filled from the others by ClickHouse itself")
    if unknown := sorted(set(wanted) - set(NAMES)):
        raise Refused(f"{', '.join(unknown)} cannot be refilled; these can: {', '.join(NAMES)}")
    marked = {topic for (topic, _), (_, metadata) in committed.items() if metadata == REFILL}
    with errors():
        there = migrate.present(client, target)
        known = _ledger(client, target) if RANGES in there else {}
        names = set(wanted) or _lost(client, target, there, known, held, committed)
        names |= {topic.table for topic in STORED if topic.name in marked}
        ledger = RANGES in names
        topics = tuple(topic for topic in STORED if topic.table in names)
        kept = {lane: held[lane] for topic in topics for lane in held if lane[0] == topic.name}
        older = {topic.table: _older(client, target, topic, kept) for topic in topics if topic.table in there}
    gone = {lane: (known.get(lane, (0, 0))[0], begin - 1) for lane, (begin, _) in kept.items()}
    gone = {lane: (first, last) for lane, (first, last) in gone.items() if first <= last}
    return Refill(topics, ledger, kept, gone, {table: rows for table, rows in older.items() if rows})


def _lost(
    client: Client, target: Target, there: Iterable[str], known: Mapping[Lane, Known], held: Held, committed: Positions
) -> set[str]:
    """Tables that are gone, and those without a row at offsets that the sink has read and Kafka keeps, but the ledger does not
    know. (Where there are rows, the ledger has forgotten by age.)"""
    names = set(NAMES) - set(there)
    if RANGES in names:
        return names
    for topic in STORED:
        for lane in held:
            if lane[0] == topic.name and topic.table not in names:
                spans = _unknown(held[lane], known.get(lane), committed.get(lane, (held[lane][0], ""))[0])
                if any(not _stored(client, target, topic, lane, *span) for span in spans):
                    names.add(topic.table)
    return names


def _unknown(held: tuple[int, int], known: Known | None, committed: int) -> list[tuple[int, int]]:
    """Offsets (first, and the one after the last) that were read, below and above those that the ledger knows."""
    begin, end = held
    first, following = known or (begin, begin)
    spans = [(begin, first), (max(begin, following), min(committed, end))]
    return [(low, high) for low, high in spans if low < high]


def _stored(client: Client, target: Target, topic: Topic, lane: Lane, low: int, high: int) -> int:
    query = (
        f"SELECT count() FROM {target.database}.{topic.table} WHERE kafka_topic = {{topic:String}}"
        " AND kafka_partition = {partition:UInt32} AND kafka_offset >= {low:UInt64} AND kafka_offset < {high:UInt64}"
    )
    rows = client.query(query, parameters={"topic": lane[0], "partition": lane[1], "low": low, "high": high}).result_rows
    return int(rows[0][0])


def _ledger(client: Client, target: Target) -> dict[Lane, Known]:
    query = f"SELECT topic, partition, min(first), max(last) + 1 FROM {target.database}.{RANGES} GROUP BY ALL"
    found = client.query(query).result_rows
    return {(str(topic), int(at)): (int(first), int(after)) for topic, at, first, after in found}


def _older(client: Client, target: Target, topic: Topic, kept: Held) -> int:
    """Rows of the table at offsets that Kafka keeps no more."""
    begins = [kept.get((topic.name, partition), (0, 0))[0] for partition in range(1 + max((at for _, at in kept), default=0))]
    query = (
        f"SELECT countIf(kafka_offset < {{begins:Array(UInt64)}}[kafka_partition + 1]) FROM {target.database}.{topic.table}"
        " WHERE kafka_topic = {topic:String}"
    )
    rows = client.query(query, parameters={"begins": begins, "topic": topic.name}).result_rows
    return int(rows[0][0])


def wait_until_empty(admin: AdminClient, wait_s: float, group: str = GROUP, who: str = "a sink") -> None:
    """Returns when nobody (`who`, for the message) is in the group. One that was stopped stays in it for its session. Raises
    Refused, Transient."""
    deadline = time.monotonic() + wait_s
    while members := _members(admin, group):
        if time.monotonic() > deadline:
            raise Refused(f"{who} runs ({', '.join(members)}): stop it first. Positions cannot be moved under it")
        time.sleep(LOOK_AGAIN_S)


def _members(admin: AdminClient, group: str) -> list[str]:
    try:
        told = admin.describe_consumer_groups([group], request_timeout=ASK_S)[group].result()
    except KafkaException as error:
        if error.args[0].code() in GONE_GROUP:
            return []
        raise _unanswered(error) from error
    if told.state in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD):
        return []
    return [f"{one.group_instance_id or one.client_id} at {one.host.lstrip('/')}" for one in told.members] or [str(told.state)]


def run(client: Client, admin: AdminClient, target: Target, refill: Refill, group: str = GROUP) -> None:
    """See the module. No sink may be in the group. Raises Refused, Transient, and MigrationRefused as `migrate.apply`."""
    tables = [topic.table for topic in refill.topics] + [RANGES] * refill.ledger
    under_way = {} if refill.ledger else _under_way(positions(admin, group), {topic.name for topic in refill.topics})
    if refill.ledger:
        _delete_group(admin, group)
    _rewind(admin, refill.kept, REFILL, group)
    with errors():
        there = migrate.present(client, target)
        for table in tables:
            if table in there:
                client.command(f"DROP TABLE {target.database}.{table} SYNC", settings=LARGE)
    migrate.apply(client, target, anew=set(tables))
    if not refill.ledger:
        with errors():
            _forget(client, target, [topic.name for topic in refill.topics], under_way)
    _rewind(admin, refill.kept, "", group)


def _delete_group(admin: AdminClient, group: str) -> None:
    try:
        admin.delete_consumer_groups([group], request_timeout=ASK_S)[group].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.NON_EMPTY_GROUP:
            raise Refused("a sink has started: stop it first, then run this again. Positions cannot be moved under it") from error
        if error.args[0].code() not in GONE_GROUP:
            raise _unanswered(error) from error


def _rewind(admin: AdminClient, kept: Held, metadata: str, group: str) -> None:
    """Positions at the first offset that is kept, all at once."""
    if not kept:
        return
    begins = [TopicPartition(topic, partition, begin, metadata) for (topic, partition), (begin, _) in kept.items()]
    asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, begins)], request_timeout=ASK_S)
    try:
        answers = asked[group].result().topic_partitions or []
    except KafkaException as error:
        raise _unanswered(error) from error
    if refused := [one for one in answers if one.error]:
        if refused[0].error.code() == KafkaError.UNKNOWN_MEMBER_ID:
            raise Refused("a sink has started: stop it first, then run this again. Positions cannot be moved under it")
        raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{refused[0].topic}: {refused[0].error.str()}")


def _under_way(committed: Positions, apart_from: Container[str]) -> dict[Lane, int]:
    """Where a range of another topic was planned and not committed: its first offset. Raises Refused for what is no plan."""
    found: dict[Lane, int] = {}
    for lane, (offset, metadata) in committed.items():
        if lane[0] in apart_from:
            continue
        try:
            plan = read_plan(offset, metadata)
        except PlanError as error:
            raise Refused(f"{lane[0]}/{lane[1]}: {error}") from error
        if plan:
            found[lane] = plan.first
    return found


def _forget(client: Client, target: Target, topics: Sequence[str], under_way: Mapping[Lane, int]) -> None:
    """A new ledger without the ranges of the topics, and without those from where a range is under way."""
    ledger, anew = f"{target.database}.{RANGES}", f"{target.database}.{ANEW}"
    client.command(f"DROP TABLE IF EXISTS {anew} SYNC", settings=LARGE)
    client.command(f"CREATE TABLE {anew} AS {ledger}")
    client.command(
        f"INSERT INTO {anew} SELECT * FROM {ledger} WHERE topic NOT IN {{topics:Array(String)}} AND NOT arrayExists("
        "(name, number, from) -> topic = name AND partition = number AND first >= from,"
        " {names:Array(String)}, {numbers:Array(UInt16)}, {firsts:Array(UInt64)})",
        parameters={
            "topics": list(topics),
            "names": [topic for topic, _ in under_way],
            "numbers": [partition for _, partition in under_way],
            "firsts": list(under_way.values()),
        },
    )
    client.command(f"EXCHANGE TABLES {ledger} AND {anew}")
    client.command(f"DROP TABLE {anew} SYNC", settings=LARGE)


def _unanswered(error: KafkaException) -> Transient:
    return Transient(ErrorCode.KAFKA_UNAVAILABLE, f"Kafka does not do what is needed: {error.args[0].str()}")
