"""`waterline status`: what runs, whether it is ready and why not, and what is wrong although it is."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from waterline import show
from waterline.schemas.errors import Transient
from waterline.schemas.settings import Settings
from waterline.stack import health, kafka, state

HEAD = ("part", "state", "ready", "pid", "restarts", "lag", "address", "why not")
COLORS = {"running": "green", "failed": "red", "stopped": "red", "waiting": "yellow", "paused": "yellow"}


@dataclass
class Row:
    """`lag` is None where the part does not tell; `versions` are of the rules or routes that it works by."""

    part: str
    state: str
    ready: bool
    why: str
    pid: int | None
    restarts: int
    url: str
    log: str
    lag: int | None
    versions: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(
    data_dir: Annotated[Path | None, typer.Option(help="where the stack keeps its data; default .waterline")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Show each part of the running stack, and below it files that were refused and rules whose question is not answered. Exit
    code 1 when a part is not ready, 3 when no stack runs."""
    home = (data_dir or Settings().data_dir).absolute()
    running = state.running(home)
    if not running:
        typer.echo(
            json.dumps({"running": False, "data_dir": str(home)})
            if as_json
            else f"no stack runs on {home}; `waterline up{state.option(home)}` starts one"
        )
        raise typer.Exit(3)
    rows = [look(part) for part in running.parts]
    for row in rows:
        if row.part == "front" and row.ready and (gone := missing(row.url, running.environment)):
            row.ready, row.why = False, gone
    if as_json:
        whole = {"running": True, "pid": running.pid, "ready": running.ready, "data_dir": str(home)}
        typer.echo(json.dumps(whole | {"environment": running.environment, "parts": [asdict(row) for row in rows]}, indent=2))
    else:
        console = show.console()
        show.print_table(console, HEAD, [cells(row) for row in rows])
        for trouble in (trouble for row in rows for trouble in row.troubles):
            console.print(Text.assemble(("! ", "bold red"), show.text(trouble)), soft_wrap=True)
    if not running.ready or not all(row.ready for row in rows):
        raise typer.Exit(1)


def missing(url: str, environment: Mapping[str, str]) -> str:
    """What the store once had and has no more, with what to do; empty when all is there or it does not answer now."""
    from waterline.connectors.stores.clickhouse.client import connect
    from waterline.proof import missing as missing_from

    given = {name.removeprefix("WATERLINE_").lower(): value for name, value in environment.items()}
    config = Settings.model_validate(given | {"clickhouse": url})
    try:
        with closing(connect(config)) as client:
            return "; ".join(f"{one.what}: {one.reason}" for one in missing_from(client))
    except Transient:
        return ""


def look(part: state.PartState) -> Row:
    """What the part says of itself now, beside what the supervisor knows."""
    if not state.is_process(part.pid, part.created):
        answer = health.Answer(False, f"does not run; see {part.log}")
    elif part.ready_url:
        answer = health.ask(part.ready_url)
    else:
        answer = health.Answer(True) if kafka.answers(part.url) else health.Answer(False, "does not answer")
    asked = part.ready_url.endswith("/readyz")
    waiting = health.lag(part.ready_url, part.name) if asked else None
    row = Row(part.name, part.state, answer.ready, answer.why, part.pid, part.restarts, part.url, part.log, waiting)
    if asked and (told := health.statusz(part.ready_url)) is not None:
        row.versions = {one.what: one.version for one in told.followed}
        row.troubles = health.troubles(part.name, told)
    return row


def cells(row: Row) -> list[show.Cell]:
    return [
        row.part,
        Text(row.state, COLORS.get(row.state, "")),
        Text("yes", "green") if row.ready else Text("no", "red"),
        str(row.pid or "-"),
        str(row.restarts),
        "-" if row.lag is None else str(row.lag),
        row.url,
        row.why,
    ]
