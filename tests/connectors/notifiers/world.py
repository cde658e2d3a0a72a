"""One test's own world: topics, a routes file, notifiers that can be killed, and what they wrote down."""

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from waterline.connectors.notifiers.book import Book
from waterline.connectors.notifiers.receipts import Reader
from waterline.schemas.alerts import AlertDelivery, AlertState, AlertTransition, DeliveryState, Severity, alert_id
from waterline.schemas.topics import ALERT_DELIVERIES, ALERT_TRANSITIONS
from waterline.stack import ports
from waterline.stack.process import Child

RUN = Path(__file__).with_name("run_notifier.py")
PATIENCE_S = 30.0
BEGAN = (datetime.now(UTC) - timedelta(days=2)).replace(hour=10, minute=0, second=0, microsecond=0)
"""Long enough ago that no transition comes after its receipt."""
FIRING, RESOLVED, OK = AlertState.FIRING, AlertState.RESOLVED, AlertState.OK


def wait(asks: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true answer. Fails when there is none in time."""
    deadline = time.monotonic() + patience_s
    while not (answer := asks()):
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s: {what}"
        time.sleep(0.02)
    return answer


def transition(
    number: int = 1, agent: str = "booking", rule: str = "tool_error_rate", tenant: str = "acme", **fields: Any
) -> AlertTransition:
    """Odd numbers fire, even ones resolve, unless `fields` say otherwise."""
    group = fields.pop("group", {"agent": agent})
    fires = bool(number % 2)
    told: dict[str, Any] = {
        "alert_id": alert_id(tenant, rule, group),
        "transition": number,
        "tenant": tenant,
        "rule": rule,
        "group": group,
        "severity": Severity.CRITICAL,
        "previous": (RESOLVED if number > 1 else OK) if fires else FIRING,
        "state": FIRING if fires else RESOLVED,
        "at": BEGAN + timedelta(minutes=number),
        "opened_at": BEGAN + timedelta(minutes=number - (not fires)),
        "summary": f"{rule} of {agent} is 12.5 % over 5 min, more than 5 %",
        "measure": "tool_error_rate",
        "unit": "ratio",
        "value": Decimal("0.125"),
        "threshold": Decimal("0.05"),
        "samples": 40,
        "samples_needed": 20,
        "window_from": BEGAN,
        "window_to": BEGAN + timedelta(minutes=5),
        "decisions": ["7b3e0c", "d-17"],
        "sql": "SELECT * FROM decision_events WHERE tenant = 'acme'",
        "runbook": "https://runbooks.example.com/tool_error_rate",
        "rules_version": "5d41402abc4b",
    }
    return AlertTransition(**(told | fields))


class Notifier(Child):
    """A notifier process; its readiness and metrics by HTTP."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str], port: int) -> None:
        super().__init__("notifier", command, log, environment)
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)
        except httpx.HTTPError:
            return 0, ""
        return answer.status_code, answer.text

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def crashed(self) -> bool:
        """Whether it came to its crash point."""
        return self.exit_code == -signal.SIGKILL


class World:
    def __init__(self, kafka: str, home: Path, new_topic: Callable[..., str], partitions: int = 3) -> None:
        self.kafka, self.home = kafka, home
        self.transitions = new_topic(partitions, ALERT_TRANSITIONS.name)
        self.deliveries = new_topic(partitions, ALERT_DELIVERIES.name, cleanup_policy="compact")
        self.group = f"notifier-{uuid.uuid4().hex[:8]}"
        self.secrets: dict[str, str] = {}
        self.notifiers: list[Notifier] = []
        self.routes_file = home / "routes.yaml"
        self._partitions = partitions
        self._producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
        self._asker = Consumer({"bootstrap.servers": kafka, "group.id": self.group})

    def close(self) -> None:
        for notifier in self.notifiers:
            notifier.signal(signal.SIGCONT)
            notifier.kill()
        self._asker.close()

    def routes(self, text: str, **secrets: str) -> None:
        """Takes the place of the file in one step; `secrets` are variables of notifiers that start from now on."""
        self.secrets |= secrets
        fresh = self.routes_file.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.routes_file)

    def notifier(self, wait_ready: bool = True, **settings: object) -> Notifier:
        """Start one. Keyword names are settings and fault switches (`crash`, `without`)."""
        port = ports.pick()
        wanted = {"kafka": self.kafka, "notifier_metrics_port": port, "notifier_instance": "one"}
        if self.routes_file.exists():
            wanted["routes_file"] = str(self.routes_file)
        environment = {f"WATERLINE_{name.upper()}": str(value) for name, value in (wanted | settings).items()} | self.secrets
        command = [sys.executable, str(RUN), self.group, self.transitions, self.deliveries]
        made = Notifier(command, self.home / f"notifier{len(self.notifiers)}.log", environment, port)
        self.notifiers.append(made)
        made.start()
        if wait_ready:
            made.wait_until(made.ready, time.monotonic() + PATIENCE_S)
        return made

    def send(self, *alerts: AlertTransition) -> None:
        """In Kafka when this returns."""
        for alert in alerts:
            self._producer.produce(self.transitions, msgspec.json.encode(alert), alert.alert_id.encode())
        assert self._producer.flush(10) == 0

    def record(self, value: bytes | None) -> None:
        self._producer.produce(self.transitions, value, b"?")
        assert self._producer.flush(10) == 0

    def receipts(self) -> list[AlertDelivery]:
        """All that were ever written, copies among them."""
        found = _Kept()
        Reader({"bootstrap.servers": self.kafka}, self.deliveries).catch_up(found, PATIENCE_S, lambda: None)
        return found.deliveries

    def wait_receipts(self, count: int, patience_s: float = PATIENCE_S) -> list[AlertDelivery]:
        found: list[AlertDelivery] = []

        def enough() -> bool:
            found[:] = self.receipts()
            return len(found) >= count

        wait(enough, f"{count} receipts, {self.notifiers[-1].tail() if self.notifiers else ''}", patience_s)
        return found

    def done(self) -> bool:
        """Whether the group has committed all there is."""
        places = [TopicPartition(self.transitions, number) for number in range(self._partitions)]
        for place in self._asker.committed(places, timeout=10):
            _, end = self._asker.get_watermark_offsets(TopicPartition(self.transitions, place.partition), timeout=10)
            if max(place.offset, 0) < end:
                return False
        return True


class _Kept(Book):
    def __init__(self) -> None:
        super().__init__()
        self.deliveries: list[AlertDelivery] = []

    def note(self, delivery: AlertDelivery) -> None:
        self.deliveries.append(delivery)


def states(receipts: Iterable[AlertDelivery]) -> list[tuple[int, str, DeliveryState]]:
    return sorted((receipt.transition, receipt.channel, receipt.state) for receipt in receipts)


def keys(alerts: Sequence[AlertTransition]) -> list[str]:
    return sorted(f"{alert.alert_id}-{alert.transition}" for alert in alerts)
