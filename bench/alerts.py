"""(f) How soon a person and a gateway know: fault to webhook beside a monitor that asks ClickHouse once a minute, and event to
changed verdict in `control.limits`.

The whole stack runs under a steady load (traffic.py). Every so often an agent of its own begins to fail: its calls are sent in
one request, and the clock runs from before that request until the webhook has the alert. The monitor asks, each minute, for
agents of which more than 5 % of at least 20 calls of the last five minutes failed, which is the same rule (tool_error_rate), and
so has the same false alarms. Alerts of other rules are not counted.
"""

import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
from clickhouse_connect.driver.client import Client
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from bench.report import Figure, bar, show, write
from bench.traffic import BATCH, Sender, Traffic, as_of_now, failing, spending
from waterline.connectors.notifiers.receiver import Message, Receiver
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.settings import Settings
from waterline.schemas.topics import CONTROL_LIMITS
from waterline.stack import Stack
from waterline.stack.parts import NAMES
from waterline.stack.process import tail
from waterline.streams import rules_file

OURS, MONITOR = "Waterline", "a query each minute"
RATE, RULE = 2_000, "tool_error_rate"
FAILING = 40
"""Tool calls of an agent that fails, all of which fail."""
POLL_S, SETTLE_S, PATIENCE_S = 60.0, 30.0, 70.0
"""A stack that has just started is still being compiled by Java for half a minute; that is left out."""
TRIALS, QUICK_TRIALS = 60, 12
WANTED_SHARE, WANTED_S = 1 / 30, 1.0
BUDGET = """
budgets:
  - {budget: per-key, scope: key, period: day, limit: 0.05 USD}
"""
ASKED = """
SELECT agent FROM events WHERE kind = 'tool_call' AND ts > now64(6) - INTERVAL 5 MINUTE
GROUP BY agent HAVING count() >= 20 AND countIf(status != 'ok') / count() > 0.05"""


class Heard:
    """When each name was first told of, by a clock that only goes forward."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def hear(self, name: str) -> None:
        self.at.setdefault(name, time.monotonic())

    def delays(self, begun: dict[str, float]) -> list[float]:
        """Seconds; what was never told of counts as told of now."""
        now = time.monotonic()
        return [self.at.get(name, now) - at for name, at in begun.items()]


def run(rounds: int = 5, quick: bool = False) -> list[dict[str, Any]]:
    trials = QUICK_TRIALS if quick else TRIALS
    webhooks, monitor, gateway = Heard(), Heard(), Heard()

    def heard(message: Message) -> None:
        for alert in message.body.get("alerts", []):
            if alert["status"] == "firing" and alert["labels"]["alertname"] == RULE:
                webhooks.hear(alert["labels"]["agent"])

    with ExitStack() as open_things:
        folder = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="waterline-bench-")))
        receiver = open_things.enter_context(Receiver(heard=heard))
        stack = open_things.enter_context(
            Stack(folder, settings=configured(folder, receiver.url), free_ports=True, restart=False)
        )
        load = Load(stack.collector_url)
        for running in (repeating(load.send, BATCH / RATE), asking(stack, monitor), following(stack, gateway)):
            open_things.enter_context(running)
        time.sleep(SETTLE_S)
        cost = Cost(stack, load)
        faults, spent = inject(stack.collector_url, trials)
        used = str(cost)
        wait(lambda: faults.keys() <= webhooks.at.keys() & monitor.at.keys() and spent.keys() <= gateway.at.keys())
    figures = [
        figure(OURS, f"{RATE:,} events/s", "fault to webhook", webhooks.delays(faults)),
        figure(MONITOR, f"{RATE:,} events/s", "fault to webhook", monitor.delays(faults)),
        figure(OURS, f"{RATE:,} events/s", "event to verdict", gateway.delays(spent)),
    ]
    false = [len([name for name in heard.at if not name.startswith("fault-")]) for heard in (webhooks, monitor)]
    asked = ((webhooks, faults), (monitor, faults), (gateway, spent))
    missed = [len(begun.keys() - heard.at.keys()) for heard, begun in asked]
    notes = [
        f"{trials} trials of each; never heard of: {missed[0]} by webhook, {missed[1]} by the monitor, {missed[2]} verdicts",
        f"alerts about agents that did not fail: {false[0]} ours, {false[1]} the monitor's",
        used,
    ]
    show("(f) alerts", figures)
    ours, theirs, limits = (p99(one.rounds) for one in figures)
    print(f"p99: {ours:.2f} s to the webhook, {theirs:.1f} s by the monitor; {limits:.2f} s to the verdict", *notes, sep="\n")
    bars = [
        bar("alerts: p99 from fault to webhook, to the monitor's", WANTED_SHARE, (ours / theirs,) * 3, at_most=True),
        bar("alerts: p99 seconds from event to verdict", WANTED_S, (limits,) * 3, at_most=True),
    ]
    print(write("alerts", figures, bars, notes))
    return bars


class Load:
    """The healthy agents' requests, and how many events they held so far."""

    def __init__(self, url: str) -> None:
        self.events = 0
        self._sender, self._traffic = Sender(url), Traffic()

    def send(self) -> None:
        self._sender.send(self._traffic.next())
        self.events += BATCH


