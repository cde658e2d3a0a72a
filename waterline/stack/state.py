"""One data directory: who runs on it, and where. `stack.json` is for people, for `status` and for other commands."""

import contextlib
import fcntl
import os
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.settings import Settings

END_S = 20.0
ASK_S = 0.1


class InUse(Exception):
    """Another stack runs on this data directory."""


class Unusable(Permanent):
    """The data directory cannot be used. The message says why, and what to do."""

    def __init__(self, data_dir: Path, error: OSError) -> None:
        file = isinstance(error, NotADirectoryError | FileExistsError)
        why = "it, or one above it, is a file" if file else why_not(error)
        reason = f"the data directory {data_dir} cannot be used: {why}; name another by --data-dir or WATERLINE_DATA_DIR"
        super().__init__(ErrorCode.INVALID_PARAMETER, reason)


@dataclass
class PartState:
    """`state`: starting, running, paused, stopped, waiting (to be started again) or failed (given up)."""

    name: str
    state: str
    pid: int | None = None
    created: float | None = None
    restarts: int = 0
    url: str = ""
    ready_url: str = ""
    log: str = ""


@dataclass
class StackState:
    """`environment` makes another process's settings equal to those of the stack."""

    pid: int
    created: float
    ready: bool = False
    parts: list[PartState] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        return is_process(self.pid, self.created)


def created(pid: int | None) -> float | None:
    """When the process began; tells it from a later one of the same number."""
    try:
        return psutil.Process(pid).create_time() if pid else None
    except psutil.NoSuchProcess:
        return None


def is_process(pid: int | None, began: float | None) -> bool:
    try:
        process = psutil.Process(pid) if pid else None
        return process is not None and process.create_time() == began and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def read(data_dir: Path) -> StackState | None:
    """The stack last seen on `data_dir`, alive or not. Raises Unusable."""
    try:
        return msgspec.json.decode((data_dir / "stack.json").read_bytes(), type=StackState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except OSError as error:
        raise Unusable(data_dir, error) from error


def why_not(error: OSError) -> str:
    """The system's words, with the path when it names one."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def write(data_dir: Path, state: StackState) -> None:
    fresh = data_dir / "stack.json.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
    os.replace(fresh, data_dir / "stack.json")


def running(data_dir: Path) -> StackState | None:
    """The stack that runs on `data_dir` now. Raises Unusable."""
    state = read(data_dir)
    return state if state and state.alive else None


def option(data_dir: Path) -> str:
    """What a command needs to be told so that it finds this directory; empty when it does by itself."""
    usual = Settings().data_dir.absolute()
    return "" if data_dir.absolute() == usual else f" --data-dir {shlex.quote(str(data_dir))}"


def taken(data_dir: Path, holder: StackState | None) -> str:
    """What to tell someone who wants to start another stack there."""
    who = f" (pid {holder.pid})" if holder else ""
    there = option(data_dir)
    advice = f"see `waterline status{there}`, end it with `waterline down{there}`, or use another --data-dir"
    return f"a stack already runs on {data_dir}{who}; {advice}"


class Lock:
    """Held by the one stack that runs on `data_dir`; the kernel releases it when the last thread of its holder is gone."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._file: int | None = None

    def acquire(self) -> None:
        """Raises InUse when another holds it, Unusable when the directory cannot be made or written."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            file = os.open(self.data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Unusable(self.data_dir, error) from error
        deadline = time.monotonic() + END_S
        while not _locked(file):
            holder = read(self.data_dir)
            if holder is None or holder.alive or time.monotonic() > deadline:
                os.close(file)
                raise InUse(taken(self.data_dir, holder))
            time.sleep(ASK_S)
        self._file = file

    @property
    def held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_gone(pid: int | None, began: float | None, timeout: float) -> bool:
    """Whether the process has ended within `timeout` seconds. One that nobody collects (a zombie) has ended."""
    deadline = time.monotonic() + timeout
    while is_process(pid, began):
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).wait(ASK_S)
    return True


def bury_remains(data_dir: Path) -> None:
    """Ends what an earlier stack on this directory left. Its children die with it, but the kernel may need a moment."""
    seen = read(data_dir)
    left = [part for part in (seen.parts if seen else []) if is_process(part.pid, part.created)]
    for part in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(part.pid).kill()
    if stubborn := [part.name for part in left if not wait_gone(part.pid, part.created, END_S)]:
        raise InUse(f"parts of an earlier stack on {data_dir} will not end: {', '.join(stubborn)}")
