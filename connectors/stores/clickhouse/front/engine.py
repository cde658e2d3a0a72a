"""The embedded ClickHouse and its data directory. It lives while a connection is open, and one process has it at a time."""

import fcntl
import os
from pathlib import Path
from typing import Any

import chdb

from waterline.connectors.stores.clickhouse.front.link import Link

ENGINE: Any = chdb._chdb
PIPE_BYTES = 2**18
F_SETPIPE_SZ = 1031


class Engine:
    """The one owner of a data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.lock = _own(directory)
        ENGINE.set_signal_handlers_enabled(0)
        try:
            self.control = self.link()
        except RuntimeError as error:
            raise SystemExit(f"front: the engine cannot open {directory}: {error}") from error
        row = self.control.ask("SELECT version(), timezone()").split("\t")
        self.version, self.timezone = row[0], row[1]

    def link(self) -> Link:
        return Link(ENGINE.connect(str(self.directory)))

    def kill(self, tag: str) -> None:
        """Ask the statement that carries this tag to stop, every statement with an empty one; does not wait for it."""
        link = self.link()
        try:
            link.run(b"KILL QUERY WHERE endsWith(Settings['log_comment'], {tag:String}) ASYNC", params={"tag": tag})
        finally:
            link.close()

    def check(self) -> None:
        """Raises Refusal unless a SELECT is answered."""
        link = self.link()
        try:
            link.ask("SELECT 1")
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
