"""Readiness is asked, and the reason for "not yet" is handed on as it was said."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from waterline.stack import health

METRICS = """# TYPE sink_lag_records gauge
sink_lag_records{topic="a",partition="0"} 3.0
sink_lag_records{topic="a",partition="1"} 4.0
sink_rows_total 9.0
"""
PAGES = {"/ok": (200, ""), "/waits": (503, "partition 3: ClickHouse refuses\npartition 4: opening\n"), "/metrics": (200, METRICS)}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = PAGES.get(self.path, (404, ""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_ready_and_not_ready(url: str) -> None:
    assert health.ask(f"{url}/ok") == health.Answer(True)
    assert health.ask(f"{url}/waits") == health.Answer(False, "partition 3: ClickHouse refuses; partition 4: opening")
    assert health.ask(f"{url}/none") == health.Answer(False, "answered 404")


def test_nobody_there() -> None:
    answer = health.ask("http://127.0.0.1:1/readyz")
    assert not answer.ready
    assert answer.why.startswith("does not answer: ")


def test_lag_is_the_sum_over_partitions_or_unknown(url: str) -> None:
    assert health.lag(f"{url}/readyz", "sink") == 7
    assert health.lag(f"{url}/readyz", "collector") is None
    assert health.lag("http://127.0.0.1:1/readyz", "sink") is None
