"""Events that lack a field they must have: counted by source, judged as a share, told with SQL that finds them."""

from decimal import Decimal

import pytest

from tests.streams.steps.test_thresholds import BEGIN, FIRING, MINUTE, RESOLVED, Watched
from tests.streams.steps.world import TENANT, World, call, event
from waterline.schemas.events import Clock, Kind, read_required
from waterline.schemas.facts import Fields, GroupInput
from waterline.streams import rules_file
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import instant

(RULE,) = [rule for rule in rules_file.default().rules if rule.name == "field_completeness"]


def fields(watched: Watched, minute: int, count: int, missing: int, source: str = "otlp") -> GroupInput:
    examples = [f"d{minute}-{n}" for n in range(min(missing, 5))]
    return GroupInput(tenant=TENANT, fields=Fields(source, BEGIN + minute, count, missing, examples, watched.replay))


def test_a_source_that_leaves_fields_out_fires_once_with_its_evidence_and_resolves() -> None:
    watched = Watched(RULE)
    watched.take(fields(watched, 3, 60, 4), fields(watched, 59, 40, 2), fields(watched, 59, 40, 0, "json"), watched.time(60))
    watched.take(fields(watched, 70, 100, 6), watched.time(120))
    watched.take(fields(watched, 130, 100, 4), watched.time(180))
    fired, resolved = watched.told
    assert (fired.state, fired.group, fired.transition) == (FIRING, {"source": "otlp", "clock": "replay"}, 1)
    assert (fired.value, fired.threshold, fired.samples, fired.unit) == (Decimal("0.06"), Decimal("0.05"), 100, "ratio")
    assert (fired.window_from, fired.window_to) == (instant(BEGIN * MINUTE), instant((BEGIN + 60) * MINUTE))
    assert (fired.completeness, fired.late) == (1.0, False)
    assert fired.decisions == ["d3-0", "d3-1", "d3-2", "d3-3", "d59-0"]
    assert fired.summary.startswith("field_completeness of source otlp is 6 % ")
    assert "AND source = 'otlp'" in fired.sql
    assert "(agent = '' OR decision_key = '' AND decision_id = '')" in fired.sql
    assert (resolved.state, resolved.value) == (RESOLVED, Decimal("0.04"))


@pytest.mark.parametrize(("count", "missing"), [(100, 5), (19, 19)])
def test_at_the_threshold_or_with_too_few_events_nothing_is_said(count: int, missing: int) -> None:
    watched = Watched(RULE)
    watched.take(fields(watched, 0, count, missing), watched.time(60))
    assert watched.told == []


def test_what_comes_late_takes_back_what_was_said() -> None:
    watched = Watched(RULE)
    watched.take(fields(watched, 0, 90, 5), watched.time(60))
    watched.take(fields(watched, 10, 40, 0))
    assert watched.states == [FIRING, RESOLVED]
    assert (watched.told[1].late, watched.told[1].value) == (True, Decimal("0.038461538"))


def test_a_restart_neither_repeats_nor_forgets() -> None:
    watched = Watched(RULE)
    watched.take(fields(watched, 0, 50, 2), restart=True)
    watched.take(fields(watched, 30, 50, 4), restart=True)
    watched.take(watched.time(60), restart=True)
    assert [(told.state, told.value) for told in watched.told] == [(FIRING, Decimal("0.06"))]
    watched.take(fields(watched, 61, 100, 6), watched.time(120), restart=True)
    watched.take(fields(watched, 121, 100, 0), restart=True)
    watched.take(watched.time(180), restart=True)
    assert [(told.state, told.transition) for told in watched.told] == [(FIRING, 1), (RESOLVED, 2)]


def counted(world: World) -> dict[tuple[str, bool], tuple[int, int, list[str]]]:
    found: dict[tuple[str, bool], tuple[int, int, list[str]]] = {}
    for told in (one.fields for one in world.inputs if one.fields is not None):
        count, missing, examples = found.get((told.source, told.replay), (0, 0, []))
        found[told.source, told.replay] = count + told.count, missing + told.missing, examples + told.examples
    return found


def test_each_event_of_an_agents_work_is_counted_once_by_its_source() -> None:
    world = World(1)
    twice = call(0, key="k1", agent="a")
    world.send([twice, twice, call(1, key="k1", agent=""), event(Kind.STEP, 2, key="k2", source="json", agent="b")])
    world.send([event(Kind.TOOL_CALL, 3, key="", source="json", agent="b"), call(4, key="k3", clock=Clock.REPLAY)])
    world.send([event(Kind.EMBEDDING, 5, key="k4", source="json"), event(Kind.OUTCOME, 6, key="k2", source="json")])
    world.run()
    assert counted(world) == {
        ("otlp", False): (2, 1, ["k1"]),
        ("otlp", True): (1, 1, ["k3"]),
        ("json", False): (2, 1, [next(one for one in world.decisions if one not in ("k1", "k2", "k3", "k4"))]),
    }


def test_what_is_required_is_a_setting() -> None:
    assert read_required(" agent, decision_key | decision_id,") == (("agent",), ("decision_key", "decision_id"))
    with pytest.raises(ValueError, match="'agnt' is no text field of an event"):
        read_required("agnt")
    world = World(1, Limits(required_fields="task|step, team"))
    world.send([call(0, task="t", team="x"), call(1, step="s", team="x"), call(2, task="t"), call(3, team="x")])
    world.run()
    assert counted(world)["otlp", False][:2] == (4, 2)
