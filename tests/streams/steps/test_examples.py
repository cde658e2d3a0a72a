"""Which decisions stand as examples: the highest of all, in whatever parts and order they came; none that is gone."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from waterline.streams.steps.examples import EXAMPLES, KEPT, Ranked, keys, put, raised
from waterline.streams.steps.tally import Spent
from waterline.streams.steps.windows import Age, Cell, Shown, examples

RANKS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from("abcdefghijkl")), max_size=40)


def highest(given: list[tuple[int, str]]) -> Ranked[int]:
    best = {key: max(rank for rank, other in given if other == key) for _, key in given}
    return sorted(((rank, key) for key, rank in best.items()), key=lambda one: (-one[0], one[1]))[:EXAMPLES]


@settings(max_examples=200, deadline=None)
@given(RANKS, st.lists(st.integers(0, 40), max_size=4))
def test_the_highest_of_the_parts_are_the_highest_of_all(given: list[tuple[int, str]], cuts: list[int]) -> None:
    whole: Ranked[int] = []
    for since, until in pairwise([0, *sorted(min(cut, len(given)) for cut in cuts), len(given)]):
        part: Ranked[int] = []
        for one in given[since:until]:
            raised(part, one)
        for one in part:
            raised(whole, one)
    assert whole == highest(given)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("abcdefghijklmnopqrst")), max_size=60))
def test_what_only_rises_is_ranked_by_its_last_word(given: list[tuple[int, str]]) -> None:
    now: dict[str, int] = {}
    best: Ranked[int] = []
    for more, key in given:
        now[key] = now.get(key, 0) + more
        put(best, (now[key], key))
    assert best == sorted(((rank, key) for key, rank in now.items()), key=lambda one: (-one[0], one[1]))[:KEPT]


def test_what_falls_goes_down_and_what_is_gone_is_not_shown() -> None:
    cell = Cell(model_ms={}, examples={}, dearest=[])
    for number in range(KEPT + 5):
        cell.costs(f"d{number:02}", 100 - number)
    assert examples("nanos", [cell]) == ["d00", "d01", "d02", "d03", "d04"]
    cell.costs("d00", 0)
    cell.costs("d02", 1)
    assert examples("nanos", [cell]) == ["d01", "d03", "d04", "d05", "d06"]
    assert len(cell.dearest or ()) == KEPT - 1


def test_a_window_that_is_told_no_more_keeps_no_examples_unless_it_is_a_pane() -> None:
    kept, panes = [(1.0, "a")], frozenset({("model_ms", 60), ("errors", 60)})
    for length, shown in ((60, ["a"]), (300, [])):
        cell = Cell(Age.SETTLED, model_ms={}, examples={"errors": ["b"]}, slowest=kept, dearest=[(1, "c")])
        cell.forget(length, Shown(panes=panes))
        assert (examples("model_ms", [cell]), bool(cell.examples), cell.dearest) == (shown, bool(shown), None)


def test_a_line_of_spending_names_the_dearest_and_those_that_cost_less_than_was_said() -> None:
    spent = Spent()
    for number in range(8):
        spent.add(10, number, (10 + number, f"d{number}"))
    spent.add(-5, 3, (12, "d7"))
    assert (spent.nanos, spent.at, keys(spent.dearest)) == (75, 7, ["d6", "d5", "d4", "d3"])
    assert spent.less == {"d7": 12}
