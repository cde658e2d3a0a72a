"""Canaries by the fold: what is said of a candidate beside its control, once, and whatever way the decisions come."""

import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.steps.canaries import BEGIN, PLAN, Kind, Trial, again, like, mark, told, traffic
from waterline.replay.recording import HAND_OVER, packaged_runs
from waterline.schemas.facts import GroupInput
from waterline.schemas.judgement import CanaryVerdict, Decided
from waterline.streams.steps.canary import Canaries
from waterline.streams.steps.canary_counts import Sums
from waterline.streams.steps.canary_judge import failing
from waterline.streams.steps.canary_plan import BUILT_IN, CanaryPlan, Form, Guard, Limit, Stage
from waterline.streams.steps.rules import Rules
from waterline.streams.steps.tally import MINUTE

ROLLBACK, HOLD, PROMOTE = "rollback", "hold", "promote"
BETTER = like(correct=0.92)


def planned(**changes: Any) -> CanaryPlan:
    return msgspec.structs.replace(PLAN, **changes)


def only(*guards: Limit, **changes: Any) -> CanaryPlan:
    return planned(limits=guards, **changes)


ESCALATION, ERRORS = Limit(Guard.ESCALATION, Form.OWN, 0.2), Limit(Guard.ERROR_RATE, Form.POINTS, 0.05)
COST, P95, DRIFT = Limit(Guard.COST, Form.TIMES, 1.5), Limit(Guard.P95, Form.TIMES, 2.0), Limit(Guard.DRIFT, Form.INDEX, 0.25)
ACCURACY = Limit(Guard.ACCURACY, Form.POINTS, 0.03)


def canary(trial: Trial) -> Any:
    (part,) = (one for one in trial.fold.parts if isinstance(one, Canaries))
    return part


def test_a_better_candidate_goes_through_every_stage() -> None:
    trial = Trial()
    trial.run(5, 0, BETTER, like())
    assert not trial.told, "the first artifact is what is usual"
    trial.run(40, 0.2, BETTER, like(), since=5)
    trial.run(70, 0.5, BETTER, like(), since=45)
    held = [one for one in trial.said if one[1] == HOLD and one[2]]
    assert [one for one in trial.said if one not in held] == [
        (0, HOLD, ""), (0, PROMOTE, ""), (1, HOLD, ""), (1, PROMOTE, ""), (2, PROMOTE, ""),
    ]  # fmt: skip
    assert all(stage == 0 for stage, _, _ in held), "the second waits for its hour alone"
    first, last = trial.told[0], trial.told[-1]
    assert (first.candidate, first.control, first.share, first.at) == ("v2", "v1", 0.2, first.stage_from)
    assert (last.share, last.reason, last.guardrails) == (1.0, "the candidate has passed every stage", [])
    passed = trial.told[-2]
    assert [one.state for one in passed.guardrails] == ["pass"] * 6
    assert passed.at - passed.stage_from == timedelta(hours=1)
    trial.take([told("v3", BEGIN + 115 * MINUTE, 0), mark(BEGIN + 116 * MINUTE)])
    assert (trial.told[-1].candidate, trial.told[-1].control) == ("v3", "v2"), "it is what is usual now"


def test_a_candidate_that_hands_over_too_much_is_rolled_back_once_and_for_all() -> None:
    trial = Trial()
    trial.run(5, 0, like(), like())
    trial.run(60, 0.5, like(escalated=0.34), like(), since=5)
    last = trial.told[-1]
    assert (last.verdict, last.guardrail) == (Decided.ROLLBACK, "escalation")
    (failed,) = (one for one in last.guardrails if one.name == "escalation")
    assert (failed.state, failed.limit) == ("fail", 0.2)
    assert failed.candidate is not None
    assert failed.candidate == pytest.approx(0.34, abs=0.08)
    assert failed.candidate_samples < 450
    assert last.reason.startswith("beyond the limit for sure: escalation is ")
    known = len(trial.told)
    trial.run(30, 0.5, like(), like(), since=65)
    assert len(trial.told) == known, "the candidate is done"


