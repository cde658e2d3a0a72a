"""The queue of one channel and the threads that empty it. Another channel never waits for it.

Alerts wait in buckets: one for each alert, so that its transitions keep their order, or one for each group of a storm. A bucket
is sent from by one thread at a time, and rests until Kafka has the receipts of what was sent: so no transition is repeated, after
a crash, behind a later one, which would open again what is over. What failed is tried again, without end: its bucket waits from
0.2 s to a minute, doubling, and the channel itself waits when it fails five times in a row, or for as long as it asks for.
"""

import heapq
import math
import random
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Protocol

import structlog

from waterline.connectors.notifiers.contract import Channel, Notice, Receipt, Refused, Unavailable
from waterline.connectors.notifiers.progress import Record
from waterline.connectors.notifiers.routes import Spec
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.faults import Point, crash

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 60.0
PATIENCE = 5
"""Failures in a row before the whole channel waits."""
ASK_S = 0.05
MOST = 500
"""Alerts in one message of a storm."""

log = structlog.get_logger()


After = Callable[[], None]


class Job:
    """One transition on its way to one channel."""

    __slots__ = ("alert", "attempts", "note", "record")

    def __init__(self, alert: AlertTransition, record: Record, note: str = "") -> None:
        self.alert, self.record, self.note, self.attempts = alert, record, note, 0

    @property
    def dropped(self) -> bool:
        return self.record.way.dropped


class Owner(Protocol):
    """Told by the threads of a lane what became of jobs. `after` is to be called once Kafka knows of all of them."""

    def may_send(self) -> bool:
        """Whether what waits is still ours to send."""

    def notice(self, lane: "Lane", jobs: Sequence[Job]) -> Notice | None:
        """What to send; None when there is nothing to send any more."""

    def delivered(self, lane: "Lane", jobs: Sequence[Job], receipt: Receipt, seconds: float, after: After) -> None: ...

    def refused(self, lane: "Lane", jobs: Sequence[Job], error: Refused, seconds: float, after: After) -> None: ...

    def failed(self, lane: "Lane", error: Unavailable, seconds: float) -> None: ...

    def dropped(self, lane: "Lane", job: Job) -> None: ...

    def left(self, lane: "Lane", jobs: Sequence[Job]) -> None:
        """These wait in a lane that is stopped."""


class _Bucket:
    __slots__ = ("failures", "jobs", "ready_at")

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.failures = 0
        self.ready_at = 0.0


Key = tuple[str, ...]


