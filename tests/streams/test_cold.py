"""The local copy against a dictionary, and a state loaded from it against the changelog it is a copy of."""

import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterline.schemas.changelog import PLACE
from waterline.streams import cold
from waterline.streams.changelog import Changelog
from waterline.streams.cold import CopyFailed, LocalCopy
from waterline.streams.state import State
from waterline.streams.steps.fold import Changes, Cold, Position
from waterline.streams.writer import Record, Writer

KEYS = st.sampled_from([f"k{number}".encode() for number in range(12)])
PUTS = st.dictionaries(KEYS, st.none() | st.binary(min_size=1, max_size=8), max_size=6)
COLD = st.sets(KEYS)
STEPS = st.lists(st.tuples(st.sampled_from(["drain", "commit", "chill", "reopen", "catch up"]), PUTS, COLD), max_size=15)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_it_holds_what_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, dict[bytes, bytes | None], set[bytes]]]
) -> None:
    path = tmp_path_factory.mktemp("copy")
    copy, covered = LocalCopy(path / "db", "id"), 0
    model: dict[bytes, bytes] = {}
    over: dict[bytes, bytes | None] = {}
    copy.open(0, 0)
    drained: tuple[dict[bytes, bytes | None], set[bytes]] | None = None
    for step, puts, chilled in steps:
        if step == "drain" and drained is None:
            drained, over = (puts, chilled), puts
            copy.lay(puts)
        elif step == "commit" and drained is not None:
            covered += 1
            copy.write(drained[0], drained[1], covered)
            copy.lift()
            apply(model, drained[0])
            drained, over = None, {}
        elif step == "chill":
            copy.chill({key: model[key] for key in chilled & copy.hot_keys if key in model})
        elif step in ("reopen", "catch up"):
            assert copy.open(0, covered) or not covered
            drained, over = None, {}
            if step == "catch up":
                covered += 1
                copy.catch_up(puts, covered)
                apply(model, puts)
            assert dict(copy.hot()).items() <= model.items()
        seen = {key: value for key, value in (model | over).items() if value is not None}
        assert {key: copy.get(key) for key in seen} == seen
        assert list(copy.scan(b"k1", b"k5")) == sorted(key for key in seen if b"k1" <= key < b"k5")
    copy.close()


def apply(model: dict[bytes, bytes], puts: Mapping[bytes, bytes | None]) -> None:
    for key, value in puts.items():
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value


class Keeper:
    """A `Fold` that keeps what begins with `hot` and leaves the rest on disk."""

    def __init__(self, cold: Cold) -> None:
        self.cold = cold
        self.kept: dict[bytes, bytes] = {}
        self.loads = 0

    def load(self, key: bytes, value: bytes) -> bool:
        self.loads += 1
        if key.startswith(b"hot"):
            self.kept[key] = value
        return key.startswith(b"hot")

    def apply(self, at: Position, frame: object) -> None: ...

    def drain(self) -> Changes:
        return Changes()


class Shelf:
    """A changelog with one partition, a writer to it, and a model of what it holds."""

    def __init__(self, bootstrap: str, topic: str, home: Path) -> None:
        self.config = {"bootstrap.servers": bootstrap}
        self.changelog = Changelog(self.config, topic)
        self.path = home / "copy"
        self.model: dict[bytes, bytes] = {}
        self.writer = Writer(self.config, f"shelf-{uuid.uuid4().hex}", topic, 0)
        self.writer.fence()

    def commit(self, puts: dict[bytes, bytes | None]) -> int:
        apply(self.model, puts)
        return self.writer.write([], puts | {PLACE: b'{"applied":{"t":%d}}' % len(self.model)})

    def state(self, identity: str = "id") -> State:
        return State(self.changelog, 0, Keeper, self.path, identity)

    def same(self, state: State) -> bool:
        """Whether a loaded state is what was committed, and on a second look is still."""
        fold = state.fold
        assert isinstance(fold, Keeper)
        hot = {key: value for key, value in self.model.items() if key.startswith(b"hot")}
        every = {key: state.copy.get(key) for key in state.copy.scan(b"a", b"z")}
        return fold.kept == hot and every == self.model and state.applied == {"t": len(self.model)}