@pytest.mark.parametrize(
    ("limit", "worse"),
    [(ACCURACY, like(correct=0.5)), (ERRORS, like(failed=0.3)), (COST, like(cost=0.03)), (P95, like(ms=3200.0)),
     (DRIFT, lambda chance: dict(like()(chance)) | {"output_class": "refuse"})],
    ids=lambda one: one.guard.value if isinstance(one, Limit) else "",
)  # fmt: skip
def test_each_guardrail_rolls_back_what_is_worse_and_passes_what_is_alike(limit: Limit, worse: Kind) -> None:
    bad, alike = Trial(only(limit)), Trial(only(limit, at_least=50))
    bad.begin()
    alike.begin()
    bad.run(45, 0.5, worse, like())
    assert (bad.told[-1].verdict, bad.told[-1].guardrail) == (Decided.ROLLBACK, limit.guard)
    alike.run(130, 0.5, like(correct=0.85), like())
    assert Decided.ROLLBACK not in [one.verdict for one in alike.told]
    assert Decided.PROMOTE in [one.verdict for one in alike.told]


def test_all_guardrails_together_roll_back_no_more_than_was_declared() -> None:
    """Thirty candidates that are like their control, at the very limits, looked at after every twenty decisions. At 20 % the
    bound is six; by estimates alone all would go."""
    limits = (Limit(Guard.ACCURACY, Form.POINTS, 0.0), ESCALATION, Limit(Guard.ERROR_RATE, Form.TIMES, 1.0),
              Limit(Guard.COST, Form.TIMES, 1.0), Limit(Guard.P95, Form.TIMES, 1.0), DRIFT)  # fmt: skip
    plan, alike, rolled_back = planned(limits=limits, error=0.2), like(escalated=0.2), 0
    for seed in range(30):
        chance, sides = random.Random(seed), (Sums.none(), Sums.none())
        decided = None
        for number in range(400):
            decision = told("v", BEGIN, number, **alike(chance)).now
            assert decision is not None
            sides[chance.random() < 0.3].count(decision, 1)
            if number % 20 == 19 and decided is None:
                decided = failing(plan, *sides)
        rolled_back += decided is not None
    assert rolled_back <= 6


def test_without_labels_nothing_is_promoted_and_it_is_said_what_is_missing() -> None:
    def silent(chance: random.Random) -> dict[str, object]:
        return dict(like()(chance)) | {"correct": None}

    trial = Trial(only(ACCURACY))
    trial.begin()
    trial.run(90, 0.5, silent, silent)
    assert trial.said == [(0, HOLD, ""), (0, HOLD, "accuracy")]
    assert trial.told[-1].reason == "not to be promoted yet: accuracy is not known of both (0 and 0 labels)"
    (told_of,) = trial.told[-1].guardrails
    assert (told_of.state, told_of.needed) == ("insufficient", 0), "nobody can tell how many labels would do"


