"""(f) How soon a person and a gateway know: fault to webhook beside a monitor that asks ClickHouse once a minute, and event to
changed verdict in `control.limits`.

The whole stack runs under a steady load. Every so often an agent of its own begins to fail: its calls are sent in one request,
and the clock runs from before that request until the webhook has the alert. The monitor asks, each minute, for agents of which
more than 5 % of at least 20 calls of the last five minutes failed, which is the same rule, and so has the same false alarms.
"""

import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from clickhouse_connect.driver.client import Client
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from bench.report import Figure, bar, show, write
from waterline.connectors.notifiers.receiver import Message, Receiver
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.settings import Settings
from waterline.schemas.topics import CONTROL_LIMITS
from waterline.stack import Stack
from waterline.streams import rules_file

OURS, MONITOR = "Waterline", "a query each minute"
RATE, BATCH, AGENTS = 2_000, 100, 50
FAILING = 40
"""Calls of an agent that fails, all of which fail."""
POLL_S, SETTLE_S, PATIENCE_S = 60.0, 15.0, 90.0
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
        return [self.at[name] - at for name, at in begun.items() if name in self.at]


def run(rounds: int = 5, quick: bool = False) -> list[dict[str, Any]]:
    trials = QUICK_TRIALS if quick else TRIALS
    webhooks, monitor, gateway = Heard(), Heard(), Heard()

    def heard(message: Message) -> None:
        for alert in message.body.get("alerts", []):
            if alert["status"] == "firing":
                webhooks.hear(alert["labels"].get("agent", ""))

    with tempfile.TemporaryDirectory(prefix="waterline-bench-") as folder, Receiver(heard=heard) as receiver:
        with Stack(Path(folder), settings=configured(Path(folder), receiver.url), free_ports=True, restart=False) as stack:
            with background(stack), asking(stack, monitor), following(stack, gateway):
                time.sleep(SETTLE_S)
                faults, spent = inject(stack.collector_url, trials)
                wait(lambda: len(webhooks.at) >= trials and len(gateway.at) >= trials and len(monitor.at) >= trials)
    figures = [
        figure(OURS, f"{RATE:,} events/s", "fault to webhook", webhooks.delays(faults)),
        figure(MONITOR, f"{RATE:,} events/s", "fault to webhook", monitor.delays(faults)),
        figure(OURS, f"{RATE:,} events/s", "event to verdict", gateway.delays(spent)),
    ]
    false = [name for heard in (webhooks, monitor) for name in heard.at if name and not name.startswith("fault-")]
    notes = [f"{trials} trials of each", f"alerts about agents that did not fail: {len(false)}"]
    show("(f) alerts", figures)
    ours, theirs, limits = (p99(one.rounds) for one in figures)
    print(f"p99: {ours:.2f} s to the webhook, {theirs:.1f} s by the monitor; {limits:.2f} s to the verdict; {'; '.join(notes)}")
    bars = [
        bar("alerts: p99 from fault to webhook, to the monitor's", WANTED_SHARE, (ours / theirs,) * 3, at_most=True),
        bar("alerts: p99 seconds from event to verdict", WANTED_S, (limits,) * 3, at_most=True),
    ]
    print(write("alerts", figures, bars, notes))
    return bars


def configured(folder: Path, receiver: str) -> Settings:
    (folder / "rules.yaml").write_text(rules_file.DEFAULT.read_text() + BUDGET)
    (folder / "routes.yaml").write_text(
        f'channels:\n  hook: {{kind: webhook, url: "{receiver}/alerts"}}\nroutes:\n  - channels: [hook]\n'
    )
    files = {"rules_file": str(folder / "rules.yaml"), "routes_file": str(folder / "routes.yaml")}
    return Settings(log_level="warning", free_space_mark=0, **files)  # type: ignore[arg-type]


