"""`waterline rules`: those in force, the mistakes of a file, and a file to start from."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from waterline.commands.rules import register
from waterline.schemas.settings import settings
from waterline.streams import rules_file

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
    assert (code, out) == (0, f"{path}: 1 rule and 1 budget, no mistake; version {rules_file.load(path).version}\n")
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


def test_the_defaults_are_a_file_to_start_from(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("defaults")
    assert code == 0
    copy = tmp_path / "copy.yaml"
    copy.write_text(out)
    assert rules_file.load(copy) == rules_file.default()
