"""Every guard has a test that switches it off and sees the defect, every crash point one that dies there."""

import re
from pathlib import Path

import pytest

from waterline.schemas.faults import Guard, Point

TESTS = Path(__file__).parents[1]
HERE = Path(__file__).parent
FILES = {path: path.read_text() for path in TESTS.rglob("test_*.py") if path.parent != HERE}
WORDS = {word for text in FILES.values() for quoted in re.findall(r'"([a-z_,:0-9]+)"', text) for word in re.split("[,:]", quoted)}
"""as in without="presence,plan" and crash="facts_written:6\""""
ALL_OF = re.compile(r'for point in Point if point\.meaning\.startswith\("(\w+)"\)')
DIED_AT = {process for text in FILES.values() for process in ALL_OF.findall(text)}
"""processes of which a test takes every point from the list"""


@pytest.mark.parametrize("guard", Guard)
def test_each_guard_is_switched_off_somewhere(guard: Guard) -> None:
    assert guard.value in WORDS, f"no test names the guard {guard.value}: {guard.meaning}"


@pytest.mark.parametrize("point", Point)
def test_each_crash_point_is_died_at_somewhere(point: Point) -> None:
    process = point.meaning.partition(":")[0]
    assert point.value in WORDS or process in DIED_AT, f"no test names the crash point {point.value}: {point.meaning}"
