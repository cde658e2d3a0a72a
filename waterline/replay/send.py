"""Sends a replay: each window of event time through every route, then the tick that says the window is over."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import msgspec
import orjson

from waterline.replay import litellm
from waterline.replay.door import Door, Refused
from waterline.replay.otlp import Tracing
from waterline.replay.schedule import Window
from waterline.replay.telemetry import Item, Route
from waterline.replay.ticks import Ticks
from waterline.schemas.events import Event

LINES = 500
"""Events of one POST to /v1/events."""

Progress = Callable[[int], None]
"""Told how many more events were accepted."""


class Sender:
    """Sends items by their routes and counts what was accepted."""

    def __init__(self, door: Door, ticks: Ticks | None) -> None:
        self._door, self._ticks, self._tracing = door, ticks, Tracing(door)
        self.accepted: Counter[str] = Counter()

    def send(self, windows: Iterable[Window], grace: timedelta, speed: float, progress: Progress) -> None:
        """All windows in order. `speed` is seconds of event time per second on the wall, 0 as fast as it goes. The last
        tick comes `grace` after the last event, so that every decision is closed. Raises `Refused` or `KafkaException`."""
        began: float | None = None
        window: Window | None = None
        for window in windows:
            if speed and began is None:
                began, zero = time.monotonic(), window.items[0].at
            if speed and began is not None:
                due = began + (window.items[-1].at - zero).total_seconds() / speed
                threading.Event().wait(max(0.0, due - time.monotonic()))
            self._window(window, progress)
        if window is not None and self._ticks is not None:
            self._ticks.tell(window.until + grace)
        self._tracing.close()

    def _window(self, window: Window, progress: Progress) -> None:
        for route, way in ((Route.OTLP, self._tracing.send), (Route.LITELLM, self._litellm), (Route.EVENTS, self._events)):
            events = [item.event for item in window.items if item.route is route]
            if events:
                way(events)
                self.accepted[route.value] += len(events)
                progress(len(events))
        if self._ticks is not None:
            self._ticks.tell(window.until)

    def _litellm(self, events: Sequence[Event]) -> None:
        litellm.send(self._door, events)

    def _events(self, events: Sequence[Event]) -> None:
        for first in range(0, len(events), LINES):
            body = b"\n".join(line(event) for event in events[first : first + LINES])
            answer = self._door.post("/v1/events", body, "application/x-ndjson").json()
            if answer.get("rejected"):
                raise Refused(f"the collector refused {answer['rejected']} events, the first: {answer['errors'][0]}")


def line(event: Event) -> bytes:
    """The event as a client posts it: without a tenant, which the collector takes from the credential."""
    told = msgspec.to_builtins(event)
    del told["tenant"]
    return orjson.dumps(told)


def by_route(items: Iterable[Item]) -> Counter[str]:
    """How many events go each way."""
    return Counter(item.route.value for item in items)


def by_kind(items: Iterable[Item]) -> Counter[str]:
    """How many events of each kind."""
    return Counter(item.event.kind.value for item in items)
