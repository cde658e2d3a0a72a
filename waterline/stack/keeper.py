"""Keeps children running: starts the dead again after a pause that grows, and gives up on those that die too often."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from waterline.stack.process import Child

TICK_S = 0.1
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Before the first, second, ... restart within WITHIN_S. A child that dies more often than that is given up."""
WITHIN_S = 60.0


@dataclass
class Kept:
    child: Child
    wanted: bool = True
    paused: bool = False
    failed: bool = False
    killed: bool = False
    restarts: int = 0
    deaths: deque[float] = field(default_factory=deque)
    due: float | None = None

    def hopeless(self, restarting: bool) -> bool:
        """Whether it is dead and nobody will start it again."""
        return not self.child.alive and (self.failed or not self.wanted or not restarting)

    @property
    def state(self) -> str:
        if self.child.alive:
            return "paused" if self.paused else "running"
        if self.failed:
            return "failed"
        return "waiting" if self.wanted else "stopped"


class Keeper:
    """`report` gets a line for each death and restart; `changed` is called after anything changed. Both run in any thread."""

    def __init__(
        self,
        report: Callable[[str], None],
        changed: Callable[[], None],
        *,
        restart: bool = True,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self.restart_dead = restart
        self._pauses_s = pauses_s
        self.kept: dict[str, Kept] = {}
        self._report = report
        self._changed = changed
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)

    def start(self, child: Child) -> None:
        """Starts it and keeps it, in place of an earlier child of that name."""
        with self._lock:
            before = self.kept.get(child.name)
            self.kept[child.name] = Kept(child, restarts=before.restarts if before else 0)
            child.start()
        self._changed()

    def stop(self, name: str) -> None:
        """Asks it to end and leaves it stopped."""
        with self._lock:
            kept = self.kept[name]
            kept.wanted = kept.paused = False
        kept.child.stop()
        self._changed()

    def kill(self, name: str) -> None:
        """SIGKILL. It is started again if the dead are; this death does not count against it."""
        with self._lock:
            kept = self.kept[name]
            kept.paused, kept.killed = False, kept.child.alive
            kept.child.kill()
        self._changed()

    def pause(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP, paused=True)

    def resume(self, name: str) -> None:
        self._signal(name, signal.SIGCONT, paused=False)

    def end(self, names: Iterable[str]) -> None:
        """Asks those to end, all at once, and waits for each."""
        ending = [self.kept[name] for name in names if name in self.kept]
        for kept in ending:
            kept.wanted = False
            kept.child.ask_to_end()
        for kept in ending:
            kept.child.stop()

    @property
    def restarting(self) -> bool:
        """Whether the dead are started again as things are."""
        return self.restart_dead and self._thread.is_alive()

    def watch(self) -> None:
        """From now on the dead are noticed."""
        self._thread.start()

    def close(self) -> None:
        """Notices nothing any more; the children are left as they are."""
        self._end.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _signal(self, name: str, number: int, *, paused: bool) -> None:
        with self._lock:
            kept = self.kept[name]
            kept.child.signal(number)
            kept.paused = paused and kept.child.alive
        self._changed()

    def _watch(self) -> None:
        while not self._end.wait(TICK_S):
            with self._lock:
                happened = [self._look(kept, time.monotonic()) for kept in self.kept.values()]
            if any(happened):
                self._changed()

    def _look(self, kept: Kept, now: float) -> bool:
        """Whether anything happened to it."""
        if not kept.wanted or kept.failed or kept.child.alive or not self.restart_dead:
            return False
        if kept.due is None:
            self._died(kept, now)
            return True
        if now < kept.due:
            return False
        kept.due = None
        kept.restarts += 1
        try:
            kept.child.start()
        except OSError as error:  # counts as a death when it is looked at again
            self._report(f"{kept.child.name}: cannot be started again: {error}")
        else:
            self._report(f"{kept.child.name}: started again (pid {kept.child.pid})")
        return True

    def _died(self, kept: Kept, now: float) -> None:
        name, code = kept.child.name, kept.child.exit_code
        if kept.killed:
            kept.killed, kept.due = False, now
            return
        while kept.deaths and now - kept.deaths[0] > WITHIN_S:
            kept.deaths.popleft()
        kept.deaths.append(now)
        if len(kept.deaths) > len(self._pauses_s):
            kept.failed = True
            self._report(
                f"{name}: ended with code {code}, {len(kept.deaths)} times within {WITHIN_S:.0f} s; given up\n{kept.child.tail()}"
            )
            return
        kept.due = now + self._pauses_s[len(kept.deaths) - 1]
        self._report(f"{name}: ended with code {code}; see {kept.child.log}")
