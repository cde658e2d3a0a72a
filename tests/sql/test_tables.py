"""The tables hold what the models declare: same names, wide enough types, same defaults. Asked of the real engine."""

import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from msgspec import inspect as models

from waterline.connectors.stores.clickhouse.macros import Target
from waterline.schemas.topics import STORED, Topic

POSITION = {
    "kafka_topic": "String",
    "kafka_partition": "UInt16",
    "kafka_offset": "UInt64",
    "frame_index": "UInt32",
}
OTHERWISE = {
    ("events", "received_at"): "DateTime64(6, 'UTC')",  # the reader of a frame fills it in
    ("dead_letters", "partition"): "UInt16",  # as kafka_partition; settings allow 1,024
    ("dead_letters", "index"): "Int32",  # -1 = the whole record
    ("cost_facts", "unit_prices"): "Map(String, Decimal(38, 18))",  # text on the wire, a number to calculate with
    ("price_versions", "unit_prices"): "Map(String, Decimal(38, 18))",
}
"""Columns whose type is chosen, not derived from the model."""


def described(client: Client, target: Target, table: str) -> dict[str, tuple[str, str]]:
    """column -> (type without LowCardinality, default as SQL)"""
    rows = client.query(f"DESCRIBE TABLE {target.database}.{table}").result_rows
    return {row[0]: (plain(row[1]), row[3]) for row in rows}


def plain(kind: str) -> str:
    kind = re.sub(r"LowCardinality\((\w+)\)", r"\1", re.sub(r"\s+", " ", kind))
    return kind.replace("Tuple( ", "Tuple(")


def column_types(kind: models.Type) -> set[str]:
    """The ClickHouse types that hold every value of a model's type."""
    match kind:
        case models.Metadata(type=inner):
            return column_types(inner)
        case models.StrType() | models.EnumType():
            return {"String"}
        case models.BoolType():
            return {"Bool"}
        case models.FloatType():
            return {"Float64"}
        case models.DateTimeType():
            return {"DateTime64(6, 'UTC')"}
        case models.DecimalType():
            return {"Decimal(38, 9)"}
        case models.IntType(ge=low, le=high):
            # a count without declared bounds is taken to fit 32 bits; a position may not be negative but for WHOLE
            return {name for name, (least, most) in INTEGERS.items() if least <= (low or 0) and most >= (high or 2**31)}
        case models.ListType(item_type=item):
            return {f"Array({one})" for one in column_types(item)}
        case models.DictType(value_type=value):
            return {f"Map(String, {one})" for one in column_types(value)}
        case models.StructType(fields=fields):
            tuples = [""]
            for field in fields:
                tuples = [
                    f"{head}{', ' if head else ''}{field.encode_name} {one}"
                    for head in tuples
                    for one in column_types(field.type)
                ]
            return {f"Tuple({one})" for one in tuples}
        case models.UnionType(types=types):
            (real,) = [one for one in map(bare, types) if not isinstance(one, models.NoneType)]
            # a tuple cannot be null: an absent one is all defaults
            return (
                column_types(real) if isinstance(real, models.StructType) else {f"Nullable({one})" for one in column_types(real)}
            )
    raise AssertionError(f"no column type is known for {kind}")


def bare(kind: models.Type) -> models.Type:
    return kind.type if isinstance(kind, models.Metadata) else kind


INTEGERS = {
    "UInt16": (0, 2**16 - 1),
    "UInt32": (0, 2**32 - 1),
    "UInt64": (0, 2**64 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "Int64": (-(2**63), 2**63 - 1),
}


@pytest.mark.parametrize("topic", STORED, ids=lambda topic: topic.table)
def test_a_table_has_the_columns_of_its_model(engine: Client, target: Target, topic: Topic) -> None:
    columns = described(engine, target, topic.table)
    fields = models.type_info(topic.model).fields  # type: ignore[attr-defined]
    assert list(columns) == [*(field.encode_name for field in fields), *POSITION], "one column per field, in order"
    for field in fields:
        name = field.encode_name
        chosen = OTHERWISE.get((topic.table, name))
        allowed = {chosen} if chosen else column_types(field.type)
        assert columns[name][0] in allowed, f"{topic.table}.{name}"
    assert {name: columns[name][0] for name in POSITION} == POSITION


def default_of(field: models.Field) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


@pytest.mark.parametrize("topic", STORED, ids=lambda topic: topic.table)
def test_an_absent_field_reads_as_the_model_says(engine: Client, target: Target, topic: Topic) -> None:
    """Defaults are left out on the wire, so the column must bring the same one."""
    columns = described(engine, target, topic.table)
    for field in models.type_info(topic.model).fields:  # type: ignore[attr-defined]
        default = default_of(field)
        written = columns[field.encode_name][1]
        if default in (None, "", 0, 0.0, False, [], {}, Decimal(0)):
            assert written == "", f"{topic.table}.{field.encode_name}"
        else:
            assert written.strip("'") == str(default), f"{topic.table}.{field.encode_name}"


def test_every_table_is_declared(engine: Client, target: Target) -> None:
    rows = engine.query(
        "SELECT name FROM system.tables WHERE database = {database:String} AND engine NOT LIKE '%View'",
        parameters={"database": target.database},
    ).result_rows
    assert {row[0] for row in rows} == {topic.table for topic in STORED} | {"ranges", "topic_offsets", "schema_migrations"}
