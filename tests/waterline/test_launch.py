"""No child outlives the process that started it, on any platform's way of telling."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from waterline.stack import state
from waterline.stack.process import LAUNCH, Child, NotReady

SLEEPER = [sys.executable, "-I", "-S", "-c", "import signal, sys; print('up', flush=True); signal.pause()"]

PARENT = """
import os, subprocess, sys
launch, way, *command = sys.argv[1:]
fd = -1 if way == "kernel" else os.pipe()[0]
child = subprocess.Popen([sys.executable, "-I", "-S", launch, str(os.getpid()), str(fd), "0", *command],
                         pass_fds=() if fd < 0 else (fd,), start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize(
    "way", ["pipe", pytest.param("kernel", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux"))]
)
def test_a_child_dies_with_a_parent_that_was_killed(way: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(LAUNCH), way, *SLEEPER], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout
        launched = psutil.Process(int(parent.stdout.readline()))
        family = [(each.pid, each.create_time()) for each in (launched, *launched.children(recursive=True))]
        assert len(family) == (1 if way == "kernel" else 2)
        parent.kill()
    for process in family:
        assert state.wait_gone(*process, timeout=10)


def test_the_watching_launcher_hands_on_signals_and_the_exit_code(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); signal.pause()"
    launcher = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(reading), "0"]
    command = [*launcher, sys.executable, "-I", "-S", "-c", code]
    with subprocess.Popen(command, pass_fds=(reading,), start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 7
    os.close(reading)
    os.close(writing)


def test_a_child_stands_back_as_far_as_it_is_told(tmp_path: Path) -> None:
    child = Child("part", SLEEPER, tmp_path / "part.log", nice=5)
    child.start()
    try:
        child.wait_until(lambda: "up" in child.tail(), time.monotonic() + 10)
        assert child.process
        assert psutil.Process(child.process.pid).nice() == min(19, os.nice(0) + 5)
        group = Path(f"/proc/{child.process.pid}/autogroup")
        if group.exists() and group.read_text().strip():
            assert group.read_text().split()[-1] == "5"
    finally:
        child.kill()


def test_a_process_that_ends_before_it_answers_is_reported_with_its_log(tmp_path: Path) -> None:
    child = Child("part", [sys.executable, "-c", "raise SystemExit('no such disk')"], tmp_path / "part.log")
    child.start()
    with pytest.raises(NotReady, match=r"part ended with code 1\n.*part\.log\nno such disk"):
        child.wait_until(lambda: False, time.monotonic() + 10)


def test_stop_ends_a_paused_process(tmp_path: Path) -> None:
    child = Child("part", SLEEPER, tmp_path / "part.log")
    child.start()
    child.wait_until(lambda: "up" in child.log.read_text(), time.monotonic() + 10)
    child.signal(signal.SIGSTOP)
    child.stop(10)
    assert child.exit_code == -signal.SIGTERM
