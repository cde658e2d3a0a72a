"""All parts at once: an event goes in at the door and comes out as a row, also after each part was killed."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from waterline.stack import Stack
from waterline.stack.parts import NAMES

BETWEEN = threading.Event()


def send(stack: Stack, decision: str) -> None:
    event = {"ts": "2026-11-21T09:00:00Z", "kind": "model_call", "agent": "refunds", "decision_key": decision}
    answer = httpx.post(f"{stack.collector_url}/v1/events", json=event, timeout=20)
    assert answer.status_code == 200, answer.text


def rows_until(stack: Stack, count: int, seconds: float = 40) -> list[str]:
    """Decision keys in ClickHouse, as soon as there are `count`."""
    query = f"SELECT decision_key FROM {stack.settings.clickhouse_database}.events ORDER BY decision_key"
    deadline = time.monotonic() + seconds
    while True:
        found = httpx.get(stack.clickhouse, params={"query": query}, timeout=20).text.split()
        if len(found) >= count or time.monotonic() > deadline:
            return found
        BETWEEN.wait(0.1)


def test_an_event_becomes_a_row_whatever_was_killed(jars: None, tmp_path: Path) -> None:
    with Stack(tmp_path, free_ports=True) as stack:
        send(stack, "a-before")
        assert rows_until(stack, 1) == ["a-before"]
        told = subprocess.run(
            [sys.executable, "-m", "waterline", "status", "--json", "--data-dir", str(tmp_path)], capture_output=True, check=True
        )
        assert [(part["part"], part["ready"]) for part in json.loads(told.stdout)["parts"]] == [(name, True) for name in NAMES]
        for name in NAMES:
            stack.kill(name)
        for name in NAMES:
            stack.wait_ready(name)
        send(stack, "b-after")
        assert rows_until(stack, 2) == ["a-before", "b-after"]
        assert all(stack.state(name) == "running" for name in NAMES)
