"""The copy window against a plain model of it, and against itself after a restart."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from waterline.connectors.stores.clickhouse.window import KEY_BYTES, Window, key_of

ids = st.integers(0, 12)
batches = st.lists(st.lists(ids, max_size=8), max_size=30)


def key(number: int) -> bytes:
    """Few distinct high words, so that equal ones meet."""
    return (number % 3).to_bytes(8, "little") + number.to_bytes(8, "little")


def keys(numbers: list[int]) -> bytes:
    return b"".join(map(key, numbers))


class Model:
    """The ids of the last N rows stored, as a list."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.stored: list[int] = []

    def step(self, batch: list[int]) -> list[bool]:
        window = set(self.stored[len(self.stored) - min(self.size, len(self.stored)) :])
        copies = [one in window or one in batch[:at] for at, one in enumerate(batch)]
        self.stored += [one for one, copy in zip(batch, copies, strict=True) if not copy]
        return copies


def step(window: Window, batch: list[int]) -> list[bool]:
    copies = window.copies(keys(batch)).tolist()
    window.add(keys([one for one, copy in zip(batch, copies, strict=True) if not copy]))
    return list(copies)


@settings(max_examples=300)
@given(st.integers(0, 10), batches)
def test_it_is_the_model(size: int, sent: list[list[int]]) -> None:
    window, model = Window(size), Model(size)
    for batch in sent:
        assert step(window, batch) == model.step(batch)
        assert window.held <= 2 * size + 8


@given(st.integers(0, 10), batches, batches)
def test_filled_after_a_restart_it_is_the_one_that_was_lost(size: int, before: list[list[int]], after: list[list[int]]) -> None:
    window, model, filled = Window(size), Model(size), Window(size)
    for batch in before:
        step(window, batch)
        model.step(batch)
    filled.fill(keys(model.stored[::-1][:size]))
    for batch in after:
        assert step(filled, batch) == step(window, batch)


@given(st.lists(ids, max_size=30), st.integers(1, 10), batches)
def test_filled_with_a_larger_window_than_before_equal_ids_count_once(
    stored: list[int], size: int, after: list[list[int]]
) -> None:
    """Rows of a time when the window was smaller may repeat an id; the newest of them is the one that is remembered."""
    filled = Window(size)
    filled.fill(keys(stored[::-1][:size]))
    distinct = list(dict.fromkeys(stored[::-1][:size]))[::-1]
    model = Model(size)
    model.stored = distinct
    for batch in after:
        assert step(filled, batch) == model.step(batch)


def test_an_id_belongs_to_its_tenant() -> None:
    assert key_of("a", "x") != key_of("b", "x")
    assert key_of("acme", "x") == hashlib.md5(b"acme\x1fx", usedforsecurity=False).digest()
    assert len(key_of("a", "x")) == KEY_BYTES


def test_memory_stays_bounded() -> None:
    window = Window(1000)
    for start in range(0, 50_000, 70):
        window.add(b"".join(key_of("t", str(n)) for n in range(start, start + 70)))
        assert window.held <= 2 * 1000
