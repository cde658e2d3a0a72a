"""What the sink asks of ClickHouse: insert a range as one block under its token, try lines without storing them, and read back
what a partition's rows say."""

import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

import structlog
from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse import extract
from waterline.connectors.stores.clickhouse.batch import Form, Position
from waterline.connectors.stores.clickhouse.client import Inserter, StoreRefused, StoreUnavailable, connect, errors
from waterline.connectors.stores.clickhouse.ledger import RANGES
from waterline.connectors.stores.clickhouse.plan import Lane
from waterline.connectors.stores.clickhouse.window import SEPARATOR
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.settings import Settings

READ_S = 60.0
QUICK_BYTES = 3 * 2**19
"""Below it the longer statement costs more than it saves."""
ONE_BLOCK = 10_000_000
"""Rows; above every batch, since another split of a range into blocks would be other inserts."""
INSERT: dict[str, str | int] = {
    "async_insert": 0,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": ONE_BLOCK,
    "min_insert_block_size_rows": ONE_BLOCK,
    "min_insert_block_size_bytes": 0,
    "max_insert_threads": 1,
    "max_threads": 1,
    "max_partitions_per_insert_block": 0,
    "date_time_input_format": "best_effort",
    "input_format_skip_unknown_fields": 1,
}
FSYNC = ("fsync_after_insert", "fsync_part_directory", "min_rows_to_fsync_after_merge")
"""Settings of a table that are 1 at the level `fsync`. The last is for merged parts, which take the place of synced ones."""

log = structlog.get_logger()


