"""Every default rule, from raw events through both stages: it fires once, shows its evidence and resolves; just under its
threshold it is silent; what comes late changes what was said; and a kill between any two batches neither repeats nor forgets."""

from datetime import datetime, timedelta

import pytest

from tests.streams.steps.scenarios import SCALE, Scenario, Told
from tests.streams.steps.scenarios_apart import SCENARIOS
from tests.streams.steps.stages import Stages, rules
from tests.streams.steps.world import T0, TENANT
from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.events import Kind, Outcome

RULES = rules()


class Played:
    """A scenario to its end, and a fork of it after each batch, as if it had been killed there."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.stages, self.forks = scenario, Stages(RULES), list[Stages]()
        for batch in scenario.batches:
            self.stages.take_in(batch)
            self.forks.append(self.stages.fork())


def of(scenario: Scenario, told: list[AlertTransition]) -> list[AlertTransition]:
    """The transitions of the alert that the scenario is about, as they were told first."""
    wanted = alert_id(TENANT, scenario.rule, scenario.group)
    return [one for one in told if one.alert_id == wanted and one.revision == 1]


def lower(one: AlertTransition, scenario: Scenario) -> bool:
    """Whether it comes with what the scenario is about."""
    if "mark" in scenario.group:
        return one.group | {"mark": ""} == scenario.group | {"mark": ""}
    return any(one.rule in scale[: scale.index(scenario.rule)] for scale in SCALE if scenario.rule in scale)


def in_order(told: list[AlertTransition]) -> list[AlertTransition]:
    return sorted(told, key=lambda one: (one.alert_id, one.transition, one.revision))


def check(one: AlertTransition, wanted: Told, scenario: Scenario) -> None:
    assert (one.rule, one.group) == (scenario.rule, scenario.group)
    assert (one.late, one.provisional) == (wanted.late, wanted.provisional)
    assert one.completeness < 1 if wanted.provisional else one.completeness == 1
    for field in ("value", "threshold"):
        if (known := getattr(wanted, field)) is not None:
            assert float(getattr(one, field)) == pytest.approx(float(known), rel=wanted.within or 1e-12), field
    if wanted.window is not None:
        assert (one.window_from, one.window_to) == tuple(T0 + timedelta(seconds=at) for at in wanted.window)
    if wanted.decisions is not None:
        assert set(one.decisions) <= set(wanted.decisions)
        assert len(set(one.decisions)) == min(len(wanted.decisions), 5)
    if wanted.ranked is not None:
        assert tuple(one.decisions) == wanted.ranked
    if wanted.samples is not None:
        assert one.samples == wanted.samples
    assert len(one.decisions) <= 5
    assert one.sql
    assert one.rules_version == RULES.version
    assert one.summary


def numbered(told: list[AlertTransition]) -> None:
    """Each alert's transitions are numbered from 1 without a hole, and each goes on from where the one before left it."""
    before: dict[str, AlertTransition] = {}
    for one in told:
        if one.revision > 1:
            assert not one.provisional
            continue
        last = before.get(one.alert_id)
        assert one.transition == (last.transition if last else 0) + 1
        assert one.previous is (last.state if last else AlertState.OK)
        assert one.state is not one.previous
        before[one.alert_id] = one


@pytest.fixture(scope="module", params=SCENARIOS, ids=lambda one: one.name)
def run(request: pytest.FixtureRequest) -> Played:
    return Played(request.param)


def test_it_says_what_the_events_say(run: Played) -> None:
    scenario, told = run.scenario, run.stages.told
    numbered(told)
    about = of(scenario, told)
    assert [one.state for one in about] == [one.state for one in scenario.told]
    for one, wanted in zip(about, scenario.told, strict=True):
        check(one, wanted, scenario)
        if scenario.rule == "accuracy_drop":
            check_drop(one, scenario)
    mine = alert_id(TENANT, scenario.rule, scenario.group)
    others = [one.summary for one in told if one.state is AlertState.FIRING and one.alert_id != mine and not lower(one, scenario)]
    assert others == []


def test_a_kill_between_any_two_batches_neither_repeats_nor_forgets(run: Played) -> None:
    for number, fork in enumerate(run.forks, 1):
        for batch in run.scenario.batches[number:]:
            fork.take_in(batch)
        assert in_order(fork.told) == in_order(run.stages.told), f"killed after batch {number}"


def check_drop(one: AlertTransition, scenario: Scenario) -> None:
    """The mean of thirty days less that of the last, of which the decisions are that were wrong."""
    assert one.window_to is not None
    if one.value is not None:
        mean, last = ([outcome for _, _, outcome in labelled(scenario, one.window_to, *days)] for days in ((31, 1), (1, 0)))
        accuracy = [sum(outcome is Outcome.CORRECT for outcome in outcomes) / len(outcomes) for outcomes in (mean, last)]
        assert float(one.value) == pytest.approx(accuracy[0] - accuracy[1], abs=1e-9)
        assert one.samples == len(mean) + len(last)
    wrong = [key for _, key, outcome in labelled(scenario, one.window_to, 1, 0) if outcome is Outcome.INCORRECT]
    assert one.decisions == wrong[:5]


def labelled(scenario: Scenario, at: datetime, since: int, until: int) -> list[tuple[datetime, str, Outcome]]:
    """The decisions that began in those days before `at`, the last one first, by what was known then."""
    began: dict[str, datetime] = {}
    known: dict[str, Outcome] = {}
    for batch in scenario.batches:
        for event in batch.events:
            began.setdefault(event.decision_key, event.ts)
            if T0 + timedelta(seconds=batch.at) <= at + timedelta(hours=1) or event.kind is Kind.DECISION:
                known[event.decision_key] = event.outcome
    first, end = at - timedelta(days=since), at - timedelta(days=until)
    return sorted(((ts, key, known[key]) for key, ts in began.items() if first <= ts < end), reverse=True)
