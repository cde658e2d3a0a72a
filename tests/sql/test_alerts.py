"""Questions about alerts, on the recorded runs and on events in any order: what was said is what the raw events say."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from tests.sql.judged import HOUR, MINUTE, RECEIVED, Folded, again, event, recorded
from tests.sql.seed import NOON, Ask, Store
from waterline.replay.recording import packaged_runs
from waterline.schemas.alerts import AlertDelivery, AlertState, AlertTransition, DeliveryState
from waterline.schemas.events import Clock, Event, Kind, Status, Verdict, read_required
from waterline.streams.steps.evidence import statement
from waterline.streams.steps.moment import micros
from waterline.streams.steps.rules import MEASURE
from waterline.streams.steps.windows import Series

GIVEN = {"since": (NOON - 100 * HOUR).isoformat(), "until": (NOON + 100 * HOUR).isoformat()}
BEGAN = NOON - 9 * HOUR
OFFSETS = iter(range(0, 10**9, 10**6))


@pytest.fixture(scope="module")
def airline(store: Store) -> Folded:
    folded = recorded(BEGAN)
    folded.store(store, next(OFFSETS))
    return folded


def plain(moment: datetime) -> datetime:
    """As the client reads a time in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def fired(transitions: list[AlertTransition], rule: str, tool: str = "") -> set[datetime]:
    """The windows that opened it."""
    return {
        plain(told.window_from)
        for told in transitions
        if told.rule == rule and told.group.get("tool", "") == tool and told.state is AlertState.FIRING and told.window_from
    }


def test_10c_tool_errors_by_window(ask: Ask, airline: Folded) -> None:
    """As counted here from the events that were sent, and with every window over the threshold that opened an alert."""
    calls, errors = Counter[datetime](), Counter[datetime]()
    for told in airline.events:
        if told.kind is Kind.TOOL_CALL:
            end = told.ts + timedelta(milliseconds=told.duration_ms)
            window = BEGAN + (end - BEGAN) // (5 * MINUTE) * (5 * MINUTE)
            calls[plain(window)] += 1
            errors[plain(window)] += told.status is not Status.OK
    rows = ask("tool_errors_by_window", tenant="airline")
    whole = [row for row in rows if not row["tool"]]
    assert {row["window_from"]: (row["calls"], row["errors"]) for row in whole} == {at: (calls[at], errors[at]) for at in calls}
    over = {row["window_from"] for row in whole if row["verdict"] == "over"}
    assert over == {at for at in calls if calls[at] >= 20 and errors[at] > 0.05 * calls[at]}
    opened = fired(airline.transitions, "errors")
    assert opened
    assert opened <= over
    for tool in {row["tool"] for row in rows} - {""}:
        of_tool = [row for row in rows if row["tool"] == tool]
        assert sum(row["calls"] for row in of_tool) == sum(call.tool == tool for run in packaged_runs() for turn in run.turns
                                                           for call in turn.calls)  # fmt: skip
        assert fired(airline.transitions, "errors_by_tool", tool) <= {
            row["window_from"] for row in of_tool if row["verdict"] == "over"
        }


def test_10d_escalations_by_window(ask: Ask, airline: Folded) -> None:
    """One run a minute: 60 decisions in each full hour."""
    rows = ask("escalations_by_window", tenant="airline")
    assert [(row["decisions"], row["escalations"], row["verdict"]) for row in rows] == [
        (60, 10, "under"),
        (60, 16, "over"),
        (60, 13, "over"),
        (60, 24, "over"),
        (10, 2, "insufficient"),
    ]
    assert (rows[1]["rate"], rows[1]["low"], rows[1]["high"]) == (0.2667, 0.1713, 0.3901)
    assert fired(airline.transitions, "escalated") == {rows[1]["window_from"]}


