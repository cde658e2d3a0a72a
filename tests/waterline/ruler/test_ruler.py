"""Rules that are questions, on the real engine and the real broker: what fires, what stays silent, and what a kill changes."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.waterline.ruler.world import World, at, calls, canaries, indexed, only, searched
from waterline.connectors.notifiers.contract import closes, opens
from waterline.ruler import asker
from waterline.schemas.alerts import AlertState
from waterline.schemas.errors import Permanent
from waterline.schemas.events import Clock
from waterline.streams.steps.rules import Rules

PENDING, FIRING, RESOLVED = AlertState.PENDING, AlertState.FIRING, AlertState.RESOLVED
NO_DATA, INSUFFICIENT = AlertState.NO_DATA, AlertState.INSUFFICIENT
LAG, FRESH = "pipeline_lag", "context_freshness"


def test_lag_fires_once_with_its_evidence_and_resolves(world: World) -> None:
    for minute in range(2, 7):
        slow = minute in (4, 5)
        world.wrote(minute - 0.1, *calls(minute - 0.1, *([2.0] * 30), *([12.0 + minute] * 6 if slow else [])))
        world.noted(minute - 0.01)
    world.now = at(2)
    first = world.ruler(only(LAG))
    world.pass_to(first, 4.5)
    assert [told.state for told in world.told()] == [PENDING]
    world.pass_to(world.ruler(only(LAG)), 6.5)
    pending, fired, resolved = world.told()
    assert (pending.state, fired.state, resolved.state) == (PENDING, FIRING, RESOLVED)
    assert (fired.value, fired.threshold, fired.clear, fired.unit) == (Decimal(17), Decimal(10), Decimal(9), "s")
    assert (fired.samples, fired.completeness, fired.tenant) == (37, 1.0, "")
    assert (fired.window_from, fired.window_to) == (at(4), at(5))
    assert fired.group == {"topic": "agent.events"}
    assert len(fired.decisions) == 5
    assert set(fired.decisions) < {f"d4.9-{number}" for number in range(30, 36)}
    shown = world.rows(fired.sql)
    assert {row["decision_key"] for row in shown[:6]} >= set(fired.decisions)
    assert fired.summary.startswith("pipeline_lag of agent.events is 17 s from ")
    assert (resolved.value, resolved.window_to) == (Decimal(2), at(6))


def test_what_is_no_lag_of_the_pipeline_stays_silent(world: World) -> None:
    """Just under the threshold, one slow minute, a replay, a clock that is an hour behind, one that is ahead, old events."""
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    for minute in range(1, 5):
        just = calls(minute - 0.1, *([10.0] * 30))
        replayed = calls(minute - 0.1, *([3000.0] * 30), prefix="r", clock=Clock.REPLAY)
        now = at(minute - 0.1) - second
        behind = calls(minute - 0.1, *([3600.0] * 30), prefix="b", received_at=now)
        ahead = calls(minute - 0.1 + 60, *([0.0] * 30), prefix="f", received_at=now)
        upload = calls(minute - 0.1, *([86400.0] * 30), prefix="u", received_at=now)
        assert behind[0].ts < now - hour
        assert ahead[0].ts > now
        world.wrote(minute - 0.1, *just, *replayed, *behind, *ahead, *upload)
        world.noted(minute - 0.01)
    world.pass_to(world.ruler(only(LAG)), 5)
    assert world.told() == []


def test_a_sink_that_stands_still_is_a_lag_and_not_silence(world: World) -> None:
    for minute in range(1, 4):
        world.wrote(minute - 0.1, *calls(minute - 0.1, 2.0))
        world.noted(minute - 0.01)
    ruler = world.ruler(only(LAG))
    world.pass_to(ruler, 7)
    fired = world.told()[-1]
    assert [told.state for told in world.told()] == [PENDING, FIRING]
    assert (fired.window_to, fired.value) == (at(5), Decimal("120.6"))
    world.wrote(7.5, *calls(7.5, 2.0))
    world.noted(7.9)
    world.pass_to(ruler, 9)
    assert world.told()[-1].state is RESOLVED


def test_a_sink_that_is_behind_lags_by_what_waits(world: World) -> None:
    for minute in range(5):
        for part in (0.3, 0.6, 0.99):
            if minute < 2:
                world.wrote(minute + part - 0.01, *calls(minute + part - 0.01, 2.0), noted=False)
            world.noted(minute + part, waiting=1 if minute < 2 else 100)
    world.pass_to(world.ruler(only(LAG)), 5)
    pending, fired = world.told()
    assert (pending.window_to, fired.window_to) == (at(3), at(4))
    assert fired.value == Decimal("120.6"), "since 1.99, when the first of what waits was noted"


def test_what_was_switched_off_did_not_lag(world: World) -> None:
    """Nobody watched the night: it is asked of in the morning, and its silence means nothing."""
    world.wrote(0.5, *calls(0.5, 2.0))
    world.pass_to(world.ruler(only(LAG)), 2)
    world.now = at(12)
    for minute in range(12, 15):
        world.wrote(minute + 0.9, *calls(minute + 0.9, 2.0))
    morning = world.ruler(only(LAG))
    world.pass_to(morning, 15)
    assert world.told() == []


def test_stale_context_fires_with_those_who_searched_it(world: World) -> None:
    world.events(indexed(1.5, 60), indexed(3.2, 61), indexed(3.5, 5), searched(3.4, "d7"), searched(4.5, "d8"))
    world.events(indexed(4.2, 54), indexed(3.3, 1000, source="other/never-mind", name="index.change"))
    world.pass_to(world.ruler(only(FRESH)), 8)
    told = [one for one in world.told() if one.group["source"] == "wiki"]
    fired, resolved = told
    assert (fired.state, fired.value, fired.window_to) == (FIRING, Decimal(61), at(4))
    assert (fired.tenant, fired.group, fired.decisions) == ("acme", {"source": "wiki"}, ["d7"])
    assert "d7" in {row["decision_key"] for row in world.rows(fired.sql)}
    assert (resolved.state, resolved.value) == (RESOLVED, Decimal(54))
    other = [one.state for one in world.told() if one.group["source"] != "wiki"]
    assert other == [FIRING, INSUFFICIENT], "nothing more is heard of it, and it has no canary"


def test_a_canary_that_is_silent_is_late_and_no_canary_is_nothing(world: World) -> None:
    world.events(*canaries(0, 3), *canaries(6.5, 9), indexed(1.5, 3, source="plain"))
    ruler = world.ruler(only(FRESH))
    world.pass_to(ruler, 5.5)
    (fired,) = world.told()
    assert (fired.state, fired.window_to, fired.value) == (FIRING, at(4), Decimal(80))
    world.pass_to(ruler, 9)
    assert [(one.state, one.group["source"]) for one in world.told()] == [(FIRING, "wiki"), (RESOLVED, "wiki")]


def test_a_question_that_is_not_answered_is_told_and_what_fires_by_it_is_no_data(world: World) -> None:
    """Whoever relies on the rule hears once that it is blind, why, and when it sees again; it never says `ok`."""
    for minute in range(1, 10):
        world.events(indexed(minute - 0.5, 100))
    ruler = world.ruler(only(FRESH))
    world.pass_to(ruler, 3)
    world.client.command("RENAME TABLE events TO gone")
    world.pass_to(ruler, 5)
    assert [one.state for one in world.told()] == [FIRING]
    assert ruler.unready() == []
    assert [(one.rule, one.reason != "") for one in ruler.unanswered()] == [(FRESH, True)], "it is shown at once"
    world.pass_to(ruler, 9)
    by_group = {one.group.get("source", ""): one for one in world.told()}
    assert {group: one.state for group, one in by_group.items()} == {"wiki": NO_DATA, "": FIRING}
    assert "context_freshness has not been answered since" in by_group["wiki"].summary
    assert ruler.unready()[0].startswith("context_freshness is not answered: ")
    world.client.command("RENAME TABLE gone TO events")
    world.pass_to(world.ruler(only(FRESH)), 11)
    assert [one.state for one in world.told() if "source" in one.group] == [FIRING, NO_DATA, FIRING]
    blind, sees = [one for one in world.told() if "source" not in one.group]
    assert ([blind.state, sees.state], [blind.transition, sees.transition]) == ([FIRING, RESOLVED], [1, 2])
    assert "UNKNOWN_TABLE" in blind.summary, "with the error"
    assert (opens(blind), closes(sees), blind.severity) == (True, True, only(FRESH).asked[0].severity)
    assert (blind.group, blind.value, blind.threshold) == ({"about": "the question itself"}, None, None)
    assert "events" in blind.sql


def test_a_question_of_long_windows_is_told_of_soon(world: World) -> None:
    """Its hold is three days."""
    (asked,) = only(FRESH).asked
    broken = "SELECT {from:DateTime64(6, 'UTC')}, {to:DateTime64(6, 'UTC')}, nothing AS value, 1 AS samples"
    daily = replace(asked, sql=broken, rule=replace(asked.rule, window_s=86400))
    world.now = at(0).replace(hour=23, minute=58) - timedelta(days=2)
    ruler = world.ruler(Rules("v", (), asked=(daily,)))
    for _ in range(20):
        world.now += timedelta(minutes=1)
        ruler.turn()
    (told,) = world.told()
    assert (told.state, told.group) == (FIRING, {"about": "the question itself"})
    assert "nothing" in told.summary


def test_a_rule_that_is_gone_resolves_its_alerts_and_goes_on_counting(world: World) -> None:
    world.events(*(indexed(minute + 0.5, 100) for minute in range(12)))
    ruler = world.ruler(only(FRESH))
    world.pass_to(ruler, 2.5)
    ruler.book.now = only()
    ruler.book.now = type(ruler.book.now)("none", ())
    world.pass_to(ruler, 4)
    fired, resolved = world.told()
    assert (fired.state, resolved.state, resolved.rules_version) == (FIRING, RESOLVED, "none")
    assert "is watched no more" in resolved.summary
    world.pass_to(world.ruler(only(FRESH)), 7)
    assert [(one.state, one.transition) for one in world.told()] == [(FIRING, 1), (RESOLVED, 2), (FIRING, 3)]


@pytest.mark.parametrize(
    "told", [{"samples": None}, {"samples": float("nan")}, {"value": 2**64 - 1}, {"value": 1e20}, {"value": "many"}]
)
def test_an_answer_that_is_no_number_says_so(told: dict[str, object]) -> None:
    with pytest.raises(Permanent, match=r"samples is no count|value is no number"):
        asker._row({"value": 1.0, "samples": 3} | told, [])


def test_less_than_no_samples_are_none() -> None:
    assert asker._row({"value": 1.0, "samples": -3}, []).samples == 0
