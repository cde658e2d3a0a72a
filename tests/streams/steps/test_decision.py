"""One decision: whatever order its events come in, and however often, the fact is the same."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streams.steps.world import T0, TENANT, call, content, decide, event, fact_of, seconds, small_book
from waterline.schemas.events import Event, Kind, Outcome, Status, Verdict
from waterline.streams.steps.decision import Decision
from waterline.streams.steps.entry import Chunk, decode_chunk
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import SECOND, micros
from waterline.streams.steps.snapshot import cost_fact, snapshot
from waterline.streams.steps.trail import CHUNK, CHUNK_BYTES

ROOT = Path(__file__).parents[3]
WORDS = st.sampled_from(["", "", "a", "b"])
SPANS = st.sampled_from(["", "s1", "s2", "s3", "s4"])


@st.composite
def events(draw: st.DrawFn, keys: tuple[str, ...] = ("k",), aliases: tuple[str, ...] = ("",)) -> list[Event]:
    """Events of every kind, with few enough names that they meet: spans, response ids, sources, equal times."""
    return [
        Event(
            event_id=f"e{number}",
            tenant=TENANT,
            decision_key=draw(st.sampled_from(keys)),
            decision_id=draw(st.sampled_from(aliases)),
            ts=(ts := T0 + seconds(draw(st.integers(0, 20)))),
            received_at=ts + seconds(draw(st.integers(-400, 40))),
            duration_ms=draw(st.sampled_from([0.0, 1500.5, 4000.0])),
            kind=draw(st.sampled_from(list(Kind))),
            source=draw(st.sampled_from(["otlp", "litellm"])),
            provider=draw(st.sampled_from(["openai", "openai", "elsewhere"])),
            model_served="gpt",
            response_id=draw(st.sampled_from(["", "r1", "r2"])),
            span_id=draw(SPANS),
            parent_span_id=draw(SPANS),
            tokens_input=draw(st.sampled_from([0, 1000, 1001])),
            tokens_output=draw(st.sampled_from([0, 7])),
            reported_cost=draw(st.sampled_from([None, Decimal("0.01")])),
            tool_cost=draw(st.sampled_from([None, Decimal("0.5")])),
            attempt=draw(st.integers(0, 2)),
            status=draw(st.sampled_from(list(Status))),
            agent=draw(WORDS),
            task=draw(WORDS),
            team=draw(WORDS),
            escalation_reason=draw(WORDS),
            queue_entered_at=draw(st.sampled_from([None, T0 + seconds(5), T0 + seconds(9)])),
            reviewer=draw(WORDS),
            review_verdict=draw(st.sampled_from(list(Verdict))),
            review_minutes=draw(st.sampled_from([None, 0.1, 3.0])),
            outcome=draw(st.sampled_from(list(Outcome))),
            output_class=draw(WORDS),
            confidence=draw(st.sampled_from([None, 0.0, 0.9])),
            synthetic_fields=draw(st.sampled_from([[], ["ts"], ["ts", "duration_ms"]])),
        )
        for number in range(draw(st.integers(1, 12)))
    ]


def leaves(decision: Decision) -> dict[str, Any]:
    return {
        entry.event_id: (entry.leaf.state, entry.leaf.cost)
        for chunk in decision.trail.chunks
        for entry in chunk or ()
        if entry.leaf is not None
    }


@given(events(), st.randoms(use_true_random=False), st.sampled_from(["agent", "gateway"]))
def test_order_and_copies_do_not_matter(sent: list[Event], rnd: random.Random, price_from: str) -> None:
    limits = Limits(price_from=price_from)
    expected = decide(sent, limits)
    copies = sent + rnd.choices(sent, k=len(sent))
    rnd.shuffle(copies)
    got = decide(copies, limits)
    assert snapshot(got) == snapshot(expected)
    assert leaves(got) == leaves(expected)
    assert snapshot(got).revision == len(sent)


def stored(decision: Decision) -> list[Chunk]:
    """All of a decision's chunks, as another fold would read them."""
    decision.trail.changed.update(range(len(decision.trail.chunks)))
    return [decode_chunk(data) for _, data in decision.trail.encode_changed() if data is not None]


@given(events(), st.randoms(use_true_random=False))
def test_two_parts_merged_are_the_whole(sent: list[Event], rnd: random.Random) -> None:
    """Each part by itself, stored, and brought together in either direction; some events are in both."""
    left = [one for one in sent if rnd.random() < 0.6]
    right = [one for one in sent if one not in left or rnd.random() < 0.2]
    one, other = decide(left), decide(right)
    for part in stored(other):
        one.merge(part)
    whole = decide(sent)
    assert snapshot(one) == snapshot(whole)
    assert leaves(one) == leaves(whole)


@given(events(), st.integers(0, 12))
def test_a_decision_read_from_disk_goes_on_as_before(sent: list[Event], cut: int) -> None:
    before = decide(sent[:cut])
    after = Decision(TENANT, "k")
    after.restore(stored(before))
    assert after.revision == before.revision
    if cut:
        assert snapshot(after) == snapshot(before)
    for decision in (before, after):
        for one in sent[cut:]:
            decision.apply(one, *times(one), small_book())
    assert snapshot(after) == snapshot(before)
    assert leaves(after) == leaves(before)


def times(one: Event) -> tuple[int, int, int]:
    assert one.received_at is not None
    ts, received = micros(one.ts), micros(one.received_at)
    return ts, received, min(ts, received + 300 * SECOND)


def test_the_first_copy_wins() -> None:
    first, second = call(event_id="same"), call(event_id="same", tokens_input=9999)
    assert fact_of([first, second]).tokens_input == 1000
    assert fact_of([second, first]).tokens_input == 9999


