"""Asks ClickHouse the question of a rule for one window, and reads the answer: one row a group."""

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from clickhouse_connect.driver.client import Client
from msgspec import Struct

from waterline.connectors.stores.clickhouse.client import errors
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.streams.steps.entry import NANO
from waterline.streams.steps.evidence import quoted
from waterline.streams.steps.examples import EXAMPLES
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import Asked

Group = tuple[str, tuple[tuple[str, str], ...]]
"""tenant, and the names of the group by what they are, in the order of the columns"""
MOST_GROUPS = 10_000
PATIENCE_S = 30
_USED = re.compile(r"\{(\w+):((?:[^{}']|'[^']*')+)\}")
_TEXT = re.compile(r"(?:LowCardinality\()?(?:Nullable\()?String\)*")


class Span(Struct, frozen=True):
    """A window: microseconds since 1970, `end` not part of it. `watched`: somebody watched all of it, and it ends just now."""

    start: int
    end: int
    watched: bool = True


class Row(Struct, frozen=True):
    """What is said of one group. `value` is None when there is none."""

    group: Group
    value: Decimal | None
    samples: int
    decisions: list[str]


def ask(client: Client, asked: Asked, span: Span, cluster: bool = False) -> list[Row]:
    """Raises Permanent when the answer is none that a rule can be judged by, or what `client.errors` raises."""
    values = values_of(asked, span)
    used = {name: values[name] for name, _ in _USED.findall(asked.sql)}
    settings: dict[str, Any] = {"max_execution_time": PATIENCE_S}
    if cluster:
        settings["distributed_product_mode"] = "global"
    with errors():
        result = client.query(asked.sql, parameters=used, settings=settings)
    if not result.result_rows:  # then the columns are not named, either
        return []
    kinds = dict(zip(result.column_names, (kind.name for kind in result.column_types), strict=True))
    for column in ("value", "samples"):
        if column not in kinds:
            raise Permanent(ErrorCode.INVALID_PARAMETER, f"the answer has no column {column}; it has {', '.join(kinds)}")
    if len(result.result_rows) > MOST_GROUPS:
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"the answer has more than {MOST_GROUPS:,} groups")
    names = [column for column, kind in kinds.items() if _TEXT.fullmatch(kind) and column not in ("value", "samples", "tenant")]
    return [_row(dict(zip(kinds, row, strict=True)), names) for row in result.result_rows]


def _row(row: Mapping[str, Any], names: list[str]) -> Row:
    group = str(row.get("tenant") or ""), tuple((name, str(row[name] or "")) for name in names)
    return Row(group, _number(row["value"]), _count(row["samples"]), [str(one) for one in row.get("decisions") or ()][:EXAMPLES])


def _count(samples: Any) -> int:
    try:
        return max(0, int(samples))
    except (TypeError, ValueError, OverflowError) as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"samples is no count: {str(samples)[:80]!r}") from error


def _number(value: Any) -> Decimal | None:
    try:
        number = None if value is None else Decimal(str(value))
        return number.quantize(NANO, ROUND_HALF_EVEN) if number is not None and number.is_finite() else None
    except InvalidOperation as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"value is no number, or too large a one: {str(value)[:80]!r}") from error


def values_of(asked: Asked, span: Span) -> dict[str, str]:
    """The parameters of a question, as ClickHouse reads them."""
    bounds = {"from": time(span.start), "to": time(span.end), "watched": str(int(span.watched))}
    return dict(asked.parameters) | bounds


def evidence(asked: Asked, group: Group, span: Span) -> str:
    """SQL that can be run as it is, for what is behind a group's value."""
    tenant, names = group
    values = values_of(asked, span) | dict(names) | {"tenant": tenant}
    return filled(asked.rows or asked.sql, values.get)


def filled(sql: str, value: Callable[[str], str | None]) -> str:
    """Each `{name:Type}` as a literal; those without a value stay."""

    def literal(found: re.Match[str]) -> str:
        told, kind = value(found[1]), found[2]
        if told is None:
            return found[0]
        if kind.startswith(("UInt", "Int", "Float")):
            return told
        return quoted(told) if kind == "String" else f"CAST({quoted(told)}, {quoted(kind)})"

    return _USED.sub(literal, sql)


def time(us: int) -> str:
    return f"{instant(us):%Y-%m-%d %H:%M:%S.%f}"
