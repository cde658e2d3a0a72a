"""The rules file: what it may say, and that every mistake of it is told at once, with its line and what to write instead."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.schemas.alerts import Severity
from waterline.schemas.errors import Permanent
from waterline.schemas.yaml_lines import LARGEST
from waterline.streams import rules_file
from waterline.streams.steps.rules import AGENT, AGENT_TOOL, MEASURES, Baseline, Rule

MISTAKEN = """\
rules:
  - rule: slow answers
    measure: model_latency_p59
    window: 5 min
    above: 2x same_hour_of_7_days
  - rule: errors
    measure: tool_error_rate
    by: [tool]
    window: 7m
    above: 5
    treshold: 5%
    at_least: 0
    clear_at: 110%
    for: 1h30m
    severity: catastrophic
  - rule: errors
    measure: cost
    window: 1d
    above: 5%
  - measure: escalation_rate
    window: 0m
    above: -20%
    hold: 10s
    runbook: see the wiki
    runbook: https://wiki.example/escalations
  - rule: latency
    measure: model_latency_p95
    window: 1h
    above: 1500
    for: 90m
  - just a line of text
"""
TOLD = """\
line 2: rule number 1: rule: 'slow answers' is no name: letters, digits, _ - and . are, up to 80 of them; write slow_answers
line 3: rule number 1: measure: there is no measure model_latency_p59; is model_latency_p95 meant?
line 4: rule number 1: window: '5 min' is no length of time such as 90s, 5m, 1h or 7d; write 5m
line 8: rule errors: by: tool_error_rate cannot be grouped by [tool]; write [agent] or [agent, tool]
line 9: rule errors: window: a day is no whole number of 7m, so windows would begin elsewhere each day; write 6m or 8m
line 10: rule errors: above: '5' is no share of calls in %; write 5%
line 11: rule errors: there is no field treshold; is above meant?
line 12: rule errors: at_least: a whole number from 1 on is wanted, this is '0'
line 13: rule errors: clear_at: '110%' is no share of the threshold, over 0% and up to 100%
line 14: rule errors: for: '1h30m' is no length of time such as 90s, 5m, 1h or 7d; write 90m
line 15: rule errors: severity: there is no severity catastrophic; there are critical, error, warning, info
line 16: rule errors: rule: line 6 has a rule of this name already; give each its own, alerts are told apart by it
line 19: rule errors: above: '5%' is no amount in USD; write 5 USD, or 5% of last_7_windows
line 20: rule number 4: rule is missing; write for instance rule: tool_error_rate
line 21: rule number 4: window: no time at all is no window; write 5m
line 22: rule number 4: above: '-20%' is no share of decisions in %; it cannot be negative
line 24: rule number 4: runbook: 'see the wiki' is no link; write one that begins with https://
line 25: rule number 4: runbook is given twice; line 24 has it too
line 29: rule latency: above: '1500' is no time in ms, s or m; write 1500ms
line 30: rule latency: for: 90m is no multiple of 1h, by which windows end; write 2h
line 31: rule number 6: fields such as `rule:` are wanted, this is 'just a line of text'
"""
FULL = """
rules:
  - rule: slow
    measure: model_latency_p95
    by: [agent]
    window: 10m
    every: 5m
    above: 1.5s
    at_least: 20
    clear_at: 80%
    for: 10m
    hold: 30m
    severity: error
    runbook: https://example.org/slow
    meaning: answers take long
