"""A client may send what it likes as often as it likes: one event is one event."""

import json
from datetime import UTC, datetime

from bench.corpus import requests
from tests.flow.conftest import Pipeline

SPANS = 20
RECONCILED = ("alert_reconciliation", "drift_reconciliation", "quality_reconciliation")
IN_TIME = ("alerts", "alert_deliveries", "drift", "quality", *RECONCILED)
MINE = "source = 'otlp' AND agent LIKE 'agent-%'"


def test_the_same_request_three_times_changes_no_answer(pipeline: Pipeline, now: datetime) -> None:
    (body,) = requests(SPANS, SPANS, seed=int(now.timestamp()))
    assert pipeline.post("/v1/traces", body).status_code == 200
    pipeline.until(lambda: pipeline.rows(f"SELECT count() AS n FROM events WHERE {MINE}")[0]["n"] == SPANS)
    pipeline.until(lambda: pipeline.rows("SELECT sum(events) AS n FROM decisions WHERE agent LIKE 'agent-%'")[0]["n"] == SPANS)
    pipeline.until_none(lambda: _ours(pipeline, "reconciliation"))
    sent = {row["event_id"]: row for row in pipeline.rows(f"SELECT event_id, decision_key, session_id FROM events WHERE {MINE}")}
    one = next(iter(sent.values()))
    asked = datetime.now(UTC)
    before = _answers(pipeline, one, asked)
    differing = _differing(pipeline)
    assert not _copies(pipeline, sent)

    for _ in range(2):
        assert pipeline.post("/v1/traces", body).status_code == 200
    pipeline.until(lambda: sum(_copies(pipeline, sent).values()) == 2 * SPANS)

    assert _answers(pipeline, one, asked) == before
    assert _copies(pipeline, sent) == dict.fromkeys(sent, 2), "question 8a shows each event's two copies as copies"
    assert _differing(pipeline) <= differing, "of what differed, time makes only less"
    for question in ("late_copies", "unequal_ranges"):
        assert pipeline.ask(question) == []
    pipeline.waterline("verify", "completeness", "--wait", "30")


def _answers(pipeline: Pipeline, one: dict[str, str], at: datetime) -> dict[str, str]:
    """Of every question but those about copies and completeness (number 8) and about what is told as time goes on, whoever sends
    what (of these the reconciliations must find no more wrong), at a fixed time where it asks for one."""
    given: dict[str, dict[str, object]] = {
        "agent_activity": {"agent": "agent-1", "since": "today", "until": "now"},
        "action_trail": {"action": one["event_id"]},
        "decision_calls": {"decision": one["decision_key"]},
        "sessions": {"at": at.isoformat()},
    }
    listed = json.loads(pipeline.waterline("questions", "--json"))
    questions = [q for q in listed if not q["number"].startswith("8") and q["name"] not in IN_TIME]
    assert {question["name"] for question in questions if question["required"]} == given.keys() - {"sessions"}
    answers = {q["name"]: json.dumps(pipeline.ask(q["name"], **given.get(q["name"], {})), sort_keys=True) for q in questions}
    return answers | {"one": json.dumps(pipeline.ask("decision_cost", decision=one["decision_key"]))}


def _ours(pipeline: Pipeline, question: str) -> list[dict[str, object]]:
    return [row for row in pipeline.ask(question) if "agent-" in str(row)]


def _differing(pipeline: Pipeline) -> set[tuple[object, ...]]:
    """What of ours was told otherwise than the raw events say, by its names."""
    names = ("day", "agent", "task", "measure", "about", "artifact", "rule", "window_from")
    return {(question, *(row.get(name) for name in names)) for question in RECONCILED for row in _ours(pipeline, question)}


def _copies(pipeline: Pipeline, sent: dict[str, dict[str, str]]) -> dict[str, int]:
    """Event id -> copies, as question 8a tells it."""
    return {row["event_id"]: row["copies"] for row in pipeline.ask("copies") if row["event_id"] in sent}
