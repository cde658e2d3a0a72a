"""Answers on a terminal and as JSON."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from waterline.connectors.stores.clickhouse.questions import Answer

UPRIGHT = 12
"""Columns above which few rows are shown one below the other."""
FEW = 3
PADDING = 2
NO_TERMINAL = 240
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
Cell = str | Text
VERDICTS = {"complete": "green", "complete so far": "green", "nothing yet": "yellow", "incomplete": "bold red"}


def plain(value: Any) -> Any:
    """As JSON: money as a decimal string, time as RFC 3339 in UTC."""
    match value:
        case Decimal():
            return format(value, "f")
        case datetime():
            return f"{value.replace(tzinfo=None).isoformat()}Z"
        case date():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "replace")
        case dict():
            return {str(plain(key)): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    return value


def as_json(value: Any) -> str:
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def text(value: Any) -> str:
    """For a cell. Money keeps at least two digits after the point and loses the zeros beyond them."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case Decimal():
            whole, _, digits = format(value, ",f").partition(".")
            return f"{whole}.{digits.rstrip('0'):0<2}"
        case float():
            return f"{value:,.10g}"
        case int():
            return f"{value:,}"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03d}"
        case dict():
            return ", ".join(f"{key} {text(one)}" for key, one in value.items())
        case tuple():
            return "/".join(map(text, value))
        case list():
            return ", ".join(map(text, value))
    return "".join(one if one.isprintable() else " " if one == "\n" else repr(one)[1:-1] for one in str(value))


def console() -> Console:
    """On a terminal as wide as it is; into a file or a pipe so wide that little needs folding."""
    return Console() if sys.stdout.isatty() else Console(width=NO_TERMINAL)


def print_rows(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    units: Mapping[str, str] | None = None,
    whole: bool = False,
    upright: bool = False,
) -> None:
    """What is empty, or the same in every one of many rows, is said once, below, unless the `whole` table is wanted. `upright`:
    rows that are wider than the console stand upright, also in a file or a pipe."""
    units = units or {}
    if whole:
        print_table(console, columns, [[text(row[column]) for column in columns] for row in rows])
        return
    empty = [column for column in columns if rows and all(row[column] in ("", None, [], {}) for row in rows)]
    same = [column for column in columns if column not in empty and len(rows) > FEW and _same(column, rows)]
    shown = [column for column in columns if column not in empty and column not in same]
    named = {column: f"{column} ({units[column]})" if column in units else column for column in columns}
    if not rows:
        console.print("no rows")
    elif len(shown) > UPRIGHT and len(rows) <= FEW:
        for row in rows:
            console.print(_table(["", ""], [[named[column], text(row[column])] for column in shown], header=False))
    elif shown:
        cells = [[text(row[column]) for column in shown] for row in rows]
        print_table(console, [named[column] for column in shown], cells, upright)
    if same:
        said = [escape(f"{named[column]} {text(rows[0][column])}") for column in same]
        console.print(f"[dim]in every row:[/] {', '.join(said)}", highlight=False)
    if empty:
        console.print(f"[dim]empty in every row: {', '.join(empty)}[/]", highlight=False)


def _same(column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return all(row[column] == rows[0][column] for row in rows)


def print_table(console: Console, head: Sequence[str], rows: Sequence[Sequence[Cell]], upright: bool = False) -> None:
    """A table; on a terminal that is narrower than it, or anywhere if `upright`, each row upright: a line `column: value` for a
    cell."""
    widths = [max([cell_len(name), *(cell_len(str(row[place])) for row in rows)]) for place, name in enumerate(head)]
    if not (console.is_terminal or upright) or sum(widths) + PADDING * len(head) <= console.width:
        console.print(_table(head, rows))
        return
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, cell in zip(head, row, strict=True):
            console.print(Text.assemble((f"{name}: " if name else "", "bold"), cell), soft_wrap=True)


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]], header: bool = True) -> Table:
    """Long cells are folded, never cut: an id that cannot be copied is of no use."""
    table = Table(show_header=header, box=None, padding=(0, PADDING, 0, 0))
    for place, name in enumerate(head):
        table.add_column(name, overflow="fold", no_wrap=header and bool(rows) and bool(TIME.fullmatch(str(rows[0][place]))))
    for row in rows:
        table.add_row(*(escape(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def print_answer(console: Console, answer: Answer, completeness: Mapping[str, Any]) -> None:
    question = answer.question
    console.print(f"[bold]{question.words}[/]", highlight=False)
    print_rows(console, answer.columns, answer.rows, question.units, upright=True)
    count = len(answer.rows)
    console.print(f"[dim]{count:,} row{'' if count == 1 else 's'};[/] {standing(completeness)}", highlight=False)


def standing(completeness: Mapping[str, Any]) -> str:
    """What an answer stands on, in one line."""
    verdict = str(completeness["verdict"])
    said = [f"[{VERDICTS[verdict]}]{verdict}[/]", f"{text(completeness['stored_rows'])} rows stored"]
    counts = ("missing_rows", "surplus_rows", "breaks", "in_flight")
    said += [f"{text(completeness[name])} {name.replace('_', ' ')}" for name in counts if completeness[name]]
    if verdict == "incomplete":
        said.append("see `waterline verify completeness`")
    return ", ".join(said)
