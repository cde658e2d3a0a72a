"""Kafka goes away under load for longer than any session of a consumer group lasts, and comes back."""

import threading

import httpx
import pytest

from tests.faults import checks, load
from tests.faults.sender import Clients
from waterline.connectors.stores.clickhouse.client import connect
from waterline.stack import Stack
from waterline.stack.parts import NAMES

pytestmark = pytest.mark.alone
SEED = 2000
AWAY_S = 13.0
LOAD_S = 20.0


@pytest.mark.timeout(300)
def test_the_broker_may_be_away(stack: Stack) -> None:
    """Senders are told when to come again; what they were told is taken is there, and every part goes on by itself."""
    made = load.make(SEED, 150)
    clients = Clients(stack, made.batches, SEED, LOAD_S)
    timer = threading.Event()
    timer.wait(2)
    stack.restart_dead = False
    stack.kill("kafka")
    timer.wait(AWAY_S)
    body = {"kind": "step", "ts": "2026-11-21T09:00:00Z", "decision_key": "early"}
    answer = httpx.post(f"{stack.collector_url}/v1/events", json=body, timeout=20)
    stack.restart_dead = True
    assert (answer.status_code, answer.json()["error"]) == (503, "kafka_unavailable")
    assert int(answer.headers["retry-after"]) >= 1

    assert clients.finish() == []
    assert clients.refused > 0
    for name in NAMES:
        stack.wait_ready(name)
    client = connect(stack.settings)
    prefix = f"{SEED:08x}"
    try:
        assert checks.settle(lambda: checks.events(client, prefix, made), 60) == []
        assert checks.settle(lambda: checks.facts(client, prefix, made), 60) == []
        assert checks.proven(stack, client) == []
    finally:
        client.close()
