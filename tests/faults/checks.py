"""What must be true once the faults have stopped. Each check returns the sentences that say what is wrong; none is good."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from tests.faults.load import Load, Truth
from tests.faults.poison import MARK
from waterline.connectors.stores.clickhouse import questions
from waterline.proof import Kafka, prove
from waterline.schemas.errors import Transient
from waterline.stack import Stack

FACTS = """
SELECT decision_key, events, model_calls, tool_calls, tool_errors, tokens_input, tokens_output, realized_cost, escalated, outcome
FROM decisions WHERE tenant = 'default' AND startsWith(decision_key, {prefix:String})
"""
ROWS = """
SELECT event_id, count() AS copies FROM events
WHERE tenant = 'default' AND startsWith(event_id, {prefix:String}) GROUP BY event_id
"""
RAW = """
SELECT uniqExact(event_id), uniqExactIf(event_id, kind = 'model_call'), uniqExactIf(event_id, kind = 'tool_call'),
       sumIf(tokens_input, kind = 'model_call'), sumIf(tokens_output, kind = 'model_call')
FROM events WHERE tenant = 'default' AND startsWith(event_id, {prefix:String})
"""
LETTERS = f"""
SELECT headers['{MARK}'] AS poison, uniqExact(topic, partition, offset, index) AS places, uniqExact(id) AS letters,
       any(tuple(consumer, topic, partition, offset, index, code, reason)) AS example
FROM dead_letters GROUP BY poison
"""
REPEATED = """
SELECT decision_key, revision, state, count() AS copies FROM decision_facts
WHERE tenant = 'default' AND startsWith(decision_key, {prefix:String}) GROUP BY decision_key, revision, state HAVING copies > 1
"""
MEASURES = "SELECT DISTINCT measure FROM quality WHERE tenant = 'default' AND samples > 0"
SAID = {"accuracy", "escalation_rate", "override_rate", "time_to_human", "resolution_ms"}
ABOUTS = "SELECT DISTINCT about FROM drift WHERE tenant = 'default' AND before > 0 AND now > 0"
MOVES = {"tools", "models", "escalation_reason", "steps", "resolution_ms"}
LOOK_AGAIN_S, PROOF_S, TOLD_S = 0.25, 60.0, 60.0


def settle(check: Callable[[], list[str]], seconds: float) -> list[str]:
    """Asks until the check is good or the time is over, and returns its last answer."""
    deadline = time.monotonic() + seconds
    while (wrong := check()) and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_S)
    return wrong


def events(client: Client, prefix: str, load: Load) -> list[str]:
    """Every acknowledged event is there, once."""
    rows = dict(_ask(client, ROWS, prefix))
    lost = load.ids - rows.keys()
    strange = rows.keys() - load.ids
    twice = {event_id: copies for event_id, copies in rows.items() if copies != 1}
    wrong = [f"{len(lost)} acknowledged events are lost, such as {sorted(lost)[:3]}"] if lost else []
    wrong += [f"{len(strange)} events nobody sent, such as {sorted(strange)[:3]}"] if strange else []
    wrong += [f"{len(twice)} events are there more than once, such as {list(twice.items())[:3]}"] if twice else []
    return wrong


def facts(client: Client, prefix: str, load: Load) -> list[str]:
    """Every decision's last fact says what the generator knows, and the raw rows add up to the same."""
    found = {str(key): _truth(row) for key, *row in _ask(client, FACTS, prefix)}
    missing, strange = load.truth.keys() - found.keys(), found.keys() - load.truth.keys()
    wrong = [f"{len(missing)} decisions have no fact, such as {sorted(missing)[:3]}"] if missing else []
    wrong += [f"{len(strange)} decisions nobody made, such as {sorted(strange)[:3]}"] if strange else []
    different = [key for key, truth in load.truth.items() if key in found and found[key] != truth]
    wrong += [f"{len(different)} facts are wrong, such as {k}: {found[k]} instead of {load.truth[k]}" for k in different[:1]]
    truths = load.truth.values()
    sums = tuple(
        sum(getattr(truth, name) for truth in truths)
        for name in ("events", "model_calls", "tool_calls", "tokens_input", "tokens_output")
    )
    raw = tuple(_ask(client, RAW, prefix)[0])
    return wrong + ([f"raw rows add up to {raw} instead of {sums}"] if raw != sums else [])


def reconciled(client: Client) -> list[str]:
    """The streams' facts and alerts of all seeds so far are what SQL makes of the raw events."""
    asked = (("reconciliation", "facts"), ("alert_reconciliation", "alerts"), ("quality_reconciliation", "words on quality"))
    return [wrong for name, what in asked for wrong in _differing(client, name, what)]


def told(client: Client) -> list[str]:
    """What was told of the quality of all seeds is exactly what the raw events say, to the last one."""
    measures = {str(measure) for (measure,) in client.query(MEASURES).result_rows}
    missing = [f"nothing was told of {', '.join(sorted(SAID - measures))}"] if SAID - measures else []
    return missing + _differing(client, "quality_reconciliation", "words on quality", strict="1")


def drifted(client: Client) -> list[str]:
    """What was told of drift is what the raw events say, today as on other days."""
    abouts = {str(about) for (about,) in client.query(ABOUTS).result_rows}
    missing = [f"nothing was told of {', '.join(sorted(MOVES - abouts))}"] if MOVES - abouts else []
    return missing + _differing(client, "drift_reconciliation", "words on drift", until="today")


def _differing(client: Client, name: str, what: str, **given: str) -> list[str]:
    differing = questions.ask(client, questions.find(name, questions.load()), given).rows
    return [f"{len(differing)} {what} are not what the raw events say, such as {differing[0]}"] if differing else []


def repeated(client: Client, prefix: str) -> list[str]:
    """No revision of a decision was published twice."""
    rows = _ask(client, REPEATED, prefix)
    return [f"{len(rows)} facts were published twice, such as {rows[0]}"] if rows else []


def letters(client: Client, poisoned: dict[str, int]) -> list[str]:
    """The dead letters of all seeds so far are exactly the poison: name of a record -> how many lines of it are bad.

    A letter may have come twice under one id, as after a crash between burying and committing.
    """
    found = {name: (places, ids, example) for name, places, ids, example in _ask(client, LETTERS, "")}
    strange = [found[name] for name in found.keys() - poisoned.keys()]
    wrong = [f"{ids} dead letters that are no poison, such as {example}" for _, ids, example in strange]
    for name, bad in poisoned.items():
        places, ids, example = found.get(name, (0, 0, None))
        if (places, ids) != (bad, bad):
            wrong.append(f"poison {name}: {ids} dead letters of {places} lines instead of {bad}: {example}")
    return wrong


def proven(stack: Stack, client: Client) -> list[str]:
    """`waterline verify completeness --wait 60` finds no gap."""
    kafka = Kafka(stack.settings)
    try:
        return [f"not complete: {problem}" for problem in prove(kafka, client, PROOF_S).problems]
    except Transient as error:
        return [f"completeness could not be asked for: {error}"]
    finally:
        kafka.close()


def _truth(row: list[Any]) -> Truth:
    *counts, cost, escalated, outcome = row
    found = Truth(*counts)
    found.realized_cost, found.escalated, found.outcome = Decimal(cost), bool(escalated), str(outcome)
    return found


def _ask(client: Client, sql: str, prefix: str) -> list[Any]:
    return list(client.query(sql, parameters={"prefix": prefix}).result_rows)