class Lane:
    """`failures`: attempts in a row that found it unavailable, since `failing_since` on the monotonic clock."""

    def __init__(self, spec: Spec, channel: Channel, owner: Owner) -> None:
        self.spec, self.channel = spec, channel
        self.failures = 0
        self.failing_since = 0.0
        self.waiting = 0
        self._flying: dict[Key, list[Job]] = {}
        self._owner = owner
        self._buckets: dict[Key, _Bucket] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._turn = 0
        self._free_at = self._failed_at = 0.0
        self._stopped = False
        self._changed = Condition()
        self._threads = [Thread(target=self._work, name=f"{spec.name}-{n}", daemon=True) for n in range(spec.at_once)]
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        key = self.spec.storm.group(job.alert) if self.spec.storm else (job.alert.alert_id,)
        with self._changed:
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = _Bucket()
                self._push(key, bucket)
            bucket.jobs.append(job)
            self.waiting += 1
            self._changed.notify()

    @property
    def finishing(self) -> bool:
        """Whether something is under way for a partition that is being given up."""
        with self._changed:
            return any(job.dropped for jobs in self._flying.values() for job in jobs)

    def stop(self) -> None:
        """Nothing more is begun."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def rest(self) -> list[Job]:
        """What waits in a lane that is stopped, in order; it is taken out."""
        with self._changed:
            jobs = [job for bucket in self._buckets.values() for job in bucket.jobs]
            for bucket in self._buckets.values():
                bucket.jobs.clear()
            self.waiting -= len(jobs)
            return jobs

    def join(self, latest: float) -> None:
        """Waits for what is under way, until `latest` on the monotonic clock."""
        for thread in self._threads:
            thread.join(max(0.0, latest - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self.channel.close()

    def _push(self, key: Key, bucket: _Bucket) -> None:
        self._turn += 1
        heapq.heappush(self._heap, (bucket.ready_at, self._turn, key))

    def _work(self) -> None:
        while (found := self._next()) is not None:
            self._send(*found)
            with self._changed:
                del self._flying[found[0]]
                self._changed.notify_all()
        if jobs := self.rest():
            self._owner.left(self, jobs)

    def _next(self) -> tuple[Key, _Bucket, list[Job]] | None:
        """The bucket that is due, out of the heap while it is sent from; None when the lane is stopped."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                due = max(self._free_at, self._heap[0][0]) if self._heap else None
                if due is not None and self.failures >= PATIENCE and self._flying:
                    due = math.inf  # one at a time finds out whether the channel is back
                if due is None or due > now:
                    self._changed.wait(None if due in (None, math.inf) else due - now)
                    continue
                if not self._owner.may_send():
                    self._changed.wait(ASK_S)
                    continue
                _, _, key = heapq.heappop(self._heap)
                bucket = self._buckets[key]
                if not bucket.jobs:
                    del self._buckets[key]
                    continue
                many = min(len(bucket.jobs), MOST) if self.spec.storm else 1
                jobs = [bucket.jobs.popleft() for _ in range(many)]
                if self.spec.per_second:
                    self._free_at = now + 1 / self.spec.per_second
                self._flying[key] = jobs
                return key, bucket, jobs
        return None

    def _send(self, key: Key, bucket: _Bucket, jobs: list[Job]) -> None:
        for job in [job for job in jobs if job.dropped]:
            jobs.remove(job)
            self._settle(1)
            self._owner.dropped(self, job)
        notice = self._owner.notice(self, jobs) if jobs else None
        if notice is None:
            self._settle(len(jobs))
            self._release(key, bucket, 0.0)
            return
        for job in jobs:
            job.attempts += 1
        rest = self.spec.storm.every_s if self.spec.storm else 0.0
        began = time.monotonic()

        def after() -> None:
            self._release(key, bucket, rest)

        try:
            receipt = self._ask(notice)
        except Unavailable as error:
            self._owner.failed(self, error, time.monotonic() - began)
            self._release(key, bucket, self._again(bucket, jobs, error, began))
            return
        except Refused as error:
            self._owner.refused(self, jobs, error, time.monotonic() - began, after)
        else:
            crash(Point.NOTIFICATION_SENT)
            self._owner.delivered(self, jobs, receipt, time.monotonic() - began, after)
        bucket.failures = 0
        self._recovered()
        self._settle(len(jobs))

    def _recovered(self) -> None:
        """After an outage of the channel itself, what waited for it goes now."""
        with self._changed:
            if self.failures >= PATIENCE:
                held = [(self._buckets[key], at, turn, key) for at, turn, key in self._heap]
                self._heap = [(0.0 if bucket.failures else at, turn, key) for bucket, at, turn, key in held]
                heapq.heapify(self._heap)
                self._changed.notify_all()
            self.failures = 0

    def _release(self, key: Key, bucket: _Bucket, rest: float) -> None:
        with self._changed:
            bucket.ready_at = time.monotonic() + rest
            self._push(key, bucket)
            self._changed.notify()

    def _ask(self, notice: Notice) -> Receipt:
        try:
            return self.channel.send(notice)
        except (Refused, Unavailable):
            raise
        except Exception as bug:
            # neither message nor locals: both may hold a secret, and reasons are stored
            name, where = type(bug).__name__, "".join(traceback.format_tb(bug.__traceback__))
            log.critical("a channel failed in a way it does not know", channel=self.spec.name, bug=name, where=where)
            raise Refused(0, f"bug: {name}, see the log of the notifier") from bug

    def _settle(self, jobs: int) -> None:
        with self._changed:
            self.waiting -= jobs

    def _again(self, bucket: _Bucket, jobs: list[Job], error: Unavailable, began: float) -> float:
        """Back to the front, in order. Of attempts that ran side by side one counts for the channel."""
        now = time.monotonic()
        with self._changed:
            bucket.jobs.extendleft(reversed(jobs))
            bucket.failures += 1
            if began >= self._failed_at:
                self.failures += 1
                self._failed_at = now
            if self.failures == 1:
                self.failing_since = now
            whole = error.retry_after if error.whole else 0.0
            if self.failures >= PATIENCE:
                whole = max(whole, backoff(self.failures - PATIENCE))
            self._free_at = max(self._free_at, now + whole)
            return max(error.retry_after, backoff(bucket.failures - 1))


def backoff(times: int) -> float:
    """Doubles up to a cap; a tenth more or less, so that many do not come together."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(times, 20)) * random.uniform(0.9, 1.1)
