"""The rules file of a running pipeline is changed: a new rule fires, a bad file changes nothing and says so, and what fires is
resolved when its rule is taken out again. No process is started anew."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flow.conftest import Pipeline
from waterline.schemas.statusz import Statusz
from waterline.stack import health
from waterline.streams import rules_file

AGENT = "reloaded"
RULE = """
  - rule: reload_probe
    measure: tool_error_rate
    window: 5m
    above: 50%
    at_least: 5
"""


@pytest.fixture
def rules(pipeline: Pipeline) -> Iterator[Path]:
    path = Path(pipeline.stack.settings.rules_file)
    before = path.read_text()
    yield path
    path.write_text(before)


def metric(pipeline: Pipeline, name: str) -> float:
    port = pipeline.stack.environment["WATERLINE_STREAMS_METRICS_PORT"]
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


def ready(url: str) -> bool:
    return httpx.get(url, timeout=5).status_code == 200


def troubles(url: str) -> list[str]:
    return health.troubles("it", health.statusz(url) or Statusz())


def told(pipeline: Pipeline) -> list[dict[str, Any]]:
    return pipeline.rows(
        f"SELECT * FROM alert_transitions WHERE rule = 'reload_probe' AND `group`['agent'] = '{AGENT}' ORDER BY transition"
    )


def fail(pipeline: Pipeline, decision: str) -> None:
    now = datetime.now(UTC).isoformat()
    call = {"kind": "tool_call", "agent": AGENT, "tool": "probe", "status": "error", "decision_key": decision, "duration_ms": 1}
    pipeline.send([{**call, "ts": now, "event_id": f"{decision}-{number}"} for number in range(40)])


def test_rules_change_while_everything_runs(pipeline: Pipeline, rules: Path) -> None:
    before = rules.read_text()
    taken = metric(pipeline, 'streams_rules_reloads_total{outcome="taken"}')
    rules.write_text(before.replace("rules:\n", f"rules:{RULE}", 1))
    version = rules_file.load(rules).version
    pipeline.until(lambda: metric(pipeline, 'streams_rules_reloads_total{outcome="taken"}') > taken, 10)
    fail(pipeline, "reload-1")
    (fired,) = pipeline.until(lambda: told(pipeline))
    assert (fired["state"], fired["rules_version"]) == ("firing", version)

    rules.write_text(rules.read_text().replace("above: 50%", "above: 50"))
    pipeline.until(lambda: metric(pipeline, "streams_rules_unreadable") == 1, 10)
    for part in ("STREAMS", "RULER"):
        url = f"http://127.0.0.1:{pipeline.stack.environment[f'WATERLINE_{part}_METRICS_PORT']}/readyz"
        pipeline.until(partial(ready, url), 20)  # it goes on working
        (trouble,) = pipeline.until(partial(troubles, url), 10)
        assert f"version {version}: since " in trouble
        assert f"the file is refused: {rules}, line " in trouble
        assert ": rule reload_probe: above: '50' is no share" in trouble
    assert len(told(pipeline)) == 1, "by the rules it had"

    rules.write_text(before)
    pipeline.until(lambda: len(told(pipeline)) > 1)
    resolved = told(pipeline)[1]
    assert (resolved["state"], resolved["rules_version"]) == ("resolved", rules_file.load(rules).version)
    assert resolved["summary"].endswith("the rule was removed")
    assert metric(pipeline, "streams_rules_unreadable") == 0