"""


def told(text: str) -> str:
    return "".join(f"line {one.line}: {one.what}\n" for one in rules_file.parse(text.encode())[1])


def one(**fields: str) -> str:
    """A file of one rule; fields that are empty are left out."""
    given = {"rule": "r", "measure": "tool_error_rate", "window": "5m", "above": "5%"} | fields
    return "rules:\n  - " + "\n    ".join(f"{name}: {value}" for name, value in given.items() if value)


def rule(**fields: str) -> Rule:
    rules, mistakes = rules_file.parse(one(**fields).encode())
    assert mistakes == []
    return rules.rules[0]


def test_every_mistake_is_told_at_once_with_its_line_and_what_to_write(tmp_path: Path) -> None:
    assert told(MISTAKEN) == TOLD
    path = tmp_path / "rules.yaml"
    path.write_text(MISTAKEN)
    with pytest.raises(Permanent) as raised:
        rules_file.load(path)
    assert raised.value.reason.splitlines() == [f"{path}, {line}" for line in TOLD.splitlines()]


def test_a_file_with_all_that_can_be_said() -> None:
    rules, mistakes = rules_file.parse(FULL.encode())
    assert mistakes == []
    assert rules.rules == (
        Rule(
            name="slow",
            measure="model_latency_p95",
            window_s=300,
            panes=2,
            above=Decimal(1500),
            at_least=20,
            clear_at=Decimal("0.8"),
            for_windows=3,
            hold_windows=6,
            severity=Severity.ERROR,
            runbook="https://example.org/slow",
            meaning="answers take long",
        ),
    )


def test_what_is_left_out_has_the_defaults_of_a_rule() -> None:
    assert rule() == Rule(name="r", measure="tool_error_rate", window_s=300, above=Decimal("0.05"))


def test_each_unit_and_each_past_can_be_written() -> None:
    assert rule(by="[tool, agent]").by == AGENT_TOOL
    assert rule(measure="cost", window="1d", above="12.50 USD").above == Decimal("12.50")
    assert rule(measure="unpriced_calls", above="3").above == 3
    assert rule(measure="model_latency_p95", above="2m").above == 120_000
    daily = rule(measure="cost", window="1d", above="150% of last_7_windows")
    assert (daily.above, daily.baseline) == (Decimal("1.5"), Baseline.DAYS)
    hourly = rule(measure="model_latency_p95", above="2x same_hour_of_7_days")
    assert (hourly.above, hourly.baseline, hourly.by) == (Decimal(2), Baseline.HOURS, AGENT)
    week = rule(window="7d", every="1d")
    assert (week.window_s, week.panes) == (86400, 7)


def test_what_is_not_drawn_from_windows_is_kept_apart() -> None:
    text = (
        one(rule="quiet", measure="silence", above="5m")
        + one(rule="greedy", measure="decision_tokens", window="", above="3x mean_of_task")[6:]
    )
    rules, mistakes = rules_file.parse(text.encode())
    assert (rules.rules, mistakes) == ((), [])
    quiet, greedy = rules.apart
    assert (quiet.above, quiet.window_s) == (Decimal(300), 300)
    assert (greedy.above, greedy.baseline) == (Decimal(3), Baseline.TASK)


def test_for_is_how_long_it_goes_on_after_the_first_window() -> None:
    assert [rule(**{"for": length}).for_windows for length in ("0m", "5m", "10m")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"window": "90s"}, "window: calls are counted by the minute, and 90s is no whole number of them; write 1m or 2m"),
        ({"window": "7d"}, "window: longer than a day, a window moves on by a part of itself: write 7d and add every: 1d"),
        ({"window": "-5m"}, "window: '-5m' is no length of time such as 90s, 5m, 1h or 7d; it cannot be negative"),
        (
            {"window": "300"},
            "window: '300' is no length of time such as 90s, 5m, 1h or 7d; write 300m for minutes or 300s for seconds",
        ),
        ({"window": "1.5 hours"}, "window: '1.5 hours' is no length of time such as 90s, 5m, 1h or 7d; write 90m"),
        ({"window": "1 week"}, "window: '1 week' is no length of time such as 90s, 5m, 1h or 7d; write 7d"),
        ({"window": "90d", "every": "1d"}, "window: with every: 1d the longest is 31d"),
        ({"window": "7d", "every": "5m"}, "window: with every: 5m the longest is 14h"),
        ({"window": "7m", "every": "5m"}, "window: 7m is no multiple of every: 5m; write 5m"),
        (
            {"window": "30m", "every": "7m"},
            "every: a day is no whole number of 7m, so windows would begin elsewhere each day; write 6m or 8m",
        ),
        ({"above": "0.05"}, "above: '0.05' is no share of calls in %; write 5%"),
        ({"above": "120%"}, "above: tool_error_rate is a share and never over 100%, so 120% would never be passed"),
        ({"above": "5.12345678912%"}, "above: '5.12345678912%' is no share of calls in %; write 5.123456789%"),
        ({"above": "2x"}, "above: '2x' is no share of calls in %; write 2%, or 2x same_hour_of_7_days"),
        (
            {"above": "2x baseline"},
            "above: tool_error_rate has no past called 'baseline'; there are last_7_windows, same_hour_of_7_days",
        ),
        ({"above": "2x last_7_window"}, "above: tool_error_rate has no past called 'last_7_window'; is last_7_windows meant?"),
        ({"above": "0x last_7_windows"}, "above: nothing times the past is nothing: write a factor such as 2x, or a threshold"),
        ({"above": "nan%"}, "above: 'nan%' is no share of calls in %; tool_error_rate wants one such as 5%"),
        (
            {"measure": "cost", "above": "2x same_hour_of_7_days"},
            "above: cost is a sum, and windows of another length have other sums: write last_7_windows",
        ),
        (
            {"window": "2h", "above": "2x same_hour_of_7_days"},
            "above: same_hour_of_7_days is for windows of an hour and less; write last_7_windows",
        ),
        (
            {"window": "10m", "every": "5m", "above": "2x last_7_windows"},
            "above: windows that overlap have no last_7_windows; leave out every, or write a threshold",
        ),
        (
            {"measure": "model_latency_p95", "above": "5%"},
            "above: '5%' is no time in ms, s or m; write 5ms, or 5% of same_hour_of_7_days",
        ),
        ({"measure": "unpriced_calls", "above": "5%"}, "above: '5%' is no plain number; write 5"),
        ({"measure": "silence", "above": "5"}, "above: '5' is no time in s, m, h or d; write 5s"),
        ({"measure": "silence", "above": "2x last_7_windows"}, "above: silence is compared with no past; write 5s"),
        (
            {"measure": "silence", "above": "5m", "for": "5m"},
            "for: silence is not drawn from windows that follow each other; leave for out",
        ),
        (
            {"measure": "decision_tokens", "above": "500 tokens"},
            "above: decision_tokens is compared with what its task usually takes, such as 3x",
        ),
        ({"measure": "decision_tokens", "above": "3x mean_of_task"}, "window: decision_tokens is not drawn from windows"),
        (
            {"measure": "decision_tokens", "above": "3x last_7_windows"},
            "above: decision_tokens has no past called 'last_7_windows'",
        ),
        ({"clear_at": "0.9"}, "clear_at: '0.9' is no share of the threshold, over 0% and up to 100%; write 90%"),
        ({"hold": "0m"}, "hold: 0m is no multiple of 5m, by which windows end; write 5m"),
        ({"by": "agent"}, "by: a list is wanted, such as by: [agent]"),
        ({"by": "[]"}, "by: tool_error_rate cannot be grouped by []; write [agent] or [agent, tool]"),
        ({"severity": "high"}, "severity: there is no severity high; is error meant?"),
        ({"window": "[5m]"}, "window: one value is wanted, this is a list"),
        ({"window": "''"}, "window: has no value"),
        ({"window": "", "length": "5m"}, "window is missing; write for instance window: 5m"),
        ({"above": "", "threshold": "5%"}, "there is no field threshold; is above meant?"),
    ],
)
def test_a_mistake_says_what_was_meant(fields: dict[str, str], what: str) -> None:
    assert what in told(one(**fields))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"", 1, "the file is empty; `waterline rules defaults` prints a file to start from"),
        (b"# nothing yet\n", 1, "the file is empty"),
        (b"rules\n", 1, "a rules file begins with `rules:`, this is 'rules'"),
        (b"- rule: x\n", 1, "a rules file begins with `rules:`, this is a list"),
        (b"rules:\n", 1, "the file: rules: has no rule; write rules: [] to have none"),
        (b"rules: none\n", 1, "the file: rules: a list of rules is wanted"),
        (b"ruls: []\n", 1, "the file: there is no field ruls; is rules meant?"),
        (b"rules:\n  - rule: x\n   measure: y\n", 3, "this is not YAML: "),
        (b"rules:\n\t- rule: x\n", 2, "indent with spaces, not with tabs"),
        (b"rules: []\n---\nrules: []\n", 2, "this is not YAML: "),
        (b"rules:\n  - rule: \xff\n", 2, "this is no UTF-8 text"),
        (b"rules:\n  - rule: \x00\n", 2, "there is a character that no text has"),
        (b"[" * 20_000, 1, "nested far deeper"),
        (b"rules: []\n" + b"#" * LARGEST, 1, "bytes, 131,072 are the most"),
    ],
)
def test_what_is_no_rules_file_says_so(text: bytes, line: int, what: str) -> None:
    rules, (mistake,) = rules_file.parse(text)
    assert (rules.rules, mistake.line) == ((), line)
    assert what in mistake.what


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(Permanent, match=re.escape(str(path))):
            rules_file.load(path)


def test_no_rules_at_all_can_be_meant() -> None:
    assert rules_file.parse(b"rules: []\n") == (rules_file.parse(b"rules: []\n")[0], [])
    assert rules_file.parse(b"rules: []\n")[0].rules == ()


def test_the_version_is_that_of_the_text() -> None:
    first, same, other = (rules_file.parse(one(above=above).encode())[0].version for above in ("5%", "5%", "6%"))
    assert first == same != other
    assert re.fullmatch("[0-9a-f]{12}", first)


@given(st.text(max_size=200))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    for whole in (text, f"rules:\n  - {text}", "rules:\n  - rule: " + text, one(above=text or "x"), one(window=text or "x")):
        rules, mistakes = rules_file.parse(whole.encode("utf-8", "surrogatepass"))
        assert all(mistake.line >= 1 and mistake.what for mistake in mistakes)
        assert len({rule.name for rule in rules.rules}) == len(rules.rules) or mistakes


def test_the_default_rules_use_every_measure_and_say_what_they_mean() -> None:
    default = rules_file.default()
    rules = (*default.rules, *default.apart)
    assert {rule.measure for rule in rules} == {measure.name for measure in MEASURES}
    assert all(rule.meaning for rule in rules)
