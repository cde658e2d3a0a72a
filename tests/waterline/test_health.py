"""Readiness is asked, and the reason for "not yet" is handed on as it was said."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from waterline.commands.status import register
from waterline.stack import health, state

METRICS = """# TYPE sink_lag_records gauge
sink_lag_records{topic="a",partition="0"} 3.0
sink_lag_records{topic="a",partition="1"} 4.0
sink_rows_total 9.0
"""
STATUSZ = """{"followed": [{"what": "rules", "file": "r.yaml", "version": "abc", "since": "2026-11-20T09:00:00Z",
"mistakes": ["r.yaml, line 8: no", "r.yaml, line 9: no"], "refused_since": "2026-11-20T10:11:12.345Z"}],
"unanswered": [{"rule": "refunds", "since": "2026-11-20T10:00:00Z", "reason": "Unknown column"}]}"""
PAGES = {
    "/statusz": (200, STATUSZ),
    "/ok": (200, ""),
    "/readyz": (200, "ok"),
    "/waits": (503, "partition 3: ClickHouse refuses\npartition 4: opening\n"),
    "/metrics": (200, METRICS),
}


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


def test_a_refused_file_and_a_question_without_an_answer_are_told(url: str) -> None:
    told = health.statusz(f"{url}/readyz")
    assert told is not None
    assert health.troubles("streams", told) == [
        "streams still works by the rules of 2026-11-20 09:00:00 UTC, version abc: since 2026-11-20 10:11:12 UTC the file is"
        " refused: r.yaml, line 8: no (the first of 2 mistakes)",
        "rule refunds is not answered since 2026-11-20 10:00:00 UTC: Unknown column",
    ]
    assert health.statusz("http://127.0.0.1:1/readyz") is None
    assert health.statusz(f"{url}/elsewhere/readyz") is None


def test_status_shows_what_is_wrong_although_all_is_ready(url: str, tmp_path: Path) -> None:
    began = state.created(os.getpid())
    part = state.PartState("streams", "running", os.getpid(), began, 0, url, f"{url}/readyz", "log")
    state.write(tmp_path, state.StackState(os.getpid(), began or 0, True, [part]))
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    shown = CliRunner().invoke(app, ["status", "--data-dir", str(tmp_path)])
    assert shown.exit_code == 0, shown.stdout
    refused, blind = shown.stdout.splitlines()[-2:]
    assert refused.startswith("! streams still works by the rules of 2026-11-20 09:00:00 UTC, version abc: since")
    assert blind == "! rule refunds is not answered since 2026-11-20 10:00:00 UTC: Unknown column"
    (told,) = json.loads(CliRunner().invoke(app, ["status", "--json", "--data-dir", str(tmp_path)]).stdout)["parts"]
    assert (told["versions"], len(told["troubles"]), told["ready"]) == ({"rules": "abc"}, 2, True)
