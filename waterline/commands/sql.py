"""`waterline sql`: a prompt on the store, or one statement."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from clickhouse_connect.driver.client import Client
from rich.console import Console

from waterline import reach, show
from waterline.connectors.stores.clickhouse.client import errors
from waterline.schemas.errors import WaterlineError
from waterline.schemas.settings import settings

HISTORY = Path("~/.waterline_history")
MOST_ROWS = 10_000
READ_ONLY = 2
HELP = "a statement ends with ; · \\d lists tables, \\d NAME its columns · \\q, exit or Ctrl-D leaves"


def register(app: typer.Typer) -> None:
    app.command()(sql)


def sql(
    statement: Annotated[str, typer.Argument(help="one statement; without it a prompt opens")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="rows as a JSON list")] = False,
    write: Annotated[bool, typer.Option("--write", help="let statements change the store")] = False,
) -> None:
    """Ask the store in SQL, read-only. Without a statement: a prompt, or what stands on stdin."""
    with reach.store(settings()) as client:
        if statement:
            run(client, statement, as_json, write)
        elif sys.stdin.isatty():
            prompt(client, write)
        else:
            for one in complete_statements(iter(sys.stdin)):
                run(client, one, as_json, write)


def run(client: Client, statement: str, as_json: bool, write: bool) -> None:
    """Raises what `client.errors` raises; for a statement that would change the store, unless `write` allows it."""
    began = time.monotonic()
    with errors():
        result = client.query(
            statement.rstrip().rstrip(";"),
            settings={"max_result_rows": MOST_ROWS, "result_overflow_mode": "break", "readonly": 0 if write else READ_ONLY},
        )
    columns = list(result.column_names)
    rows = [dict(zip(columns, row, strict=True)) for row in result.result_rows]
    if as_json:
        typer.echo(show.as_json(rows))
        return
    console = show.console()
    show.print_rows(console, columns, rows, whole=True)
    took = (time.monotonic() - began) * 1000
    console.print(f"[dim]{len(rows):,} row{'' if len(rows) == 1 else 's'}, {took:,.0f} ms[/]", highlight=False)


def prompt(client: Client, write: bool) -> None:
    """Until the user leaves. A statement that fails says why, and the prompt goes on."""
    remember()
    typer.echo(f"{settings().clickhouse_database} at {settings().clickhouse}\n{HELP}")
    for statement in complete_statements(typed()):
        try:
            run(client, statement, as_json=False, write=write)
        except WaterlineError as error:
            Console(stderr=True).print(f"[red]{error.reason}[/]", highlight=False, markup=True)


def typed() -> Iterator[str]:
    """Lines, until the end of input or a word that leaves. Ctrl-C drops the line."""
    while True:
        try:
            line = input("waterline> ")
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            typer.echo()
            continue
        if line.strip().rstrip(";") in ("exit", "quit", "\\q"):
            return
        yield line


def complete_statements(lines: Iterator[str]) -> Iterator[str]:
    """Joins lines up to one that ends with a semicolon. What is left at the end counts as a statement."""
    parts: list[str] = []
    for line in lines:
        if not parts and line.strip().startswith("\\d"):
            name = line.strip()[2:].strip()
            yield f"DESCRIBE TABLE {name}" if name else "SHOW TABLES"
            continue
        parts.append(line.rstrip("\n"))
        if line.rstrip().endswith(";"):
            yield "\n".join(parts)
            parts = []
    if any(part.strip() for part in parts):
        yield "\n".join(parts)


def remember() -> None:
    """Line editing and history, where the platform has them."""
    try:
        import atexit
        import readline
    except ImportError:
        return
    path = HISTORY.expanduser()
    if path.exists():
        readline.read_history_file(path)
    readline.set_history_length(1000)
    atexit.register(readline.write_history_file, path)
