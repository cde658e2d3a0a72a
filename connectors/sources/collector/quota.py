"""Token buckets: how much of a rate is left. A request may overdraw a bucket that is not empty; the next one waits."""

import time

from msgspec import Struct


class Bucket(Struct):
    """`rate` a second, 0 = unlimited; a second's worth may come at once."""

    rate: float = 0.0
    level: float = 0.0
    at: float = 0.0

    def set_rate(self, rate: float) -> None:
        if rate != self.rate:
            self.rate, self.level, self.at = rate, rate, time.monotonic()

    def wait(self, now: float) -> float:
        """Seconds until something may be taken; 0 = now."""
        if not self.rate:
            return 0.0
        self.level = min(self.rate, self.level + (now - self.at) * self.rate)
        self.at = now
        return 0.0 if self.level > 0 else (1.0 - self.level) / self.rate

    def take(self, amount: float) -> None:
        if self.rate:
            self.level -= amount


class Quota(Struct):
    """Events and bytes of one tenant or key."""

    events: Bucket
    size: Bucket

    def set_rates(self, events_per_s: float, bytes_per_s: float) -> None:
        self.events.set_rate(events_per_s)
        self.size.set_rate(bytes_per_s)

    def wait(self, now: float) -> float:
        return max(self.events.wait(now), self.size.wait(now))

    def take(self, events: int, size: int) -> None:
        self.events.take(events)
        self.size.take(size)


def unlimited() -> Quota:
    return Quota(Bucket(), Bucket())
