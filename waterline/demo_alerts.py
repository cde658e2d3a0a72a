"""What the demo judges: alerts, as a receiver on this machine in place of Slack and PagerDuty was told them, drift,
and quality."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.markup import escape

from waterline.connectors.notifiers.receiver import Message, Receiver
from waterline.connectors.stores.clickhouse import questions
from waterline.schemas.settings import Settings

ROUTES = """# Made by `waterline demo`.
channels:
  receiver: {{kind: webhook, url: "{url}/alerts"}}
routes:
  - channels: [receiver]
"""
TOLD_S, LOOK_AGAIN_S = 30.0, 0.25
SHOWN = 12


@contextmanager
def receiving(home: Path, settings: Settings) -> Iterator[tuple[Receiver, Settings]]:
    """A receiver, and settings by which the notifier tells it everything."""
    with Receiver() as receiver:
        routes = home / "routes.yaml"
        routes.write_text(ROUTES.format(url=receiver.url))
        yield receiver, settings.model_copy(update={"routes_file": str(routes)})


def settle(client: Client, receiver: Receiver) -> tuple[int, list[Message]]:
    """How many changes a receiver is to be told of, and what it was told when that was all, or the time was over."""
    deadline = time.monotonic() + TOLD_S
    while True:
        due = int(client.query(DUE).result_rows[0][0])
        told = receiver.accepted
        if (due and len(told) >= due) or time.monotonic() > deadline:
            return due, told
        threading.Event().wait(LOOK_AGAIN_S)


DUE = "SELECT countIf(revision = 1 AND (state = 'firing' OR (previous = 'firing' AND state != 'pending'))) FROM alert_transitions"


def quality(client: Client) -> tuple[int, int]:
    """How many words on quality were told, and how many differ from the raw events when all is told, or the time is over."""
    deadline = time.monotonic() + TOLD_S
    while True:
        told = int(client.query("SELECT count() FROM quality").result_rows[0][0])
        wrong = unlike(client, "quality_reconciliation", strict="1")
        if (told and not wrong) or time.monotonic() > deadline:
            return told, wrong
        threading.Event().wait(LOOK_AGAIN_S)


def show(console: Console, messages: list[Message]) -> None:
    """A line for each message, in the order of event time, and where to look further."""
    lines = sorted((at, f"{status:9}", text) for message in messages for at, status, text in told(message))
    for at, status, text in lines[:SHOWN]:
        style = "bold red" if status.strip() == "firing" else "green"
        console.print(f"  [dim]{at[:16].replace('T', ' ')}[/]  [{style}]{status}[/] {escape(text)}", soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"  and {len(lines) - SHOWN} more: waterline ask alerts")


def told(message: Message) -> Iterator[tuple[str, str, str]]:
    """(when, firing or resolved, summary) of each alert in a message of the Alertmanager kind."""
    for alert in message.body.get("alerts", []):
        fires = alert.get("status") == "firing"
        when = str(alert.get("startsAt" if fires else "endsAt", ""))
        text = str(alert.get("annotations", {}).get("summary", ""))
        yield when, "firing" if fires else "resolved", text.partition(" - ")[2] or text


def drift(console: Console, client: Client, agent: str) -> int:
    """Shows where the agent's tools moved furthest from what they were; how many facts of drift differ from the raw events."""
    deadline = time.monotonic() + TOLD_S
    while wrong := len(_answer(client, "drift_reconciliation", until="today").rows):
        if time.monotonic() > deadline:
            break
        threading.Event().wait(LOOK_AGAIN_S)
    rows = _answer(client, "drift", agent=agent, about="tools", moved="1").rows
    for row in rows[:1]:
        head = f"tools of {agent}: {row['shift']} drift {row['baseline']} -> {row['artifact']}, PSI {row['psi']:.1f}"
        console.print(f"\n[bold]{escape(head)}[/]\n  {escape(str(row['most']))}", soft_wrap=True)
    console.print(f"[dim]waterline ask drift_reconciliation -p until=today:[/] {wrong} facts differ from the raw events")
    return wrong


def _answer(client: Client, name: str, **parameters: str) -> questions.Answer:
    return questions.ask(client, questions.find(name, questions.load()), parameters)


def unlike(client: Client, question: str, **given: str) -> int:
    """How many alerts, or facts, differ from what the raw events say; the question of that name lists them."""
    return len(_answer(client, question, **given).rows)
