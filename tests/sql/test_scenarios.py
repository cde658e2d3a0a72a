"""The SQL that an alert carries returns the rows that its value was drawn from, and among them the decisions that it names, for
every default rule and budget."""

from datetime import timedelta

import pytest
from clickhouse_connect.driver.client import Client

from tests.sql.seed import NOON, Store
from tests.streams.steps.scenarios import FIRES, Scenario
from tests.streams.steps.scenarios_apart import SCENARIOS
from tests.streams.steps.stages import Stages, moved, rules
from tests.streams.steps.world import T0, TENANT
from waterline.schemas.alerts import AlertTransition, alert_id

FIRED = [one for one in SCENARIOS if one.what.endswith(FIRES)]
SHIFT = timedelta(days=(NOON.date() - T0.date()).days)
"""Tables forget by age, so the day of the scenarios is one of the last."""


@pytest.fixture(scope="module")
def stages(store: Store) -> Stages:
    """All at once, so that each statement must find its own among the others."""
    stages, batches = Stages(rules(), shift=SHIFT), [batch for one in FIRED for batch in one.batches]
    for batch in sorted(batches, key=lambda batch: batch.at):
        stages.take_in(batch)
    store.put("events", [moved(event, SHIFT) for batch in batches for event in batch.events], "agent.events", 0)
    store.put("decision_facts", stages.decisions.values(), "decision.facts", 0)
    store.put("cost_facts", stages.costs.values(), "cost.facts", 0)
    return stages


def about(stages: Stages, scenario: Scenario) -> list[AlertTransition]:
    mine = alert_id(TENANT, scenario.rule, scenario.group)
    return [one for one in stages.told if one.alert_id == mine and one.revision == 1]


def test_the_sql_of_an_alert_returns_the_rows_behind_its_value(stages: Stages, reader: Client) -> None:
    asked, named = set(), set()
    for scenario in FIRED:
        for one, wanted in zip(about(stages, scenario), scenario.told, strict=True):
            answer = reader.query(one.sql)
            found = answer.result_rows
            if column := next((name for name in answer.column_names if name in ("decision", "decision_key")), ""):
                rows = answer.named_results()
                assert set(one.decisions) <= {row[column] for row in rows}, (scenario.name, one.sql)
                named |= {one.rule} if one.decisions else set()
            if wanted.rows is not None or one.measure == "accuracy_drop":
                assert len(found) == (one.samples if wanted.rows is None else wanted.rows), (scenario.name, one.sql)
                asked.add(one.rule)
    assert asked == {one.rule for one in FIRED}
    assert named == asked - {"task_tokens"}, "whose alert is about one decision"
