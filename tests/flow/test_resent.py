"""A client may send what it likes as often as it likes: one event is one event."""

import json
from datetime import datetime

from bench.corpus import requests
from tests.flow.conftest import Pipeline


def test_the_same_request_three_times_changes_no_answer(pipeline: Pipeline, now: datetime) -> None:
    (body,) = requests(20, 20, seed=int(now.timestamp()))
    assert pipeline.post("/v1/traces", body).status_code == 200
    pipeline.until(lambda: pipeline.rows("SELECT count() AS n FROM events WHERE agent LIKE 'agent-%'")[0]["n"] == 20)
    pipeline.until(lambda: pipeline.rows("SELECT sum(events) AS n FROM decisions WHERE agent LIKE 'agent-%'")[0]["n"] == 20)
    before = _answers(pipeline)
    copies = _copies(pipeline)

    for _ in range(2):
        assert pipeline.post("/v1/traces", body).status_code == 200
    pipeline.until(lambda: _copies(pipeline) == copies + 40)

    assert _answers(pipeline) == before
    pipeline.waterline("verify", "completeness", "--wait", "30")


def _answers(pipeline: Pipeline) -> dict[str, str]:
    """Of every question that can be asked without a parameter, but those about copies and completeness (number 8)."""
    questions = json.loads(pipeline.waterline("questions", "--json"))
    names = [question["name"] for question in questions if not question["required"] and not question["number"].startswith("8")]
    return {name: json.dumps(pipeline.ask(name), sort_keys=True) for name in names}


def _copies(pipeline: Pipeline) -> int:
    return int(pipeline.rows("SELECT sum(copies) AS n FROM ranges WHERE topic = 'agent.events'")[0]["n"])
