"""Questions as files: what their heads say, how they are found, and what a user is told who asks wrongly."""

from datetime import UTC, datetime
from pathlib import Path
from string import ascii_lowercase

import pytest

from waterline.connectors.stores.clickhouse import questions
from waterline.connectors.stores.clickhouse.values import TIME, read_value
from waterline.schemas.errors import ErrorCode, Permanent

ALL = questions.load()
NOW = datetime(2026, 11, 20, 15, 30, 0, 250, tzinfo=UTC)


def test_the_missions_questions_are_there() -> None:
    numbers = [question.number for question in ALL]
    assert {"1", "2", "3", "8"} <= set(numbers)
    assert numbers == sorted(numbers, key=lambda number: (int(number.rstrip(ascii_lowercase)), number))
    assert numbers[-5:] == ["10", "10a", "10b", "10c", "10d"]


@pytest.mark.parametrize("question", ALL + questions.load(questions.PANELS), ids=lambda question: question.name)
def test_a_head_is_a_help(question: questions.Question) -> None:
    """`load` already holds the head against the SQL; here it must be of use to a reader."""
    assert question.words[0].isupper()
    assert all(one.help for one in question.parameters)
    assert "SELECT" in question.sql
    assert "{{" not in question.notes


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("decision_cost", "decision_cost"),
        ("decision-cost", "decision_cost"),
        ("Decision Cost", "decision_cost"),
        ("3", "decision_cost"),
        ("8a", "copies"),
        ("unpriced", "unpriced_calls"),
        ("Was anything lost?", "completeness"),
        ("where are all agent sessions right now", "sessions"),
    ],
)
def test_a_question_is_found(asked: str, found: str) -> None:
    assert questions.find(asked, ALL).name == found


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("decision_costs", "did you mean decision_cost"),
        ("decision", "did you mean decision_cost, decision_calls"),
        ("who lost the session", "did you mean sessions"),
        ("zzz", "`waterline questions` lists them"),
    ],
)
def test_an_unknown_question_is_told_what_is_near(asked: str, hint: str) -> None:
    with pytest.raises(Permanent, match=hint) as told:
        questions.find(asked, ALL)
    assert told.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, r"agent_activity needs agent \(String\): the agent; every runtime it ran in is shown"),
        ({"agnet": "a"}, r"agent_activity has no parameter 'agnet'; it has tenant, agent, since, until"),
        ({"agent": "a", "since": "last week"}, r"since: 'last week' is not a time: 2026-11-20, .* now-24h"),
    ],
)
def test_a_wrong_parameter_is_told_what_is_right(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(Permanent, match=complaint) as told:
        questions.find("agent_activity", ALL).bind(given)
    assert told.value.code is ErrorCode.INVALID_PARAMETER


@pytest.mark.parametrize(
    ("kind", "text", "read"),
    [
        (TIME, "2026-11-20", "2026-11-20 00:00:00.000000"),
        (TIME, "2026-11-20T10:00:00+02:00", "2026-11-20 08:00:00.000000"),
        (TIME, "now", "2026-11-20 15:30:00.000250"),
        (TIME, "now-24h", "2026-11-19 15:30:00.000250"),
        (TIME, "today", "2026-11-20 00:00:00.000000"),
        (TIME, "yesterday", "2026-11-19 00:00:00.000000"),
        (TIME, "today-2w", "2026-11-06 00:00:00.000000"),
        ("Date", "yesterday", "2026-11-19"),
        ("UInt32", "4294967295", "4294967295"),
        ("Decimal(38, 9)", "0.02", "0.02"),
        ("String", "'; DROP TABLE events", "'; DROP TABLE events"),
    ],
)
def test_values(kind: str, text: str, read: str) -> None:
    assert read_value(kind, text, NOW) == read


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TIME, "tomorrow-ish"),
        (TIME, "now-999999w"),
        ("UInt32", "-1"),
        ("UInt32", "4294967296"),
        ("UInt32", "٣"),
        ("Float64", "nan"),
        ("Decimal(38, 9)", "one"),
        ("Array(String)", "[]"),
    ],
)
def test_values_that_are_none(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        read_value(kind, text, NOW)


HEAD = "-- Which one?\n-- number: 9\n-- param tenant: String = default\n--     whose\n\nSELECT {tenant:String}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEAD.replace("Which one?", "Shows one"), "the first line asks the question"),
        (HEAD.replace("{tenant:String}", "1"), "declared in the head and used in the SQL, alike; not so: tenant: String"),
        (HEAD.replace("{tenant:String}", "{tenant:String}, {agent:String}"), "not so: agent: String"),
        (HEAD.replace("--     whose\n", ""), "parameter tenant does not say what it means"),
        (
            HEAD.replace("String = default", "UInt32 = default").replace("{tenant:String}", "{tenant:UInt32}"),
            "not a whole number",
        ),
    ],
)
def test_a_file_whose_head_does_not_hold_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "which_one.sql"
    file.write_text(HEAD)
    assert questions.read(file).number == "9"
    file.write_text(text)
    with pytest.raises((ValueError, Permanent), match=complaint):
        questions.read(file)


def test_two_questions_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.sql").write_text(HEAD)
    with pytest.raises(ValueError, match="two questions have the number 9"):
        questions.load(tmp_path)