class Cost:
    """As text: what was sent since it was made, and the CPU time that each process took for an event."""

    def __init__(self, stack: Stack, load: Load) -> None:
        self._processes = {name: psutil.Process(stack.pid(name)) for name in NAMES} | {
            "this benchmark": psutil.Process(os.getpid())
        }
        self._stack = stack
        self._load, self._events, self._at = load, load.events, time.monotonic()
        self._used = self._times()

    def _times(self) -> Counter[str]:
        """Raises RuntimeError when a process has ended, with the end of its log."""
        times: Counter[str] = Counter()
        for name, process in self._processes.items():
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess as error:
                raise RuntimeError(f"{name} has ended\n{tail(self._stack.log(name), 40)}") from error
            times[name] = int(1e6 * (used.user + used.system))
        return times

    def __str__(self) -> str:
        events, seconds, used = self._load.events - self._events, time.monotonic() - self._at, self._times() - self._used
        told = ", ".join(f"{name} {micros / events:.0f}" for name, micros in used.most_common())
        cores = f"{used.total() / 1e6 / seconds:.2f} of {os.cpu_count()} cores"
        return f"{events / seconds:,.0f} events/s were sent; CPU-microseconds an event: {told}; together {cores}"


def configured(folder: Path, receiver: str) -> Settings:
    (folder / "rules.yaml").write_text(rules_file.DEFAULT.read_text() + BUDGET)
    (folder / "routes.yaml").write_text(
        f'channels:\n  hook: {{kind: webhook, url: "{receiver}/alerts"}}\nroutes:\n  - channels: [hook]\n'
    )
    files = {"rules_file": str(folder / "rules.yaml"), "routes_file": str(folder / "routes.yaml")}
    return Settings(log_level="warning", free_space_mark=0, **files)  # type: ignore[arg-type]


@contextmanager
def asking(stack: Stack, monitor: Heard) -> Iterator[None]:
    with closing(connect(stack.settings)) as client:

        def ask() -> None:
            for name in found_failing(client):
                monitor.hear(name)

        with repeating(ask, POLL_S):
            yield


def found_failing(client: Client) -> list[str]:
    return [str(row[0]) for row in client.query(ASKED).result_rows]


@contextmanager
def following(stack: Stack, gateway: Heard) -> Iterator[None]:
    """What a gateway does that reads Kafka."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka,
            "group.id": "gateway",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "log_level": 2,
        }
    )
    consumer.assign([TopicPartition(CONTROL_LIMITS.name, n, OFFSET_END) for n in range(stack.settings.partitions)])

    def follow() -> None:
        message = consumer.poll(0.5)
        if message is None or message.error() is not None or b"deny" not in (value := message.value() or b""):
            return
        if (limit := json.loads(value))["verdict"] == "deny":
            gateway.hear(limit["name"])

    with repeating(follow, 0.0):
        yield
    consumer.close()


@contextmanager
def repeating(act: Callable[[], None], every_s: float) -> Iterator[None]:
    """Does `act` again and again in a thread, at a fixed rate."""
    stop = threading.Event()

    def loop() -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            act()
            due += every_s

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def inject(url: str, trials: int) -> tuple[dict[str, float], dict[str, float]]:
    """When each agent began to fail, and when each key's budget was used up; spread over two of the monitor's minutes."""
    faults: dict[str, float] = {}
    spent: dict[str, float] = {}
    chance = random.Random(4)
    for number in range(trials):
        fault, key = f"fault-{number}", f"key-{number}"
        requests = failing(fault, FAILING, number), spending(key)
        time.sleep(2 * POLL_S / trials * chance.uniform(0.8, 1.2))
        with closing(Sender(url)) as sender:
            for name, begun, request in ((fault, faults, requests[0]), (key, spent, requests[1])):
                begun[name] = time.monotonic()
                sender.send(as_of_now(request))
    return faults, spent


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done() and time.monotonic() < deadline:
        time.sleep(0.2)


def figure(contender: str, setting: str, quantity: str, delays: list[float]) -> Figure:
    return Figure(contender, setting, quantity, "s", sorted(delays))


def p99(delays: Sequence[float]) -> float:
    return statistics.quantiles(delays, n=100, method="inclusive")[98]
