"""The quick way in: lines arrive as text and JSONExtract (simdjson) reads them, at less than half of JSONEachRow's CPU.

JSONExtract is lenient: what it cannot read becomes a default. So the statement counts, and throws when a line's time or
amount did not come through, and the strict way (JSONEachRow) has the word. It takes the first of two equal keys where
JSONEachRow refuses, so only lines of producers that number their frames go this way. Pure.
"""

from collections.abc import Sequence

from msgspec import Struct

SPARSE = "sparse"
"""Key of a line, beside its position: how many of the columns below are given. Absent = none."""


class Column(Struct, frozen=True):
    """As DESCRIBE TABLE says it."""

    name: str
    type: str
    default_kind: str
    default: str


def statement(target: str, columns: Sequence[Column], sparse: Sequence[str], defaults: Sequence[str]) -> str | None:
    """What to put behind INSERT INTO, for lines in format LineAsString. None when a column's type could be misread unseen.

    `sparse`: the columns of times and amounts that may be absent, which SPARSE counts. `defaults`: the columns whose
    DEFAULT stands for a value that no valid line gives (empty or zero).
    """
    given = {column.name for column in columns if column.default_kind}
    timed = [column.name for column in columns if column.type.startswith(("DateTime", "Date"))]
    doubtful = {column.name for column in columns if column.type.startswith("Nullable(D")}
    if given != set(defaults) or doubtful != set(sparse) or any(column.type.startswith("Decimal") for column in columns):
        return None
    place = {column.name: f"tupleElement(t, {at})" for at, column in enumerate(columns, 1)}
    values = [_value(column, place[column.name]) for column in columns]
    lost = " OR ".join(
        [f"toUnixTimestamp64Micro({place[name]}) = 0" for name in timed]
        + [f"{' + '.join(f'isNotNull({place[name]})' for name in sparse)} != tupleElement(t, {len(columns) + 1})"]
    )
    structure = ", ".join([*(f"`{column.name}` {column.type}" for column in columns), f"`{SPARSE}` UInt8"])
    names = ", ".join(f"`{column.name}`" for column in columns)
    read = f"SELECT JSONExtract(line, {quoted(f'Tuple({structure})')}) AS t FROM input('line String')"
    return f"{target} ({names}) SELECT {', '.join(values)} FROM ({read}) WHERE throwIf({lost}) = 0"


def _value(column: Column, place: str) -> str:
    if not column.default_kind:
        return place
    zero = "''" if "String" in column.type else "0"
    return f"if({place} = {zero}, {column.default}, {place})"


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
