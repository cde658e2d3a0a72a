"""Retrieval: recall@k and reciprocal rank of one event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streams.steps.world import event
from waterline.schemas.events import Kind, Retrieved
from waterline.streams.steps.retrieval import quality, ranked, recall, reciprocal_rank

documents = st.lists(st.sampled_from("abcdefgh"), max_size=12)
labels = st.lists(st.sampled_from("abcdefghxyz"), min_size=1, max_size=6)


def chunks(*told: tuple[str, int]) -> list[Retrieved]:
    return [Retrieved(f"{doc}/{rank}", doc, "v1", 0.5, rank) for doc, rank in told]


def test_by_hand() -> None:
    """Two of three are found, the first on place two; two chunks of one document are two places."""
    told = event(Kind.RETRIEVAL, retrieved=chunks(("b", 3), ("x", 1), ("a", 2), ("a", 4)), relevant=["a", "b", "c", "a"])
    assert ranked(told.retrieved) == ["x", "a", "b", "a"]
    assert quality(told, 10) == pytest.approx((2 / 3, 1 / 2))
    assert quality(told, 2) == pytest.approx((1 / 3, 1 / 2))
    assert quality(event(Kind.RETRIEVAL, retrieved=chunks(("x", 1)), relevant=["a"]), 10) == (0.0, 0.0)
    assert quality(event(Kind.RETRIEVAL, retrieved=[], relevant=["a"]), 10) == (0.0, 0.0)


def test_without_labels_nothing_is_said() -> None:
    assert quality(event(Kind.RETRIEVAL, retrieved=chunks(("a", 1))), 10) is None


def test_without_ranks_the_order_told_is_the_order() -> None:
    assert ranked(chunks(("c", 0), ("a", 0), ("b", 0))) == ["c", "a", "b"]


@given(documents, labels, st.integers(0, 12))
def test_recall_grows_with_k_to_what_is_there(found: list[str], relevant: list[str], k: int) -> None:
    at_k, next_k, all_of_it = (recall(found, relevant, n) for n in (k, k + 1, len(found)))
    assert at_k is not None
    assert next_k is not None
    assert 0 <= at_k <= next_k <= 1
    assert all_of_it == len(set(found) & set(relevant)) / len(set(relevant))


@given(documents, labels)
def test_the_reciprocal_rank_is_zero_only_when_nothing_relevant_came(found: list[str], relevant: list[str]) -> None:
    value = reciprocal_rank(found, relevant)
    assert value is not None
    assert (value > 0) == bool(set(found) & set(relevant))
    assert value in {0.0, *(1 / place for place in range(1, 13))}