def test_10_alerts(ask: Ask, airline: Folded) -> None:
    rows = ask("alerts", tenant="airline")
    assert len(rows) == len(airline.transitions)
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    told = {(one.alert_id, one.transition): one for one in airline.transitions}
    for row in rows:
        one = told[row["alert_id"], row["transition"]]
        assert (row["state"], row["value"], row["samples"], row["decisions"]) == (
            one.state,
            one.value,
            one.samples,
            one.decisions,
        )
        assert one.window_from is not None
        assert (row["window_from"], row["sql"], row["told"]) == (plain(one.window_from), one.sql, [])
    errors = ask("alerts", tenant="airline", rule="errors")
    assert {row["about"] for row in errors} == {"agent=airline-agent, clock=replay"}
    assert [row["transition"] for row in errors] == list(range(len(errors), 0, -1))
    assert ask("alerts", tenant="airline", agent="another") == []


def test_6_version_changes_of_the_recorded_agent(ask: Ask, airline: Folded) -> None:
    """As counted in the recordings: right 84 of 200 and 28 of 50, escalated 48 and 17, 73 of 1,164 and 6 of 581 tool calls fail.
    Fifty runs of the second version do not show that it is right more often."""
    found = {row["measure"]: row for row in ask("version_changes", tenant="airline")}
    assert {(row["before"], row["after"]) for row in found.values()} == {("v1", "v2")}
    rates = {"accuracy": (84, 200, 28, 50), "escalation_rate": (48, 200, 17, 50), "tool_error_rate": (73, 1164, 6, 581)}
    for measure, (k, n, j, m) in rates.items():
        row = found[measure]
        assert (row["n_before"], row["n_after"]) == (n, m)
        assert (row["value_before"], row["value_after"]) == pytest.approx((k / n, j / m), abs=1e-6)
    assert {measure: row["verdict"] for measure, row in found.items() if measure in (*rates, "tool_calls")} == {
        "accuracy": "no difference shown",
        "escalation_rate": "no difference shown",
        "tool_error_rate": "lower",
        "tool_calls": "higher",
    }


def test_the_sql_of_an_alert_returns_what_its_value_was_drawn_from(reader: Client, airline: Folded) -> None:
    counted = [told for told in airline.transitions if told.measure in ("tool_error_rate", "escalation_rate") and told.samples]
    assert len(counted) > 20
    for told in counted:
        assert len(reader.query(told.sql).result_rows) == told.samples


def test_the_sql_of_missing_fields_returns_the_events_that_lack_one(reader: Client, store: Store) -> None:
    told = [event("a", "whole", Kind.STEP, tenant="lacking"), event("", "nobody", Kind.STEP, tenant="lacking")]
    told += [event("", "later", Kind.STEP, HOUR, tenant="lacking"), event("", "human", Kind.REVIEW, tenant="lacking")]
    told += [event("", "other", Kind.STEP, tenant="lacking", source="json")]
    store.put("events", told, "agent.events", next(OFFSETS))
    series, required = Series("lacking", ("source",), ("otlp",)), read_required("agent, decision_key|decision_id")
    sql = statement(MEASURE["missing_fields"], series, micros(NOON), micros(NOON + HOUR), required)
    assert [row["decision"] for row in reader.query(sql).named_results()] == ["/nobody"]


def test_10a_alert_deliveries(ask: Ask, airline: Folded, store: Store) -> None:
    """A receipt that was written twice is one; what was kept back says so."""
    first = next(told for told in airline.transitions if told.rule == "escalated")
    base: dict[str, Any] = {"alert_id": first.alert_id, "transition": first.transition, "tenant": "airline", "rule": first.rule}
    receipts = [
        AlertDelivery(**base, channel="slack", state=DeliveryState.DELIVERED, at=RECEIVED, attempts=2, status=200, receipt="1.2"),
        AlertDelivery(**base, channel="slack", state=DeliveryState.DELIVERED, at=RECEIVED, attempts=2, status=200, receipt="1.2"),
        AlertDelivery(**base, channel="night", state=DeliveryState.SILENCED, at=RECEIVED + MINUTE, reason="until 6:00"),
    ]
    store.put("alert_deliveries", receipts, "alert.deliveries", next(OFFSETS))
    rows = ask("alert_deliveries", tenant="airline")
    assert [(row["channel"], row["state"], row["attempts"], row["status"], row["reason"]) for row in rows] == [
        ("night", "silenced", 0, 0, "until 6:00"),
        ("slack", "delivered", 2, 200, ""),
    ]
    assert {row["alert_state"] for row in rows} == {"firing"}
    assert {row["took"] for row in rows} == {None}, "a replay has another time"
    assert len(ask("alert_deliveries", tenant="airline", channel="slack")) == 1
    (told,) = [row["told"] for row in ask("alerts", tenant="airline", rule="escalated") if row["told"]]
    assert told == ["night: silenced", "slack: delivered"]


