"""The 3 AM procedure on the real stack: the store's folder is gone, a table is gone; Kafka has it all."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from waterline.schemas.settings import Settings
from waterline.stack import Stack
from waterline.stack.provision import ProvisionError

QUICK = Settings(sink_linger_s=0.2, sink_session_s=6)
TABLES = ("events", "decision_facts", "cost_facts", "decision_links", "price_versions")


def run(stack: Stack, *arguments: str, code: int = 0) -> str:
    """The command line against this stack; its exit code must be `code`. Everything it printed."""
    command = [sys.executable, "-m", "waterline", *arguments]
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return " ".join(said.split())


def proven(stack: Stack) -> dict[str, Mapping[str, int]]:
    """The proof's line of each topic; it must hold."""
    told = json.loads(run(stack, "verify", "completeness", "--wait", "60", "--json").replace("\n", " "))
    assert (told["proven"], told["never_read"], told["not_read_yet"], told["problems"]) == (True, 0, 0, [])
    return {line["topic"]: line for line in told["topics"]}


def load(stack: Stack) -> None:
    """Decisions, a merge, something that is sent again, and a line that is none."""
    now = datetime.now(UTC).isoformat()
    call = {
        "kind": "model_call",
        "agent": "refunds",
        "provider": "openai",
        "model_served": "gpt-4.1-2025-04-14",
        "tokens_input": 9,
    }
    events = [
        call | {"ts": now, "event_id": f"e{n}", "decision_key": f"d{n % 50}", "decision_id": f"T{n % 40}"} for n in range(400)
    ]
    for _ in range(2):
        answer = httpx.post(f"{stack.collector_url}/v1/events", json=events, timeout=30)
        assert answer.status_code == 200, answer.text


def contents(stack: Stack) -> dict[str, list[str]]:
    """Every row's place, by table."""
    found = {}
    for table in TABLES:
        query = (
            f"SELECT kafka_partition, kafka_offset, frame_index FROM {stack.settings.clickhouse_database}.{table} ORDER BY ALL"
        )
        found[table] = httpx.get(stack.clickhouse, params={"query": query}, timeout=20).text.splitlines()
    return found


def hold_again(after: dict[str, list[str]], before: dict[str, list[str]]) -> None:
    """Every row is there once. Facts may have been told since `before`."""
    assert after["events"] == before["events"]
    for table, rows in before.items():
        assert set(rows) <= set(after[table])
        assert len(set(after[table])) == len(after[table])


def restart(stack: Stack, name: str) -> None:
    stack.launch(name)
    stack.wait_ready(name)


def test_a_lost_store_and_a_lost_table_are_filled_again(jars: None, tmp_path: Path) -> None:
    with Stack(tmp_path, settings=QUICK, free_ports=True) as stack:
        load(stack)
        lines = proven(stack)
        before = contents(stack)
        assert len(before["events"]) == lines["agent.events"]["rows"] == 400
        assert lines["agent.events"]["copies"] == 400
        assert all(before.values())

        # the store's folder is lost, and the sink went on before anyone saw it
        stack.stop("sink")
        stack.stop("front")
        shutil.rmtree(tmp_path / "clickhouse")
        restart(stack, "front")
        stack.migrate()
        restart(stack, "sink")
        said = run(stack, "verify", "completeness", code=1)
        assert "stop the sink and run `waterline refill`" in said
        assert "not proven" in said
        assert "a sink runs" in run(stack, "refill", "all", code=1)

        stack.stop("sink")
        assert "events: from agent.events, 12 partitions" in run(stack, "refill", "--dry-run")
        assert "made anew. Now start the sink" in run(stack, "refill", "all")
        restart(stack, "sink")
        lines = proven(stack)
        hold_again(contents(stack), before)
        assert (lines["agent.events"]["missing"], lines["agent.events"]["duplicates"]) == (0, 0)
        assert lines["agent.events"]["copies"] == 400

        # one table is lost: it is not made again in silence
        events = f"{stack.settings.clickhouse_database}.events"
        httpx.post(stack.clickhouse, content=f"DROP TABLE {events} SYNC").raise_for_status()
        assert f"missing tables: {events}: made once and gone" in run(stack, "verify", "completeness", code=1)
        assert f"missing tables: {events}: made once and gone" in run(stack, "status", "--json", code=1)
        with pytest.raises(ProvisionError, match=f"{re.escape(events)}: made once and gone"):
            stack.migrate()
        stack.stop("sink")
        told = run(stack, "refill")
        assert "events: from agent.events" in told
        assert "decision_facts" not in told
        restart(stack, "sink")
        lines = proven(stack)
        hold_again(contents(stack), before)
        assert (lines["agent.events"]["missing"], lines["agent.events"]["duplicates"]) == (0, 0)
        assert "nothing is lost" in run(stack, "refill")
        assert "missing" not in run(stack, "status", "--json")
