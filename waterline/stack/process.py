"""One child process: started so that it cannot outlive this one, its output in a file, and signals to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
LOG_LIMIT = 10 * 2**20
ASK_S = 0.05
TAIL_BYTES = 64 * 1024
WIDTH = 400


class NotReady(Exception):
    """A process ended or its deadline passed before it answered. The message holds the end of its log."""


@cache
def _spawner() -> ThreadPoolExecutor:
    """The one thread that forks. It lives as long as this process, since on Linux children die with the thread that made them."""
    return ThreadPoolExecutor(1, thread_name_prefix="spawn")


@cache
def _lifeline() -> int:
    """The reading end of a pipe that ends when this process does; -1 on Linux, where the kernel tells the children."""
    return -1 if sys.platform == "linux" else os.pipe()[0]


class Child:
    """`environment` is all the command gets to see; none = this process's. `nice`: how far it stands back when there is too
    little CPU, 0 to 19. One owner starts, watches and stops it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        also: Path | None = None,
        nice: int = 0,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.nice = nice
        self.environment = dict(os.environ if environment is None else environment)
        self._logs = [log, also] if also else [log]
        self._begun = dict.fromkeys(self._logs, 0)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.alive:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            os.replace(self.log, self.log.with_suffix(".log.1"))
        self._begun = {log: _size(log) for log in self._logs}
        self.process = _spawner().submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        fd = _lifeline()
        launcher = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(fd), str(self.nice)]
        with self.log.open("ab") as out:
            return subprocess.Popen(
                [*launcher, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,  # Ctrl-C reaches the owner alone, which stops its children in order
                pass_fds=() if fd < 0 else (fd,),
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.alive else None

    @property
    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None

    def signal(self, number: int) -> None:
        """To the whole group, which off Linux holds the launcher too. Nothing happens when it is gone."""
        if self.process and self.alive:
            os.killpg(self.process.pid, number)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has ended within `timeout` seconds."""
        try:
            if self.process:
                self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ask_to_end(self) -> None:
        """SIGTERM, which a paused process gets too."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def stop(self, grace: float = 15.0) -> None:
        """Asks it to end, and kills it when it has not after `grace` seconds."""
        self.ask_to_end()
        if not self.wait(grace):
            self.kill()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def wait_until(self, answers: Callable[[], bool], deadline: float) -> None:
        """Asks until it answers. Raises NotReady when it ends first, or `deadline` (time.monotonic) passes."""
        while not answers():
            if self.wait(ASK_S):
                raise NotReady(f"{self.name} ended with code {self.exit_code}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} does not answer\n{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """The end of what it put out, and wrote to its own log, since it was started; each with its path above."""
        return "\n".join(filter(None, (tail(log, lines, begun) for log, begun in self._begun.items())))


def tail(path: Path, lines: int, begun: int = 0) -> str:
    """The last lines after the byte `begun`, or of the whole file when it is shorter, as after a rotation. Long ones are cut."""
    size = _size(path)
    start = max(begun if begun <= size else 0, size - TAIL_BYTES)
    if start == size:
        return ""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    return "\n".join([f"--- {path}", *(line[:WIDTH] for line in text.splitlines()[-lines:])])


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
