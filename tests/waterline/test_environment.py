"""Settings and data directories that cannot be: one line each that says what to change, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waterline.commands.up import start_detached
from waterline.environment import misspelt
from waterline.schemas.settings import Settings
from waterline.stack import Stack, StackError, addresses, checkup, ports, state
from waterline.stack.parts import choose


def waterline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATERLINE_")}
    command = [sys.executable, "-m", "waterline", *arguments]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("command", "name", "value", "complaint"),
    [
        (["up"], "WATERLINE_COLLECTOR_PORT", "many", "WATERLINE_COLLECTOR_PORT: Input should be a valid integer"),
        (
            ["doctor"],
            "WATERLINE_COLLECTOR_PORT",
            "70000",
            "WATERLINE_COLLECTOR_PORT: Input should be less than or equal to 65535",
        ),
        (["up"], "WATERLINE_KAFKA", "127.0.0.1:many", "WATERLINE_KAFKA: '127.0.0.1:many' is no host:port"),
        (["sql"], "WATERLINE_KAFKA", "127.0.0.1:70000", "WATERLINE_KAFKA: '127.0.0.1:70000' is no host:port"),
        (["sql"], "WATERLINE_CLICKHOUSE", "127.0.0.1:8123", "WATERLINE_CLICKHOUSE: '127.0.0.1:8123' is no URL such as http://"),
        (
            ["up"],
            "WATERLINE_CLICKHOUSE",
            "http://127.0.0.1:x",
            "WATERLINE_CLICKHOUSE: 'http://127.0.0.1:x' is no URL such as http://",
        ),
        (
            ["status"],
            "WATERLINE_CLICKHOSE",
            "http://127.0.0.1:9",
            "WATERLINE_CLICKHOSE is no setting; did you mean WATERLINE_CLICKHOUSE?",
        ),
    ],
)
def test_a_wrong_setting_is_named(command: list[str], name: str, value: str, complaint: str, tmp_path: Path) -> None:
    told = waterline(*command, WATERLINE_DATA_DIR=str(tmp_path), **{name: value})
    assert (told.returncode, told.stdout) == (1, "")
    (line,) = told.stderr.splitlines()
    assert complaint in line


def test_names_that_are_not_nearly_a_setting_are_left_alone() -> None:
    links = ["WATERLINE_COLLECTOR_SERVICE_PORT", "WATERLINE_COLLECTOR_PORT_4318_TCP_ADDR"]
    assert misspelt(["WATERLINE_KEY", "WATERLINE_TEST_CLICKHOUSE", "WATERLINE_MINE", "KAFKA", "waterline_kafka", *links]) == []
    assert [line.split(" is")[0] for line in misspelt(["WATERLINE_DATA_DRI"])] == ["WATERLINE_DATA_DRI"]


def test_one_port_for_two_parts_is_refused() -> None:
    port = ports.pick()
    settings = Settings(sink_metrics_port=port, streams_metrics_port=port)
    with pytest.raises(
        addresses.AddressError, match=rf"SINK_METRICS_PORT and WATERLINE_STREAMS_METRICS_PORT both name port {port}"
    ):
        addresses.settle(settings, choose(["sink", "streams"]))
    addresses.settle(settings, choose(["sink", "streams"]), free=True)
    addresses.settle(Settings(sink_metrics_port=0, streams_metrics_port=0), choose(["sink", "streams"]))


@pytest.fixture(params=["is a file", "cannot be written"])
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "is a file":
        (tmp_path / "file").write_text("")
        return tmp_path / "file"
    if sys.platform != "linux":
        pytest.skip("Linux has a directory that not even root can write")
    return Path("/proc/waterline")


def test_a_data_directory_that_cannot_be_used_is_named(bad: Path) -> None:
    with pytest.raises(StackError, match=f"the data directory {bad} cannot be used: .*--data-dir or WATERLINE_DATA_DIR"):
        Stack(bad, ("front",), free_ports=True).start()
    with pytest.raises(state.Unusable, match=str(bad)):
        start_detached(bad, ["front"], free_ports=True)
    for command in (["up"], ["demo"], ["keys", "create", "acme"]):
        told = waterline(*command, "--data-dir", str(bad))
        assert told.returncode == 1, command
        (line,) = (told.stdout + told.stderr).splitlines()
        assert str(bad) in line
        assert "invalid_parameter" not in line


def test_the_doctor_says_that_a_directory_cannot_be_written(bad: Path) -> None:
    (disk,) = (finding for finding in checkup.examine(Settings(data_dir=bad)) if finding.what == "disk")
    assert not disk.ok
    assert "cannot be written" in disk.found
    assert "--data-dir" in disk.advice


def test_the_doctor_names_the_ports_of_the_stack_that_runs_there(tmp_path: Path) -> None:
    me = os.getpid()
    part = state.PartState("sink", "running", url="http://127.0.0.1:21002")
    state.write(tmp_path, state.StackState(me, state.created(me) or 0.0, True, [part]))
    found = [finding.found for finding in checkup.examine(Settings(data_dir=tmp_path)) if finding.found.startswith("sink")]
    assert found == ["sink at http://127.0.0.1:21002 (the running stack's)"]
