"""The lock of a data directory, beside what `stack.json` says of its holder."""

import os
import threading
from pathlib import Path

import pytest

from waterline.stack import state

DEAD = state.StackState(pid=os.getpid(), created=0.0)  # a process of this number, but of another time


def holding(data_dir: Path, holder: state.StackState) -> state.Lock:
    lock = state.Lock(data_dir)
    lock.acquire()
    state.write(data_dir, holder)
    return lock


def test_a_lock_that_its_dead_holder_has_not_yet_let_go_is_waited_for(tmp_path: Path) -> None:
    earlier, later = holding(tmp_path, DEAD), state.Lock(tmp_path)
    letting_go = threading.Timer(0.3, earlier.release)
    letting_go.start()
    later.acquire()
    letting_go.join()
    assert later.held
    later.release()


def test_a_lock_whose_holder_lives_is_refused_at_once(tmp_path: Path) -> None:
    me = os.getpid()
    earlier = holding(tmp_path, state.StackState(me, state.created(me) or 0.0))
    with pytest.raises(state.InUse, match=f"pid {me}"):
        state.Lock(tmp_path).acquire()
    earlier.release()
