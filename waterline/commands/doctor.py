"""`waterline doctor`: whether this machine can run the local stack, line by line, with what to do where it cannot."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from waterline.schemas.settings import Settings
from waterline.stack import checkup

SIGNS = {True: "[green]ok     [/]", False: "[red]problem[/]"}


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    data_dir: Annotated[Path | None, typer.Option(help="where the stack keeps its data; default .waterline")] = None,
) -> None:
    """Check Python, packages, Java, jars, ports, disk, memory, limits and clock. Exit code 1 when there is a problem."""
    console = Console(highlight=False, soft_wrap=True)
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    problems = 0
    for finding in checkup.examine(settings):
        problems += not finding.ok
        console.print(f"{SIGNS[finding.ok]} {finding.what}: ", end="")
        console.print(finding.found, markup=False)
        if finding.advice:
            console.print(f"        -> {finding.advice}", markup=False)
    if problems:
        raise typer.Exit(1)
