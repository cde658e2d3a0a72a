"""A run's events: the recording's counts, nothing invented without saying so, the same again for the same seed."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import orjson
import pytest

from waterline.replay.recording import HAND_OVER, Call, Run, Turn, packaged_runs
from waterline.replay.rules import cached, tokens
from waterline.replay.schedule import items_in_order
from waterline.replay.send import line
from waterline.replay.telemetry import Item, Route, items_of, route_of
from waterline.schemas.events import Clock, Event, Kind, Outcome, Status, Verdict
from waterline.schemas.frames import parse_event

START = datetime(2026, 10, 1, tzinfo=UTC)
TURNS = [
    Turn("system", 8000),
    Turn("user", 40),
    Turn("assistant", 0, [Call("look", 20, 400), Call("buy", 10, 30, "Error: no seats")]),
    Turn("assistant", 80),
    Turn("user", 8),
    Turn("assistant", 0, [Call(HAND_OVER, 100, 19)]),
    Turn("assistant", 12),
]


def run_on(route: Route, reward: float = 0.0) -> Run:
    """A run whose agent speaks `route`."""
    made = (Run("tau-bench x", "v1", str(task), 0, reward, TURNS, "ann_1") for task in range(100))
    return next(run for run in made if route_of(run) is route)


@pytest.fixture(scope="module")
def everything() -> list[Item]:
    return items_in_order(packaged_runs(), START, timedelta(hours=2), seed=7)


def test_the_counts_are_the_recordings(everything: list[Item]) -> None:
    events = [item.event for item in everything]
    kinds = Counter(event.kind for event in events)
    assert kinds[Kind.DECISION] == 250
    assert kinds[Kind.ESCALATION] == 65
    assert kinds[Kind.TOOL_CALL] == 1745
    assert kinds[Kind.OUTCOME] == 250
    assert sum(event.kind is Kind.TOOL_CALL and event.status is Status.ERROR for event in events) == 79
    assert sum(event.outcome is Outcome.CORRECT for event in events) == 112
    spoken = sum(turn.role == "assistant" for run in packaged_runs() for turn in run.turns)
    assert kinds[Kind.MODEL_CALL] == spoken == 2959


def test_every_event_says_what_of_it_is_made_up(everything: list[Item]) -> None:
    recorded = {"agent_version", "subject", "name", "tool", "status", "outcome", "escalation_reason", "prompt_version"}
    for event in (item.event for item in everything):
        made_up = set(event.synthetic_fields)
        assert event.clock is Clock.REPLAY
        assert "ts" in made_up
        assert not made_up & recorded
        assert made_up <= set(Event.__struct_fields__)
        assert event.duration_ms == 0 or "duration_ms" in made_up
        assert all(not getattr(event, field) or field in made_up for field in ("tokens_input", "tokens_output", "reviewer"))
        assert event.model_requested != "gpt-5" or "model_requested" in made_up


def test_nothing_is_invented_that_the_recording_does_not_say(everything: list[Item]) -> None:
    for event in (item.event for item in everything):
        assert event.review_verdict is Verdict.NONE
        assert event.confidence is None
        assert event.reported_cost is None
        assert event.tool_cost is None


def test_the_same_seed_tells_the_same_and_another_seed_the_same_ids() -> None:
    run = run_on(Route.OTLP)
    told, again, other = (items_of(run, START, seed) for seed in (7, 7, 8))
    assert told == again
    assert told != other
    assert {(i.event.event_id, i.event.span_id) for i in told} == {(i.event.event_id, i.event.span_id) for i in other}


def test_ids_are_unique(everything: list[Item]) -> None:
    assert len({item.event.event_id for item in everything}) == len(everything)
    spans = [item.event.span_id for item in everything if item.event.span_id]
    assert len(set(spans)) == len(spans)


@pytest.mark.parametrize("route", Route)
def test_a_run_speaks_one_dialect_and_others_post_plain_events(route: Route) -> None:
    told = items_of(run_on(route), START, 7)
    ways = {item.event.kind: item.route for item in told}
    own = Route.EVENTS if route is Route.LITELLM else route
    assert ways == {
        Kind.MODEL_CALL: route,
        Kind.TOOL_CALL: own,
        Kind.ESCALATION: own,
        Kind.DECISION: own,
        Kind.REVIEW: Route.EVENTS,
        Kind.OUTCOME: Route.EVENTS,
    }


@pytest.mark.parametrize("route", Route)
def test_the_root_links_the_business_id_and_later_events_know_nothing_else(route: Route) -> None:
    run = run_on(route)
    events = [item.event for item in items_of(run, START, 7)]
    (root,) = (event for event in events if event.kind is Kind.DECISION)
    own = [event for event in events if event.decision_key]
    later = [event for event in events if event.kind in (Kind.REVIEW, Kind.OUTCOME)]
    assert root.decision_id == run.decision_id
    assert {event.decision_key for event in own} == {root.decision_key}
    assert len(own) + len(later) == len(events)
    assert {(event.decision_id, event.trace_id, event.span_id) for event in later} == {(run.decision_id, "", "")}


def test_time_goes_on_and_the_root_spans_the_agents_work() -> None:
    told = items_of(run_on(Route.OTLP), START, 7)
    by_kind = {item.event.kind: item.event for item in told}
    root, review, outcome = by_kind[Kind.DECISION], by_kind[Kind.REVIEW], by_kind[Kind.OUTCOME]
    end = root.ts + timedelta(milliseconds=root.duration_ms)
    assert root.ts == START
    assert all(START <= item.event.ts <= end for item in told if item.event.trace_id)
    assert [item.at for item in told] == sorted(item.at for item in told)
    assert review.queue_entered_at == by_kind[Kind.ESCALATION].ts
    assert review.queue_entered_at + timedelta(minutes=2) <= review.ts
    assert review.duration_ms == (review.review_minutes or 0) * 60_000
    assert outcome.ts > review.ts + timedelta(milliseconds=review.duration_ms)


def test_tokens_follow_what_the_model_read() -> None:
    first, second, *_ = (item.event for item in items_of(run_on(Route.OTLP), START, 7) if item.event.kind is Kind.MODEL_CALL)
    assert (first.tokens_input, first.tokens_cache_read) == (2010, 0)
    assert second.tokens_cache_read == 1920
    assert second.tokens_input + second.tokens_cache_read == tokens(8040 + 20 + 400 + 10 + 30)
    assert second.tokens_total == second.tokens_input + second.tokens_cache_read + second.tokens_output


def test_the_cache_begins_at_1024_tokens_in_steps_of_128() -> None:
    assert [cached(before) for before in (0, 1023, 1024, 1151, 1152)] == [0, 0, 1024, 1024, 1152]


@pytest.mark.parametrize("reward", [1.0, 0.0, 0.5])
def test_only_a_full_reward_is_correct(reward: float) -> None:
    events = [item.event for item in items_of(run_on(Route.EVENTS, reward), START, 7)]
    (outcome,) = (event for event in events if event.outcome)
    assert outcome.outcome is (Outcome.CORRECT if reward == 1 else Outcome.INCORRECT)
    assert outcome.measures == {"reward": reward}


def test_what_is_posted_is_an_event_without_a_tenant(everything: list[Item]) -> None:
    for item in everything:
        told = orjson.loads(line(item.event))
        assert "tenant" not in told
        assert msgspec.structs.asdict(parse_event(orjson.dumps({**told, "tenant": "default"}))) == msgspec.structs.asdict(
            item.event
        )
