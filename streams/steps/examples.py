"""The decisions that stand as examples of a value: those that rank highest in what it is drawn from. Bounded, whatever comes."""

from bisect import insort
from collections.abc import Iterable
from typing import TypeVar

EXAMPLES = 5
"""That an alert shows."""
KEPT = 10
"""That are kept where what a decision ranks by can fall: `put` tells what that is good for."""
Rank = TypeVar("Rank", int, float)
Ranked = list[tuple[Rank, str]]
"""(what it ranks by, decision), the highest first, of equals the lesser key; each decision once"""


def raised(best: Ranked[Rank], one: tuple[Rank, str], most: int = EXAMPLES) -> None:
    """Takes in a decision, or the higher of two ranks of it. What is kept are the highest `most` of all there were, in whatever
    order and in however many parts they came: lists of parts are taken in like what they were drawn from."""
    if len(best) >= most and _order(one) >= _order(best[-1]):
        return
    for number, other in enumerate(best):
        if other[1] == one[1]:
            if other[0] >= one[0]:
                return
            del best[number]
            break
    insort(best, one, key=_order)
    del best[most:]


def put(best: Ranked[Rank], one: tuple[Rank, str], most: int = KEPT) -> None:
    """Takes in what a decision ranks by now, in place of what it ranked by before; with nothing it is forgotten. While ranks only
    rise these are the highest of all. In the place of one that falls or goes none that was left out before comes back: of ten
    kept the highest five are the right ones until more than five of them fell or went."""
    best[:] = [other for other in best if other[1] != one[1]]
    if one[0] > 0:
        insort(best, one, key=_order)
        del best[most:]


def keys(best: Iterable[tuple[Rank, str]]) -> list[str]:
    """What an alert shows of them."""
    return [key for _, key in best][:EXAMPLES]


def _order(one: tuple[Rank, str]) -> tuple[Rank, str]:
    return -one[0], one[1]