@contextmanager
def background(stack: Stack) -> Iterator[None]:
    """Healthy calls of many agents, one in a hundred failing, at a steady rate."""
    chance = random.Random(3)

    def send(http: httpx.Client) -> None:
        status = ["error" if chance.random() < 0.01 else "ok" for _ in range(BATCH)]
        post(http, stack.collector_url, [call(f"agent-{chance.randrange(AGENTS)}", one, chance.random()) for one in status])

    with repeating(send, BATCH / RATE):
        yield


@contextmanager
def asking(stack: Stack, monitor: Heard) -> Iterator[None]:
    with closing(connect(stack.settings)) as client:

        def ask(_: httpx.Client) -> None:
            for name in failing(client):
                monitor.hear(name)

        with repeating(ask, POLL_S):
            yield


def failing(client: Client) -> list[str]:
    return [str(row[0]) for row in client.query(ASKED).result_rows]


@contextmanager
def following(stack: Stack, gateway: Heard) -> Iterator[None]:
    """What a gateway does that reads Kafka."""
    isolation = {"isolation.level": "read_committed", "fetch.wait.max.ms": 10}
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": "gateway", "enable.auto.commit": False, **isolation})
    consumer.assign([TopicPartition(CONTROL_LIMITS.name, n, OFFSET_END) for n in range(stack.settings.partitions)])

    def follow(_: httpx.Client) -> None:
        for message in consumer.consume(100, 0.05):
            if message.error() is None and (limit := json.loads(message.value() or b"{}")).get("verdict") == "deny":
                gateway.hear(limit["name"])

    with repeating(follow, 0.0):
        yield
    consumer.close()


@contextmanager
def repeating(act: Any, every_s: float) -> Iterator[None]:
    """Does `act` again and again in a thread, at a fixed rate."""
    stop = threading.Event()

    def loop() -> None:
        with httpx.Client(timeout=30) as http:
            due = time.monotonic()
            while not stop.wait(max(0.0, due - time.monotonic())):
                act(http)
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
    with httpx.Client(timeout=30) as http:
        for number in range(trials):
            time.sleep(2 * POLL_S / trials * chance.uniform(0.8, 1.2))
            faults[f"fault-{number}"] = time.monotonic()
            post(http, url, [call(f"fault-{number}", "error", chance.random()) for _ in range(FAILING)])
            spent[f"key-{number}"] = time.monotonic()
            post(http, url, [priced(f"key-{number}", chance.random())])
    return faults, spent


def call(agent: str, status: str, chance: float) -> dict[str, object]:
    now = datetime.now(UTC).isoformat()
    key = f"{agent}-{int(chance * 1e9)}"
    return {"kind": "tool_call", "agent": agent, "tool": "search", "ts": now, "status": status, "decision_key": key}


def priced(key: str, chance: float) -> dict[str, object]:
    """A tenth of a dollar."""
    model = {"provider": "openai", "model_served": "gpt-4.1-2025-04-14", "usage_source": "provider", "tokens_output": 12_500}
    told = {"kind": "model_call", "agent": "spender", "credential_id": key, "decision_key": f"{key}-{int(chance * 1e9)}"}
    return {**told, **model, "ts": datetime.now(UTC).isoformat()}


def post(http: httpx.Client, url: str, events: Sequence[dict[str, object]]) -> None:
    body = "\n".join(json.dumps(event) for event in events)
    http.post(f"{url}/v1/events", content=body, headers={"content-type": "application/x-ndjson"}).raise_for_status()


def wait(done: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done() and time.monotonic() < deadline:
        time.sleep(0.2)


def figure(contender: str, setting: str, quantity: str, delays: list[float]) -> Figure:
    if not delays:
        raise RuntimeError(f"{contender}: nothing was heard of {quantity}")
    return Figure(contender, setting, quantity, "s", sorted(delays))


def p99(delays: Sequence[float]) -> float:
    return statistics.quantiles(delays, n=100, method="inclusive")[98]
