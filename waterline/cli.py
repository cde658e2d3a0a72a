"""`waterline ...`: the front door. A command is a module in waterline/commands with `register(app)`; `up` lives in `up.py`.

Only the module of the command that runs is imported, so that a command starts as fast as what it needs.
"""

import importlib
import os
import pkgutil
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from waterline import commands, environment
from waterline.schemas.errors import WaterlineError
from waterline.schemas.settings import Settings


def _load(module: str) -> ModuleType:
    return importlib.import_module(f"{commands.__name__}.{module}")


def _modules() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


class OnDemand(TyperGroup):
    """Finds a command in the module of its name, else in any module."""

    def list_commands(self, ctx: Any) -> list[str]:
        for module in _modules():
            self._register(module)
        return sorted(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module = cmd_name.replace("-", "_")
        if cmd_name not in self.commands and module in _modules():
            self._register(module)
        if cmd_name not in self.commands:
            self.list_commands(ctx)
        return self.commands.get(cmd_name)

    def _register(self, module: str) -> None:
        found = typer.Typer()
        found.callback()(lambda: None)
        if register := getattr(_load(module), "register", None):
            register(found)
            for name, command in get_group(found).commands.items():
                _let_find_stack(command)
                self.commands[name] = command


def _let_find_stack(command: Any) -> None:
    """Gives a command, or each of a group, the option --data-dir, unless it has one of its own."""
    if isinstance(command, TyperGroup):
        for one in command.commands.values():
            _let_find_stack(one)
    if isinstance(command, TyperGroup) and not command.invoke_without_command:
        return
    if not any("--data-dir" in one.opts for one in command.params):
        command.params.append(_data_dir())


@cache
def _data_dir() -> Any:
    """Makes the stack that runs on a data directory known to a command; what the environment says of addresses comes first."""
    app = typer.Typer()

    @app.command()
    def of(
        data_dir: Annotated[
            Path | None,
            typer.Option(help="of the stack to use; default .waterline", callback=_find_stack, expose_value=False),
        ] = None,
    ) -> None: ...

    (option,) = (one for one in get_command(app).params if one.name == "data_dir")
    return option


def _find_stack(data_dir: Path | None) -> None:
    if data_dir is not None:
        os.environ["WATERLINE_DATA_DIR"] = str(data_dir)
    home = Settings().data_dir
    if os.path.exists(home / "stack.json"):
        from waterline.stack import state

        running = state.running(home)
        for name, value in (running.environment if running else {}).items():
            os.environ.setdefault(name, value)


app = typer.Typer(
    cls=OnDemand,
    name="waterline",
    help="Event-driven observability for AI agents: telemetry in, rows that can be trusted out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def _check_environment() -> None:
    environment.read(os.environ)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. A failure that has a name ends the process with its reason and code 1; a bug with its traceback."""
    try:
        app(args=arguments, standalone_mode=arguments is None)
    except WaterlineError as error:
        print("\n".join(f"waterline: {line}" for line in error.reason.splitlines()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
