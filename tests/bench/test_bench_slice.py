"""A short run of the benchmarks, by CPU time and with a margin: a figure here is no result, but a ratio that breaks is a bug."""

import json
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import growth, report, sink
from waterline.schemas.settings import Settings
from waterline.streams.price_list import changes, wanted
from waterline.streams.steps.moment import EPOCH
from waterline.streams.steps.prices import PriceBook

pytestmark = pytest.mark.alone
MARGIN = 1.3
"""A busy machine's caches are not ours alone."""


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("jars")
def test_the_sink_beside_a_naive_loop(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sink.run(rounds=2, quick=True)
    told = json.loads((results / "sink.json").read_text())
    assert told["bars"][0]["ratio"][0] * MARGIN >= sink.WANTED
    assert [len(figure["rounds"]) for figure in told["figures"]] == [2] * 6
    assert all(value > 0 for figure in told["figures"] for value in figure["rounds"])
    bench.summarise(0)
    assert "of 2 bars reached" in capsys.readouterr().out


def test_the_fold_does_not_grow_with_open_decisions() -> None:
    book = PriceBook(changes(wanted(Settings()), [], EPOCH))
    few, many = ([growth.time_per_event(book, size, seed) for seed in range(2)] for size in (growth.OPEN[0], growth.OPEN[-1]))
    assert min(many) <= min(few) * growth.WANTED * MARGIN


@pytest.mark.parametrize(
    ("wanted", "at_most", "reached", "line"),
    [
        (2.0, False, True, "reached     it: 2.50x [2.00, 3.00], wanted >= 2x"),
        (2.6, False, False, "NOT REACHED it: 2.50x [2.00, 3.00], wanted >= 2.6x"),
        (2.0, True, False, "NOT REACHED it: 2.50x [2.00, 3.00], wanted <= 2x"),
        (None, False, None, "no bar      it: 2.50x [2.00, 3.00]"),
    ],
)
def test_a_bar_says_whether_it_is_reached(wanted: float | None, at_most: bool, reached: bool | None, line: str) -> None:
    told = report.bar("it", wanted, (2.5, 2.0, 3.0), at_most)
    assert (told["reached"], report.verdict(told)) == (reached, line)
