"""The embedded ClickHouse. Every function here blocks, so it runs in a thread of a lane; none touches HTTP.

A connection is a session of its own: what one sets is unknown to the others, and closing it forgets all of it. Opening
one costs 0.07 ms, so every request has a fresh one and settings cannot leak. The engine lives while a connection is open.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from waterline.connectors.stores.clickhouse.front.errors import Code, from_engine, refuse
from waterline.connectors.stores.clickhouse.front.statement import Insert, Output, first_word

ENGINE: Any = chdb._chdb
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
PIPE_BYTES = 2**18
F_SETPIPE_SZ = 1031

DEFAULTS = {
    "implicit_select": "0",  # on in the embedded engine: a lone expression would be a query
    "async_insert": "0",  # an answer to an insert means that its parts are there
}


@dataclass(slots=True)
class Stats:
    """Counts for X-ClickHouse-Summary and the metrics."""

    result_rows: int = 0
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """What the engine's own parser says of a statement, before it runs."""

    statements: int
    reads: bool
    controls: bool


class Engine:
    """The one owner of a data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.lock = _own(directory)
        ENGINE.set_signal_handlers_enabled(0)
        self.control = Link(self)
        row = self.control.ask("SELECT version(), timezone()").split("\t")
        self.version, self.timezone = row[0], row[1]

    def connect(self) -> Any:
        return ENGINE.connect(str(self.directory))

    def kill(self, tag: str) -> None:
        """Ask every statement that carries this tag to stop, all with an empty one; does not wait for it."""
        link = Link(self)
        try:
            link.run(b"KILL QUERY WHERE endsWith(Settings['log_comment'], {tag:String}) ASYNC", params={"tag": _escaped(tag)})
        finally:
            link.close()

    def close(self) -> None:
        """The last connection flushes and shuts the engine down; then another process may own the directory."""
        self.control.close()
        os.close(self.lock)


def _own(directory: Path) -> int:
    """Hold the directory. The kernel lets go of it when this process ends, however it ends."""
    fd = os.open(directory / "front.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise SystemExit(
            f"front: {directory} belongs to a running process (pid {owner}); stop it, or set WATERLINE_DATA_DIR"
        ) from error
    os.ftruncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    return fd


class Link:
    """One connection, and with it one session. Not for two threads at a time."""

    def __init__(self, engine: Engine) -> None:
        self.raw = engine.connect()
        self.applied: dict[str, str] = {}
        self.own: dict[str, str] = {}
        self.database = self.own_database = "default"

    def close(self) -> None:
        self.raw.close()

    def configure(self, settings: Mapping[str, str], database: str = "") -> None:
        """Put a request's settings and database in force, and take back those of the request before it.

        What statements of this session set themselves (`own`) comes back then, else the engine's default.
        """
        changes = [
            f"{_word(name)} = {_quoted(self.own[name]) if name in self.own else 'DEFAULT'}"
            for name in self.applied
            if name not in settings
        ]
        changes += [f"{_word(name)} = {_quoted(value)}" for name, value in settings.items() if self.applied.get(name) != value]
        if changes:
            self.run(f"SET {', '.join(changes)}".encode())
            self.applied = dict(settings)
        wanted = database or self.own_database
        if wanted != self.database:
            self.run(f"USE {_identifier(wanted)}".encode())
            self.database = wanted

    def settle(self, text: bytes) -> None:
        """Learn what a statement changed in the session, so that later requests do not undo it."""
        word = first_word(text)
        if word == b"SET":
            rows = self.ask("SELECT name, value FROM system.settings WHERE changed")
            changed = dict(line.split("\t", 1) for line in rows.split("\n") if line)
            self.own = {name: _unescaped(value) for name, value in changed.items() if self.applied.get(name) != _unescaped(value)}
        elif word == b"USE":
            self.database = self.own_database = self.ask("SELECT currentDatabase()")

    def set_params(self, params: Mapping[str, str]) -> None:
        """For an INSERT, which takes no parameters beside its text."""
        for name, value in params.items():
            self.run(f"SET param_{_word(name)} = {_quoted(value)}".encode())

    def kind(self, text: bytes) -> Kind:
        report = self.raw.classify_query(text)
        name = report["query_class"].name
        return Kind(report["statement_count"], name == "READ_ONLY", name == "CONTROL")

    def run(self, text: bytes, form: str = "TabSeparated", params: Mapping[str, str] | None = None) -> tuple[bytes, Stats]:
        """Run a statement and hold its whole answer."""
        try:
            result = self.raw.query(text, form, params=dict(params or {}))
        except RuntimeError as error:
            raise from_engine(error) from error
        return result.bytes(), _stats(result)

    def ask(self, text: str) -> str:
        """One line of TabSeparated."""
        return self.run(text.encode())[0].decode().rstrip("\n")

    def read(self, statement: Output, form: str, params: Mapping[str, str], fd: int) -> Stats:
        """Run a reading statement and write its answer to the pipe `fd`, which blocks while nobody reads.

        The engine writes through INTO OUTFILE, so that an answer of any format and any size takes no memory here.
        """
        outfile = f" INTO OUTFILE '/dev/fd/{fd}' APPEND FORMAT {_word(form)}".encode()
        return self.run(statement.before + outfile + statement.after, params=params)[1]

    def insert(self, statement: Insert, pieces: Iterable[bytes]) -> Stats:
        """Feed an INSERT. Raises what `pieces` raises after cancelling; parts that were already full stay, as on a server."""
        started = time.perf_counter_ns()
        handle = None
        try:
            handle = self.raw.send_insert(statement.head, statement.format)
            for piece in pieces:
                if piece:
                    self.raw.insert_append(handle, piece)
            result = self.raw.insert_done(handle)
        except RuntimeError as error:
            raise from_engine(error) from error
        except BaseException:
            if handle is not None:
                self.raw.insert_cancel(handle)
            raise
        stats = _stats(result)
        stats.elapsed_ns = time.perf_counter_ns() - started
        return stats


def pipe() -> tuple[int, int]:
    """Reading and writing end. The reading end does not block."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reading, False)
    try:
        fcntl.fcntl(writing, F_SETPIPE_SZ, PIPE_BYTES)
    except OSError as error:
        if error.errno not in (1, 22):  # the user's share of pipe memory is used up: the default size works too
            raise
    return reading, writing


def _stats(result: Any) -> Stats:
    return Stats(
        result_rows=result.rows_read(),
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )


def _word(name: str) -> str:
    """A name that goes into a statement as it is."""
    if not NAME.fullmatch(name):
        raise refuse(Code.UNKNOWN_SETTING, f"Unknown setting, parameter or format '{name}'")
    return name


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _escaped(value: str) -> str:
    """Text as a query parameter carries it: TabSeparated escapes."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"t": "\t", "n": "\n"}.get(found[1], found[1]), value)


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