class ClickHouse:
    """Safe in many threads: each has a connection of its own."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._database = config.clickhouse_database
        self._mine = threading.local()
        self._described: dict[str, list[extract.Column]] = {}
        self._connecting = threading.Lock()
        self._reader: Client | None = None
        self._inserters: list[Inserter] = []

    def insert(self, table: str, columns: Sequence[str], data: bytes, token: str, deadline_s: float) -> None:
        """See write.Store. An empty token stands for one that no other insert has: the same bytes are then kept again."""
        known: dict[str, str | int] = {"insert_deduplication_token": token or uuid.uuid4().hex}
        try:
            self._send(f"`{self._database}`.`{table}`", columns, data, INSERT | known, deadline_s)
        except (StoreUnavailable, StoreRefused):
            self._described.pop(table, None)
            raise

    def insert_quickly(self, form: Form, data: bytes, token: str, deadline_s: float) -> None:
        """See write.Store. What the quick way does not take, for whatever reason, goes the strict way under the same token,
        unless `deadline_s` has passed."""
        began = time.monotonic()
        target = self._quick(form) if len(data) >= QUICK_BYTES else None
        if target:
            known: dict[str, str | int] = {"insert_deduplication_token": token or uuid.uuid4().hex, "max_block_size": ONE_BLOCK}
            try:
                self._inserter().insert(target, (data,), form="LineAsString", options=INSERT | known, deadline_s=deadline_s)
            except (StoreUnavailable, StoreRefused) as error:
                if not error.clickhouse_code:
                    raise
                self._described.pop(form.table, None)
                log.debug("went the strict way", table=form.table, reason=error.reason)
            else:
                return
        left = deadline_s - (time.monotonic() - began)
        if left <= 0:
            raise Transient(ErrorCode.STORE_UNAVAILABLE, "refused the quick way too late for the strict one")
        self.insert(form.table, form.columns, data, token, left)

    def _quick(self, form: Form) -> str | None:
        """What to insert into; None when the way is closed, as it is while the table lacks a column of the form."""
        if self._config.clickhouse_cluster:
            return None
        described = [column for column in self._columns(form.table) if column.name in form.columns]
        target = None
        if len(described) == len(form.columns):
            target = extract.statement(f"`{self._database}`.`{form.table}`", described, form.sparse, form.defaults)
        if target is None:
            self._described.pop(form.table, None)
        return target

    def _columns(self, table: str) -> list[extract.Column]:
        """Known until an insert into the table is refused or a way into it is closed: a migration may then be the reason."""
        known = self._described.get(table)
        if known is None:
            rows = self._read(f"DESCRIBE TABLE `{self._database}`.`{table}`", {})
            known = self._described[table] = [extract.Column(*map(str, row[:4])) for row in rows]
        return known

    def trial(self, table: str, columns: Sequence[str], data: bytes, deadline_s: float) -> None:
        """See write.Store. ClickHouse reads the lines into columns of the table's types and throws them away."""
        structure = ", ".join(f"`{column.name}` {column.type}" for column in self._columns(table))
        self._send(f"FUNCTION null({extract.quoted(structure)})", columns, data, INSERT, deadline_s)

    def _send(self, target: str, columns: Sequence[str], data: bytes, options: dict[str, str | int], deadline_s: float) -> None:
        names = [f"`{name}`" for name in columns]
        self._inserter().insert(target, (data,), options=options, columns=names, deadline_s=deadline_s)

    def _inserter(self) -> Inserter:
        inserter: Inserter | None = getattr(self._mine, "inserter", None)
        if inserter is None:
            inserter = self._mine.inserter = Inserter(self._config)
            self._inserters.append(inserter)
        return inserter

    def close(self) -> None:
        """When no thread uses it any more."""
        for inserter in self._inserters:
            inserter.close()
        if self._reader:
            self._reader.close()

    # reading

    def window_keys(self, form: Form, lane: Lane, before: int | None, size: int) -> bytes:
        """Digests (window.key_of) of the last `size` rows stored below offset `before` (None: of all), newest first."""
        separator = f"char({ord(SEPARATOR)})"
        identity = f", {separator}, ".join((form.tenant, *form.identity))
        below = "kafka_offset < {before:UInt64}" if before is not None else "1"
        query = (
            f"SELECT MD5(concat({identity})) FROM `{self._database}`.`{form.table}`"
            f" WHERE kafka_topic = {{topic:String}} AND kafka_partition = {{partition:UInt32}} AND {below}"
            " ORDER BY kafka_offset DESC, frame_index DESC LIMIT {size:UInt64}"
        )
        parameters = _position(lane) | {"before": before or 0, "size": size}
        with errors():
            return bytes(self._client().raw_query(query, parameters=parameters, fmt="RowBinary"))

    def positions(self, form: Form, lane: Lane, first: int, last: int | None) -> frozenset[Position]:
        """Where the stored rows lie whose offset is `first` to `last`."""
        query = (
            f"SELECT kafka_offset, frame_index FROM `{self._database}`.`{form.table}`"
            " WHERE kafka_topic = {topic:String} AND kafka_partition = {partition:UInt32}"
            " AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}"
        )
        rows = self._read(query, _position(lane) | {"first": first, "last": 2**63 if last is None else last})
        return frozenset((int(offset), int(index)) for offset, index in rows)

    def listed(self, lane: Lane) -> int | None:
        """The offset after the last range in the ledger."""
        query = (
            f"SELECT count(), max(last) FROM `{self._database}`.`{RANGES}`"
            " WHERE topic = {topic:String} AND partition = {partition:UInt32}"
        )
        ((ranges, last),) = self._read(query, _position(lane))
        return int(last) + 1 if ranges else None

    def prepare(self, tables: Sequence[str], durability: str) -> None:
        """Hold the tables against the migrations' work and give them the durability. Raises Transient with what is missing."""
        query = "SELECT name, engine, engine_full FROM system.tables WHERE database = {database:String}"
        found = {str(row[0]): (str(row[1]), str(row[2])) for row in self._read(query, {"database": self._database})}
        missing = sorted(set(tables) - set(found))
        if missing:
            raise Transient(ErrorCode.STORE_UNAVAILABLE, f"no table {self._database}.{missing[0]}; run `waterline migrate`")
        for table in tables:
            local = table if "MergeTree" in found[table][0] else f"{table}_local"
            now = found.get(local, ("", ""))[1]
            if any((f"{name} = 1" in now) != (durability == "fsync") for name in FSYNC):
                wanted = ", ".join(f"{name} = {int(durability == 'fsync')}" for name in FSYNC)
                on = f" ON CLUSTER {self._config.clickhouse_cluster}" if self._config.clickhouse_cluster else ""
                with errors():
                    self._client().command(f"ALTER TABLE `{self._database}`.`{local}`{on} MODIFY SETTING {wanted}")

    def _read(self, query: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        with errors():
            return self._client().query(query, parameters=parameters).result_rows

    def _client(self) -> Client:
        with self._connecting:
            if self._reader is None:
                self._reader = connect(self._config, answer_s=READ_S)
            return self._reader


def _position(lane: Lane) -> dict[str, Any]:
    return {"topic": lane.topic, "partition": lane.partition}
