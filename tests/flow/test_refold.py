"""The streams fold their whole history again: every figure is what it was, nothing is told to anybody again."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.flow.conftest import Pipeline
from waterline.refill import Refused, wait_until_empty
from waterline.replay.ticks import Ticks
from waterline.schemas.clients import kafka_config
from waterline.streams.worker import GROUP

AGENT = "refolded"
FIGURES = {
    "decisions": f"SELECT * EXCEPT (revision) FROM decisions WHERE agent = '{AGENT}' ORDER BY decision_key",
    "costs": f"SELECT * EXCEPT (revision) FROM costs WHERE agent = '{AGENT}' ORDER BY decision_key, event_id",
    "merges": "SELECT tenant, decision_key, merged_into FROM merged_decisions ORDER BY ALL",
    "links": "SELECT tenant, decision_id, decision_key, kafka_offset FROM decision_links ORDER BY ALL",
    "alerts": "SELECT alert_id, transition, state, value, samples, window_from FROM alerts WHERE {mine} ORDER BY ALL",
    "budgets": "SELECT budget, name, spent FROM budgets WHERE clock = 'replay' ORDER BY ALL",
    "quality": f"SELECT measure, task, day, value FROM quality WHERE agent = '{AGENT}' ORDER BY ALL",
    "deliveries": "SELECT alert_id, transition, channel, kafka_offset FROM alert_deliveries WHERE {mine} ORDER BY ALL",
}
TOLD = "SELECT count() AS n FROM alert_transitions WHERE {mine}"
MINE = f"""
alert_id IN (SELECT alert_id FROM alert_transitions WHERE `group`['agent'] = '{AGENT}' AND measure != 'accuracy_drop')"""
"""Not accuracy: an outcome that names only the business id may be on its way as time passes, so the first word may differ."""
UNTOLD = """
SELECT rule, alert_id, transition FROM alert_transitions WHERE {mine} AND (state = 'firing' OR previous = 'firing')
AND (alert_id, transition) NOT IN (SELECT alert_id, transition FROM alert_deliveries)"""
AT_HOME = f"SELECT count() AS n FROM decision_events WHERE agent = '{AGENT}' AND belongs"
FOLDED = f"""
SELECT decision_key, toInt32(max(kafka_offset)) AS last, toInt32(argMax(events, kafka_offset)) AS events FROM decision_facts
WHERE agent = '{AGENT}' AND decision_key IN (SELECT decision_key FROM decisions) GROUP BY decision_key ORDER BY decision_key"""
UNRESOLVED = f"""
SELECT count() AS resolved FROM alerts WHERE `group`['agent'] = '{AGENT}' AND rule = 'tool_error_rate' AND state = 'resolved'
HAVING resolved = 0"""
UNDRIFTED = f"SELECT count() AS drift FROM drift WHERE agent = '{AGENT}' AND about = 'tools' HAVING drift = 0"
DAYS_OVER, STEP = timedelta(hours=26), timedelta(minutes=5)
TIMES = 3
"""how often in a row all must be as before: more may be on its way"""


def figures(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    return {name: pipeline.rows(sql.replace("{mine}", MINE)) for name, sql in FIGURES.items()}


def load(begin: datetime) -> list[dict[str, object]]:
    """Five minutes in which half of the calls fail and five in which none does; traces that merge, reviews by business id."""
    events: list[dict[str, object]] = []

    def tell(seconds: int, **fields: object) -> None:
        at = (begin + timedelta(seconds=seconds)).isoformat()
        number = {"event_id": f"refold-{begin:%s}-{len(events)}", "agent": AGENT, "task": "t", "ts": at, "clock": "replay"}
        events.append(number | fields)

    for n in range(60):
        key, alias = f"refold-{begin:%s}-{n % 20}", f"refold-{begin:%s}-T{n % 20 // 3}"
        failed = "error" if n < 30 and n % 2 else "ok"
        tell(n * 10, kind="tool_call", tool="t", status=failed, decision_key=key, decision_id=alias)
        tell(n * 10, kind="model_call", provider="openai", model_served="gpt-4.1-2025-04-14", tokens_input=n, decision_key=key)
        if n % 9 == 0:
            tell(n * 10, kind="review", review_verdict="override", review_minutes=2.0, decision_id=alias)
            tell(n * 10, kind="outcome", outcome="incorrect", decision_id=alias)
    return events


@pytest.mark.timeout(600, func_only=True)
def test_the_whole_history_folded_again_says_the_same(pipeline: Pipeline) -> None:
    begin = (datetime.now(UTC) - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    time, events = Ticks(pipeline.stack.settings), load(begin)
    pipeline.send(events)
    pipeline.until_none(lambda: _on_its_way(pipeline, begin, len(events)))
    time.tell(begin + DAYS_OVER)
    pipeline.until_none(lambda: _unsettled(pipeline, begin))
    before = figures(pipeline)
    assert [row["state"] for row in before["alerts"]].count("resolved") >= 1
    assert before["merges"]
    assert before["deliveries"]
    folded = {row["decision_key"]: row for row in pipeline.rows(FOLDED)}
    told = int(pipeline.rows(TOLD.format(mine=MINE))[0]["n"])

    admin = AdminClient({**kafka_config(pipeline.stack.settings), "log_level": 0})
    with pytest.raises(Refused, match="a streams worker runs"):
        wait_until_empty(admin, 0, GROUP, "a streams worker")
    pipeline.stack.stop("streams")
    assert "will be folded again" in pipeline.waterline("refold")
    pipeline.stack.launch("streams")
    pipeline.stack.wait_ready("streams")

    pipeline.until(lambda: int(pipeline.rows(TOLD.format(mine=MINE))[0]["n"]) >= 2 * told)
    pipeline.until_none(lambda: [row for row in pipeline.rows(FOLDED) if not _again(row, folded.get(row["decision_key"]))])
    steps, agreed = count(1), 0

    def unlike() -> list[str]:
        """What goes from one partition to another may now come after the time that had waited for it: later time tells it."""
        nonlocal agreed
        time.tell(begin + DAYS_OVER + next(steps) * STEP)
        other = [name for name, rows in figures(pipeline).items() if rows != before[name]]
        agreed = 0 if other else agreed + 1
        return other or ["once more"] * (agreed < TIMES)

    pipeline.until_none(unlike)
    pipeline.until_none(lambda: _unsettled(pipeline, begin))
    assert figures(pipeline) == before
    twice = f"SELECT count() AS n, uniqExact(revision) AS u FROM decision_facts WHERE agent = '{AGENT}' GROUP BY decision_key"
    assert any(int(row["n"]) > int(row["u"]) for row in pipeline.rows(twice)), "facts were told again"
    assert "proven: 0 missing, 0 duplicates" in pipeline.waterline("verify", "completeness", "--wait", "60")


def _again(now: dict[str, Any], before: dict[str, Any] | None) -> bool:
    """Whether a decision was told anew, to its last event."""
    return before is not None and now["last"] > before["last"] and now["events"] == before["events"]


def _on_its_way(pipeline: Pipeline, begin: datetime, events: int) -> list[dict[str, Any]]:
    """Events that are not with their decisions yet, in the facts or in the raw events."""
    return pipeline.rows(f"{AT_HOME} HAVING n != {events}") or _differing(pipeline, begin, "reconciliation")


def _unsettled(pipeline: Pipeline, begin: datetime) -> list[dict[str, Any]]:
    """What is on its way: facts, alerts, words on quality and drift that are not what the raw events say or are not told yet, and
    changes of alerts without a receipt."""
    left = _differing(pipeline, begin, "reconciliation", "alert_reconciliation", "drift_reconciliation")
    left += _differing(pipeline, begin, "quality_reconciliation", strict="1")
    return left + [row for sql in (UNTOLD, UNRESOLVED, UNDRIFTED) for row in pipeline.rows(sql.replace("{mine}", MINE))]


def _differing(pipeline: Pipeline, begin: datetime, *questions: str, **more: str) -> list[dict[str, Any]]:
    given = {"tenant": "default", "since": str(begin.date())} | more
    rows = [row for question in questions for row in pipeline.ask(question, **given)]
    return [row for row in rows if AGENT in str(row) or "refold" in str(row)]
