"""RULES.md against the declarations, and rules in words against the file they came from."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.schemas.alerts import Severity
from waterline.streams import rules_asked, rules_file
from waterline.streams.rules_page import PAGE, all_of, fields_of, filled, sentence
from waterline.streams.rules_words import PASTS
from waterline.streams.steps.rules import APART, MEASURES, Asked, Baseline, How, Rule, Rules


def test_the_page_is_as_the_declarations_have_it() -> None:
    written = PAGE.read_text("utf-8")
    assert filled(written) == written, "run python -m waterline.streams.rules_page"


def test_the_page_names_every_measure_field_and_default_rule() -> None:
    written = PAGE.read_text("utf-8")
    for measure in MEASURES:
        assert f"| `{measure.name}` |" in written
    for rule in all_of(rules_file.default()):
        assert f"| `{rule.name}` | {sentence(rule)} |" in written
    for field in (*rules_file.FIELDS, *rules_asked.FIELDS):
        assert f"{field}: " in written


def test_the_page_can_be_wrong() -> None:
    written = PAGE.read_text("utf-8")
    assert filled(written.replace("above 20% over 1h", "above 30% over 1h")) == written


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    measure = draw(st.sampled_from([one for one in MEASURES if one.how not in APART]))
    pane = draw(st.sampled_from([60, 300, 3600, 86400]))
    panes = draw(st.sampled_from([1, 1, 2, 7]))
    pasts = [past for past in PASTS[measure.how] if panes == 1 and (past is Baseline.DAYS or pane <= 3600)]
    baseline = draw(st.sampled_from([Baseline.NONE, *pasts]))
    most = 99 if measure.how is How.RATIO and baseline is Baseline.NONE else 9999
    above = Decimal(draw(st.integers(1, most))) / (100 if measure.how is How.RATIO or baseline is not Baseline.NONE else 1)
    return Rule(
        name=draw(st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True)),
        measure=measure.name,
        window_s=pane,
        panes=panes,
        above=above,
        baseline=baseline,
        by=draw(st.sampled_from(measure.groups)),
        at_least=draw(st.integers(1, 999)),
        clear_at=Decimal(draw(st.integers(1, 100))) / 100,
        for_windows=draw(st.integers(1, 5)),
        hold_windows=draw(st.integers(1, 5)),
        severity=draw(st.sampled_from(list(Severity))),
    )


@given(rules())
def test_a_rule_written_as_one_would_is_read_as_it_was(rule: Rule) -> None:
    text = json.dumps({"rules": [fields_of(rule)]})
    assert rules_file.parse(text.encode())[1] == []
    assert rules_file.parse(text.encode())[0].rules == (rule,)


@pytest.mark.parametrize("rule", all_of(rules_file.default()), ids=lambda rule: str(rule.name))
def test_the_default_rules_come_back_too(rule: Rule | Asked) -> None:
    read = rules_file.parse(json.dumps({"rules": [fields_of(rule)]}).encode())[0]
    assert all_of(Rules("", read.rules, apart=read.apart, asked=read.asked)) == (rule,)
