"""`waterline down`: ends the stack that runs on a data directory."""

import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

from waterline.schemas.settings import Settings
from waterline.stack import state

END_S = 60.0


def register(app: typer.Typer) -> None:
    app.command()(down)


def down(
    data_dir: Annotated[Path | None, typer.Option(help="where the stack keeps its data; default .waterline")] = None,
) -> None:
    """End the stack, the way in first, and wait until it is gone. Its data stays."""
    home = (data_dir or Settings().data_dir).absolute()
    running = state.running(home)
    if not running:
        typer.echo(f"no stack runs on {home}")
        return
    try:
        process = psutil.Process(running.pid)
        process.terminate()
        wait_for(process, running, time.monotonic() + END_S)
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied as error:
        typer.echo(f"the stack on {home} (pid {running.pid}) belongs to another user", err=True)
        raise typer.Exit(1) from error
    except psutil.TimeoutExpired as error:
        typer.echo(
            f"pid {running.pid} has not ended after {END_S:.0f} s; `kill -9 {running.pid}` ends it and all its parts", err=True
        )
        raise typer.Exit(1) from error
    typer.echo("ended: " + ", ".join(part.name for part in reversed(running.parts)))


def wait_for(process: psutil.Process, running: state.StackState, deadline: float) -> None:
    """Returns when it has ended, even if nobody collects it. Raises psutil.TimeoutExpired at `deadline`."""
    while running.alive:
        try:
            process.wait(0.1)
        except psutil.TimeoutExpired:
            if time.monotonic() > deadline:
                raise
