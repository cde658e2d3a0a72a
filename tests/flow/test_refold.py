"""The streams fold their whole history again: every figure is what it was, nothing is told to anybody again."""

from datetime import UTC, datetime, timedelta
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
    "alerts": f"SELECT alert_id, transition, state, value, samples, window_from FROM alerts WHERE `group`['agent'] = '{AGENT}'",
    "budgets": "SELECT budget, name, spent FROM budgets WHERE clock = 'replay' ORDER BY ALL",
    "quality": f"SELECT measure, task, day, value FROM quality WHERE agent = '{AGENT}' ORDER BY ALL",
    "deliveries": "SELECT alert_id, transition, channel, kafka_offset FROM alert_deliveries WHERE {mine} ORDER BY ALL",
}
TOLD = "SELECT count() AS n FROM alert_transitions WHERE {mine}"
MINE = f"alert_id IN (SELECT alert_id FROM alert_transitions WHERE `group`['agent'] = '{AGENT}')"


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


def test_the_whole_history_folded_again_says_the_same(pipeline: Pipeline) -> None:
    begin = (datetime.now(UTC) - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    pipeline.send(load(begin))
    Ticks(pipeline.stack.settings).tell(begin + timedelta(minutes=10))
    pipeline.until(lambda: _settled(pipeline, begin))
    pipeline.until(lambda: pipeline.rows(f"SELECT 1 FROM alert_deliveries WHERE {MINE}"))
    before = figures(pipeline)
    assert [row["state"] for row in before["alerts"]].count("resolved") >= 1
    assert before["merges"]
    assert before["deliveries"]
    told = int(pipeline.rows(TOLD.format(mine=MINE))[0]["n"])

    admin = AdminClient({**kafka_config(pipeline.stack.settings), "log_level": 0})
    with pytest.raises(Refused, match="a streams worker runs"):
        wait_until_empty(admin, 0, GROUP, "a streams worker")
    pipeline.stack.stop("streams")
    assert "will be folded again" in pipeline.waterline("refold")
    pipeline.stack.launch("streams")
    pipeline.stack.wait_ready("streams")

    pipeline.until(lambda: int(pipeline.rows(TOLD.format(mine=MINE))[0]["n"]) >= 2 * told)
    pipeline.until(lambda: [name for name, rows in figures(pipeline).items() if rows != before[name]] == [])
    pipeline.until(lambda: _settled(pipeline, begin))
    assert figures(pipeline) == before
    twice = f"SELECT count() AS n, uniqExact(revision) AS u FROM decision_facts WHERE agent = '{AGENT}' GROUP BY decision_key"
    assert any(int(row["n"]) > int(row["u"]) for row in pipeline.rows(twice)), "facts were told again"
    assert "proven: 0 missing, 0 duplicates" in pipeline.waterline("verify", "completeness", "--wait", "60")


def _settled(pipeline: Pipeline, begin: datetime) -> bool:
    """Nothing of ours is on its way, and facts and alerts are what the raw events say."""
    asked = {"tenant": "default", "since": (begin - timedelta(hours=1)).isoformat()}
    rows = [*pipeline.ask("reconciliation", **asked), *pipeline.ask("alert_reconciliation", **asked)]
    rows += pipeline.ask("quality_reconciliation", strict="1", **asked)
    resolved = f"SELECT 1 FROM alerts WHERE `group`['agent'] = '{AGENT}' AND rule = 'tool_error_rate' AND state = 'resolved'"
    return not [row for row in rows if AGENT in str(row) or "refold" in str(row)] and bool(pipeline.rows(resolved))
