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
    """What a batch did. `puts` maps state keys to their new bytes, None deletes; keys that begin with a zero byte are the
    runtime's. `cold` names the keys of `puts` that left the memory: recovery does not load them, `Cold` still finds them.

    No puts and no outs = nothing is committed, and after a restart the same frames may come again. `along` are states not worth a
    commit of their own: they are put with whatever is, and with the place in the input. `left_out` counts what came too late to
    change what was said of a window.
    """

    puts: dict[bytes, bytes | None] = field(default_factory=dict)
    outs: list[Out] = field(default_factory=list)
    cold: set[bytes] = field(default_factory=set)
    left_out: int = 0
    along: dict[bytes, bytes | None] = field(default_factory=dict)


class Cold(Protocol):
    """The partition's state as last drained, on disk: a cache of the changelog, read on demand.

    It holds every key, whether the fold keeps it in memory or not, and what was drained is seen before it is committed.
    What was not drained yet only the fold knows. Do not drain while a scan is being read.
    """

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Keys in [start, stop), in order."""
        ...


class Fold(Protocol):
    """One partition's state. One that is `Sized` tells by its length how many states it holds in memory, for the metrics."""

    def load(self, key: bytes, value: bytes) -> bool:
        """Recovery: one state record, in no particular order, before the first frame. True = the fold keeps it in memory,
        False = it is cold: the next recovery leaves it on disk."""
        ...

    def apply(self, at: Position, frame: Frame) -> None:
        """Take in one frame. Must not raise for anything that is in the frame; its `bad` lines are not its business.

        Frames of one topic come in order and each one once. If it does raise, that is a bug: the fold is thrown away, and
        the frame comes again in parts (same `at`, some of the lines in order) so that only the line at fault is buried.
        """
        ...

    def drain(self) -> Changes:
        """What changed since the last drain; the fold forgets it."""
        ...
