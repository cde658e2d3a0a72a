"""What must be true once the faults have stopped. Each check returns the sentences that say what is wrong; none is good."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from tests.faults.load import Load, Truth

SETTLE_S = 180.0
FACTS = """
SELECT decision_key, events, model_calls, tool_calls, tool_errors, tokens_input, tokens_output, realized_cost, escalated, outcome
FROM decisions WHERE tenant = 'default' AND startsWith(decision_key, {prefix:String})
"""
ROWS = """
SELECT event_id, count() AS copies, uniqExact(kafka_partition, kafka_offset, frame_index) AS places
FROM events WHERE tenant = 'default' AND startsWith(event_id, {prefix:String}) GROUP BY event_id
"""
RAW = """
SELECT uniqExact(event_id), uniqExactIf(event_id, kind = 'model_call'), uniqExactIf(event_id, kind = 'tool_call'),
       sumIf(tokens_input, kind = 'model_call'), sumIf(tokens_output, kind = 'model_call')
FROM events WHERE tenant = 'default' AND startsWith(event_id, {prefix:String})
"""
LETTERS = """
SELECT kafka_topic = '' AS never, topic, partition, offset, index, count() AS copies, any(code) AS code
FROM dead_letters WHERE consumer IN ('sink', 'streams') GROUP BY never, topic, partition, offset, index
"""
REPEATED = """
SELECT decision_key, revision, state, count() AS copies FROM decision_facts
WHERE tenant = 'default' AND startsWith(decision_key, {prefix:String}) GROUP BY decision_key, revision, state HAVING copies > 1
"""


def settle(check: Callable[[], list[str]], seconds: float = SETTLE_S) -> list[str]:
    """Asks until the check is good or the time is over, and returns its last answer."""
    deadline = time.monotonic() + seconds
    while (wrong := check()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return wrong


def events(client: Client, prefix: str, load: Load) -> list[str]:
    """Every acknowledged event is there, once."""
    rows = {event_id: (copies, places) for event_id, copies, places in _ask(client, ROWS, prefix)}
    lost = load.ids - rows.keys()
    strange = rows.keys() - load.ids
    twice = {event_id: row for event_id, row in rows.items() if row != (1, 1)}
    wrong = [f"{len(lost)} acknowledged events are lost, such as {sorted(lost)[:3]}"] if lost else []
    wrong += [f"{len(strange)} events nobody sent, such as {sorted(strange)[:3]}"] if strange else []
    wrong += [f"{len(twice)} events are there more than once, such as {list(twice.items())[:3]}"] if twice else []
    return wrong


def facts(client: Client, prefix: str, load: Load) -> list[str]:
    """Every decision's last fact says what the generator knows, and the raw rows add up to the same."""
    found = {str(key): _truth(row) for key, *row in _ask(client, FACTS, prefix)}
    wrong = [f"{len(load.truth.keys() - found.keys())} decisions have no fact"] if load.truth.keys() - found.keys() else []
    wrong += [f"{len(found.keys() - load.truth.keys())} decisions nobody made"] if found.keys() - load.truth.keys() else []
    different = [key for key, truth in load.truth.items() if key in found and found[key] != truth]
    wrong += [f"{len(different)} facts are wrong, such as {k}: {found[k]} instead of {load.truth[k]}" for k in different[:1]]
    truths = load.truth.values()
    sums = tuple(
        sum(getattr(truth, name) for truth in truths)
        for name in ("events", "model_calls", "tool_calls", "tokens_input", "tokens_output")
    )
    raw = tuple(_ask(client, RAW, prefix)[0])
    return wrong + ([f"raw rows add up to {raw} instead of {sums}"] if raw != sums else [])


def repeated(client: Client, prefix: str) -> list[str]:
    """No revision of a decision was published twice."""
    rows = _ask(client, REPEATED, prefix)
    return [f"{len(rows)} facts were published twice, such as {rows[0]}"] if rows else []


def letters(client: Client, poisoned: dict[tuple[str, int, int], int]) -> list[str]:
    """The dead letters are exactly the poison: (topic, partition, offset) -> how many lines of it are bad."""
    found: dict[tuple[str, int, int], int] = {}
    wrong: list[str] = []
    for _, topic, partition, offset, index, copies, code in _ask(client, LETTERS, ""):
        found[topic, partition, offset] = found.get((topic, partition, offset), 0) + 1
        if copies != 1:
            wrong.append(f"dead letter {topic}/{partition}/{offset}/{index} ({code}) is there {copies} times")
    if found != poisoned:
        missing = {key: count for key, count in poisoned.items() if found.get(key) != count}
        surplus = {key: count for key, count in found.items() if poisoned.get(key) != count}
        wrong.append(f"dead letters are not the poison: missing {list(missing.items())[:3]}, surplus {list(surplus.items())[:3]}")
    return wrong


def _truth(row: list[Any]) -> Truth:
    *counts, cost, escalated, outcome = row
    found = Truth(*counts)
    found.realized_cost, found.escalated, found.outcome = Decimal(cost), bool(escalated), str(outcome)
    return found


def _ask(client: Client, sql: str, prefix: str) -> list[Any]:
    return list(client.query(sql, parameters={"prefix": prefix}).result_rows)
