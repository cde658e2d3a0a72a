"""The whole local stack, once for all flow tests. Events go in by the public door, answers come from the public questions."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from msgspec import Struct

from waterline import show
from waterline.connectors.stores.clickhouse import questions
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.settings import Settings
from waterline.stack import Stack
from waterline.streams import rules_file

SETTLE_S = 180.0
BUDGETS = """
budgets:
  - budget: team-daily
    scope: team
    of: finops
    period: day
    limit: 0.10 USD
"""


class Pipeline(Struct):
    """A running stack and the three things a user does with it: send, ask, prove."""

    stack: Stack

    def send(self, events: Sequence[Mapping[str, object]]) -> dict[str, Any]:
        """Through /v1/events; every event must be accepted."""
        answer = httpx.post(f"{self.stack.collector_url}/v1/events", json=list(events), timeout=30)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, body: bytes, content_type: str = "application/x-protobuf") -> httpx.Response:
        return httpx.post(f"{self.stack.collector_url}{path}", content=body, headers={"Content-Type": content_type}, timeout=30)

    def waterline(self, *arguments: str, code: int = 0) -> str:
        """The command line against this stack; its exit code must be `code`. Returns what it printed."""
        command = [sys.executable, "-m", "waterline", *arguments]
        run = subprocess.run(command, env=self.stack.environment | {"PATH": os.environ["PATH"]}, capture_output=True, text=True)
        assert run.returncode == code, f"{arguments}: {run.returncode}\n{run.stdout}\n{run.stderr}"
        return run.stdout

    def ask(self, question: str, **parameters: object) -> list[dict[str, Any]]:
        """The rows of `waterline ask QUESTION --json`, without the half second that the command takes to start."""
        asked = questions.find(question, questions.load())
        with closing(connect(self.stack.settings)) as client:
            answer = questions.ask(client, asked, {name: str(value) for name, value in parameters.items()})
        return list(json.loads(show.as_json(answer.rows)))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        parameters = {"database": self.stack.settings.clickhouse_database, "query": f"{sql} FORMAT JSONEachRow"}
        answer = httpx.post(self.stack.clickhouse, params=parameters, timeout=60)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def until(self, found: Callable[[], Any], seconds: float = SETTLE_S, enough: Callable[[Any], bool] = bool) -> Any:
        """Asks until the answer is `enough`, and returns it; the last answer is in the failure."""
        deadline = time.monotonic() + seconds
        while not enough(answer := found()):
            assert time.monotonic() < deadline, f"still {answer!r} after {seconds:.0f} s"
            time.sleep(0.2)
        return answer

    def until_none(self, left: Callable[[], Sequence[object]]) -> None:
        """Asks until nothing is left."""
        self.until(left, enough=lambda answer: not answer)


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory, jars: None) -> Iterator[Pipeline]:
    home = tmp_path_factory.mktemp("flow")
    # a machine that is busy with other tests lags, and that is no news here
    patient = rules_file.DEFAULT.read_text().replace("above: 10s", "above: 1h")
    (home / "rules.yaml").write_text(patient + BUDGETS)
    settings = Settings(decision_grace_s=30, rules_file=str(home / "rules.yaml"))
    with Stack(home, settings=settings, free_ports=True) as stack:
        yield Pipeline(stack)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)
