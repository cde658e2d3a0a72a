"""Rules that are questions, in the rules file: what they may say, and what is told of each mistake."""

from decimal import Decimal
from pathlib import Path

import pytest

from waterline.schemas.alerts import Severity
from waterline.schemas.errors import Permanent
from waterline.streams import rules_file
from waterline.streams.steps.rules import Asked, Rule

SQL = """\
-- How many refunds have no ticket?
-- param from: DateTime64(6, 'UTC')
--     the beginning; of the window
-- param to: DateTime64(6, 'UTC')
--     its end
-- param least: UInt32 = 10
--     dollars
-- param region: String
--     which one
SELECT tenant, agent, avg(ticket = '') AS value, count() AS samples
FROM events
WHERE ts >= {from:DateTime64(6, 'UTC')} AND ts < {to:DateTime64(6, 'UTC')} -- not the end
  AND measures['usd'] >= {least:UInt32} AND attributes['region'] = {region:String}
GROUP BY tenant, agent;

SELECT * FROM events WHERE tenant = {tenant:String} AND agent = {agent:String};
"""
MISTAKEN = """\
rules:
  - rule: lag
    question: pipeline_lags
    every: 1m
    above: 10s
    unit: s
  - rule: refunds
    question: refunds.sql
    measure: tool_error_rate
    window: 5m
    every: 7m
    above: 5
    unit: percent
  - rule: refunds
    question: refunds.sql
    params: {least: ten, regoin: eu}
    every: 5m
    above: 5
    for: 7m
  - rule: nothing
    query: nothing.sql
    every: 1s
    above: 5
  - rule: unbound
    question: unbound.sql
    every: 1m
    above: 5
  - rule: valueless
    question: valueless.sql
    params: [1]
    every: 1m
    above: 120%
    unit: "%"
  - rule: gone
    question: gone.sql
    every: 1m
    above: 5
"""
TOLD = """\
line 3: rule lag: question: there is no question pipeline_lags; is pipeline_lag meant?
line 8: rule refunds: question: refunds.sql needs region (String); write params: {region: ...}
line 9: rule refunds: measure: the question says what is measured; leave measure out
line 10: rule refunds: window: a question is asked of the time since it was asked last, which `every` says; leave window out
line 11: rule refunds: every: a day is no whole number of 7m, so windows would begin elsewhere each day; write 6m
line 13: rule refunds: unit: there is no unit percent; is % meant?
line 14: rule refunds: rule: line 7 has a rule of this name already; give each its own, alerts are told apart by it
line 15: rule refunds: question: refunds.sql needs region (String); write params: {region: ...}
line 16: rule refunds: params: least: 'ten' is no UInt32
line 16: rule refunds: params: refunds.sql has no parameter regoin; is region meant?
line 19: rule refunds: for: 7m is no multiple of 5m, by which windows end; write 5m
line 21: rule nothing: there is no field query; is question meant?
line 22: rule nothing: every: 1s is too often for a question; write 10s or more
line 25: rule unbound: question: unbound.sql never uses {to:DateTime64(6, 'UTC')}, so it cannot be asked of a window
line 29: rule valueless: question: valueless.sql has no column value; name one, `... AS value`
line 30: rule valueless: params: names and values are wanted, such as {least: 10}; this is a list
line 32: rule valueless: above: valueless.sql is a share and never over 100%, so 120% would never be passed
line 35: rule gone: question: FOLDER/gone.sql: No such file or directory
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "refunds.sql").write_text(SQL)
    (tmp_path / "unbound.sql").write_text("SELECT 1 AS value, 2 AS samples FROM events WHERE ts > {from:DateTime64(6, 'UTC')}")
    (tmp_path / "valueless.sql").write_text(SQL.replace("AS value", "AS share"))
    return tmp_path


def test_every_mistake_is_told_at_once_with_its_line_and_what_to_write(folder: Path) -> None:
    path = folder / "rules.yaml"
    path.write_text(MISTAKEN)
    with pytest.raises(Permanent) as raised:
        rules_file.load(path)
    told = [line.removeprefix(f"{path}, ").replace(str(folder), "FOLDER") for line in raised.value.reason.splitlines()]
    assert told == TOLD.splitlines()


def test_a_question_with_all_that_can_be_said(folder: Path) -> None:
    path = folder / "rules.yaml"
    path.write_text("""
rules:
  - rule: refunds
    question: refunds.sql
    params: {region: eu}
    every: 5m
    above: 5%
    unit: "%"
    at_least: 3
    clear_at: 50%
    for: 10m
    hold: 20m
    severity: error
    runbook: https://example.org/refunds
    meaning: refunds without a ticket
""")
    (asked,) = rules_file.load(path).asked
    assert asked == Asked(
        rule=Rule(
            name="refunds",
            measure="refunds",
            window_s=300,
            above=Decimal("0.05"),
            by=(),
            at_least=3,
            clear_at=Decimal("0.5"),
            for_windows=3,
            hold_windows=4,
            severity=Severity.ERROR,
            runbook="https://example.org/refunds",
            meaning="refunds without a ticket",
        ),
        unit="ratio",
        sql=asked.sql,
        rows="SELECT * FROM events WHERE tenant = {tenant:String} AND agent = {agent:String}",
        parameters=(("least", "10"), ("region", "eu")),
        question="refunds.sql",
    )
    assert asked.sql.startswith("SELECT tenant, agent")
    assert "--" not in asked.sql


def test_the_version_is_that_of_the_questions_too(folder: Path) -> None:
    path = folder / "rules.yaml"
    path.write_text("rules:\n  - {rule: r, question: refunds.sql, params: {region: eu}, every: 1h, above: 5}\n")
    before = rules_file.load(path).version
    (folder / "refunds.sql").write_text(SQL.replace("avg", "max"))
    assert rules_file.load(path).version != before


def test_the_questions_that_come_along_have_a_default_rule_each() -> None:
    assert {asked.rule.measure for asked in rules_file.default().asked} == {"pipeline_lag", "context_freshness"}
