"""A worker that keeps up takes its full share of the CPU, one that is behind stands back."""

import sys
from pathlib import Path

import pytest

from waterline.stack.process import Child
from waterline.streams.standing import OWN, Standing

SCRIPT = """
import sys, time
from pathlib import Path
from waterline.streams.standing import OWN, Standing
standing = Standing()
for back in (False, True, False):
    standing.stand(back)
    print(OWN.read_text().split()[-1], standing.back, flush=True)
    time.sleep(0.3)
"""


@pytest.mark.skipif(not OWN.exists(), reason="Linux without groups of sessions")
def test_a_session_of_its_own_takes_its_weight_back_and_gives_it_up_again(tmp_path: Path) -> None:
    child = Child("standing", [sys.executable, "-c", SCRIPT], tmp_path / "log", nice=5)
    child.start()
    assert child.wait(20), child.tail()
    assert (tmp_path / "log").read_text().splitlines() == ["0 False", "5 True", "0 False"]


def test_a_session_that_others_share_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "autogroup"
    file.write_text("/autogroup-1 nice 5\n")
    standing = Standing(file)
    standing.stand(back=False)
    assert (file.read_text(), standing.back) == ("/autogroup-1 nice 5\n", True)


def test_where_linux_knows_no_groups_nothing_happens(tmp_path: Path) -> None:
    Standing(tmp_path / "none").stand(back=False)
    assert not (tmp_path / "none").exists()
