"""The front door: each command is found on demand, and a machine is checked line by line."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from waterline.schemas.settings import Settings
from waterline.stack import addresses, checkup, state
from waterline.stack import jars as lists
from waterline.stack.parts import NAMES, PARTS


def waterline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "waterline", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_every_command_says_what_it_does() -> None:
    shown = waterline("--help", COLUMNS="200")
    assert shown.returncode == 0
    for name in ("up", "down", "status", "doctor", "migrate", "settings", *(set(NAMES) - {"kafka"})):
        assert f" {name} " in shown.stdout


def test_an_unknown_command_and_an_unknown_part_are_named() -> None:
    assert "No such command 'upp'" in waterline("upp").stderr
    assert "no such part: zookeeper" in waterline("up", "--only", "zookeeper", COLUMNS="200").stderr
    assert "nothing is left" in waterline("up", "--only", "kafka", "--external", "kafka", COLUMNS="200").stderr


def test_settings_are_shown_and_secrets_are_not() -> None:
    shown = json.loads(waterline("settings", "--json", WATERLINE_PARTITIONS="5", WATERLINE_CLICKHOUSE_PASSWORD="hidden").stdout)
    assert set(shown) == {f"WATERLINE_{name.upper()}" for name in Settings.model_fields}
    assert shown["WATERLINE_PARTITIONS"] == "5"
    assert shown["WATERLINE_CLICKHOUSE_PASSWORD"] == "***"


def test_a_command_finds_the_running_stack_unless_told_otherwise(tmp_path: Path) -> None:
    me = os.getpid()
    found = {"WATERLINE_KAFKA": "127.0.0.1:21001", "WATERLINE_SINK_METRICS_PORT": "21002"}
    state.write(tmp_path, state.StackState(me, state.created(me) or 0.0, True, [], found))
    shown = json.loads(waterline("settings", "--json", WATERLINE_DATA_DIR=str(tmp_path), WATERLINE_KAFKA="elsewhere:1").stdout)
    assert shown["WATERLINE_KAFKA"] == "elsewhere:1"
    assert shown["WATERLINE_SINK_METRICS_PORT"] == "21002"


def test_a_machine_that_can_run_the_stack_has_no_problem_but_ports(jars: None, tmp_path: Path) -> None:
    problems = [finding for finding in checkup.examine(Settings(data_dir=tmp_path)) if not finding.ok and finding.what != "ports"]
    assert problems == []


def test_problems_are_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        settings = Settings(data_dir=tmp_path, free_space_mark=2**60, cache_dir=tmp_path / "cache")
        settings = addresses.settle(settings, PARTS, free=True)[0].model_copy(update={"sink_metrics_port": taken})
        (listed, *_) = lists.read_list()
        damaged = tmp_path / "cache" / "maven" / listed.path
        damaged.parent.mkdir(parents=True)
        damaged.write_bytes(b"cut short")
        found = {finding.what: finding for finding in checkup.examine(settings) if not finding.ok}
        code = waterline("doctor", "--data-dir", str(tmp_path), WATERLINE_SINK_METRICS_PORT=str(taken))
    assert "WATERLINE_SINK_METRICS_PORT" in found["ports"].advice
    assert "WATERLINE_FREE_SPACE_MARK" in found["disk"].advice
    assert str(listed) in found["jars"].found
    assert code.returncode == 1
    assert f"[{taken}] taken" in code.stdout


@pytest.mark.parametrize("address", ["broker.example:9092", "127.0.0.1:1,127.0.0.1:2"])
def test_an_external_broker_is_not_a_problem(address: str, tmp_path: Path) -> None:
    lines = [finding for finding in checkup.examine(Settings(kafka=address, data_dir=tmp_path)) if "kafka" in finding.found]
    assert [(line.ok, "--external kafka" in line.found) for line in lines] == [(True, True)]
