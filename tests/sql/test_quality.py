"""Quality that was told is what the raw events say: on decisions counted by hand, on the recorded corrections, on events in any
order; and what is wrong, missing or too much is shown."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.sql.judged import BEGAN, DAY, HOUR, JUDGED, RECEIVED, Folded, again, event
from tests.sql.seed import NOON, Ask, Store
from waterline.schemas.events import Clock, Event, Kind, Outcome, Verdict
from waterline.schemas.facts import QualityFact

GIVEN = {"since": (NOON - 100 * DAY).isoformat(), "until": (NOON + 100 * DAY).isoformat()}
OFFSETS = iter(range(0, 10**9, 10**6))


@pytest.fixture(scope="module")
def judged(store: Store) -> Folded:
    folded = Folded()
    folded.tell(JUDGED, RECEIVED + HOUR)
    folded.store(store, next(OFFSETS))
    return folded


def test_9d_quality_agrees_with_the_questions_about_the_same(ask: Ask, judged: Folded) -> None:
    told = {row["measure"]: row for row in ask("quality", tenant="acme", agent="desk")}
    (row,) = ask("escalation_quality", tenant="acme", agent="desk")
    for measure, rate, part, whole in (
        ("escalation_rate", "escalation_rate", "escalations", "decisions"),
        ("override_rate", "override_rate", "overridden", "reviewed"),
        ("escalation_precision", "precision", "escalated_changed", "escalated_reviewed"),
        ("missed_escalations", "missed_rate", "missed", "known_alone"),
    ):
        found = told[measure]
        assert (found["value"], found["part"], found["samples"]) == (row[rate], row[part], row[whole])
        assert found["state"] == "insufficient", "of so few nothing is said"
    assert (found["low"], found["high"]) == (row["missed_low"], row["missed_high"])
    assert (told["time_to_human"]["p50"], told["time_to_human"]["samples"]) == (pytest.approx(360_000, rel=0.01), 5)
    (row,) = [row for row in ask("calibration", tenant="acme", agent="sure") if row["confidence"] == "all"]
    told = {row["measure"]: row for row in ask("quality", tenant="acme", agent="sure", measure="brier_score")}
    assert set(told) == {"brier_score"}
    assert (told["brier_score"]["value"], told["brier_score"]["state"]) == (row["brier"], "ok")
    assert ask("quality", tenant="acme", agent="desk", task="none") == []


def test_9e_quality_reconciliation_of_what_was_counted_by_hand(ask: Ask, judged: Folded) -> None:
    assert {fact.measure for fact in judged.quality} >= {"accuracy", "closure_rate", "resolution_ms", "brier_score"}
    assert ask("quality_reconciliation", tenant="acme", strict="1") == []


@pytest.mark.parametrize(
    ("day", "closed", "counted", "corrections"),
    [(29, 0, 0, 87), (31, 0, 29, 116), (35, 47, 76, 138), (63, 47, 116, 138), (66, 47, 138, 138)],
)
def test_5_closure_rate_of_a_day_is_that_of_the_table(
    ask: Ask, judged: Folded, day: int, closed: int, counted: int, corrections: int
) -> None:
    """As the table of the recorded tasks has it (tests/streams/steps/test_closure.py): from events to the fact, and in SQL."""
    when = NOON + BEGAN + day * DAY
    (fact,) = [
        fact for fact in judged.quality if (fact.measure, fact.agent, fact.day) == ("closure_rate", "pupil", f"{when:%Y-%m-%d}")
    ]
    assert (fact.part, fact.samples, fact.decisions) == (closed, counted, corrections)
    end = when.replace(hour=23, minute=59, second=59, microsecond=999_999)
    (row,) = ask("closure_rate", tenant="acme", agent="pupil", at=end.isoformat())
    assert (row["closed"], row["counted"], row["corrections"]) == (closed, counted, corrections)
    assert (fact.band, fact.state) == (row["pace"], "ok" if counted else "insufficient")


class Said:
    """Events of one agent at two tasks, each with the hour in which it comes. With `late_by`, a third of what humans say comes
    late, by less than so many hours."""

    def __init__(self, seed: int, replay: bool, late_by: int) -> None:
        self.rnd, self.late_by = random.Random(seed), late_by
        self.given = {"tenant": f"quality-{seed}", "clock": Clock.REPLAY if replay else Clock.SOURCE}
        self.held: list[tuple[int, Event]] = []

    def decision(self, hour: int, number: int) -> None:
        """With all that is measured."""
        chance, began = self.rnd.random, hour * HOUR - 2 * DAY + timedelta(seconds=self.rnd.randrange(3000))
        which = {"task": self.pick("", "t", "u"), "agent_version": f"v{hour // 24}", "correction_key": self.pick("", "k", "l")}

        def say(kind: Kind, after: float, late: bool = False, **told: Any) -> None:
            due = hour + (self.rnd.randrange(self.late_by) if late and self.late_by and chance() < 0.3 else 0)
            known = {"received_at": NOON + (due + 1) * HOUR - 2 * DAY, "name": str(after)}
            made = event("x", f"{hour}-{number}", kind, began + timedelta(seconds=after), **known, **self.given, **which, **told)
            self.held.append((due, made))

        say(Kind.DECISION, 0, duration_ms=2000.0, confidence=self.pick(None, 0.3, 0.85, 1.0))
        for call in range(self.rnd.randrange(4)):
            say(self.pick(Kind.TOOL_CALL, Kind.MODEL_CALL), call, duration_ms=float(self.rnd.randrange(3000)))
        if escalated := chance() < 0.4:
            queued = NOON + began + timedelta(seconds=4) if chance() < 0.5 else None
            say(Kind.ESCALATION, 3, escalation_reason="limit", queue_entered_at=queued)
        if escalated and chance() < 0.8:
            verdict = self.pick(Verdict.NONE, Verdict.APPROVE, Verdict.OVERRIDE)
            say(Kind.REVIEW, 60, True, review_verdict=verdict, review_minutes=self.pick(None, 2.5), duration_ms=9000.0)
        if chance() < 0.7:
            say(Kind.OUTCOME, 300, True, outcome=self.pick(Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNKNOWN))
        if chance() < 0.2:
            say(Kind.CORRECTION, 400, True)

    def pick(self, *some: Any) -> Any:
        return self.rnd.choice(some)


def mixed(seed: int, replay: bool, late_by: int) -> Folded:
    """Three days, an hour at a time."""
    folded, said = Folded(), Said(seed, replay, late_by)
    for hour in range(72):
        for number in range(said.rnd.randrange(6)):
            said.decision(hour, number)
        now = [one for due, one in said.held if due <= hour]
        said.held = [(due, one) for due, one in said.held if due > hour]
        folded.tell(now, NOON + (hour + 1) * HOUR - 2 * DAY, replay)
    folded.tell([one for _, one in said.held], NOON + 2 * DAY, replay)
    return folded


@pytest.mark.parametrize(("seed", "replay", "late_by"), [(2, False, 0), (3, False, 30)])
def test_9e_what_was_told_is_what_the_events_say(ask: Ask, store: Store, seed: int, replay: bool, late_by: int) -> None:
    """What came after a day says nothing of what was told of its corrections as it ended, and explains the difference."""
    folded, tenant = mixed(seed, replay, late_by), f"quality-{seed}"
    assert max(fact.revision for fact in folded.quality if fact.measure == "accuracy") > 1
    folded.store(store, next(OFFSETS))
    differing = ask("quality_reconciliation", tenant=tenant, strict="1")
    assert {row["measure"] for row in differing} == ({"closure_rate"} if late_by else set())
    assert all(row["came_since"] for row in differing)
    assert ask("quality_reconciliation", tenant=tenant) == []


def test_9e_what_is_not_told_yet_is_explained_and_shown_if_asked_for(ask: Ask, store: Store) -> None:
    """Of decisions that came after it was told, and of no more than these."""
    folded = mixed(5, False, 0)
    known = [one for one in folded.quality if one.at is not None and one.at < NOON]
    before = max(one.at for one in known if one.at is not None)
    folded.quality = known
    folded.store(store, next(OFFSETS))
    shown = ask("quality_reconciliation", tenant="quality-5", strict="1")
    assert shown
    assert all(row["came_since"] and row["day"] >= f"{NOON:%Y-%m-%d}" for row in shown)
    assert ask("quality_reconciliation", tenant="quality-5") == []
    number = max(row["came_since"] for row in shown)
    last = next(one for one in reversed(known) if one.at == before and one.measure == "escalation_rate" and not one.task)
    wrong = msgspec.structs.replace(last, revision=last.revision + 1, samples=last.samples + 2 * number + 1)
    store.put("quality_facts", [wrong], "quality.facts", next(OFFSETS))
    assert [row["measure"] for row in ask("quality_reconciliation", tenant="quality-5")] == ["escalation_rate"]


CHANGES: tuple[tuple[str, Callable[[QualityFact], dict[str, Any]]], ...] = (
    ("accuracy", lambda fact: {"part": fact.part - 1}),
    ("escalation_rate", lambda fact: {"samples": fact.samples + 1}),
    ("override_rate", lambda fact: {"band": "ok"}),
    ("escalation_precision", lambda fact: {"high": 0.0}),
    ("missed_escalations", lambda fact: {"value": 0.25}),
    ("brier_score", lambda fact: {"value": (fact.value or 0) + 1e-6}),
    ("calibration_error", lambda fact: {"value": None}),
    ("time_to_human", lambda fact: {"p95": (fact.p95 or 0) * 1.03}),
    ("resolution_ms", lambda fact: {"p99": None}),
    ("closure_rate", lambda fact: {"part": fact.part + 1}),
)


def test_9e_what_does_not_agree_is_shown(ask: Ask, store: Store) -> None:
    """One thing wrong with each measure."""
    folded = mixed(6, True, 0)
    folded.store(store, next(OFFSETS))
    last = {(fact.measure, fact.task, fact.day): fact for fact in folded.quality}
    day = max(fact.day for fact in folded.quality if fact.measure == "closure_rate")
    bad = []
    for measure, change in CHANGES:
        fact = last[measure, "", day]
        bad.append(msgspec.structs.replace(fact, revision=fact.revision + 1, **change(fact)))
    assert ask("quality_reconciliation", tenant="quality-6", strict="1") == []
    store.put("quality_facts", bad, "quality.facts", next(OFFSETS))
    rows = ask("quality_reconciliation", tenant="quality-6")
    assert sorted((row["measure"], row["task"], row["day"]) for row in rows) == sorted((name, "", day) for name, _ in CHANGES)


def test_9e_what_was_not_told_is_shown(ask: Ask, store: Store) -> None:
    folded = mixed(7, False, 0)
    gone = ("accuracy", "t", f"{NOON - DAY:%Y-%m-%d}"), ("closure_rate", "", f"{NOON - DAY:%Y-%m-%d}")
    folded.quality = [fact for fact in folded.quality if (fact.measure, fact.task, fact.day) not in gone]
    folded.store(store, next(OFFSETS))
    rows = ask("quality_reconciliation", tenant="quality-7")
    assert sorted((row["measure"], row["task"], row["day"], row["revision"]) for row in rows) == [(*one, 0) for one in gone]


def test_events_that_come_again_change_no_answer(ask: Ask, judged: Folded, store: Store) -> None:
    """Too late to be recognised, and saying something else."""
    before = ask("quality", tenant="acme")
    store.put("events", [again(one) for one in JUDGED], "agent.events", next(OFFSETS))
    assert ask("quality_reconciliation", tenant="acme", strict="1") == []
    assert ask("quality", tenant="acme") == before
    assert ask("quality_reconciliation", tenant="nobody") == []
