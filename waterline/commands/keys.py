"""`waterline keys`: make, list, rotate and revoke the API keys of tenants. A running collector follows within a second."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from waterline import show
from waterline.connectors.sources.collector import keys as store
from waterline.connectors.sources.collector.server import key_path
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.settings import Settings
from waterline.stack import health, state

IN_FORCE_S, LOOK_AGAIN_S = 5.0, 0.05
OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)

File = Annotated[Path | None, typer.Option("--file", help="the key file; default: the setting collector_keys")]


def register(app: typer.Typer) -> None:
    commands = typer.Typer(help="API keys of tenants: create, list, rotate, revoke.", no_args_is_help=True)
    for command in (create, list_keys, rotate, revoke):
        commands.command(command.__name__.removesuffix("_keys"))(command)
    app.add_typer(commands, name="keys")


def create(
    tenant: Annotated[str, typer.Argument(help="letters, digits, _ . -")],
    note: Annotated[str, typer.Option(help="what the key is for")] = "",
    events_per_s: Annotated[float, typer.Option(min=0, help="events a second this key may send; 0 = as its tenant")] = 0.0,
    bytes_per_s: Annotated[float, typer.Option(min=0, help="bytes a second this key may send; 0 = as its tenant")] = 0.0,
    file: File = None,
) -> None:
    """Make a key for a tenant and print it; it is stored only as a hash and cannot be shown again."""
    with _edit(file) as content:
        try:
            key = store.create(content, tenant, note)
        except msgspec.ValidationError as error:
            reason = f"{tenant!r} cannot be a tenant: letters, digits, _ . - (at most 64)"
            raise Permanent(ErrorCode.INVALID_PARAMETER, reason) from error
        content.keys[-1].events_per_s, content.keys[-1].bytes_per_s = events_per_s, bytes_per_s
    _show(key, _path(file))


def list_keys(file: File = None, json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """List the keys: id, tenant and state, never the key itself."""
    content = _read(_path(file))
    if json:
        rows = [{name: getattr(key, name) for name in key.__struct_fields__ if name != "sha256"} for key in content.keys]
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    if not content.keys:
        OUT.print(f"{_path(file)} holds no key; `waterline keys create TENANT` makes one")
        return
    states = [f"revoked {key.revoked_at}" if key.revoked_at else "active" for key in content.keys]
    table = [[key.id, key.tenant, told, key.created_at, key.note] for key, told in zip(content.keys, states, strict=True)]
    show.print_table(show.console(), ["id", "tenant", "state", "created", "note"], table)


def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="the key to replace")],
    keep: Annotated[bool, typer.Option("--keep", help="leave the old key active; revoke it when its senders have moved")] = False,
    file: File = None,
) -> None:
    """Make a new key with the tenant, note and rates of an old one, and revoke the old one."""
    with _edit(file) as content:
        old = _find(content, key_id)
        if old.revoked_at:
            reason = f"key {old.id} was revoked at {old.revoked_at}; `waterline keys create {old.tenant}` makes a new one"
            raise Permanent(ErrorCode.INVALID_PARAMETER, reason)
        key = store.create(content, old.tenant, old.note)
        content.keys[-1].events_per_s, content.keys[-1].bytes_per_s = old.events_per_s, old.bytes_per_s
        if not keep:
            store.revoke(content, old.id)
    _show(key, _path(file))


def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="the key to revoke")], file: File = None) -> None:
    """Revoke a key: from now on it is answered 401."""
    with _edit(file) as content:
        key = store.revoke(content, _find(content, key_id).id)
    ERR.print(f"key {key.id} of tenant {key.tenant} is revoked since {key.revoked_at}")


def _path(file: Path | None) -> Path:
    return file or key_path(Settings())


@contextmanager
def _edit(file: Path | None) -> Iterator[store.KeyFile]:
    try:
        with store.edit(_path(file)) as content:
            yield content
    except store.KeyFileError as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, str(error)) from error
    except OSError as error:
        advice = "name another key file by --file or WATERLINE_COLLECTOR_KEYS, or another --data-dir"
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"the key cannot be kept: {state.why_not(error)}; {advice}") from error


def _read(path: Path) -> store.KeyFile:
    try:
        return store.read(path)
    except store.KeyFileError as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, str(error)) from error


def _find(content: store.KeyFile, key_id: str) -> store.Key:
    for key in content.keys:
        if key.id == key_id:
            return key
    raise Permanent(ErrorCode.NOT_FOUND, f"there is no key {key_id!r}; `waterline keys list` shows them")


def _show(key: str, path: Path) -> None:
    """The key alone on standard output, so that a script can take it; how and from when on to use it beside it.

    Waits until the collector of the stack on the data directory, if one runs, has taken it.
    """
    print(key, flush=True)
    ERR.print(f'OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20{key}"')
    config = Settings()
    running = state.running(config.data_dir)
    url = next((part.url for part in running.parts if part.name == "collector"), "") if running else ""
    deadline = time.monotonic() + IN_FORCE_S
    while url and path.absolute() == key_path(config).absolute() and (known := health.knows(url, key)) is not None:
        if known:
            ERR.print(f"in force at {url}")
            return
        if time.monotonic() > deadline:
            break
        threading.Event().wait(LOOK_AGAIN_S)
    ERR.print(f"a collector that reads {path} takes it within about a second")
