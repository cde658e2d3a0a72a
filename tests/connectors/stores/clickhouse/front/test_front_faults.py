"""Killed, stopped, deserted, locked out: what the front does then."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.requests import Request

from tests.connectors.stores.clickhouse.front.process import COMMAND, Front, NewFront
from waterline.connectors.stores.clickhouse.front.app import Front as App
from waterline.connectors.stores.clickhouse.front.errors import Code, refuse
from waterline.stack import ports

LONG = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT count() FROM numbers(1000000000000)%'"


def post(front: Front, query: str, **params: Any) -> str:
    with front.client() as client:
        answer = client.post("/", content=query, params=params)
    assert answer.status_code == 200, answer.text
    return answer.text


def until(front: Front, query: str, wanted: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while (got := post(front, query)) != wanted:
        assert time.monotonic() < deadline, f"{query}: {got}"


def until_taken(front: Front, params: dict[str, str], seconds: float = 10) -> None:
    """A session is given back a moment after its query is gone."""
    deadline = time.monotonic() + seconds
    with front.client() as client:
        while (answer := client.post("/", content="SELECT 1", params=params)).status_code != 200:
            assert "SESSION_IS_LOCKED" in answer.text
            assert time.monotonic() < deadline


class Load:
    """Threads that insert batches of 1,000 rows, each under a token of its own, until the front is gone."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.numbers = itertools.count()
        self.sent: set[int] = set()
        self.acked: set[int] = set()
        self.threads = [threading.Thread(target=self.run) for _ in range(3)]

    def run(self) -> None:
        with self.front.client() as client:
            while True:
                batch = next(self.numbers)
                self.sent.add(batch)
                try:
                    answer = send(client, batch)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self.acked.add(batch)


def send(client: httpx.Client, batch: int) -> httpx.Response:
    body = b"".join(b'{"b":%d,"n":%d}\n' % (batch, n) for n in range(1000))
    params = {"query": "INSERT INTO t FORMAT JSONEachRow", "insert_deduplication_token": f"batch-{batch}"}
    return client.post("/", content=body, params=params)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_loses_no_answered_insert(new_front: NewFront, number: signal.Signals) -> None:
    front = new_front().start()
    settings = "SETTINGS non_replicated_deduplication_window = 1000"
    post(front, f"CREATE TABLE t (b UInt64, n UInt64) ENGINE = MergeTree ORDER BY (b, n) {settings}")
    load = Load(front)
    for thread in load.threads:
        thread.start()
    until(front, "SELECT count() > 20000 FROM t", "1\n")
    front.child.signal(number)
    for thread in load.threads:
        thread.join(30)
    assert front.child.wait(10)
    started = time.monotonic()
    front.start()
    assert time.monotonic() - started < 10
    kept = {int(b) for b in post(front, "SELECT b FROM t GROUP BY b HAVING count() = 1000").split()}
    assert load.acked <= kept
    assert post(front, "SELECT count() FROM (SELECT b FROM t GROUP BY b HAVING count() != 1000)") == "0\n"
    with front.client() as client:
        for batch in load.sent:  # the sender repeats all of it, and what was there already is swallowed
            assert send(client, batch).status_code == 200
    assert post(front, "SELECT count(), uniqExact(b, n) FROM t") == f"{len(load.sent) * 1000}\t{len(load.sent) * 1000}\n"
    front.child.stop()


def test_sigterm_ends_it_soon_and_in_order(new_front: NewFront) -> None:
    front = new_front().start()
    post(front, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    post(front, "INSERT INTO t VALUES (1)")
    waiting = threading.Thread(target=lambda: front.client().post("/", content=LONG))
    waiting.start()
    until(front, RUNNING, "1\n")
    started = time.monotonic()
    front.child.signal(signal.SIGTERM)
    assert front.child.wait(30)
    assert time.monotonic() - started < 20
    assert front.child.exit_code == 0
    waiting.join(5)
    front.start()
    assert post(front, "SELECT n FROM t") == "1\n"
    front.child.stop()


@pytest.mark.parametrize("query", [LONG, "SELECT number FROM numbers(1000000000000)"])
@pytest.mark.parametrize("params", [{}, {"session_id": "leaves"}])
def test_a_client_that_leaves_ends_its_query(front: Front, query: str, params: dict[str, str]) -> None:
    count = f"SELECT count() FROM system.processes WHERE query LIKE '{query.replace('(', '_')[:40]}%'"
    with socket.create_connection(("127.0.0.1", front.port)) as door:
        door.sendall(f"POST /?{urlencode(params)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(query)}\r\n\r\n{query}".encode())
        until(front, count, "1\n")
    until(front, count, "0\n")
    until_taken(front, params)


def start_and_fail(environment: dict[str, str]) -> str:
    """What a front says that cannot start."""
    done = subprocess.run(COMMAND, env=os.environ | environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_directory_has_one_owner(front: Front) -> None:
    url = f"http://127.0.0.1:{ports.pick()}"
    said = start_and_fail({"WATERLINE_CLICKHOUSE": url, "WATERLINE_DATA_DIR": str(front.home)})
    assert f"belongs to a running process (pid {front.child.pid})" in said
    assert post(front, "SELECT 1") == "1\n"


def test_a_directory_that_another_engine_has(tmp_path: Path) -> None:
    code = "import chdb.session, sys; s = chdb.session.Session(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "clickhouse")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout
        assert other.stdout.readline() == b"1\n"
        url = f"http://127.0.0.1:{ports.pick()}"
        said = start_and_fail({"WATERLINE_CLICKHOUSE": url, "WATERLINE_DATA_DIR": str(tmp_path)})
        assert "the engine cannot open" in said
    finally:
        other.communicate()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://0.0.0.0:8123", "0.0.0.0 is not loopback; set WATERLINE_CLICKHOUSE_PASSWORD"),
        ("https://127.0.0.1:8443", "speaks plain http only"),
    ],
)
def test_where_it_must_not_serve(tmp_path: Path, url: str, said: str) -> None:
    assert said in start_and_fail({"WATERLINE_CLICKHOUSE": url, "WATERLINE_DATA_DIR": str(tmp_path)})


def test_a_taken_port_is_named(front: Front, tmp_path: Path) -> None:
    said = start_and_fail({"WATERLINE_CLICKHOUSE": front.url, "WATERLINE_DATA_DIR": str(tmp_path)})
    assert f"cannot listen on 127.0.0.1:{front.port}" in said


class Broken:
    """A server whose engine does not answer, or answers with an error."""

    def __init__(self, answer: float | Exception) -> None:
        self.answer = answer

    async def ready(self) -> None:
        if isinstance(self.answer, Exception):
            raise self.answer
        await asyncio.sleep(self.answer)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(refuse(Code.STD_EXCEPTION, "disk gone"), "SELECT 1 failed: Code: 1001"), (3600.0, "was not answered within")],
)
def test_readyz_says_why_not(broken: float | Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waterline.connectors.stores.clickhouse.front.app.READY_S", 0.1)
    app = App.__new__(App)
    app.server = Broken(broken)  # type: ignore[assignment]
    answer = asyncio.run(app.readyz(Request({"type": "http"})))
    assert answer.status_code == 503
    assert reason in bytes(answer.body).decode()
