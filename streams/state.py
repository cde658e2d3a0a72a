"""What a partition knows: its fold, how far the input is in it, and the copy of both on disk."""

import time
from collections.abc import Callable, Sized
from pathlib import Path

import msgspec

from waterline.schemas.changelog import PLACE, RESERVED, Place
from waterline.streams.changelog import Block, Changelog
from waterline.streams.cold import LocalCopy
from waterline.streams.steps.fold import Cold, Fold

CHILL_BLOCK = 10_000


class State:
    """Empty until `load`, which may be called again whenever what is in memory can no longer be trusted. `read_at` is when
    loading last made a step (time.monotonic)."""

    fold: Fold

    def __init__(self, changelog: Changelog, partition: int, make: Callable[[Cold], Fold], path: Path, identity: str) -> None:
        self.applied: dict[str, int] = {}
        self.copy = LocalCopy(path, identity)
        self.read_at = 0.0
        self._changelog = changelog
        self._partition = partition
        self._make = make
        self._sequences: dict[str, int] = {}
        self._loaded = False

    def load(self) -> bool:
        """The committed state: what the copy has, and the changelog from there on. Whether there was a copy to go by.

        Raises Unsettled, CopyFailed or KafkaException; may then be tried again.
        """
        stop = self._changelog.ends([self._partition])[self._partition]
        kept = self.copy.open(self._changelog.start(self._partition), stop)
        self._changelog.read(self._partition, self.copy.covered, stop, self._catch_up)
        fold, place = self._make(self.copy), Place()
        cold: dict[bytes, bytes] = {}
        for key, value in self.copy.hot():
            if key == PLACE:
                place = msgspec.json.decode(value, type=Place)
            elif not key.startswith(RESERVED) and not fold.load(key, value):
                cold[key] = value
                if len(cold) >= CHILL_BLOCK:
                    self._chill(cold)
        if cold:
            self._chill(cold)
        self.fold, self.applied, self._sequences = fold, place.applied, place.sequences
        self._loaded = True
        return kept

    def _catch_up(self, block: Block, covered: int) -> None:
        self.copy.catch_up(block, covered)
        self.read_at = time.monotonic()

    def _chill(self, cold: dict[bytes, bytes]) -> None:
        self.copy.chill(cold)
        cold.clear()
        self.read_at = time.monotonic()

    def sequence(self, topic: str, partition: int) -> int:
        """The next running number of what this partition produces there."""
        lane = f"{topic}/{partition}"
        number = self._sequences[lane] = self._sequences.get(lane, -1) + 1
        return number

    def place(self) -> bytes:
        """What is written under PLACE."""
        return msgspec.json.encode(Place(applied=self.applied, sequences=self._sequences))

    def __len__(self) -> int:
        """States in memory, as the fold counts them if it does."""
        if not self._loaded:
            return 0
        return len(self.fold) if isinstance(self.fold, Sized) else len(self.copy.hot_keys)
