"""One connection to the embedded engine, which is one session: what it sets is unknown to the others, and closing forgets it.

Everything here blocks, so it runs in a thread of a lane. Opening a connection and setting it up costs 0.4 ms, so those that
served a statement without a trace serve the next one (`Links`).
"""

import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from waterline.connectors.stores.clickhouse.front.errors import Code, from_engine, refuse
from waterline.connectors.stores.clickhouse.front.statement import Insert, Output, first_word

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")

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


class Link:
    """Not for two threads at a time. `tag` marks its statements in system.processes, so that they can be told to stop."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.tag = f"front-{uuid.uuid4()}"
        self.applied: dict[str, str] = {}
        self.own: dict[str, str] = {}
        self.database = self.own_database = "default"

    def close(self) -> None:
        self.raw.close()

    def configure(self, given: Mapping[str, str], database: str = "") -> None:
        """Put a request's settings and database in force, and take back those of the request before it.

        What statements of this session set themselves (`own`) comes back then, else the engine's default.
        """
        settings = DEFAULTS | dict(given) | {"log_comment": f"{given.get('log_comment', '')} {self.tag}".strip()}
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
            self.run(f"USE {identifier(wanted)}".encode())
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
        except BaseException as error:
            if handle is not None:
                with suppress(RuntimeError):  # a refused insert may have ended by itself; if not, nothing else could run here
                    self.raw.insert_cancel(handle)
            if isinstance(error, RuntimeError):
                raise from_engine(error) from error
            raise
        stats = _stats(result)
        stats.elapsed_ns = time.perf_counter_ns() - started
        return stats


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


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"t": "\t", "n": "\n"}.get(found[1], found[1]), value)


def identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Links:
    """Connections at rest. `key` keeps apart what a request cannot take back: a read-only session stays one."""

    def __init__(self, open_link: Callable[[], Link], limit: int) -> None:
        self.open_link = open_link
        self.limit = limit
        self.resting: dict[bool, list[Link]] = {False: [], True: []}

    def take(self, key: bool) -> Link:
        try:
            return self.resting[key].pop()
        except IndexError:
            return self.open_link()

    def give(self, key: bool, link: Link) -> None:
        """Only one whose statement left no trace in its session."""
        if len(self.resting[key]) < self.limit:
            self.resting[key].append(link)
        else:
            link.close()

    def close(self) -> None:
        for links in self.resting.values():
            while links:
                links.pop().close()