def test_10b_alert_reconciliation_of_the_recorded_runs(ask: Ask, airline: Folded) -> None:
    assert {"tool_error_rate", "escalation_rate"} <= {told.measure for told in airline.transitions}
    assert ask("alert_reconciliation", tenant="airline") == []


@pytest.mark.parametrize(
    "wrong",
    [{"value": Decimal("0.5")}, {"samples": 1}, {"value": None}, {"group": {"agent": "a"}}],
    ids=["value", "samples", "no value", "another clock"],
)
def test_10b_what_does_not_agree_is_shown(ask: Ask, airline: Folded, store: Store, wrong: dict[str, Any]) -> None:
    tenant = f"wrong-{next(OFFSETS)}"
    told = [one for one in recorded_as(airline, tenant) if one.rule == "escalated" and one.state is AlertState.FIRING]
    assert told
    at = next(OFFSETS)
    store.put("events", [msgspec.structs.replace(one, tenant=tenant) for one in airline.events], "agent.events", at)
    bad = msgspec.structs.replace(told[0], **wrong)
    provisional = msgspec.structs.replace(bad, alert_id="p", provisional=True)
    mended = msgspec.structs.replace(told[0], transition=bad.transition + 1, late=True)
    store.put("alert_transitions", [bad, provisional], "alert.transitions", at)
    links = [msgspec.structs.replace(one, tenant=tenant) for one in airline.world.links.values()]
    store.put("decision_links", links, "decision.links", at)
    rows = {row["alert_id"]: row for row in ask("alert_reconciliation", tenant=tenant)}
    assert rows.keys() == {bad.alert_id, "p"}, "a word that is still provisional when its window is settled is shown, too"
    row = rows[bad.alert_id]
    assert row["transition"] == bad.transition
    if "group" not in wrong:
        assert (row["value_by_events"], row["samples_by_events"]) == (told[0].value, told[0].samples)
        last = msgspec.structs.replace(told[0], alert_id="p", revision=2)
        store.put("alert_transitions", [mended, last], "alert.transitions", at + 10)
        assert ask("alert_reconciliation", tenant=tenant) == [], "the last word counts"


def recorded_as(airline: Folded, tenant: str) -> list[AlertTransition]:
    return [msgspec.structs.replace(told, tenant=tenant) for told in airline.transitions]


def mixed(seed: int, replay: bool, late_by: int) -> Folded:
    """Four hours of one agent's calls, some of a tool that is named otherwise or not at all, some by a clock that runs ahead.
    Each is a decision, of which some are escalated and reviewed. With `late_by`, one in ten comes late, by less than that."""
    rnd, folded, held = random.Random(seed), Folded(), list[tuple[int, Event]]()
    clock = Clock.REPLAY if replay else Clock.SOURCE
    for minute in range(240):
        bad = minute // 20 % 2
        for n in range(rnd.randrange(12)):
            key, at = f"{minute}-{n}", minute * MINUTE + timedelta(seconds=rnd.randrange(60))
            told: dict[str, Any] = {"clock": clock, "tenant": f"mixed-{seed}", "tool": rnd.choice(["a", "b", ""])}
            told["name"] = rnd.choice(["", "c"])
            told["status"] = Status.ERROR if rnd.random() < (0.15 if bad else 0.01) else Status.OK
            told["escalation_reason"] = "limit" if rnd.random() < (0.4 if bad else 0.1) else ""
            told["duration_ms"] = float(rnd.randrange(3000))
            ahead = rnd.choice([0, 0, 0, 400]) * timedelta(seconds=1) if not (replay or late_by) else 0 * MINUTE
            due = minute + (rnd.randrange(late_by) if late_by and rnd.random() < 0.1 else 0)
            received = NOON + (due + 1) * MINUTE
            held.append((due, event("x", key, Kind.TOOL_CALL, at + ahead, received_at=received, **told)))
            if told["escalation_reason"] and rnd.random() < 0.5:
                verdict = Verdict.OVERRIDE if rnd.random() < 0.5 else Verdict.APPROVE
                given = {"clock": clock, "tenant": told["tenant"], "received_at": received, "review_verdict": verdict}
                held.append((due, event("x", key, Kind.REVIEW, at + ahead, **given)))
        sent = [one for due, one in held if due <= minute]
        held = [(due, one) for due, one in held if due > minute]
        folded.tell(sent, NOON + (minute + 1) * MINUTE, replay)
    folded.tell([one for _, one in held], NOON + 600 * MINUTE, replay)
    return folded


