"""Answers on a terminal and as JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from waterline.connectors.stores.clickhouse.questions import Answer

UPRIGHT = 12
"""Columns above which few rows are shown one below the other."""
FEW = 3
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
    return str(value)


def print_rows(
    console: Console, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], units: Mapping[str, str] | None = None
) -> None:
    """Columns that are empty in every row are named below and not shown."""
    units = units or {}
    empty = [column for column in columns if rows and all(row[column] in ("", None, [], {}) for row in rows)]
    shown = [column for column in columns if column not in empty]
    named = {column: f"{column} ({units[column]})" if column in units else column for column in shown}
    if not rows:
        console.print("no rows")
    elif len(shown) > UPRIGHT and len(rows) <= FEW:
        for row in rows:
            console.print(_table(["", ""], [[named[column], text(row[column])] for column in shown], header=False))
    else:
        console.print(_table([named[column] for column in shown], [[text(row[column]) for column in shown] for row in rows]))
    if empty:
        console.print(f"[dim]empty in every row: {', '.join(empty)}[/]", highlight=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], header: bool = True) -> Table:
    table = Table(*head, show_header=header, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*[cell.replace("[", r"\[") for cell in row])
    return table


def print_answer(console: Console, answer: Answer, completeness: Mapping[str, Any]) -> None:
    question = answer.question
    console.print(f"[bold]{question.words}[/]", highlight=False)
    print_rows(console, answer.columns, answer.rows, question.units)
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
