"""`waterline ...`: the front door. A command is a module in waterline/commands with `register(app)`; `up` lives in `up.py`.

Only the module of the command that runs is imported, so that a command starts as fast as what it needs.
"""

import importlib
import os
import pkgutil
import sys
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from waterline import commands
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
            self.commands.update(get_group(found).commands)


app = typer.Typer(
    cls=OnDemand,
    name="waterline",
    help="Event-driven observability for AI agents: telemetry in, rows that can be trusted out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def _find_stack(context: typer.Context) -> None:
    """Lets a command find the stack that runs on the data directory, unless the environment says where things are."""
    if context.invoked_subcommand in ("up", "down", "status", "doctor"):
        return
    state_file = Settings().data_dir / "stack.json"
    if state_file.exists():
        from waterline.stack import state

        running = state.running(state_file.parent)
        for name, value in (running.environment if running else {}).items():
            os.environ.setdefault(name, value)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. A failure that has a name ends the process with its reason and code 1; a bug with its traceback."""
    try:
        app(args=arguments, standalone_mode=arguments is None)
    except WaterlineError as error:
        print(f"waterline: {error.reason}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
