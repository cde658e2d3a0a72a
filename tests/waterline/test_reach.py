"""A command that needs a stack uses the one it was told of, or says in one line what is missing and what to do."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from waterline.stack import state

NEED_A_STACK = [
    ("ClickHouse", "WATERLINE_CLICKHOUSE", ["ask", "sessions"]),
    ("ClickHouse", "WATERLINE_CLICKHOUSE", ["sql", "SELECT 1"]),
    ("ClickHouse", "WATERLINE_CLICKHOUSE", ["replay", "--dry-run"]),
    ("ClickHouse", "WATERLINE_CLICKHOUSE", ["migrate", "--no-topics"]),
    ("Kafka", "WATERLINE_KAFKA", ["replay"]),
    ("Kafka", "WATERLINE_KAFKA", ["verify", "completeness"]),
    ("Kafka", "WATERLINE_KAFKA", ["prices", "list"]),
    ("Kafka", "WATERLINE_KAFKA", ["prices", "publish"]),
    ("Kafka", "WATERLINE_KAFKA", ["migrate", "--dry-run"]),
]
NOWHERE = {"WATERLINE_CLICKHOUSE": "http://127.0.0.1:9", "WATERLINE_KAFKA": "127.0.0.1:9"}


def waterline(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATERLINE_")}
    return subprocess.run(
        [sys.executable, "-m", "waterline", *arguments],
        env=clean | environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port where something listens and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("name", "variable", "arguments"), NEED_A_STACK)
def test_without_a_stack_the_usual_ports_are_not_tried(name: str, variable: str, arguments: list[str], tmp_path: Path) -> None:
    told = waterline(tmp_path, *arguments)
    assert (told.returncode, told.stdout) == (1, "")
    (line,) = told.stderr.splitlines()
    assert line.startswith(f"waterline: no stack runs on {tmp_path / '.waterline'}, so there is no {name}: start one with")
    assert f"or set {variable} " in line


@pytest.mark.parametrize(("name", "variable", "arguments"), NEED_A_STACK[1::2])
def test_an_address_that_does_not_answer_is_named(name: str, variable: str, arguments: list[str], tmp_path: Path) -> None:
    told = waterline(tmp_path, *arguments, **NOWHERE)
    assert (told.returncode, told.stdout) == (1, "")
    (line,) = told.stderr.splitlines()
    assert f"{name} at {NOWHERE[variable]} does not answer (Connection refused): check {variable}" in line


def test_a_replay_names_the_collector_it_lacks(tmp_path: Path) -> None:
    told = waterline(tmp_path, "replay-runs", "--limit", "1")
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert "there is no collector: start one with `waterline up`" in line
    assert "give --endpoint" in line


def test_a_port_that_is_not_kafkas_is_named_in_one_line(deaf: int, tmp_path: Path) -> None:
    told = waterline(tmp_path, "prices", "list", WATERLINE_KAFKA=f"127.0.0.1:{deaf}")
    assert (told.returncode, told.stdout) == (1, "")
    (line,) = told.stderr.splitlines()
    assert f"Kafka at 127.0.0.1:{deaf} does not answer (something listens there, but: " in line


def test_the_stack_of_the_given_data_directory_is_the_one_that_is_asked(tmp_path: Path) -> None:
    me, one, other = os.getpid(), tmp_path / "one", tmp_path / "other"
    for port, home in ((9, one), (10, other)):
        home.mkdir()
        found = {"WATERLINE_CLICKHOUSE": f"http://127.0.0.1:{port}", "WATERLINE_DATA_DIR": str(home)}
        state.write(home, state.StackState(me, state.created(me) or 0.0, True, [state.PartState("front", "running")], found))
    by_option = waterline(tmp_path, "ask", "sessions", "--data-dir", str(other), WATERLINE_DATA_DIR=str(one)).stderr
    assert "ClickHouse at http://127.0.0.1:10 does not answer" in by_option
    assert "the stack on this data directory uses it, see `waterline status`" in by_option
    assert "http://127.0.0.1:9 " in waterline(tmp_path, "ask", "sessions", WATERLINE_DATA_DIR=str(one)).stderr
    explicit = waterline(tmp_path, "ask", "sessions", "--data-dir", str(other), WATERLINE_CLICKHOUSE="http://127.0.0.1:11").stderr
    assert "ClickHouse at http://127.0.0.1:11 does not answer (Connection refused): check WATERLINE_CLICKHOUSE" in explicit
    lacking = waterline(tmp_path, "prices", "list", "--data-dir", str(other)).stderr
    assert f"the stack on {other} runs no Kafka: add it to `waterline up --only`" in lacking


def test_every_command_that_asks_takes_a_data_directory(tmp_path: Path) -> None:
    for command in (["ask"], ["sql"], ["verify", "completeness"], ["prices", "list"], ["keys", "create"], ["replay"]):
        assert "--data-dir" in waterline(tmp_path, *command, "--help", COLUMNS="200").stdout
    created = waterline(tmp_path, "keys", "create", "acme", "--data-dir", "mine")
    assert created.returncode == 0, created.stderr
    assert (tmp_path / "mine" / "keys.json").exists()
