"""`waterline rules`: those in force, the mistakes of a file, and a file to start from."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from waterline.commands.rules import register
from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.ruler import trial
from waterline.schemas.settings import Settings, settings
from waterline.streams import rules_file
from waterline.streams.rules_feed import followed
from waterline.streams.rules_page import all_of

ONE = """
rules:
  - rule: errors
    measure: tool_error_rate
    by: [agent, tool]
    window: 10m
    every: 5m
    above: 7.5%
    for: 5m
    at_least: 3
budgets:
  - budget: searching
    scope: team
    of: search
    period: month
    limit: 1000 USD
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("WATERLINE_RULES_FILE", "")
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        settings.cache_clear()
        result = CliRunner().invoke(app, ["rules", *arguments], env=environment)
        return result.exit_code, result.stdout, result.stderr

    yield run
    settings.cache_clear()


@pytest.fixture(scope="module")
def database(clickhouse_url: str) -> Iterator[Client]:
    with connect(Settings(clickhouse=clickhouse_url), database="default") as engine:
        migrate.apply(engine, Target("rules_command"))
        with connect(Settings(clickhouse=clickhouse_url, clickhouse_database="rules_command")) as client:
            yield client
        engine.command("DROP DATABASE rules_command")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(ONE)
    return path


def test_the_default_rules_are_shown_when_no_file_is_named(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert "tool_error_rate of each agent above 5% over 5m from 20 calls on" in out
    assert f"from the default rules, version {rules_file.default().version}" in out


def test_the_rules_of_the_file_in_force_are_shown(run: Run, path: Path) -> None:
    code, out, _ = run(WATERLINE_RULES_FILE=str(path))
    assert code == 0
    assert "tool_error_rate of each agent and tool above 7.5% over 10m every 5m and for 5m more from 3 calls on" in out
    assert "1000 USD a month for team search; warned from 80% on, denied from 100% on" in out
    shown = json.loads(run("--json", WATERLINE_RULES_FILE=str(path))[1])
    assert shown["rules"] == [
        {
            "rule": "errors",
            "measure": "tool_error_rate",
            "by": ["agent", "tool"],
            "window": "10m",
            "every": "5m",
            "above": "7.5%",
            "at_least": 3,
            "for": "5m",
            "severity": "warning",
        }
    ]
    assert (shown["from"], shown["version"]) == (str(path), rules_file.load(path).version)


def test_a_file_is_checked_and_every_mistake_told(run: Run, path: Path) -> None:
    code, out, _ = run("check", str(path))
    taken, lost = out.splitlines()
    assert (code, taken) == (0, f"{path}: 1 rule and 1 budget, no mistake; version {rules_file.load(path).version}")
    count = len(all_of(rules_file.default()))
    assert lost.startswith(f"{count} of the {count} default rules are not in this file: tool_error_rate, ")
    path.write_text(ONE.replace("rule: errors", "rule: tool_error_rate"))
    assert (
        f"{count - 1} of the {count} default rules are not in this file: tool_error_rate_by_tool, " in run("check", str(path))[1]
    )
    path.write_text(ONE.replace("7.5%", "7.5").replace("1000 USD", "1000"))
    code, out, told = run("check", str(path))
    assert (code, out) == (1, "")
    assert told.splitlines() == [
        f"{path}, line 8: rule errors: above: '7.5' is no share of calls in %; write 7.5%",
        f"{path}, line 16: budget number 1: limit: '1000' is no amount in USD; write 1000 USD",
        "2 mistakes; a worker would not take this file",
    ]
    code, out, _ = run("check", "--json", str(path))
    assert (code, len(json.loads(out)["mistakes"])) == (1, 2)


QUESTION = """-- How many calls fail?
-- param least: UInt32 = 10
--     calls

SELECT agent, countIf(status != 'ok') / count() AS value, count() AS samples
FROM events
WHERE received_at >= {from:DateTime64(6, 'UTC')} AND received_at < {to:DateTime64(6, 'UTC')}
GROUP BY agent
HAVING samples >= {least:UInt32};
SELECT * FROM events WHERE agent = {agent:String}
"""
ASKED = "rules:\n  - {rule: failing, question: q.sql, every: 1m, above: 5}\n"


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ("status", "state", 5, "state"),
        ("AND received_at", "AND AND received_at", 7, "Syntax error"),
        ("HAVING samples", "HAVING sample", 9, "sample"),
        ("WHERE agent", "WHERE agents", 10, "agents"),
        ("FROM events\nWHERE", "FROM eventz\nWHERE", 6, "eventz"),
        ("countIf(status != 'ok') / count()", "'many'", 5, "value is a String, a number is wanted"),
        ("", "", 0, ""),
    ],
)
def test_questions_are_tried(path: Path, database: Client, right: str, wrong: str, line: int, said: str) -> None:
    question = path.with_name("q.sql")
    path.write_text(ASKED)
    question.write_text(QUESTION.replace(right, wrong, 1))
    found = trial.mistakes(database, rules_file.load(path), path.parent)
    if not line:
        assert found == []
    else:
        (one,) = found
        assert one.startswith(f"{question}, line {line}: rule failing: "), one
        assert said in one


def test_what_cannot_be_tried_is_said(run: Run, path: Path) -> None:
    path.write_text(ASKED)
    path.with_name("q.sql").write_text(QUESTION)
    code, out, _ = run("check", str(path), WATERLINE_CLICKHOUSE="http://127.0.0.1:1")
    assert code == 0
    assert "1 question not tried: ClickHouse at http://127.0.0.1:1 does not answer" in out


def test_what_runs_is_shown_beside_the_file(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"streams": followed(rules_file.load(path), path), "ruler": followed(rules_file.load(path), path)}
    monkeypatch.setattr("waterline.commands.rules._running", lambda _: told)
    assert "in force in streams and ruler" in run(WATERLINE_RULES_FILE=str(path))[1]
    path.write_text(ONE.replace("7.5%", "8%"))
    out = run(WATERLINE_RULES_FILE=str(path))[1]
    assert out.count(f"works by other rules: version {told['ruler'].version} of {path}, taken 2") == 2
    shown = json.loads(run("--json", WATERLINE_RULES_FILE=str(path))[1])
    assert shown["defaults_left_out"][0] == "tool_error_rate"
    assert shown["version"] != shown["in_force"]["ruler"]["version"] == told["ruler"].version


def test_a_file_that_is_wrong_now_does_not_hide_what_is_in_force(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"streams": followed(rules_file.load(path), path)}
    monkeypatch.setattr("waterline.commands.rules._running", lambda _: told)
    path.write_text("rules: 5")
    code, _, said = run(WATERLINE_RULES_FILE=str(path))
    assert code != 0
    assert f"streams works by other rules: version {told['streams'].version} of {path}" in said


def test_the_defaults_are_a_file_to_start_from(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("defaults")
    assert code == 0
    copy = tmp_path / "copy.yaml"
    copy.write_text(out)
    assert rules_file.load(copy) == rules_file.default()
