"""The local stack: real parts as child processes, started in order, kept running, and gone when this process is.

    with Stack(data_dir, parts=("kafka", "front")) as stack:
        stack.kafka, stack.clickhouse
        stack.kill("kafka")

What is not among `parts` is external: its address is taken from the settings and used as it is.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from waterline.schemas.settings import Settings
from waterline.stack import addresses, build, health, jars, provision, state
from waterline.stack import kafka as broker
from waterline.stack.keeper import Keeper
from waterline.stack.parts import BY_NAME, NAMES, choose
from waterline.stack.process import ASK_S, NotReady

START_S = 120.0


class StackError(Exception):
    """The stack could not start. The message says which part, why, and what to do."""


class Stack:
    """Parts on one data directory. Methods may be called from any thread; a part is named as in parts.PARTS.

    `free_ports`: take any free port rather than the settings'. `restart`: start again what died. `environment`: variables
    of single parts, by the part's name. `report` gets a line for each thing that happens.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        parts: Iterable[str] = NAMES,
        *,
        settings: Settings | None = None,
        free_ports: bool = False,
        restart: bool = True,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        report: Callable[[str], None] = lambda line: None,
        progress: jars.Progress | None = None,
    ) -> None:
        base = settings or Settings()
        self.settings = base.model_copy(update={"data_dir": (data_dir or base.data_dir).absolute()})
        self.parts = choose(parts)
        self._free_ports = free_ports
        self._special = {name: dict(variables) for name, variables in (environment or {}).items()}
        self._report = report
        self._progress = progress
        self._keeper = Keeper(report, self._write, restart=restart)
        self._lock = state.Lock(self.settings.data_dir)
        self._writing = threading.Lock()
        self._ready = False

    # the whole

    def start(self) -> None:
        """Starts the parts and returns when all are ready. Raises StackError or state.InUse; nothing is left running then."""
        try:
            self._lock.acquire()
            self._start()
        except state.Unusable as error:
            raise StackError(error.reason) from error
        except (NotReady, broker.KafkaError, jars.JarError, provision.ProvisionError, addresses.AddressError) as error:
            self.close()
            raise StackError(str(error)) from error
        except OSError as error:  # the disk, a folder of another user, no free port
            self.close()
            raise StackError(state.why_not(error)) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends every part, the way in first, and waits for it."""
        if not self._lock.held:
            return
        self._keeper.close()
        for stage in sorted({part.stage for part in self.parts}, reverse=True):
            self._keeper.end([part.name for part in self.parts if part.stage == stage])
        (self.settings.data_dir / "stack.json").unlink(missing_ok=True)
        self._lock.release()

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # addresses, final once the stack has started

    @property
    def kafka(self) -> str:
        """Bootstrap servers."""
        return self.settings.kafka

    @property
    def clickhouse(self) -> str:
        """URL of ClickHouse's HTTP interface."""
        return self.settings.clickhouse

    @property
    def collector_url(self) -> str:
        return BY_NAME["collector"].url(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """The WATERLINE_* variables with which any other process finds this stack."""
        return addresses.environment(self.settings)

    # one part

    def pid(self, name: str) -> int | None:
        """Its process id; None when it does not run."""
        return self._keeper.kept[name].child.pid

    def state(self, name: str) -> str:
        """running, paused, stopped, waiting (to be started again) or failed (given up)."""
        return self._keeper.kept[name].state

    def log(self, name: str) -> Path:
        return build.log_of(self.settings, name)

    def kill(self, name: str) -> None:
        """SIGKILL, and waits for its end. It is started again if the stack restarts what died."""
        self._keeper.kill(name)

    def stop(self, name: str) -> None:
        """Asks it to end and leaves it stopped."""
        self._keeper.stop(name)

    def launch(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Starts a part that does not run; `environment`, if given, replaces the variables of this part."""
        if environment is not None:
            self._special[name] = dict(environment)
        self._keeper.start(build.child(BY_NAME[name], self.settings, self._special.get(name, {}), self._progress))

    def restart(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Stops it, starts it and waits until it is ready."""
        self.stop(name)
        self.launch(name, environment)
        self.wait_ready(name)

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self._keeper.pause(name)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._keeper.resume(name)

    @property
    def restart_dead(self) -> bool:
        """Whether a part that died is started again. Can be switched at any time."""
        return self._keeper.restart_dead

    @restart_dead.setter
    def restart_dead(self, value: bool) -> None:
        self._keeper.restart_dead = value

    def health(self, name: str) -> health.Answer:
        """What the part says of itself now."""
        if name == "kafka":
            return health.Answer(True) if broker.answers(self.kafka) else health.Answer(False, "does not answer")
        return health.ask(BY_NAME[name].ready_url(self.settings))

    def wait_ready(self, name: str, timeout: float = START_S) -> None:
        """Returns when the part is ready; a restart in between is waited for. Raises process.NotReady with the end of its log."""
        deadline = time.monotonic() + timeout
        while not (answer := self.health(name)).ready:
            kept = self._keeper.kept[name]
            if kept.hopeless(self._keeper.restarting):
                raise NotReady(self._obituary(name, f"ended with code {kept.child.exit_code}"))
            if time.monotonic() > deadline:
                raise NotReady(self._obituary(name, f"is not ready after {timeout:.0f} s: {answer.why}"))
            kept.child.wait(ASK_S)

    def _obituary(self, name: str, what: str) -> str:
        advice = BY_NAME[name].advice or "`waterline doctor` checks this machine."
        return f"{name} {what}\n{self._keeper.kept[name].child.tail()}\n{advice}"

    def migrate(self) -> None:
        """Brings the tables up to date; done at start when the sink is among the parts. Raises provision.ProvisionError."""
        provision.migrate(self.settings)

    def _start(self) -> None:
        state.bury_remains(self.settings.data_dir)
        self.settings, notes = addresses.settle(self.settings, self.parts, free=self._free_ports)
        for note in notes:
            self._report(note)
        names = {part.name for part in self.parts}
        self._start_stage(0)
        if names - {"front"}:
            provision.make_topics(self.settings, self._report, own="kafka" in names)
        if "sink" in names:
            self.migrate()
        self._start_stage(1)
        self._start_stage(2)
        self._ready = True
        self._write()
        self._keeper.watch()

    def _start_stage(self, stage: int) -> None:
        group = [part for part in self.parts if part.stage == stage]
        began = time.monotonic()
        for part in group:
            self.launch(part.name)
        for part in group:
            self.wait_ready(part.name)
            self._report(f"{part.name}: ready after {time.monotonic() - began:.1f} s on {part.url(self.settings)}")

    def _write(self) -> None:
        with self._writing:
            kept = self._keeper.kept
            found = [
                state.PartState(
                    name=part.name,
                    state=kept[part.name].state,
                    pid=kept[part.name].child.pid,
                    created=state.created(kept[part.name].child.pid),
                    restarts=kept[part.name].restarts,
                    url=part.url(self.settings),
                    ready_url=part.ready_url(self.settings),
                    log=str(self.log(part.name)),
                )
                for part in self.parts
                if part.name in kept
            ]
            me = os.getpid()
            whole = state.StackState(me, state.created(me) or 0.0, self._ready, found, self.environment)
            try:
                state.write(self.settings.data_dir, whole)
            except OSError as error:  # the parts are worth more than the file about them
                self._report(f"cannot write {self.settings.data_dir / 'stack.json'}: {error}")