@pytest.mark.parametrize(("seed", "replay"), [(1, True), (2, False)])
def test_10b_in_time_what_was_said_is_exactly_what_the_events_say(
    ask: Ask, store: Store, reader: Client, seed: int, replay: bool
) -> None:
    folded = mixed(seed, replay, 0)
    assert {told.rule for told in folded.transitions} >= {"errors", "errors_by_tool", "escalated", "overridden"}
    assert any(told.provisional for told in folded.transitions) is not replay
    folded.store(store, next(OFFSETS))
    assert ask("alert_reconciliation", tenant=f"mixed-{seed}", strict="1") == []
    if replay:
        counted = [told for told in folded.transitions if told.measure == "tool_error_rate"]
        assert any(told.group.get("tool") == "c" and told.samples for told in counted)
        for told in counted:
            assert len(reader.query(told.sql).result_rows) == told.samples


def test_10b_late_events_correct_what_was_said(ask: Ask, store: Store) -> None:
    folded = mixed(3, False, 40)
    assert any(told.revision > 1 and told.late for told in folded.transitions)
    folded.store(store, next(OFFSETS))
    assert ask("alert_reconciliation", tenant="mixed-3", strict="1") == []
    first = Counter(told.state for told in folded.transitions if told.revision == 1)
    assert Counter(row["state"] for row in ask("alerts", tenant="mixed-3")) == first
    last = {(told.alert_id, told.transition): told for told in folded.transitions}
    for row in ask("alerts", tenant="mixed-3"):
        told = last[row["alert_id"], row["transition"]]
        assert (row["revision"], row["samples"], row["provisional"]) == (told.revision, told.samples, told.provisional)


def test_10b_what_comes_more_than_an_hour_late_explains_what_it_can(ask: Ask, store: Store) -> None:
    folded, tenant = mixed(4, False, 140), "mixed-4"
    folded.store(store, next(OFFSETS))
    assert ask("alert_reconciliation", tenant=tenant) == []
    shown = ask("alert_reconciliation", tenant=tenant, strict="1")
    assert shown
    assert all(row["came_late"] for row in shown)
    last = folded.transitions[-1]
    wrong = {"transition": last.transition + 1, "revision": 1, "samples": last.samples + 5, "provisional": False}
    store.put("alert_transitions", [msgspec.structs.replace(last, **wrong)], "alert.transitions", next(OFFSETS))
    assert [row["transition"] for row in ask("alert_reconciliation", tenant=tenant)] == [last.transition + 1]


def test_events_that_come_again_change_no_answer(ask: Ask, airline: Folded, store: Store) -> None:
    names = ("alerts", "alert_deliveries", "alert_reconciliation", "tool_errors_by_window", "escalations_by_window")
    before = {name: ask(name, tenant="airline") for name in names}
    store.put("events", [again(one) for one in airline.events], "agent.events", next(OFFSETS))
    assert {name: ask(name, tenant="airline") for name in names} == before
