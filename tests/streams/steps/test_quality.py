"""Quality of a day: what is told, when, and for how long it can change."""

from collections.abc import Iterable
from datetime import timedelta

import msgspec
import pytest

from tests.streams.steps.world import T0, TENANT, Disk
from waterline.schemas.events import Clock, Outcome
from waterline.schemas.facts import Contribution, GroupInput, Mark, QualityFact, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.topics import GROUP_INPUTS, QUALITY_FACTS
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, HOUR, SECOND, day_name, instant, micros
from waterline.streams.steps.quality import Quality
from waterline.streams.steps.quality_measures import MEASURES
from waterline.streams.steps.rates import wilson
from waterline.streams.steps.rules import RuleBook, Rules

TODAY = micros(T0) // DAY
MINUTE = 60 * SECOND
MORNING = TODAY * DAY
Day = dict[str, QualityFact]


def standing(at: int = MORNING, agent: str = "a", task: str = "t", replay: bool = False, **told: object) -> Standing:
    """`told` are fields of the standing or of what it contributes."""
    mine = {name: value for name, value in told.items() if name in Contribution.__struct_fields__}
    contribution = Contribution(day=day_name(at // DAY), agent=agent, task=task, **mine)  # type: ignore[arg-type]
    rest = {name: value for name, value in told.items() if name not in mine}
    return Standing(contribution, at, replay, **rest)  # type: ignore[arg-type]


def given_input(key: str, now: Standing | None, previous: Standing | None = None) -> GroupInput:
    return GroupInput(tenant=TENANT, agent="a", decision_key=key, now=now, previous=previous)


class Watched:
    """The fold with its disk, and what it told, as records in order and as they stand."""

    def __init__(self, **limits: float) -> None:
        self.limits, self.disk = Limits(window_lateness_s=0, **limits), Disk()  # type: ignore[arg-type]
        self.told: list[QualityFact] = []
        self.fold = self._fold()

    def _fold(self) -> GroupsFold:
        return GroupsFold(0, 1, self.disk, self.limits, RuleBook(Rules("", ())))

    def take(self, *inputs: GroupInput) -> None:
        lines = [Line(n, b"", one) for n, one in enumerate(inputs)]
        self.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame(lines, [], T0))

    def drain(self, restart: bool = False) -> None:
        changes = self.fold.drain()
        self.disk.write(changes)
        facts = [msgspec.json.decode(out.value, type=QualityFact) for out in changes.outs if out.topic is QUALITY_FACTS]
        self.told += [fact for fact in facts if fact.measure != "expected_cost"]
        if restart:
            self.fold = self._fold()
            for key, value in self.disk.items():
                if key not in changes.cold:
                    self.fold.load(key, value)

    def until(self, at: int, replay: bool = False) -> None:
        self.take(GroupInput(mark=Mark(0, replay, at)))
        self.drain()

    def day(self, day: int = TODAY, agent: str = "a", task: str = "", clock: Clock = Clock.SOURCE) -> Day:
        """The last word on each measure."""
        about = (day_name(day), agent, task, clock)
        return {fact.measure: fact for fact in self.told if (fact.day, fact.agent, fact.task, fact.clock) == about}


def desk() -> list[Standing]:
    """Twenty escalated decisions: of ten a human changes four, five are reviewed without a verdict, five wait. Thirty others, of
    which twenty are right, five wrong, one is overturned, of four nothing is known."""
    handed = standing(escalated=True, reviewed=True, judged=True, queue_ms=60_000.0, resolution_ms=90_000.0)
    turned = msgspec.structs.replace(handed, contribution=msgspec.structs.replace(handed.contribution, overturned=True))
    made = [turned] * 4 + [handed] * 6
    made += [standing(escalated=True, reviewed=True, queue_ms=1000.0 * n) for n in range(5)]
    made += [standing(escalated=True) for _ in range(5)]
    made += [standing(outcome=Outcome.CORRECT, confidence=0.8, resolution_ms=10.0) for _ in range(20)]
    made += [standing(outcome=Outcome.INCORRECT, confidence=0.8, task="other") for _ in range(5)]
    made += [standing(judged=True, reviewed=True, overturned=True), *(standing(outcome=Outcome.UNKNOWN) for _ in range(4))]
    return made


def told_of(made: Iterable[Standing], **limits: float) -> Watched:
    watched = Watched(**limits)
    watched.take(*(given_input(f"d{n}", one) for n, one in enumerate(made)))
    watched.until(MORNING + 5 * MINUTE)
    return watched


def test_a_day_by_hand() -> None:
    day = told_of(desk()).day()
    assert {name: (fact.part, fact.samples, fact.state) for name, fact in day.items() if fact.value is not None} == {
        "accuracy": (20, 25, "ok"),
        "escalation_rate": (20, 50, "ok"),
        "override_rate": (5, 11, "insufficient"),
        "escalation_precision": (4, 10, "insufficient"),
        "missed_escalations": (6, 26, "ok"),
        "brier_score": (20, 25, "ok"),
        "calibration_error": (20, 25, "ok"),
    }
    assert set(day) == {measure.name for measure in MEASURES}
    assert {fact.decisions for fact in day.values()} == {50}
    accuracy, bounds = day["accuracy"], wilson(20, 25)
    assert bounds is not None
    assert (accuracy.value, accuracy.low, accuracy.high) == (0.8, bounds.low, bounds.high)
    assert (accuracy.at, accuracy.window_from, accuracy.revision) == (instant(MORNING + 5 * MINUTE), day_name(TODAY), 1)
    assert day["override_rate"].reason == "11 reviews, 20 are needed"
    assert day["brier_score"].value == pytest.approx(0.8 * 0.04 + 0.2 * 0.64)
    assert day["calibration_error"].value == pytest.approx(0.0)
    waited = day["time_to_human"]
    assert (waited.samples, waited.state, waited.value) == (15, "insufficient", None)
    assert waited.p50 == pytest.approx(60_000, rel=0.01)
    assert waited.p95 == pytest.approx(60_000, rel=0.01)
    assert day["resolution_ms"].samples == 45, "five wait for a human"
    assert day["resolution_ms"].p99 == pytest.approx(90_000, rel=0.01)


def test_an_agent_as_a_whole_and_each_of_its_tasks() -> None:
    watched = told_of([*desk(), standing(task="")])
    assert [watched.day(task=task)["escalation_rate"].samples for task in ("", "t", "other")] == [51, 45, 5]
    assert {fact.group for fact in watched.told} == {"a", "a/t", "a/other"}


@pytest.mark.parametrize(
    ("changed", "of", "band"),
    [(2, 20, "calibrated"), (3, 20, "watch"), (5, 20, "watch"), (6, 20, "retrain"), (8, 20, "rethink"), (19, 19, "insufficient")],
)
def test_bands_are_those_of_overrides_not_of_escalations(changed: int, of: int, band: str) -> None:
    reviewed = [standing(escalated=True, reviewed=True, judged=True, overturned=n < changed) for n in range(of)]
    day = told_of(reviewed).day()
    assert day["override_rate"].band == band
    assert {name for name, fact in day.items() if fact.band} == {"override_rate"}


def test_too_few_are_insufficient_and_never_ok() -> None:
    for number in (1, 19, 20):
        day = told_of([standing(outcome=Outcome.CORRECT, confidence=0.5, resolution_ms=5.0)] * number).day()
        assert {fact.state for fact in day.values()} == {"insufficient" if number < 20 else "ok"}


def test_what_changed_is_told_every_five_minutes_and_nothing_twice() -> None:
    watched = told_of([standing()])
    first = len(watched.told)
    for second in range(300, 900, 10):
        before = standing(escalated=True) if second > 300 else standing()
        watched.take(given_input("d0", standing(escalated=True), before), given_input(f"n{second}", standing(escalated=True)))
        watched.until(MORNING + second * SECOND)
    watched.until(MORNING + 15 * MINUTE)
    assert [fact.revision for fact in watched.told if fact.measure == "escalation_rate" and not fact.task] == [1, 2, 3]
    assert watched.day()["escalation_rate"].samples == 61
    for hour in range(1, 30):
        watched.until(MORNING + hour * HOUR)
    assert [fact.at for fact in watched.told[first:]] == sorted(fact.at for fact in watched.told[first:] if fact.at)
    assert watched.told[-1].at == instant(MORNING + 15 * MINUTE), "a day that stays as it is is told once"


def test_the_end_of_a_day_is_told_whatever_the_interval() -> None:
    watched = Watched(quality_every_s=7 * 3600)
    watched.until(MORNING + 22 * HOUR)
    watched.take(given_input("d", standing()))
    watched.until(MORNING + 23 * HOUR + 59 * MINUTE)
    assert not watched.told
    watched.until(MORNING + DAY)
    assert watched.told


def test_a_label_that_comes_days_later_counts_on_the_day_of_the_decision() -> None:
    watched = told_of([standing()] * 20)
    watched.until(MORNING + 9 * DAY)
    watched.take(given_input("d0", standing(outcome=Outcome.INCORRECT), standing()))
    watched.until(MORNING + 9 * DAY + 5 * MINUTE)
    told = watched.day()
    assert (told["accuracy"].revision, told["accuracy"].part, told["accuracy"].samples) == (1, 0, 1)
    assert told["escalation_rate"].revision == 1
    assert not watched.day(TODAY + 9)


def test_a_decision_that_turns_out_to_be_anothers_is_taken_back() -> None:
    watched = told_of([standing()])
    watched.take(given_input("d0", None, standing()))
    watched.until(MORNING + 10 * MINUTE)
    rate = watched.day()["escalation_rate"]
    assert (rate.revision, rate.samples, rate.value, rate.state) == (2, 0, None, "insufficient")


def test_a_replay_has_its_own_facts() -> None:
    watched = told_of([standing()])
    watched.take(given_input("r", standing(replay=True, escalated=True)))
    watched.until(MORNING + 10 * MINUTE)
    assert not watched.day(clock=Clock.REPLAY)
    watched.until(MORNING + 10 * MINUTE, replay=True)
    assert watched.day(clock=Clock.REPLAY)["escalation_rate"].part == 1
    assert watched.day()["escalation_rate"].part == 0


def test_what_comes_when_a_replay_is_over_is_told_while_live_time_goes_on() -> None:
    watched = Watched()
    watched.take(given_input("r", standing(replay=True)))
    watched.until(MORNING + DAY, replay=True)
    watched.take(given_input("late", standing(replay=True)))
    watched.until(MORNING + 40 * DAY)
    watched.drain(restart=True)
    watched.until(MORNING + 40 * DAY + 9 * SECOND)
    assert watched.day(clock=Clock.REPLAY)["escalation_rate"].samples == 1
    watched.until(MORNING + 40 * DAY + 10 * SECOND)
    rate = watched.day(clock=Clock.REPLAY)["escalation_rate"]
    assert (rate.samples, rate.revision, rate.at) == (2, 2, instant(MORNING + DAY))
    told = len(watched.told)
    watched.until(MORNING + 41 * DAY)
    assert len(watched.told) == told


def days_kept(watched: Watched) -> set[bytes]:
    return {key for key in watched.disk if key.startswith(b"qd")}


def test_state_is_bounded_in_days() -> None:
    watched = Watched(decision_keep_days=5)
    for day in range(20):
        watched.take(given_input(f"d{day}", standing(MORNING + day * DAY)))
        watched.until(MORNING + (day + 1) * DAY)
    assert len(days_kept(watched)) == 2 * 5
    told = len(watched.told)
    watched.take(given_input("old", standing(MORNING + 14 * DAY)), given_input("kept", standing(MORNING + 15 * DAY)))
    watched.until(MORNING + 21 * DAY - 1)
    assert {fact.day for fact in watched.told[told:]} == {day_name(TODAY + 15)}
    assert len(days_kept(watched)) == 2 * 5


def test_memory_is_bounded_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waterline.streams.steps.quality.CELLS", 4)
    watched = Watched()
    for step in range(1, 4):
        for n in range(20):
            watched.take(given_input(f"{step}/{n}", standing(agent=f"a{n}")))
        watched.drain(restart=True)
        watched.until(MORNING + step * 5 * MINUTE)
        cells = next(part for part in watched.fold.parts if isinstance(part, Quality)).cells
        assert len(cells) <= 4
    assert {watched.day(agent=f"a{n}")["escalation_rate"].samples for n in range(20)} == {3}


def test_five_minutes_are_what_the_setting_says() -> None:
    assert timedelta(seconds=Limits().quality_every_s) == timedelta(minutes=5)
