"""What a decision costs, computed by the running pipeline from what came in at the door."""

from datetime import datetime, timedelta
from decimal import Decimal

from tests.flow.conftest import Pipeline


def test_a_review_that_is_likely_is_part_of_the_cost(pipeline: Pipeline, now: datetime) -> None:
    """0.02 dollars of API cost and a 30 % chance of a 50-dollar review: expected 15.02, 751 times the API bill."""
    agent = "expected-cost"
    yesterday, today = now - timedelta(days=1), now - timedelta(seconds=1)
    events: list[dict[str, object]] = []
    for number in range(40):
        common: dict[str, object] = {"agent": agent, "task": "refund", "decision_key": f"{agent}-{number}"}
        events.append(_call(common, yesterday))
        if number % 10 < 3:
            events.append({**common, "kind": "escalation", "ts": yesterday.isoformat()})
            events.append({**common, "kind": "review", "ts": yesterday.isoformat(), "review_minutes": 50.0})
    events.append(_call({"agent": agent, "task": "refund", "decision_key": f"{agent}-now"}, today))
    pipeline.send(events)

    sql = f"SELECT realized_cost, expected_cost, cost_ratio FROM decisions WHERE decision_key = '{agent}-now'"
    row = pipeline.until(lambda: [row for row in pipeline.rows(sql) if row["expected_cost"] == 15.02])[0]
    assert (row["realized_cost"], row["cost_ratio"]) == (0.02, 751)

    (answer,) = pipeline.ask("decision_cost", decision=f"{agent}-now")
    assert Decimal(str(answer["expected_cost"])) == Decimal("15.02")


def _call(common: dict[str, object], at: datetime) -> dict[str, object]:
    """gpt-4.1 lists at 2 and 8 dollars a million: 6,000 in and 1,000 out are 0.02 dollars."""
    call = {"provider": "openai", "model_served": "gpt-4.1-2025-04-14", "usage_source": "provider"}
    return {**common, **call, "kind": "model_call", "ts": at.isoformat(), "tokens_input": 6_000, "tokens_output": 1_000}
