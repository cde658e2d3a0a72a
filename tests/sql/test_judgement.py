"""Golden answers about judgement: quality, closure, chains, versions, savings, on decisions that can be counted by hand."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from tests.sql import judged
from tests.sql.judged import BEGAN, CONVERSATION, DAY, JUDGED, again
from tests.sql.seed import NOON, Ask, Rows, Store
from waterline.schemas.errors import Transient
from waterline.streams.steps.calibration import Calibration
from waterline.streams.steps.moment import SECOND
from waterline.streams.steps.rates import Rate, difference
from waterline.streams.steps.whatif import Sent, cacheable, cached_saving

GIVEN = {"tenant": "acme", "since": (NOON + BEGAN - DAY).isoformat(), "until": (NOON + DAY).isoformat(), "at": NOON.isoformat()}
ABOUT = {
    "escalation_quality", "override_rate", "calibration", "closure_rate", "chain_reliability", "retrieval_quality",
    "version_changes", "routing_savings", "caching_savings",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _judged(store: Store) -> None:
    judged.judged().store(store)


def some(row: dict[str, Any], *columns: str) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def bounded(rate: Rate, digits: int = 4) -> tuple[float, float, float]:
    """A rate and its interval as the steps have them."""
    assert rate.value is not None
    assert rate.interval is not None
    return round(rate.value, digits), round(rate.interval.low, digits), round(rate.interval.high, digits)


def test_9_escalation_quality(ask: Ask) -> None:
    (row,) = ask("escalation_quality", agent="desk", at_least="4")
    assert some(row, "decisions", "escalations", "reviewed", "without_verdict", "overridden") == (10, 6, 4, 1, 2)
    assert some(row, "escalated_reviewed", "escalated_changed", "known_alone", "missed", "reached_a_human") == (4, 2, 3, 1, 5)
    assert some(row, "escalation_rate", "escalation_low", "escalation_high") == bounded(Rate(6, 10))
    assert some(row, "override_rate", "override_low", "override_high") == bounded(Rate(2, 4))
    assert some(row, "precision", "precision_low", "precision_high") == bounded(Rate(2, 4))
    assert some(row, "missed_rate", "missed_low", "missed_high") == bounded(Rate(1, 3))
    assert some(row, "band", "to_human_p50", "to_human_p95") == ("rethink", 6.0, 10.0)
    (row,) = ask("escalation_quality", agent="desk")
    assert row["band"] == "insufficient", "of four reviews nothing is said"
    (row,) = ask("escalation_quality", agent="seeker")
    assert some(row, "override_rate", "override_low", "precision", "missed_rate", "to_human_p50") == (None,) * 5


def test_9a_override_rate(ask: Ask) -> None:
    rows = ask("override_rate", agent="desk", at_least="2")
    assert [some(row, "by", "name", "reviews", "overridden", "band", "minutes_each") for row in rows] == [
        ("agent", "desk", 4, 2, "rethink", 6.5),
        ("artifact", "v1", 4, 2, "rethink", 6.5),
        ("reviewer", "rev-0", 2, 1, "rethink", 5.5),
        ("reviewer", "rev-1", 2, 1, "rethink", 7.5),
    ]
    assert some(rows[0], "override_rate", "low", "high") == bounded(Rate(2, 4))


def test_9b_calibration(ask: Ask) -> None:
    rows = ask("calibration", agent="sure")
    assert [some(row, "confidence", "decisions", "right", "mean_confidence", "off", "brier") for row in rows] == [
        ("all", 20, 10, 0.85, 0.35, 0.405),
        ("0.8 to 0.9", 10, 8, 0.8, 0.0, 0.16),
        ("0.9 to 1", 10, 2, 0.9, 0.7, 0.65),
    ]
    assert some(rows[1], "accuracy", "low", "high") == bounded(Rate(8, 10))
    counted = Calibration()
    for one in judged.sure():
        assert one.confidence is not None
        counted.add(one.confidence, one.outcome == "correct")
    assert (rows[0]["off"], rows[0]["brier"]) == (pytest.approx(counted.error), pytest.approx(counted.brier))


@pytest.mark.parametrize(
    ("day", "corrections", "closed", "counted", "pace"),
    [(29.1, 87, 0, 0, "insufficient"), (31, 116, 0, 29, "slower"), (36, 138, 47, 76, "between"), (64, 138, 47, 116, "between"),
     (66, 138, 47, 138, "between")],
)  # fmt: skip
def test_9c_closure_rate(ask: Ask, day: float, corrections: int, closed: int, counted: int, pace: str) -> None:
    """As the table of the recorded tasks has it (tests/streams/steps/test_closure.py)."""
    (row,) = ask("closure_rate", agent="pupil", at=(NOON + BEGAN + day * DAY).isoformat())
    assert some(row, "corrections", "closed", "counted", "waiting") == (corrections, closed, counted, corrections - counted)
    assert row["pace"] == pace
    if counted:
        assert some(row, "closure_rate", "low", "high") == bounded(Rate(closed, counted))
    if closed:
        assert row["days_to_close"] == 15.0, "16 of them wait 5 days, 15 wait 15, 16 wait 25, all less an hour"


def test_4_chain_reliability(ask: Ask) -> None:
    """0.98 ten times is 0.817, while 40 of 50 decisions had no step that ended badly; with 90 % caught it is 0.980."""
    *steps, whole = ask("chain_reliability", agent="line")
    assert [row["step"] for row in steps] == [f"s{n}" for n in range(10)]
    for row in steps:
        assert some(row, "decisions", "succeeded", "reliability", "with_validator", "runs", "failed_runs") == (
            50,
            49,
            0.98,
            0.998,
            51,
            2,
        )
        assert some(row, "share", "low", "high") == bounded(Rate(49, 50))
    assert some(whole, "step", "decisions", "succeeded", "reliability", "with_validator") == ("(whole)", 50, 40, 0.8171, 0.9802)
    assert some(whole, "share", "low", "high") == bounded(Rate(40, 50))
    assert ask("chain_reliability", agent="line", validator_catches="0")[-1]["with_validator"] == 0.8171
    named = {row["step"] for row in ask("chain_reliability") if row["agent"] != "line"}
    assert named == {"generation", "build", "retrieval", "(whole)"}


def test_4a_retrieval_quality(ask: Ask) -> None:
    (row,) = ask("retrieval_quality")
    assert some(row, "agent", "retrievals", "labelled", "recall", "mrr", "nothing_relevant") == ("seeker", 3, 2, 0.8333, 0.75, 0)
    assert row["mrr_low"] == pytest.approx(0.75 - 1.96 * 0.25, abs=1e-4)
    assert some(row, "recall_high", "mrr_high") == (1, 1)
    (row,) = ask("retrieval_quality", k="2")
    assert row["recall"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-4)


def lines(rows: Rows) -> dict[str, dict[str, Any]]:
    return {row["measure"]: row for row in rows}


def test_6_version_changes(ask: Ask) -> None:
    found = lines(ask("version_changes", agent="coder"))
    assert {some(row, "before", "after") for row in found.values()} == {("a1", "a2")}
    rates = {
        "accuracy": (Rate(20, 40), Rate(36, 40), "higher"),
        "escalation_rate": (Rate(10, 40), Rate(8, 40), "no difference shown"),
        "tool_error_rate": (Rate(40, 80), Rate(4, 80), "lower"),
    }
    for measure, (old, new, verdict) in rates.items():
        row, off = found[measure], difference(new, old)
        assert off is not None
        assert some(row, "n_before", "n_after", "verdict") == (old.whole, new.whole, verdict)
        assert some(row, "value_before", "low_before", "high_before") == bounded(old, 6)
        assert some(row, "value_after", "low_after", "high_after") == bounded(new, 6)
        assert some(row, "difference_low", "difference_high") == pytest.approx((off.low, off.high), abs=1e-6)
    assert some(found["override_rate"], "n_before", "value_before", "verdict") == (0, None, "insufficient")
    cost = found["realized_cost"]
    assert some(cost, "value_before", "low_before", "value_after", "verdict") == pytest.approx((0.002, 0.002, 0.004, "higher"))
    latency = found["model_call_ms_p50"]
    assert some(latency, "value_before", "value_after", "difference", "verdict") == (119.0, 219.0, 100.0, "higher")
    assert some(latency, "low_before", "high_before") == (112.0, 127.0), "the 13th and the 28th of 40"
    assert some(found["model_call_ms_p95"], "value_before", "high_before", "verdict") == (137.0, None, "insufficient")


def test_6_version_changes_of_named_versions(ask: Ask) -> None:
    turned = lines(ask("version_changes", agent="coder", before="a2", after="a1"))
    assert some(turned["accuracy"], "before", "after", "verdict") == ("a2", "a1", "lower")
    assert ask("version_changes", agent="coder", after="a9") == []
    assert {row["agent"] for row in ask("version_changes")} == {"coder", "pupil"}, "of one version there is no change"


def test_7_routing_savings(ask: Ask) -> None:
    """80 / 15 / 5 % at 0.001, 0.01 and 0.05 cost 48 where all at 0.01 cost 100: 52 % saved."""
    columns = ("agent", "calls", "not_routed", "cost", "cost_each", "cost_routed", "saved", "saved_share")
    one, flat = Decimal(1), ("flat", 100, 0, Decimal(1), Decimal("0.01"), Decimal("0.48"), Decimal("0.52"), 0.52)
    everything, row = ask("routing_savings", agent="flat")
    assert some(row, *columns) == flat
    assert some(everything, *columns) == ("(all)", *flat[1:])
    told = ask("routing_savings")
    assert [row["agent"] for row in told] == ["(all)", "flat", "coder", "talker"]
    assert told[0]["calls"] == sum(row["calls"] for row in told[1:])
    assert told[0]["cost"] == sum(row["cost"] for row in told[1:]) == one + Decimal("0.24") + Decimal("0.0218")


def test_7_routing_savings_at_the_prices_of_a_model(ask: Ask) -> None:
    """The same model in every tier costs the same; one without a price for text cannot take the calls."""
    same = dict.fromkeys(("small", "medium", "large"), "openai/gpt")
    for row in ask("routing_savings", **same):
        assert some(row, "not_routed", "saved", "saved_share") == (0, Decimal(0), 0)
    for row in ask("routing_savings", agent="flat", **(same | {"large": "cohere/rerank"})):
        assert some(row, "calls", "not_routed", "cost", "cost_each", "saved_share") == (100, 100, Decimal(0), None, None)
    with pytest.raises(Transient, match="small_share and medium_share are more than 1"):
        ask("routing_savings", small_share="0.9", medium_share="0.2")


def test_7a_caching_savings(ask: Ask) -> None:
    """As the step has it: the second call reads 2,000 tokens at a tenth of the price; no price of writing."""
    prices = {"tokens_input": Decimal(2), "tokens_cache_read": Decimal("0.2")}
    found = cacheable([Sent(at * SECOND, fresh, read) for at, fresh, read in CONVERSATION])
    _, row = ask("caching_savings", agent="talker")
    assert some(row, "calls", "no_cache_price", "tokens_fresh", "tokens_read") == (5, 0, 10_500, 4000)
    assert (
        some(row, "could_read", "would_write")
        == (sum(one.read for one in found), sum(one.write for one in found))
        == (2000, 6000)
    )
    assert (
        some(row, "saved", "cost") == (cached_saving(found, prices), Decimal("0.0218")) == (Decimal("0.0036"), Decimal("0.0218"))
    )
    assert row["cost_cached"] == Decimal("0.0182")
    assert ask("caching_savings", agent="talker", kept_s="1000")[1]["could_read"] > 2000
    assert ask("caching_savings", agent="talker", shortest="5000")[1]["could_read"] == 0
    (everything, *_) = ask("caching_savings")
    assert some(everything, "agent", "saved") == ("(all)", Decimal("0.0036"))


def answers(ask: Ask) -> dict[str, Rows]:
    return {name: ask(name) for name in ABOUT}


def test_events_that_come_again_change_no_answer(ask: Ask, store: Store) -> None:
    """Too late to be recognised, and saying something else."""
    before = answers(ask)
    assert all(before.values())
    store.put("events", [again(one) for one in JUDGED], "agent.events", 100_000)
    assert answers(ask) == before


def test_a_question_of_nothing_has_no_answer(ask: Ask) -> None:
    def empty(rows: Sequence[dict[str, Any]]) -> bool:
        return not rows or [row["agent"] for row in rows] == ["(all)"]

    assert all(empty(ask(name, tenant="nobody")) for name in ABOUT)