def test_a_label_that_comes_late_counts_in_the_stage_of_its_decision() -> None:
    """A stage that was promoted is judged on, and rolls back when what becomes known of it says so."""
    unlabelled = [told("v2" if n % 2 else "v1", BEGIN + n * MINUTE // 40, n) for n in range(1600)]
    trial = Trial(only(ESCALATION, ACCURACY))
    trial.begin()
    trial.take([*unlabelled, mark(BEGIN + 40 * MINUTE)])
    assert trial.said[-1] == (0, HOLD, "accuracy")
    right = [again(one, told(one.now.artifact, one.now.at, n, correct=True)) for n, one in enumerate(unlabelled) if one.now]
    trial.take([*right, mark(BEGIN + 41 * MINUTE)], restart=True)
    assert trial.said[-2:] == [(0, PROMOTE, ""), (1, HOLD, "")]
    wrong = [again(one, told("v2", one.now.at, n, correct=False)) for n, one in enumerate(right) if one.now and n % 6 == 1]
    trial.take([*wrong, mark(BEGIN + 300 * MINUTE)])
    assert trial.said[-1] == (0, ROLLBACK, "accuracy")
    assert "by what came late of stage 1" in trial.told[-1].reason


def test_a_decision_that_is_taken_back_leaves_nothing() -> None:
    one = told("v2", BEGIN, 1, correct=True, escalated=True, cost="0.123456789", tool_errors=2)
    other = told("v2", BEGIN, 2, cost="9999999", output_class="no")
    assert one.now is not None
    assert other.now is not None
    sums, alone = Sums.none(), Sums.none()
    for standing, sign in ((one.now, 1), (other.now, 1), (one.now, -1)):
        sums.count(standing, sign)
    alone.count(other.now, 1)
    sums.millis = {key: count for key, count in sums.millis.items() if count}
    sums.classes = {key: count for key, count in sums.classes.items() if count}
    assert sums == alone


def test_stages_of_events_say_who_is_who() -> None:
    """Also where the artifact is the same on both sides; what is of neither counts on neither."""
    trial = Trial(only(ESCALATION, at_least=20))
    sides = [("v1", "canary"), ("v1", "control"), ("v1", "")]
    trial.take([told(*sides[n % 3][:1], BEGIN + n, n, stage=sides[n % 3][1]) for n in range(30)])
    trial.take([mark(BEGIN + MINUTE)])
    assert [(one.candidate, one.control) for one in trial.told[:1]] == [("canary", "v1")]
    (counted,) = trial.told[-1].guardrails
    assert (counted.candidate_samples, counted.control_samples) == (10, 20)
    trial = Trial(only(ESCALATION, at_least=20))
    trial.take(
        [told("v1", BEGIN, 0), told("v2", BEGIN, 1, stage="canary"), told("v2", BEGIN, 2, stage="control"), mark(BEGIN + MINUTE)]
    )
    assert [(one.candidate, one.control) for one in trial.told[:1]] == [("canary", "v2")], "control is what is labelled so"
    trial = Trial(only(ESCALATION, at_least=20))
    trial.take(
        [told("v1", BEGIN, 0), told("v2", BEGIN, 1, stage="canary"), told("v7", BEGIN, 2, stage="shadow"), mark(BEGIN + MINUTE)]
    )
    assert [(one.candidate, one.control) for one in trial.told[:1]] == [("v2", "v1")]


def test_a_plan_may_name_both() -> None:
    trial = Trial(only(ESCALATION, candidate="v1", control="v2", at_least=20))
    trial.run(3, 0.5, like(), like())
    assert (trial.told[0].candidate, trial.told[0].control) == ("v1", "v2")
    trial.run(90, 0.5, like(), like(), since=3)
    trial.take([told("v3", BEGIN + 93 * MINUTE, 0), mark(BEGIN + 95 * MINUTE)])
    assert trial.told[-1].share == 1
    assert {one.candidate for one in trial.told} == {"v1"}, "no other begins"


def test_a_newer_candidate_takes_the_place_of_one_that_is_not_decided() -> None:
    trial = Trial(only(ACCURACY))
    trial.begin()
    trial.run(5, 0.5, like(), like())
    trial.take([told("v3", BEGIN + 5 * MINUTE, 0), mark(BEGIN + 6 * MINUTE)])
    assert [(one.candidate, one.control, one.reason.partition(",")[0]) for one in trial.told[-2:]] == [
        ("v3", "v1", "stage 1 of 2 began"),
        ("v3", "v1", "not to be promoted yet: accuracy is not known of both (0 and 0 labels)"),
    ]
    assert (trial.told[-3].candidate, trial.told[-3].reason) == ("v2", "v3 came after it, so it ends undecided")


def test_traffic_that_is_not_split_as_planned_is_told() -> None:
    trial = Trial(only(ESCALATION, at_least=20, stages=(Stage(0.2, 1800), Stage(0.5, 3600), Stage(1.0))))
    trial.begin()
    trial.run(60, 0.8, like(escalated=0.0), like())
    (promoted,) = (one for one in trial.told if one.reason.startswith("every guardrail passes"))
    assert promoted.reason.endswith("% of the decisions are the candidate's where the plan says 20%")


def test_a_plan_that_goes_ends_its_canary_and_one_that_comes_back_begins_it_anew() -> None:
    trial = Trial(only(ACCURACY))
    trial.begin()
    trial.run(5, 0.5, like(), like())
    trial.book.now = Rules("v2", ())
    trial.take([mark(BEGIN + 6 * MINUTE)], restart=True)
    assert trial.told[-1].reason.startswith("the plan was removed")
    trial.run(3, 0.5, like(), like(), since=6)
    known = len(trial.told)
    trial.book.now = Rules("v3", (), canaries=(only(ACCURACY),))
    trial.run(3, 0.5, like(), like(), since=10)
    began = trial.told[known]
    assert (began.candidate, began.stage, began.rules_version) == ("v2", 0, "v3")
    trial.book.now = Rules("v4", (), canaries=(only(ACCURACY, at_least=500),))
    trial.run(2, 0.5, like(), like(), since=13)
    assert trial.told[-1].stage_from == began.stage_from, "other limits hold for the canary under way"
    trial.book.now = Rules("v5", (), canaries=(only(ACCURACY, stages=BUILT_IN["fast"]),))
    trial.run(3, 0.5, like(), like(), since=16)
    assert [one.reason.partition(",")[0] for one in trial.told[-3:-1]] == ["the plan was changed", "stage 1 of 3 began"]


def test_without_a_plan_nothing_is_kept() -> None:
    trial = Trial()
    trial.book.now = Rules("v1", ())
    trial.run(3, 0.5, like(), like())
    assert not canary(trial).watches
    assert not [key for key in trial.disk if key.startswith(b"k")]


CHUNKS = [*traffic(1, 0, like(), like(), since=-1), *traffic(60, 0.5, like(escalated=0.35, correct=0.6), like(), each=12, seed=5)]


def meaning(verdicts: list[CanaryVerdict]) -> list[bytes]:
    return [msgspec.json.encode(one) for one in verdicts]


@pytest.fixture(scope="module")
def straight() -> list[bytes]:
    trial = Trial()
    trial.take(CHUNKS)
    assert trial.told[-1].verdict is Decided.ROLLBACK
    return meaning(trial.told)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_batches_restarts_and_the_order_within_what_is_late_change_nothing(straight: list[bytes], seed: int) -> None:
    chance, trial = random.Random(seed), Trial()
    minutes: list[list[GroupInput]] = [[]]
    for one in CHUNKS:
        minutes[-1].append(one)
        if one.mark is not None:
            minutes.append([])
    for minute in minutes:
        *decisions, last = minute or [mark(0)]
        before = [again(one, told(one.now.artifact, one.now.at, 0)) for one in decisions if one.now and chance.random() < 0.2]
        opened = [msgspec.structs.replace(one, previous=None) for one in before]
        corrected = {one.decision_key: one for one in opened}
        chance.shuffle(decisions)
        later = [
            msgspec.structs.replace(one, previous=corrected[one.decision_key].now) if one.decision_key in corrected else one
            for one in decisions
        ]
        lines = [*opened, *later, last]
        while lines:
            size = chance.randint(1, 12)
            trial.take(lines[:size], restart=chance.random() < 0.2)
            del lines[:size]
    assert meaning(trial.told) == straight


def runs_of(version: str) -> Kind:
    """Decisions drawn from the recorded runs of one version."""
    runs = [run for run in packaged_runs() if run.version == version]

    def one(chance: random.Random) -> dict[str, object]:
        run = chance.choice(runs)
        calls = [call for turn in run.turns for call in turn.calls]
        handed, failed = any(call.tool == HAND_OVER for call in calls), sum(call.error != "" for call in calls)
        return {"correct": run.reward == 1, "escalated": handed, "tool_errors": failed}

    return one


@pytest.mark.parametrize(
    ("candidate", "control", "guardrail"), [("v2", "v1", Guard.ESCALATION), ("v1", "v2", Guard.ACCURACY), ("v2", "v1", None)]
)
def test_the_recorded_versions_laid_over_the_same_minutes(candidate: str, control: str, guardrail: Guard | None) -> None:
    """Right 0.42 and 0.56 of the time, escalated 0.24 and 0.34, with a failed call 0.18 and 0.08. Held to 20 % of escalations the
    second version is rolled back; held to what the first one does right and wrong, it is promoted, and the first one is not."""
    limits = (ESCALATION,) if guardrail is Guard.ESCALATION else (ACCURACY, ERRORS)
    trial = Trial(planned(limits=limits, candidate=candidate, control=control))
    trial.run(150, 0.5, runs_of("v2"), runs_of("v1"), each=16)
    last = trial.told[-1]
    if guardrail is None:
        assert (last.verdict, last.share) == (Decided.PROMOTE, 1.0)
    else:
        assert (last.verdict, last.guardrail) == (Decided.ROLLBACK, guardrail)


def test_built_in_plans_are_those_that_are_written_about() -> None:
    assert [(stage.share, stage.hold_s // 3600) for stage in BUILT_IN["careful"]] == [(0.05, 0), (0.25, 48), (0.5, 72), (1, 0)]
    assert [stage.share for stage in BUILT_IN["fast"]] == [0.01, 0.1, 0.5, 1]
    assert Stage(0.5).hold_s == 0


def test_a_stage_without_traffic_is_held_until_there_is_some() -> None:
    cost = Limit(Guard.COST, Form.TIMES, 3.0)
    trial = Trial(planned(agent="a", stages=(Stage(0.5), Stage(0.5, 3600), Stage(1.0)), at_least=20, limits=(cost,)))
    trial.begin()
    trial.run(3, 0.5, like(), like())
    for hour in range(1, 4):
        trial.take([mark(BEGIN + 3 * MINUTE + hour * 60 * MINUTE)])
    last = trial.told[-1]
    assert (last.stage, last.verdict, last.guardrail) == (1, HOLD, "cost")
    assert last.guardrails[0].candidate_samples == 0
