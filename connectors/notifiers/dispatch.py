"""From a transition to lanes, and from what came of it to receipts."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Lock

import structlog

from waterline.connectors.notifiers.book import Book
from waterline.connectors.notifiers.contract import Channel, Notice, Receipt, Refused, Unavailable, closes
from waterline.connectors.notifiers.health import Meters
from waterline.connectors.notifiers.lane import After, Job, Lane
from waterline.connectors.notifiers.plan import GONE, NOT_OPENED, Step, instead, plan
from waterline.connectors.notifiers.progress import Record, Way
from waterline.connectors.notifiers.routes import Routes, Spec
from waterline.schemas.alerts import AlertDelivery, AlertState, AlertTransition, DeliveryState, Severity, alert_id

OWN_RULE = "notifier_channel"
"""The alert about a channel that fails: its odd transitions fire, its even ones end it."""

MOVE_S = 30.0
"""How long a request that is under way may hold up a change of its channel."""

Write = Callable[[AlertDelivery, Record, After], None]
Build = Callable[[Spec, Routes], Channel]

log = structlog.get_logger()


class Dispatcher:
    """`write` keeps a receipt and, once Kafka has it, ends it for its record. `lease`: whether what was taken is still ours.
    The owner of all lanes."""

    def __init__(self, build: Build, book: Book, write: Write, meters: Meters, lease: Callable[[], bool]) -> None:
        self.routes = Routes()
        self.lanes: dict[str, Lane] = {}
        self._build, self._book, self._write, self._meters = build, book, write, meters
        self.may_send = lease
        self._changing = Lock()
        self._closing = False

    def use(self, routes: Routes) -> None:
        """From now on. A channel that changed keeps what waits for it; what waits for one that is gone is refused.

        Raises Permanent when a channel cannot be built; the older routes stay in force then."""
        old = self.lanes
        same = {
            name
            for name, spec in routes.channels.items()
            if name in old
            and old[name].spec == spec
            and (routes.external_url, routes.decision_url) == (self.routes.external_url, self.routes.decision_url)
        }
        built = {name: self._build(spec, routes) for name, spec in routes.channels.items() if name not in same}
        with self._changing:
            kept = {name: old[name] for name in same}
            self.lanes = kept | {name: Lane(routes.channels[name], channel, self) for name, channel in built.items()}
            self.routes = routes
        gone = [old[name] for name in old.keys() - same]
        for lane in gone:
            lane.stop()
        latest = time.monotonic() + MOVE_S
        for lane in gone:
            lane.join(latest)
            self.left(lane, lane.rest())

    @property
    def waiting(self) -> int:
        return sum(lane.waiting for lane in self.lanes.values())

    @property
    def finishing(self) -> bool:
        return any(lane.finishing for lane in self.lanes.values())

    def close(self, patience_s: float) -> None:
        """Begins nothing more and waits for what is under way."""
        self._closing = True
        latest = time.monotonic() + patience_s
        for lane in self.lanes.values():
            lane.stop()
        for lane in self.lanes.values():
            lane.join(latest)

    # the way in

    def take(self, alert: AlertTransition, record: Record) -> None:
        for step in plan(alert, self.routes, self._book, datetime.now(UTC)):
            self._act(step, alert, record)

    def _act(self, step: Step, alert: AlertTransition, record: Record) -> None:
        record.add()
        if step.state is not None:
            self._receipt(alert, step.channel, step.state, record, reason=step.reason)
            return
        with self._changing:
            lane = self.lanes.get(step.channel)
            if lane is not None:
                self._book.expect(alert.alert_id, step.channel, alert.transition)
                lane.put(Job(alert, record, step.note))
                return
        self._receipt(alert, step.channel, DeliveryState.REFUSED, record, reason=GONE)

    # what lanes say

    def notice(self, lane: Lane, jobs: Sequence[Job]) -> Notice | None:
        """An end whose beginning the channel refused is not sent there."""
        first = jobs[0].alert
        if len(jobs) > 1:
            return Notice([job.alert for job in jobs], next((job.note for job in jobs if job.note), ""))
        opening = self._book.find(first.alert_id, lane.spec.name, first.transition - 1) if closes(first) else None
        if opening is not None and opening.state is DeliveryState.REFUSED:
            self._refuse(lane.spec.name, jobs[0], 0, NOT_OPENED)
            return None
        grouped = opening is None or opening.state is not DeliveryState.DELIVERED
        return Notice([first], jobs[0].note, "" if grouped or opening is None else opening.name)

    def delivered(self, lane: Lane, jobs: Sequence[Job], receipt: Receipt, seconds: float, after: After) -> None:
        name = lane.spec.name
        self._meters.attempt(name, "delivered", seconds)
        alone = len(jobs) == 1 or receipt.each
        state = DeliveryState.DELIVERED if alone else DeliveryState.GROUPED
        reason = "" if alone else f"told in one message of {len(jobs)}"
        known = Countdown(len(jobs), after)
        for job in jobs:
            self._receipt(job.alert, name, state, job.record, job.attempts, receipt.status, receipt.name, reason, known)
        self._works(name, jobs[0].record)

    def refused(self, lane: Lane, jobs: Sequence[Job], error: Refused, seconds: float, after: After) -> None:
        name = lane.spec.name
        self._meters.attempt(name, "refused", seconds)
        log.warning("a channel refused", channel=name, status=error.status, reason=error.reason, alerts=len(jobs))
        known = Countdown(len(jobs), after)
        for job in jobs:
            self._refuse(name, job, error.status, error.reason, known)
        self._fails(name, f"refused an alert: {error.reason}", jobs[0].record)

    def failed(self, lane: Lane, error: Unavailable, seconds: float) -> None:
        name = lane.spec.name
        self._meters.attempt(name, "failed", seconds)
        log.info("a channel is unavailable", channel=name, status=error.status, reason=error.reason, failures=lane.failures + 1)
        away = time.monotonic() - lane.failing_since if lane.failures else 0.0
        if away >= self.routes.failing_after_s:
            self._fails(name, f"has taken nothing for {away:.0f} s: {error.reason}", Record(Way("", 0), 0))

    def dropped(self, lane: Lane, job: Job) -> None:
        self._book.forget(job.alert.alert_id, lane.spec.name, job.alert.transition)

    def left(self, lane: Lane, jobs: Sequence[Job]) -> None:
        """To the lane that took its place, in the same order."""
        for job in [] if self._closing else jobs:
            self.dropped(lane, job)
            self._act(Step(lane.spec.name, note=job.note), job.alert, job.record)
            job.record.done()

    # the ends

    def _refuse(self, channel: str, job: Job, status: int, reason: str, after: After = lambda: None) -> None:
        step = instead(channel, job.alert, self.routes, self._book, reason)
        if step is not None:
            self._act(step, job.alert, job.record)
        self._receipt(job.alert, channel, DeliveryState.REFUSED, job.record, job.attempts, status, reason=reason, after=after)

    def _receipt(
        self,
        alert: AlertTransition,
        channel: str,
        state: DeliveryState,
        record: Record,
        attempts: int = 0,
        status: int = 0,
        name: str = "",
        reason: str = "",
        after: After = lambda: None,
    ) -> None:
        delivery = AlertDelivery(
            alert_id=alert.alert_id,
            transition=alert.transition,
            channel=channel,
            tenant=alert.tenant,
            rule=alert.rule,
            state=state,
            at=datetime.now(UTC),
            attempts=attempts,
            status=status,
            receipt=name,
            reason=reason,
        )
        self._book.note(delivery)
        self._meters.receipts.labels(channel, state.value).inc()
        self._write(delivery, record, after)

    # the alert about a channel itself

    def _fails(self, channel: str, what: str, record: Record) -> None:
        fallback = self.routes.fallback
        if not fallback or channel == fallback:
            log.error("a channel fails and there is no other to say so", channel=channel, what=what)
        elif self._book.last(own_id(channel), fallback) % 2 == 0:
            self._tell(channel, AlertState.FIRING, f"the channel {channel} {what}", record)

    def _works(self, channel: str, record: Record) -> None:
        fallback = self.routes.fallback
        if fallback and channel != fallback and self._book.last(own_id(channel), fallback) % 2:
            self._tell(channel, AlertState.RESOLVED, f"the channel {channel} takes alerts again", record)

    def _tell(self, channel: str, state: AlertState, summary: str, record: Record) -> None:
        last = self._book.last(own_id(channel), self.routes.fallback)
        now = datetime.now(UTC)
        alert = AlertTransition(
            alert_id=own_id(channel),
            transition=last + 1,
            tenant="",
            rule=OWN_RULE,
            group={"channel": channel},
            severity=Severity.ERROR,
            previous=AlertState.OK if state is AlertState.FIRING else AlertState.FIRING,
            state=state,
            at=now,
            opened_at=now if state is AlertState.FIRING else None,
            summary=summary,
        )
        self._act(Step(self.routes.fallback), alert, record)


class Countdown:
    """Calls `then` when it was called so many times. Safe in many threads."""

    def __init__(self, times: int, then: After) -> None:
        self._left, self._then, self._lock = times, then, Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            over = self._left == 0
        if over:
            self._then()


def own_id(channel: str) -> str:
    return alert_id("", OWN_RULE, {"channel": channel})