def test_belonging_is_of_the_first_event_that_says_so() -> None:
    fact = fact_of([call(3, agent="late", team="t"), call(1, agent="early"), call(0)])
    assert (fact.agent, fact.team) == ("early", "t")


def test_the_last_word_counts_and_a_decision_event_before_all() -> None:
    told = [
        event(Kind.OUTCOME, 9, outcome=Outcome.INCORRECT),
        event(Kind.OUTCOME, 5, outcome=Outcome.CORRECT),
        event(Kind.DECISION, 1, output_class="refund", confidence=0.0),
        event(Kind.STEP, 8, output_class="other", confidence=0.7),
    ]
    fact = fact_of(told)
    assert (fact.outcome, fact.output_class, fact.confidence) == (Outcome.INCORRECT, "refund", 0.0)


def test_counts() -> None:
    fact = fact_of(
        [
            call(status=Status.ERROR, attempt=2),
            event(Kind.TOOL_CALL, status=Status.TIMEOUT),
            event(Kind.TOOL_CALL),
            event(Kind.RETRIEVAL, attempt=1),
            event(Kind.ESCALATION, 4, escalation_reason="over limit"),
        ]
    )
    assert (fact.events, fact.model_calls, fact.tool_calls, fact.tool_errors) == (5, 1, 2, 1)
    assert (fact.retrievals, fact.errors, fact.retries) == (1, 2, 1)
    assert (fact.escalated, fact.escalation_reason) == (True, "over limit")


def test_a_wild_clock_makes_no_wild_day() -> None:
    """Told for next year, received today: the day is today's, the time stays as told."""
    wild = call(ts=T0 + timedelta(days=365), received_at=T0)
    fact = fact_of([wild])
    assert (fact.day, fact.started_at) == ("2026-11-20", wild.ts)


def remembered(count: int, copies: Callable[[int], int]) -> int:
    sent = [call(n, event_id=f"n{n}") for n in range(count)]
    decision = decide(sent, Limits(decision_ids=2 * CHUNK))
    decision.trail.changed.clear()
    decision.ledger.dirty.clear()
    return sum(decision.apply(sent[copies(n)], *times(sent[copies(n)]), small_book()) > 0 for n in range(5))


def test_as_many_ids_as_the_setting_says_are_remembered() -> None:
    assert remembered(2 * CHUNK, lambda n: n) == 0


def test_memory_is_bounded_and_sums_stay() -> None:
    limits = Limits(decision_ids=2 * CHUNK)
    decision = decide([], limits)
    for n in range(20 * CHUNK):
        one = call(n, span_id=f"{n:016x}", response_id=f"r{n}")
        decision.apply(one, *times(one), small_book())
        decision.trail.changed.clear()
        decision.ledger.dirty.clear()
    assert len(decision.trail.ids) <= 3 * CHUNK
    assert len(decision.ledger.entries) <= 3 * CHUNK
    fact = snapshot(decision)
    assert fact.events == fact.model_calls == 20 * CHUNK
    assert fact.cost_model == 20 * CHUNK * Decimal("0.0028")


def test_no_stored_chunk_outgrows_a_record() -> None:
    """Events as wide as they may be, with text that does not compress."""
    rnd = random.Random(3)

    def wide(n: int) -> Event:
        names = (
            "agent",
            "task",
            "team",
            "agent_version",
            "credential_id",
            "service_tier",
            "response_id",
            "span_id",
            "session_id",
        )
        fields: dict[str, Any] = {name: "".join(chr(rnd.randrange(0x4E00, 0x9FFF)) for _ in range(1024)) for name in names}
        return call(100 - n, event_id=f"n{n}", **fields)

    sent = [wide(n) for n in range(CHUNK)]
    decision = decide(sent)
    chunks = [data for _, data in decision.trail.encode_changed()]
    assert len(chunks) > 1
    assert all(data is not None and len(data) <= CHUNK_BYTES for data in chunks)
    again = Decision(TENANT, "k")
    again.restore(stored(decision))
    for one in [*sent, call(200)]:
        for kept in (decision, again):
            kept.apply(one, *times(one), small_book())
    assert snapshot(again) == snapshot(decision)
    assert snapshot(again).events == CHUNK + 1


def test_a_leaf_is_told_with_all_it_was_priced_by() -> None:
    decision = decide([call(agent="a", credential_id="c", response_id="r", tokens_cache_read=500)])
    (entry,) = decision.ledger.dirty.values()
    fact = cost_fact(decision, entry)
    assert fact.tokens == {"tokens_input": 1000, "tokens_cache_read": 500, "tokens_output": 100}
    assert fact.unit_prices == {"tokens_input": "2", "tokens_cache_read": "0.2", "tokens_output": "8"}
    assert (fact.price_key, fact.price_id) == ("openai/gpt", "openai/gpt@19700101/19700101")
    assert fact.cost == Decimal("0.0029")
    total = sum(count * Decimal(fact.unit_prices[name]) for name, count in fact.tokens.items()) / 1_000_000
    assert fact.cost == total


def test_content_leaves_out_only_what_depends_on_the_way() -> None:
    assert set(content(fact_of([call()]))) >= {"tenant", "cost_model", "realized_cost", "tokens_input"}


COPIES = """
from tests.streams.steps.world import call, fact_of
one = call(event_id="same")
print(fact_of([one, one]).events)
"""


@pytest.mark.parametrize(("without", "counted"), [("", "1"), ("first_wins", "2")])
def test_without_its_guard_a_copy_counts_twice(without: str, counted: str) -> None:
    environment = os.environ | {"WATERLINE_WITHOUT": without}
    done = subprocess.run([sys.executable, "-c", COPIES], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == counted