@pytest.fixture
def shelf(kafka: str, new_topic: Callable[..., str], tmp_path: Path) -> Shelf:
    made = Shelf(kafka, new_topic(partitions=1, name="changelog", cleanup_policy="compact"), tmp_path)
    made.commit({b"hot1": b"1", b"cold1": b"1", b"hot2": b"2"})
    made.commit({b"hot2": None, b"cold2": b"2", b"hot3": b"3"})
    return made


def test_a_state_comes_from_the_changelog_and_then_from_the_copy(shelf: Shelf) -> None:
    state = shelf.state()
    assert not state.load()
    assert shelf.same(state)
    state.copy.close()
    shelf.commit({b"hot1": b"new", b"cold1": None, b"hot9": b"9"})
    again = shelf.state()
    assert again.load()
    assert shelf.same(again)
    again.copy.close()


def test_what_is_cold_is_not_loaded_again(shelf: Shelf) -> None:
    for loads in (4, 2):
        state = shelf.state()
        state.load()
        assert isinstance(state.fold, Keeper)
        assert state.fold.loads == loads
        state.copy.close()


def test_a_commit_that_was_not_copied_is_read_from_the_changelog(shelf: Shelf) -> None:
    state = shelf.state()
    state.load()
    puts: dict[bytes, bytes | None] = {b"hot1": None, b"cold5": b"5"}
    covered = shelf.commit(puts)
    shelf.commit({b"hot7": b"7"})
    state.copy.write(puts, {b"cold5"}, covered)
    state.copy.close()
    again = shelf.state()
    assert again.load()
    assert shelf.same(again)
    again.copy.close()


def test_what_was_aborted_or_left_open_is_not_in_it(shelf: Shelf) -> None:
    zombie = Writer(shelf.config, "zombie", shelf.changelog.topic, 0)
    zombie.fence()
    zombie._producer.begin_transaction()
    zombie._produce([Record(shelf.changelog.topic, 0, b"hot1", b"ghost")])
    zombie._producer.flush()
    heir = Writer(shelf.config, "zombie", shelf.changelog.topic, 0)
    heir.fence()
    state = shelf.state()
    state.load()
    assert shelf.same(state)
    state.copy.close()


def lose(path: Path) -> None:
    shutil.rmtree(path)


def damage(path: Path) -> None:
    (path / "CURRENT").write_text("nonsense")


def cut(path: Path) -> None:
    for log in path.glob("*.log"):
        log.write_bytes(log.read_bytes()[:20])


@pytest.mark.parametrize("harm", [lose, damage, cut])
def test_a_lost_or_damaged_copy_is_made_anew(shelf: Shelf, harm: Callable[[Path], None]) -> None:
    state = shelf.state()
    state.load()
    state.copy.close()
    harm(shelf.path)
    again = shelf.state()
    again.load()
    assert shelf.same(again)
    again.copy.close()


def test_a_copy_of_another_changelog_is_not_believed(shelf: Shelf) -> None:
    state = shelf.state()
    state.load()
    state.copy.catch_up({b"hot1": b"of another"}, state.copy.covered)
    state.copy.close()
    again = shelf.state("another id")
    assert not again.load()
    assert shelf.same(again)
    again.copy.close()


def test_a_copy_that_may_have_missed_deletions_is_not_believed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    state = shelf.state()
    state.load()
    state.copy.close()
    monkeypatch.setattr(cold, "STALE_S", -1.0)
    again = shelf.state()
    assert again.load(), "nothing came after it, so it misses nothing"
    again.copy.close()
    shelf.commit({b"hot1": None})
    late = shelf.state()
    assert not late.load()
    assert shelf.same(late)
    late.copy.close()


def test_a_disk_that_refuses_is_not_a_bug(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CopyFailed, match="cannot"):
        LocalCopy(tmp_path / "file" / "copy", "id").open(0, 0)
    with pytest.raises(CopyFailed, match="closed"):
        LocalCopy(tmp_path / "copy", "id").get(b"key")
