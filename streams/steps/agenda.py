"""Things to look at when event time has come far enough. Adding and taking out is constant, whatever waits."""

from collections import deque
from collections.abc import Hashable, Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

from waterline.streams.steps.moment import SECOND

K = TypeVar("K", bound=Hashable)
BUCKET = 10 * SECOND


class Agenda(Generic[K]):
    """Keys by the time they are due, in buckets of ten seconds or another length: none too early, late by less than that. `at` is
    the time of the key that was taken out last."""

    def __init__(self, length: int = BUCKET) -> None:
        self.length, self.at = length, 0
        self._buckets: dict[int, deque[K]] = {}
        self._order: list[int] = []

    def add(self, due: int, key: K) -> None:
        bucket = -(-due // self.length)
        if (keys := self._buckets.get(bucket)) is None:
            keys = self._buckets[bucket] = deque()
            heappush(self._order, bucket)
        keys.append(key)

    def due(self, now: int, limit: int) -> Iterator[K]:
        """Take out up to `limit` keys whose time has come, the earliest first. Keys may be added meanwhile, at any time."""
        while limit > 0 and self._order and self._order[0] * self.length <= now:
            bucket = self._order[0]
            self.at = bucket * self.length
            keys = self._buckets[bucket]
            while keys and limit > 0 and self._order[0] == bucket:
                limit -= 1
                yield keys.popleft()
            if not keys and self._order[0] == bucket:
                del self._buckets[bucket]
                heappop(self._order)
