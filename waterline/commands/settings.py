"""`waterline settings`: every knob, with the value in force and where it comes from."""

import json
from typing import Annotated

import typer
from rich.text import Text

from waterline import show
from waterline.schemas.settings import Settings
from waterline.schemas.settings import settings as in_force


def register(app: typer.Typer) -> None:
    app.command()(settings)


def settings(as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False) -> None:
    """Show every setting: its variable, the value in force, and what it is for."""
    values = {f"WATERLINE_{name.upper()}": _shown(name) for name in Settings.model_fields}
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    rows: list[list[show.Cell]] = []
    for name, field in Settings.model_fields.items():
        variable = f"WATERLINE_{name.upper()}"
        changed = getattr(in_force(), name) != field.default
        rows.append([variable, Text(values[variable], "bold" if changed else ""), field.description or ""])
    show.print_table(show.console(), ["variable", "value", "meaning"], rows)


def _shown(name: str) -> str:
    value = getattr(in_force(), name)
    return "***" if value and Settings.model_fields[name].repr is False else str(value)
