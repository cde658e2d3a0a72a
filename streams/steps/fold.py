"""The contract between pure folds and the runtime that makes them durable.

A fold owns the state of one partition. The runtime feeds it parsed frames in order, drains what changed, and commits
state, facts and the applied offsets in one Kafka transaction. If that fails it throws the fold away and rebuilds it from
the changelog. So a fold does no I/O, reads no clock and draws no random number.
"""

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct, field

from waterline.schemas.frames import Frame
from waterline.schemas.topics import Topic


class Position(Struct, frozen=True, gc=False, order=True):
    """Where a frame came from."""

    topic: str
    partition: int
    offset: int


class Out(Struct, gc=False):
    """A record to produce. The partition is chosen from `key` (murmur2, as everywhere)."""

    topic: Topic
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class Changes(Struct):
    """What a batch did. `puts` maps state keys to their new bytes, None deletes."""

    puts: dict[bytes, bytes | None] = field(default_factory=dict)
    outs: list[Out] = field(default_factory=list)


class Cold(Protocol):
    """State that is on disk and not in memory: a cache of the changelog, read on demand."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Keys in [start, stop), in order."""
        ...


class Fold(Protocol):
    """One partition's state."""

    def load(self, key: bytes, value: bytes) -> bool:
        """Recovery: one state record. True = the fold keeps it in memory, False = it may stay on disk."""
        ...

    def apply(self, at: Position, frame: Frame) -> None:
        """Take in one frame. Must not raise for anything that is in the frame."""
        ...

    def drain(self) -> Changes:
        """What changed since the last drain; the fold forgets it."""
        ...
