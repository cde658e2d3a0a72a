"""The notifier as a part of the local stack: what it writes down is in ClickHouse, and a replayed storm is told once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from confluent_kafka import Producer

from tests.connectors.notifiers.world import transition, wait
from waterline.connectors.notifiers.pagerduty import dedup_key
from waterline.connectors.notifiers.receiver import Receiver
from waterline.schemas.settings import Settings
from waterline.schemas.topics import ALERT_TRANSITIONS
from waterline.stack import Stack

ROUTES = """
channels:
  hook: {kind: webhook, url: env:HOOK}
  pager: {kind: pagerduty, routing_key: env:HOOK, url: env:PAGER}
routes: [{match: {tenant: acme}, channels: hook}]
"""


def test_receipts_are_rows(tmp_path: Path, jars: None, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    monkeypatch.setenv("HOOK", receiver.url)
    monkeypatch.setenv("PAGER", f"{receiver.url}/v2/enqueue")
    config = Settings(routes_file=str(tmp_path / "routes.yaml"), partitions=3)
    parts = ("kafka", "front", "sink", "notifier")
    with Stack(tmp_path / "stack", parts, settings=config, free_ports=True, restart=False) as stack:
        producer = Producer({"bootstrap.servers": stack.kafka})
        began = time.monotonic()
        for alert in (transition(1), transition(2), transition(1, tenant="other")):
            producer.produce(ALERT_TRANSITIONS.name, msgspec.json.encode(alert), alert.alert_id.encode())
        assert producer.flush(10) == 0
        assert len(receiver.wait(2, 20)) == 2
        print(f"in the topic -> received in {time.monotonic() - began:.2f} s")

        def rows() -> list[str]:
            sql = "SELECT tenant, transition, channel, state, status FROM alert_deliveries ORDER BY ALL FORMAT CSV"
            answer = httpx.post(stack.clickhouse, params={"database": config.clickhouse_database, "query": sql})
            return answer.text.splitlines()

        wait(lambda: len(rows()) == 3, "receipts are not stored")
        assert rows() == ['"acme",1,"hook","delivered",200', '"acme",2,"hook","delivered",200', '"other",1,"","unrouted",0']
        stack.restart("notifier")
        assert stack.health("notifier").ready
        assert len(receiver.accepted) == 2, "what has a receipt is not sent again"

        command = [sys.executable, "-m", "waterline", "notify", "acknowledge", transition(1).alert_id]
        environment = os.environ | stack.environment
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        assert f"pager: answered 202 for dedup_key {dedup_key(transition(1))}" in told
        assert receiver.accepted[-1].body["event_action"] == "acknowledge"
        command[-1] = "none"
        failed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert (failed.returncode, "there is no alert 'none'" in failed.stderr) == (1, True)
