"""The decisions agree with the raw events after a run that holds every kind of event, in every way it can belong."""

from datetime import datetime, timedelta

from tests.flow.conftest import Pipeline
from waterline.schemas.events import Kind

TENANT = "default"
APART = (Kind.DEPLOYMENT, Kind.POLICY, Kind.SESSION)
WAITING = (Kind.REVIEW, Kind.OUTCOME, Kind.CORRECTION)


def test_streams_and_raw_events_agree_on_every_kind(pipeline: Pipeline, now: datetime) -> None:
    """Keyed, by business id, by neither; traces that merge in a chain; reviews that come before and after their link."""
    mark = "reconcile"
    began = now - timedelta(minutes=5)
    events: list[dict[str, object]] = []

    def tell(kind: Kind, **fields: object) -> None:
        told: dict[str, object] = {"event_id": f"{mark}-{len(events)}", "agent": mark, "kind": str(kind)}
        told["ts"] = (began + timedelta(milliseconds=len(events))).isoformat()
        if kind is Kind.MODEL_CALL:
            told |= {"provider": "openai", "model_served": "gpt-4.1-2025-04-14", "tokens_input": 1000}
        if kind is Kind.REVIEW:
            told |= {"review_verdict": "override", "review_minutes": 3.0}
        if kind is Kind.OUTCOME:
            told["outcome"] = "correct"
        events.append(told | fields)

    for kind in Kind:
        tell(kind)
        tell(kind, decision_key=f"{mark}-own-{kind}")
        tell(kind, decision_id=f"{mark}-alone-{kind}")
        tell(kind, decision_id=f"{mark}-business")
        tell(kind, decision_key=f"{mark}-trace", decision_id=f"{mark}-business")
    for step in range(6):
        tell(Kind.MODEL_CALL, decision_key=f"{mark}-chain-{step}", decision_id=f"{mark}-c{step}")
        tell(Kind.TOOL_CALL, decision_key=f"{mark}-chain-{step}", decision_id=f"{mark}-c{step + 1}", status="error")
        tell(Kind.REVIEW, decision_id=f"{mark}-c{step}")
    for kind in WAITING:
        tell(kind, decision_id=f"{mark}-nobody")
    pipeline.send(events)

    ours = f"FROM events WHERE agent = '{mark}'"
    pipeline.until(lambda: pipeline.rows(f"SELECT count() AS n {ours} HAVING n = {len(events)}"))
    kinds = pipeline.rows(f"SELECT uniqExact(kind) AS n {ours}")
    assert kinds == [{"n": len(Kind)}]
    belonging = "SELECT count() AS n FROM decision_events WHERE agent = 'reconcile' AND belongs"
    # without a decision: six kinds that have neither key nor id, three that nobody links by their own id and three by `nobody`
    pipeline.until(lambda: pipeline.rows(f"{belonging} HAVING n = {len(events) - len(APART) - 3 * len(WAITING)}"))
    merged = "SELECT count() AS n FROM merged_decisions WHERE decision_key LIKE 'reconcile-%' HAVING n > 3"
    pipeline.until(lambda: pipeline.rows(merged))

    def differences() -> list[str]:
        rows = pipeline.ask("reconciliation", tenant=TENANT, since=began.isoformat())
        return [
            f"{row['decision_key']} {row['what']}: {row['by_streams']} {row['by_events']}" for row in rows if mark in str(row)
        ]

    pipeline.until(lambda: not differences() or None, 60)
    assert differences() == []
