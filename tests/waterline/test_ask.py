"""The command line on a store: migrate, questions, ask, sql, as a user runs them."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.sql import seed
from tests.sql.seed import TRACE_A, Store
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.settings import Settings

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def database() -> str:
    return f"test_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def waterline(clickhouse_url: str, database: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("home")
    settings = {"WATERLINE_CLICKHOUSE": clickhouse_url, "WATERLINE_CLICKHOUSE_DATABASE": database, "COLUMNS": "250"}
    environment = os.environ | settings | {"WATERLINE_DATA_DIR": str(home), "HOME": str(home)}

    def run(*arguments: str, stdin: str = "") -> "CompletedProcess[str]":
        command = [sys.executable, "-m", "waterline", *arguments]
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="module")
def seeded(waterline: Run, clickhouse_url: str, database: str) -> Iterator[Run]:
    """Migrated by the command itself, then filled."""
    before = waterline("migrate", "--no-topics", "--dry-run")
    assert "would apply 0001_schema_migrations.sql" in before.stdout, before.stderr
    done = waterline("migrate", "--no-topics")
    assert done.returncode == 0, done.stderr
    assert waterline("migrate", "--no-topics", "--dry-run").stdout == "nothing to do\n"
    with closing(Store(clickhouse_url, database)) as store:
        seed.fill(store)
    yield waterline
    with closing(connect(Settings(clickhouse=clickhouse_url), database="default")) as client:
        client.command(f"DROP DATABASE {database}")


def test_ask_answers_for_people(seeded: Run) -> None:
    told = seeded("ask", "decision_cost", "--param", "tenant=acme", "--param", "decision=T-1")
    assert told.returncode == 0, told.stderr
    assert "What did this decision truly cost?" in told.stdout
    assert "realized_cost (USD)" in told.stdout
    assert "30.5095" in told.stdout
    assert "1 row; complete so far, 12 rows stored, 2 in flight" in told.stdout


def test_ask_answers_for_machines(seeded: Run) -> None:
    told = json.loads(seeded("ask", "3", "-p", "tenant=acme", "-p", f"decision={TRACE_A}", "--json").stdout)
    assert told["question"] == "decision_cost"
    assert told["units"]["expected_cost"] == "USD"
    assert told["rows"][0]["realized_cost"] == "30.509500000"
    assert told["rows"][0]["started_at"] == seed.at(0).isoformat().replace("+00:00", "Z")
    assert told["completeness"]["verdict"] == "complete so far"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ask", "decision_costs"], "waterline: there is no question 'decision_costs'; did you mean decision_cost"),
        (["ask", "action_trail"], "waterline: action_trail needs action (String)"),
        (["ask", "sessions", "-p", "hours=many"], "waterline: hours: 'many' is not a whole number"),
        (["ask", "sessions", "-p", "hours"], "waterline: --param takes name=value, not 'hours'"),
        (["ask", "decision_cost", "decision=x y"], "by --param: waterline ask decision_cost --param 'decision=x y'"),
        (["sql", "SELECT nothing FROM nowhere"], "nowhere"),
    ],
)
def test_who_asks_wrongly_is_told_so(seeded: Run, arguments: list[str], complaint: str) -> None:
    told = seeded(*arguments)
    assert told.returncode == 1
    assert complaint in told.stderr
    assert "Traceback" not in told.stderr


def test_what_is_the_same_in_every_row_is_said_once(seeded: Run) -> None:
    told = seeded("ask", "action_trail", "-p", "tenant=acme", "-p", "action=T-1").stdout
    assert "in every row: agent booking" in told
    assert "empty in every row: agent_version" in told
    assert "policy@v7 c1 0.91" in told


def test_questions_are_listed(waterline: Run) -> None:
    listed = json.loads(waterline("questions", "--json").stdout)
    assert {"decision_cost", "completeness", "sessions", "action_trail"} <= {one["name"] for one in listed}
    (trail,) = [one for one in listed if one["name"] == "action_trail"]
    assert trail["required"] == ["action"]
    assert "Was anything lost?" in waterline("questions").stdout


def test_sql_takes_one_statement_or_many_from_stdin(seeded: Run) -> None:
    assert json.loads(seeded("sql", "SELECT count() AS n FROM events", "--json").stdout) == [{"n": 12}]
    told = seeded(
        "sql", stdin="SELECT kind,\n  count() AS n FROM events\nWHERE tenant = 'other' GROUP BY kind;\n\\d ranges\nSELECT 40 + 2"
    )
    assert told.returncode == 0, told.stderr
    assert "tool_call" in told.stdout
    assert "written_at" in told.stdout
    assert "42" in told.stdout


def test_sql_changes_nothing_unless_it_is_told_to(seeded: Run) -> None:
    for statement in ("DROP TABLE events", "TRUNCATE TABLE events", "CREATE TABLE mine (n Int8) ENGINE = Memory"):
        told = seeded("sql", statement)
        assert (told.returncode, "readonly" in told.stderr.lower()) == (1, True), told.stderr
    assert json.loads(seeded("sql", "SELECT count() AS n FROM events", "--json").stdout) == [{"n": 12}]
    assert seeded("sql", "CREATE TABLE mine (n Int8) ENGINE = Memory", "--write").returncode == 0


def test_a_store_that_does_not_answer_is_named(waterline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "waterline", "ask", "sessions"]
    nowhere = {"WATERLINE_CLICKHOUSE": "http://127.0.0.1:9", "WATERLINE_DATA_DIR": str(tmp_path)}
    told = subprocess.run(command, env=os.environ | nowhere, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("waterline: ")
    assert "Traceback" not in told.stderr
