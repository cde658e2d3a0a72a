"""A price changes in the middle of the data: what was priced stays as it was priced then, and can be asked for restated."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.flow.conftest import Pipeline
from waterline.streams.prices import NOTICE, publish

MODEL = "gpt-4.1-nano"
OLD, NEW = Decimal("0.0005"), Decimal("0.005")
"""of 1,000 tokens in and 1,000 out: listed at 0.1 and 0.4 dollars a million, negotiated at 1 and 4"""
OVERRIDE = f"""
[[price]]
provider = "openai"
model = "{MODEL}"
input = "1"
output = "4"
"""


def test_a_price_change_leaves_what_was_priced(pipeline: Pipeline, now: datetime, tmp_path: Path) -> None:
    pipeline.send([_call("before", now)])
    pipeline.until(lambda: _costs(pipeline) == {"price-change-before": OLD})

    known_from = _publish(pipeline, tmp_path)
    pipeline.until(lambda: datetime.now(UTC) > known_from + timedelta(seconds=1))
    pipeline.send([_call("after", datetime.now(UTC))])
    pipeline.until(lambda: _costs(pipeline) == {"price-change-before": OLD, "price-change-after": NEW})

    today = _restated(pipeline)
    assert [(row["calls"], row["cost_then"], row["cost_restated"]) for row in today] == [(1, NEW, NEW), (1, OLD, NEW)]
    assert today[1]["price_then"] != today[1]["price_restated"] == today[0]["price_then"]
    as_known_before = _restated(pipeline, as_of=(known_from - timedelta(seconds=1)).isoformat())
    assert [(row["calls"], row["cost_then"], row["cost_restated"]) for row in as_known_before] == [(1, NEW, OLD), (1, OLD, OLD)]
    assert pipeline.ask("reconciliation") == []


def _publish(pipeline: Pipeline, tmp_path: Path) -> datetime:
    """What `waterline prices publish` does, with three seconds of notice instead of sixty. Returns when it applies."""
    file = tmp_path / "prices.toml"
    file.write_text(OVERRIDE)
    settings = pipeline.stack.settings.model_copy(update={"prices_file": str(file)})
    fresh = publish(settings, datetime.now(UTC) - NOTICE + timedelta(seconds=3))
    assert {version.model for version in fresh} == {MODEL}
    return fresh[0].known_from


def _call(name: str, at: datetime) -> dict[str, object]:
    call = {"kind": "model_call", "provider": "openai", "model_served": MODEL, "usage_source": "provider"}
    return {
        **call,
        "ts": at.isoformat(),
        "agent": "price-change",
        "decision_key": f"price-change-{name}",
        "tokens_input": 1_000,
        "tokens_output": 1_000,
    }


def _costs(pipeline: Pipeline) -> dict[str, Decimal]:
    rows = pipeline.rows("SELECT decision_key, toString(cost) AS cost FROM costs WHERE agent = 'price-change'")
    return {row["decision_key"]: Decimal(row["cost"]) for row in rows}


def _restated(pipeline: Pipeline, **parameters: object) -> list[dict[str, Any]]:
    """Question 3c about the model, the dearest first."""
    rows = [row for row in pipeline.ask("restated_cost", **parameters) if row["model"] == MODEL]
    return [{**row, **{name: Decimal(str(row[name])) for name in ("cost_then", "cost_restated")}} for row in rows]
