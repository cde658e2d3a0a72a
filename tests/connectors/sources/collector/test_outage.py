"""Kafka gone, the disk nearly full, the process ended or killed: what was answered with success is there, once by its id."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.connectors.sources.collector.conftest import Running, Start, Tap
from tests.connectors.sources.collector.test_http import request_json, span_json
from tests.connectors.sources.collector.test_publish import sequences, whole
from waterline.stack import Stack

EVENT = {"ts": "2026-11-20T09:00:00Z", "kind": "step"}


def post(to: Running, name: str) -> httpx.Response:
    return to.post("/v1/events", [{**EVENT, "event_id": name}])


def begin(stack: Stack) -> None:
    stack.launch("kafka")
    stack.wait_ready("kafka")


@pytest.fixture(scope="module")
def own_stack(jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker that a test may stop."""
    with Stack(tmp_path_factory.mktemp("outage"), ("kafka",), free_ports=True, restart=False) as stack:
        yield stack


def test_kafka_is_killed_and_comes_back(own_stack: Stack, start: Start) -> None:
    """One outage, met by a collector at work, by one with a small queue and by one that starts in it."""
    own = start(kafka=own_stack.kafka, collector_deadline_s=4)
    narrow = start(kafka=own_stack.kafka, collector_deadline_s=4, collector_queue_bytes=2**20)
    own.until(lambda: post(own, "before").status_code == 200)
    assert limits_age_s(own) == 0
    own_stack.kill("kafka")
    answers: list[httpx.Response] = []
    filling = threading.Thread(target=fill, args=(narrow, answers))
    filling.start()
    late = post(own, "during")
    assert (late.status_code, late.json()["error"], late.headers["retry-after"]) == (503, "kafka_unavailable", "1")
    own.until_it_says("Kafka has not confirmed a frame for")
    at_once = post(own, "refused")  # rather than after the deadline of 4 seconds
    assert (at_once.status_code, at_once.elapsed.total_seconds() < 3) == (503, True)
    filling.join()
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["error"] for answer in answers} == {"overloaded", "kafka_unavailable"}
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    early = start(wait=False, kafka=own_stack.kafka)
    early.until_it_says("does not answer")
    assert post(early, "early").status_code == 503
    own.until(lambda: limits_age_s(own) > 4)

    begin(own_stack)
    for each in (own, narrow, early):
        each.until_ready()
    own.until(lambda: post(own, "during").status_code == 200)  # the sender tries again, as 503 told it
    own.until(lambda: post(early, "later").status_code == 200)
    own.until(lambda: limits_age_s(own) == 0)
    tap = Tap(own_stack.kafka, begin=True)
    copies = 2 if "did not confirm" in late.json()["message"] else 1  # on a machine at its limit it is refused at the door
    tap.until(lambda: {"before", "later"} <= ids(tap) and [e["event_id"] for e in tap.lines()].count("during") >= copies)
    assert "refused" not in ids(tap)
    assert "early" not in ids(tap)
    for numbers in sequences(tap).values():
        assert whole(numbers)
    own.until(lambda: narrow.metric("collector_queued_bytes") == 0)
    tap.close()


def limits_age_s(of: Running) -> float:
    reply = of.client.get(f"{of.url}/v1/limits")
    assert reply.status_code == 200, reply.text
    return float(reply.json()["age_s"])


def fill(to: Running, answers: list[httpx.Response]) -> None:
    """Six requests at once, of which four fill the queue."""
    body = [{**EVENT, "attributes": {"a": "x" * 300_000}}]
    threads = [threading.Thread(target=lambda: answers.append(to.post("/v1/events", body))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ids(tap: Tap) -> set[str]:
    return {str(event["event_id"]) for event in tap.lines()}


def test_another_number_of_partitions_is_not_served(start: Start) -> None:
    wrong = start(wait=False, partitions=7)
    wrong.until_it_says("topic agent.events has 12 partitions, WATERLINE_PARTITIONS is 7")
    assert post(wrong, "x").status_code == 503


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)], capture_output=True).returncode
    ):
        pytest.skip("not run: a small tmpfs cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_under_the_mark(start: Start, small_disk: Path, tap: Tap) -> None:
    own = start(data_dir=small_disk, free_space_mark=4 * 2**20)
    assert post(own, "roomy").status_code == 200
    (small_disk / "filler").write_bytes(b"x" * 5 * 2**20)
    own.until_it_says("bytes free, the mark is 4194304")
    full = post(own, "full")
    assert (full.status_code, full.json()["error"], full.headers["retry-after"]) == (503, "disk_full", "10")
    (small_disk / "filler").unlink()
    own.until_ready()
    assert post(own, "full").status_code == 200
    assert {event["event_id"] for event in tap.events(2)} == {"roomy", "full"}, "nothing accepted is lost"


def test_bodies_that_come_slowly_are_bounded_together(start: Start) -> None:
    own = start(collector_body_limit=2**20, collector_queue_bytes=2**20)
    host, port = own.url.removeprefix("http://").split(":")
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
    slow = [socket.create_connection((host, int(port))) for _ in range(2)]
    for each in slow:
        each.sendall(head + b"{")
    own.until(lambda: own.metric("collector_held_bytes") == 2_000_000)
    refused = own.post("/v1/events", "x" * 200_000)
    assert (refused.status_code, refused.json()["error"], refused.headers["retry-after"]) == (503, "overloaded", "1")
    assert post(own, "small").status_code == 200
    for each in slow:
        each.close()
    own.until(lambda: own.metric("collector_held_bytes") == 0)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_answered_is_there_when_the_process_ends_under_load(start: Start, tap: Tap, how: str) -> None:
    own = start()
    answered: list[str] = []

    def load(sender: int) -> None:
        with httpx.Client(timeout=10, trust_env=False) as client:
            for number in range(2000):
                trace = f"{sender + 1:016x}{number + 1:016x}"
                try:
                    answer = client.post(f"{own.url}/v1/traces", json=request_json(span_json(trace)))
                except httpx.TransportError:
                    return
                if answer.status_code != 200:
                    return
                answered.append(trace)

    threads = [threading.Thread(target=load, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    own.until(lambda: len(answered) > 200)
    own.child.stop() if how == "stop" else own.child.kill()
    for thread in threads:
        thread.join()
    wanted = set(answered)
    tap.until(lambda: wanted <= {event["trace_id"] for event in tap.lines()})
    assert len(wanted) == len(answered)
    if how == "stop":
        assert own.child.exit_code == 0
        assert '"unconfirmed_frames": 0' in own.child.log.read_text()


def test_a_port_that_is_taken_is_named(start: Start, collector: Running) -> None:
    port = collector.url.rsplit(":", 1)[1]
    second = start(wait=False, collector_port=port)
    assert second.child.wait(20)
    assert f"cannot listen on 127.0.0.1:{port}: " in second.child.log.read_text()
    assert "WATERLINE_COLLECTOR_PORT" in second.child.log.read_text()
    third = start(wait=False, collector_grpc_port=collector.grpc.rsplit(":", 1)[1])
    assert third.child.wait(20)
    assert "WATERLINE_COLLECTOR_GRPC_PORT" in third.child.log.read_text()
