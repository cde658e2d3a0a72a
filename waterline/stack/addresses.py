"""Which addresses a stack takes, and how its children are told."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from waterline.schemas.settings import Settings
from waterline.stack import ports
from waterline.stack.parts import Part, port_of

LOOPBACK = ("127.0.0.1", "localhost")


class AddressError(Exception):
    """A part of the stack was asked to take an address that is not on this machine, or the same as another."""


def settle(settings: Settings, parts: Iterable[Part], *, free: bool = False) -> tuple[Settings, list[str]]:
    """The settings with a port of its own for each address of `parts`, and a line for each port that is not the one asked for.

    A port that is asked for is taken if it is free. 0, or `free`, asks for any. Raises AddressError, unless `free`, when the
    settings name another machine, or one port twice.
    """
    if not free:
        _refuse_foreign(settings, parts)
        _refuse_doubles(settings, parts)
    taken: set[int] = set()
    changes: dict[str, object] = {}
    notes: list[str] = []
    for part in parts:
        for setting in part.settings:
            wanted = port_of(settings, setting)
            ask_any = free or wanted == 0
            if not ask_any and wanted not in taken and ports.is_free(wanted):
                port = wanted
            else:
                port = ports.pick(but=taken)
                if not ask_any:
                    notes.append(f"port {wanted} ({setting}) is taken; {part.name} uses {port}")
            taken.add(port)
            if port != wanted:
                changes[setting] = _with_port(settings, setting, port)
    settled = settings.model_copy(update=changes | {"data_dir": settings.data_dir.absolute()})
    return settled, notes


def environment(settings: Settings) -> dict[str, str]:
    """The WATERLINE_* variables that make a child's settings equal to these, wherever it runs, and nothing for a setting at its
    default."""
    defaults = Settings.model_construct()
    changed = {
        name: getattr(settings, name) for name in Settings.model_fields if getattr(settings, name) != getattr(defaults, name)
    }
    files = {name: Path(value).absolute() for name, value in changed.items() if name.endswith("_file")}
    return {f"WATERLINE_{name.upper()}": str(value) for name, value in (changed | files).items()}


def inherited(own: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with its own WATERLINE_* settings replaced by `own`, so that a child has no other source."""
    fields = {f"WATERLINE_{name.upper()}" for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in fields} | dict(own)


def _with_port(settings: Settings, setting: str, port: int) -> object:
    if setting == "kafka":
        return f"127.0.0.1:{port}"
    if setting == "clickhouse":
        return f"http://127.0.0.1:{port}"
    return port


def on_this_machine(settings: Settings, part: Part) -> bool:
    """Whether the settings have this part at an address that the local stack can take."""
    address = getattr(settings, part.settings[0])
    if not isinstance(address, str):
        return True
    host = address.split("//")[-1].rsplit(":", 1)[0]
    return host in LOOPBACK and "," not in address and not address.startswith("https:")


def _refuse_foreign(settings: Settings, parts: Iterable[Part]) -> None:
    for part in parts:
        if not on_this_machine(settings, part):
            name = f"WATERLINE_{part.settings[0].upper()}"
            raise AddressError(f"{name} is {part.url(settings)}, not on this machine: add --external {part.name}, or unset it")


def _refuse_doubles(settings: Settings, parts: Iterable[Part]) -> None:
    owners: dict[int, str] = {}
    for name in (setting for part in parts for setting in part.settings):
        port = port_of(settings, name)
        if port and port in owners:
            both = f"WATERLINE_{owners[port].upper()} and WATERLINE_{name.upper()}"
            raise AddressError(f"{both} both name port {port}: give each a port of its own, or 0 for any")
        owners[port] = name
