"""`waterline down`: ends the stack that runs on a data directory."""

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
        psutil.Process(running.pid).terminate()
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied as error:
        typer.echo(f"the stack on {home} (pid {running.pid}) belongs to another user", err=True)
        raise typer.Exit(1) from error
    if not state.wait_gone(running.pid, running.created, END_S):
        typer.echo(
            f"pid {running.pid} has not ended after {END_S:.0f} s; `kill -9 {running.pid}` ends it and all its parts", err=True
        )
        raise typer.Exit(1)
    typer.echo("ended: " + ", ".join(part.name for part in reversed(running.parts)))
