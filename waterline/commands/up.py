"""`waterline up`: the local stack, in the foreground until Ctrl-C, or detached."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from waterline import show
from waterline.schemas.settings import Settings
from waterline.stack import Stack, StackError, state
from waterline.stack.parts import BY_NAME, NAMES, choose
from waterline.stack.process import ASK_S, tail

OUT = Console(highlight=False, soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else show.NO_TERMINAL)


class Ended(BaseException):
    """Someone asked this process to end while it was starting."""


def register(app: typer.Typer) -> None:
    app.command()(up)


def up(
    only: Annotated[list[str] | None, typer.Option(help=f"only these parts, comma separated: {', '.join(NAMES)}")] = None,
    external: Annotated[list[str] | None, typer.Option(help="parts that run elsewhere, where the settings say")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="everything the stack keeps; default .waterline")] = None,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="take any free ports instead of the usual ones")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="return when it is ready, and leave it running")] = False,
) -> None:
    """Start Kafka, ClickHouse, sink, streams and collector on this machine, and keep them running."""
    try:
        names = parts_to_start(only or [], external or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    home = (data_dir or Settings().data_dir).absolute()
    if detach:
        start_detached(home, names, free_ports)
    else:
        run(Stack(home, names, free_ports=free_ports, report=OUT.print, progress=fetched))


def parts_to_start(only: Iterable[str], external: Iterable[str]) -> list[str]:
    """Names in starting order. Raises ValueError for a name that is none, or when nothing is left."""
    wanted = choose(_split(only)) if only else choose(NAMES)
    elsewhere = {part.name for part in choose(_split(external))}
    names = [part.name for part in wanted if part.name not in elsewhere]
    if not names:
        raise ValueError("nothing is left to start")
    return names


def run(stack: Stack) -> None:
    """Until a signal asks it to end. A second signal does not interrupt the ending; the parts have a deadline for it."""
    asked = threading.Event()
    starting = True

    def end(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        if starting:
            raise Ended

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        stack.start()
        starting = False
        OUT.print(addresses(stack))
        OUT.print("Ctrl-C ends it." if sys.stdout.isatty() else "ready")
        asked.wait()
        OUT.print("ending ...")
    except Ended:
        OUT.print("ended while starting")
        raise typer.Exit(130) from None
    except (StackError, state.InUse) as error:
        OUT.print(f"up: {error}", style="red")
        raise typer.Exit(1) from error
    finally:
        starting = False
        stack.close()


def start_detached(home: Path, names: list[str], free_ports: bool) -> None:
    """Starts `up` as a process of its own session and returns when it is ready. Its output goes to logs/up.log."""
    log = home / "logs" / "up.log"
    try:
        holder = state.running(home)
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise state.Unusable(home, error) from error
    if holder:
        OUT.print(f"up: {state.taken(home, holder)}", style="red")
        raise typer.Exit(1)
    command = [sys.executable, "-m", "waterline", "up", "--data-dir", str(home), "--only", ",".join(names)]
    with log.open("wb") as out:
        child = subprocess.Popen(
            [*command, "--free-ports"] if free_ports else command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    while not ((now := state.running(home)) and now.ready and now.pid == child.pid):
        try:
            child.wait(ASK_S)
        except subprocess.TimeoutExpired:
            continue
        OUT.print(tail(log, 40))
        raise typer.Exit(1)
    OUT.print(log.read_text().rstrip())
    there = state.option(home)
    OUT.print(f"runs as pid {child.pid}; `waterline status{there}` shows it, `waterline down{there}` ends it")


def addresses(stack: Stack) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for wraps in (False, False, True):
        table.add_column(no_wrap=not wraps)
    for part in stack.parts:
        table.add_row(part.name, BY_NAME[part.name].url(stack.settings), part.meaning)
    table.add_row("data", str(stack.settings.data_dir), "logs in logs/")
    return table


def fetched(done: int, total: int, name: str) -> None:
    """A line for every tenth jar."""
    if done % 10 == 0 or done == total:
        OUT.print(f"kafka: {done} of {total} jars at hand")


def _split(names: Iterable[str]) -> list[str]:
    return [name for each in names for name in each.split(",") if name]
