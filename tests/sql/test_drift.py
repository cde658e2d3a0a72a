"""Questions about drift, on the recorded runs and on an agent that changes late: what was told is what the raw events say."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from tests.sql.judged import DAY, HOUR, MINUTE, RECEIVED, Folded, again, event
from tests.sql.seed import NOON, Ask, Store
from waterline.replay.recording import packaged_runs
from waterline.replay.schedule import items_in_order
from waterline.schemas.events import Clock, Event, Kind
from waterline.streams.steps.distribution import of_categories

GIVEN = {"tenant": "acme", "since": (NOON - 30 * DAY).date().isoformat(), "until": (NOON + 5 * DAY).date().isoformat()}
BEGAN = NOON - 11 * HOUR


def recorded() -> list[Event]:
    items = items_in_order(packaged_runs(), BEGAN, MINUTE, seed=7)
    return [msgspec.structs.replace(one.event, tenant="acme", received_at=RECEIVED) for one in items]


def changing() -> list[Event]:
    """Nine days of v1, the last of which is told of a day later, then two of v2 beside it; what v2 answers has moved."""
    told = []
    for number in range(11):
        for n in range(20):
            at = (number - 12) * DAY + n * HOUR / 2
            version = "v2" if number > 8 and n % 2 else "v1"
            of: dict[str, Any] = {"clock": Clock.REPLAY, "agent_version": version}
            answer = "refund" if n % 4 == 1 and version == "v2" else "answer"
            told.append(event("clerk", f"{number}/{n}", Kind.DECISION, at, **of, output_class=answer, confidence=0.5 + n / 50))
            told.append(
                event("clerk", f"{number}/{n}", Kind.TOOL_CALL, at + MINUTE, **of, name="t", tool=f"t{n % 3}", duration_ms=90)
            )
            if n % 5 == 0:
                told.append(event("clerk", f"{number}/{n}", Kind.ESCALATION, at + HOUR, **of, escalation_reason="limit"))
    return [*(one for one in told if "8/" not in one.decision_key), *(one for one in told if "8/" in one.decision_key)]


@pytest.fixture(scope="module", autouse=True)
def folded(store: Store) -> Folded:
    """All that was said of the events, some hundred at a time."""
    folded = Folded()
    for events, until in ((changing(), NOON - 12 * HOUR), (recorded(), NOON + DAY)):
        for first in range(0, len(events), 400):
            part = events[first : first + 400]
            folded.tell(part, max(one.ts for one in part), replay=True)
        folded.tell([], until, replay=True)
    folded.tell([], NOON + 2 * DAY, replay=True)
    folded.store(store)
    return folded


def test_6b_drift_names_the_tools_that_moved(ask: Ask, folded: Folded) -> None:
    """The second recorded version against the first, both on one day."""
    (row,) = ask("drift", agent="airline-agent", about="tools", moved="1")
    calls = [one for one in folded.events if one.kind is Kind.TOOL_CALL and one.agent == "airline-agent"]
    far = of_categories(*(Counter(one.tool for one in calls if one.agent_version == version) for version in ("v1", "v2")))
    assert (row["artifact"], row["baseline"], row["shift"], row["clock"]) == ("v2", "v1", "major", "replay")
    assert row["most"].startswith("get_flight_status: 0 % -> 14.5 %, calculate: ")
    assert (row["psi"], row["samples_now"]) == (round(far.psi, 4), far.now)
    assert (row["sequential"], row["drift_since"]) == ("insufficient", None), "a baseline of one day says too little"


def test_6b_drift_of_what_moved_less(ask: Ask) -> None:
    rows = {(row["about"], row["day"]): row for row in ask("drift", agent="clerk") if row["artifact"] == "v2"}
    last = (NOON - 2 * DAY).date().isoformat()
    told = rows["output_class", last]
    assert (told["baseline"], told["samples_before"], told["samples_now"]) == ("v1", 20 * 9 + 2 * 10, 10)
    assert told["most"].startswith("refund: 0 % -> 50 %, answer: 100 % -> 50 %")
    assert rows["confidence", last]["shift"] == "insufficient", "ten decisions in ten ranges say nothing"
    assert rows["agent_ms", last]["wasserstein"] is not None


def test_6c_drift_agrees_with_the_raw_events(ask: Ask, store: Store, folded: Folded) -> None:
    told = ask("drift")
    assert {row["about"] for row in told} >= {"tools", "models", "output_class", "escalation_reason", "confidence", "steps"}
    assert {row["baseline"] for row in told if row["agent"] == "clerk"} >= {"", "v1"}
    assert len([row for row in told if " to " in row["baseline"]]) > 10
    assert ask("drift_reconciliation") == []
    store.put("events", [again(one) for one in folded.events[:500]], "agent.events", 10**6)
    assert ask("drift_reconciliation") == [], "a copy that comes too late changes nothing"


def test_6c_a_fact_that_is_wrong_is_found(ask: Ask, store: Store, folded: Folded) -> None:
    fact = next(one for one in reversed(folded.drift) if (one.agent, one.about, one.artifact) == ("airline-agent", "tools", "v2"))
    assert fact.psi is not None
    for n, changed in enumerate(
        (
            msgspec.structs.replace(fact, psi=fact.psi + 0.001, revision=10_001),
            msgspec.structs.replace(fact, now=fact.now - 1, revision=10_002),
            msgspec.structs.replace(fact, before=fact.before + 1, revision=10_003),
        )
    ):
        store.put("drift_facts", [changed], "drift.facts", 10**7 + n)
        (row,) = ask("drift_reconciliation")
        assert (row["agent"], row["about"], row["revision"]) == ("airline-agent", "tools", changed.revision)
    store.put("drift_facts", [msgspec.structs.replace(fact, revision=10_004)], "drift.facts", 10**7 + 9)
    assert ask("drift_reconciliation") == []
