"""The stack as a whole, with a real broker: what was acknowledged survives, and nothing survives the stack."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from waterline.stack import Stack, StackError, state
from waterline.stack.state import InUse, StackState

WATERLINE = [sys.executable, "-m", "waterline"]
TOPIC = "agent.events"


def produce(bootstrap: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "message.timeout.ms": 20_000})
    errors: list[object] = []
    producer.produce(TOPIC, value, partition=0, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(20) == 0
    assert errors == [None]


def consume(bootstrap: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    found: list[bytes] = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and not message.error():
            found.append(message.value() or b"")
    consumer.close()
    return found


def test_a_broker_keeps_what_it_acknowledged(jars: None, tmp_path: Path) -> None:
    with Stack(tmp_path, ("kafka",), free_ports=True) as stack:
        produce(stack.kafka, b"before")
        with pytest.raises(InUse, match=rf"pid {os.getpid()}"):
            Stack(tmp_path, ("kafka",), free_ports=True).start()
        before, bootstrap = stack.pid("kafka"), stack.kafka
        stack.kill("kafka")
        stack.wait_ready("kafka")
        assert stack.pid("kafka") != before
        assert stack.kafka == bootstrap
        produce(stack.kafka, b"after")
        stack.pause("kafka")
        assert not stack.health("kafka").ready
        stack.resume("kafka")
        stack.wait_ready("kafka")
        last = stack.pid("kafka"), state.created(stack.pid("kafka"))
    assert not state.is_process(*last)
    with Stack(tmp_path, ("kafka",), free_ports=True) as again:
        assert consume(again.kafka, 2) == [b"before", b"after"]


@pytest.fixture
def running(jars: None, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], StackState]]:
    """`waterline up` with Kafka alone, ready, in a process of its own."""
    command = [*WATERLINE, "up", "--only", "kafka", "--free-ports", "--data-dir", str(tmp_path)]
    with (tmp_path / "up.txt").open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        deadline = time.monotonic() + 60
        while not ((seen := state.running(tmp_path)) and seen.ready):
            assert time.monotonic() < deadline
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail((tmp_path / "up.txt").read_text())
        yield process, seen
        process.kill()


def test_no_jvm_outlives_a_supervisor_that_was_killed(
    running: tuple[subprocess.Popen[bytes], StackState], tmp_path: Path
) -> None:
    process, seen = running
    produce(seen.parts[0].url, b"kept")
    assert consume(seen.parts[0].url, 1) == [b"kept"]
    jvm = seen.parts[0]
    assert "kafka.Kafka" in psutil.Process(jvm.pid).cmdline()
    process.kill()
    assert state.wait_gone(jvm.pid, jvm.created, 10)
    assert state.running(tmp_path) is None
    with Stack(tmp_path, ("kafka",), free_ports=True) as again:
        assert consume(again.kafka, 1) == [b"kept"]


def test_up_status_and_down_agree(running: tuple[subprocess.Popen[bytes], StackState], tmp_path: Path) -> None:
    process, seen = running
    shown = subprocess.run(
        [*WATERLINE, "status", "--json", "--data-dir", str(tmp_path)], capture_output=True, text=True, check=True
    )
    told = json.loads(shown.stdout)
    assert told["pid"] == process.pid
    assert [(part["part"], part["pid"], part["ready"]) for part in told["parts"]] == [("kafka", seen.parts[0].pid, True)]
    assert told["environment"]["WATERLINE_KAFKA"] == seen.parts[0].url
    for way in ([], ["--detach"]):
        second = subprocess.run(
            [*WATERLINE, "up", *way, "--data-dir", str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"already runs on {tmp_path} (pid {process.pid}); see `waterline status --data-dir {tmp_path}`" in second.stdout
    down = subprocess.run([*WATERLINE, "down", "--data-dir", str(tmp_path)], capture_output=True, text=True, check=True)
    assert down.stdout == "ended: kafka\n"
    assert process.wait(10) == 0
    assert not state.is_process(seen.parts[0].pid, seen.parts[0].created)
    none = subprocess.run([*WATERLINE, "status", "--data-dir", str(tmp_path)], capture_output=True, text=True, check=False)
    assert none.returncode == 3


def test_a_broker_that_cannot_start_says_why(jars: None, tmp_path: Path) -> None:
    with Stack(tmp_path, ("kafka",), free_ports=True):
        pass
    meta = tmp_path / "kafka" / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=2"))
    with pytest.raises(StackError, match=r"(?s)kafka ended with code .*logs.kafka\.log.*node id 2"):
        Stack(tmp_path, ("kafka",), free_ports=True).start()
    with pytest.raises(StackError):  # and the data directory is free again
        Stack(tmp_path, ("kafka",), free_ports=True).start()


def test_a_supervisor_that_is_asked_to_end_while_it_starts_leaves_nothing(jars: None, tmp_path: Path) -> None:
    command = [*WATERLINE, "up", "--only", "kafka", "--free-ports", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not ((seen := state.read(tmp_path)) and seen.parts):
            assert time.monotonic() < deadline
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert not state.is_process(seen.parts[0].pid, seen.parts[0].created)
