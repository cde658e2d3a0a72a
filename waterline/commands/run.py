"""`waterline collector | sink | streams | front`: one process alone, as the settings say."""

import runpy
from collections.abc import Callable

import typer

from waterline.stack.parts import PARTS, Part


def register(app: typer.Typer) -> None:
    for part in PARTS:
        if part.module:
            app.command(name=part.name, help=f"Run this process alone: {part.meaning}.")(_runner(part))


def _runner(part: Part) -> Callable[[], None]:
    def run() -> None:
        runpy.run_module(part.module, run_name="__main__", alter_sys=True)

    return run
