"""The macros that let one migration file serve a single node and a cluster.

| macro | single node | cluster `c` |
|---|---|---|
| `{database}` | the database | the database |
| `{on_cluster}` | nothing | `ON CLUSTER c` |
| `{table:events}` | `db.events` | `db.events_local`, which holds a shard's rows |
| `{name:events}` | `db.events` | `db.events`: what a reader asks |
| `{engine:MergeTree}` | `MergeTree` | `ReplicatedMergeTree` |
| `{distributed:events};` | no statement | creates `db.events` over the shards' `events_local` |
| `{both:events}` | the statement once | the statement for `events_local`, then for `events` (ALTER of columns) |
| `{deduplication:1000}` | window of insert tokens | the same for replicated tables |
"""

import re
from dataclasses import dataclass
from functools import partial

MACRO = re.compile(r"\{(\w+)(?::(\w+))?\}")
NAME = re.compile(r"[A-Za-z_]\w*")
TOKEN_LIFE_S = 7 * 24 * 3600
SHARD_BY = {"schema_migrations": "number", "ranges": "partition", "topic_offsets": "partition"}
"""Rows are sharded by their Kafka partition, so that a planned range is one insert into one shard (its token holds as
on a single node) and a decision lies whole on one shard. The named tables have no such column."""


class UnknownMacro(ValueError):
    """A file says `{...}` that is none of the macros."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where statements go. An empty `cluster` means a single node."""

    database: str
    cluster: str = ""

    def __post_init__(self) -> None:
        for name in (self.database, self.cluster or "none"):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name: letters, digits and _ only")


def render(text: str, target: Target) -> list[str]:
    """The statements of a migration file for this target, in order, without comments between them."""
    statements: list[str] = []
    for statement in split(text):
        twice = target.cluster and "{both:" in statement
        for local in (True, False) if twice else (True,):
            rendered = MACRO.sub(partial(_expand, target, local), statement).strip()
            if rendered:
                statements.append(rendered)
    return statements


def split(text: str) -> list[str]:
    """Statements end with a semicolon at the end of a line. Comments that stand on their own line are left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    parts = re.split(r";[ \t]*(?:\n|$)", "\n".join(lines))
    return [part.strip() for part in parts if part.strip()]


def _expand(target: Target, local: bool, found: re.Match[str]) -> str:
    macro, value = found.group(1), found.group(2) or ""
    suffix = "_local" if target.cluster and local else ""
    match macro, bool(value):
        case "database", False:
            return target.database
        case "on_cluster", False:
            return f"ON CLUSTER {target.cluster}" if target.cluster else ""
        case (("table" | "both"), True):
            return f"{target.database}.{value}{suffix}"
        case "name", True:
            return f"{target.database}.{value}"
        case "engine", True:
            return f"Replicated{value}" if target.cluster else value
        case "distributed", True:
            return _distributed(value, target)
        case "deduplication", True:
            return _deduplication(value, target)
    raise UnknownMacro(f"{found.group(0)} is not a macro; see waterline.connectors.stores.clickhouse.macros")


def _distributed(table: str, target: Target) -> str:
    if not target.cluster:
        return ""
    database, cluster = target.database, target.cluster
    shard = SHARD_BY.get(table, "kafka_partition")
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{table} ON CLUSTER {cluster} AS {database}.{table}_local\n"
        f"ENGINE = Distributed({cluster}, {database}, {table}_local, {shard})"
    )


def _deduplication(window: str, target: Target) -> str:
    if not target.cluster:
        return f"non_replicated_deduplication_window = {window}"
    return f"replicated_deduplication_window = {window}, replicated_deduplication_window_seconds = {TOKEN_LIFE_S}"
