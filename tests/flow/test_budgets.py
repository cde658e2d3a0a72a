"""What is spent, by the running pipeline, and what a gateway is told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from tests.flow.conftest import Pipeline


def limits(pipeline: Pipeline, **names: str) -> dict[str, Any]:
    reply = httpx.get(f"{pipeline.stack.collector_url}/v1/limits", params=names, timeout=30)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def call(key: str, at: datetime, team: str, output: int) -> dict[str, object]:
    """gpt-4.1 lists at 8 dollars a million tokens of output."""
    return {
        "kind": "model_call",
        "agent": "budgeted",
        "team": team,
        "decision_key": key,
        "ts": at.isoformat(),
        "provider": "openai",
        "model_served": "gpt-4.1-2025-04-14",
        "usage_source": "provider",
        "tokens_output": output,
    }


def spent_is(pipeline: Pipeline, sql: str, wanted: Decimal) -> bool:
    return [Decimal(str(row["spent"])) for row in pipeline.rows(sql)] == [wanted]


def test_a_gateway_is_told_to_stop_when_the_budget_is_used_up(pipeline: Pipeline) -> None:
    at = datetime.now(UTC) - timedelta(seconds=1)
    pipeline.send([call("b1", at, "finops", 5_000), call("b2", at, "others", 50_000)])
    pipeline.until(lambda: limits(pipeline, team="finops")["limits"])
    assert limits(pipeline, team="finops")["limits"][0]["spent"] == "0.040000000"
    assert limits(pipeline, team="others") == {"verdict": "allow", "age_s": 0.0, "limits": []}
    pipeline.send([call("b3", at, "finops", 10_000)])
    pipeline.until(lambda: limits(pipeline, team="finops")["verdict"] == "deny")
    pipeline.until(lambda: pipeline.rows("SELECT 1 FROM budgets WHERE budget = 'team-daily' AND verdict = 'deny'"))
    by_budget = "SELECT spent FROM budgets WHERE budget = 'team-daily'"
    by_leaves = "SELECT sum(cost) AS spent FROM costs WHERE team = 'finops'"
    pipeline.until(lambda: spent_is(pipeline, by_budget, Decimal("0.12")) and spent_is(pipeline, by_leaves, Decimal("0.12")))
    fired = "SELECT DISTINCT `group`['mark'] AS mark FROM alert_transitions WHERE rule = 'team-daily' AND state = 'firing'"
    pipeline.until(lambda: {"50 %", "80 %", "100 %"} <= {row["mark"] for row in pipeline.rows(fired)})
