"""A slice of `make faults`: eight seeds, the store away for a minute, and what it all comes to."""

import pytest

from tests.faults.away import send_the_store_away
from tests.faults.runner import Runner
from waterline.stack import Stack

pytestmark = pytest.mark.alone
SEEDS = range(1, 9)
AWAY_S = 60.0


@pytest.fixture(scope="package")
def runner(stack: Stack) -> Runner:
    return Runner(stack)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_wrong(runner: Runner, seed: int) -> None:
    verdict = runner.run(seed)
    assert not verdict.wrong, f"{verdict}\nfaults: {verdict.faults}\nagain: python -m tests.faults --only {seed}"


def test_quality_is_told_to_the_last_event(runner: Runner) -> None:
    assert not runner.told()


@pytest.mark.timeout(400)
def test_the_store_may_be_away(stack: Stack) -> None:
    told = send_the_store_away(stack, 1000, AWAY_S)
    print(told)
    assert not told.wrong, str(told)


def test_drift_is_told_to_the_last_event(runner: Runner) -> None:
    assert not runner.drifted()
