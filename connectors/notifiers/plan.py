"""What is to be done about one transition: pure, from the routes and from what was told before.

A transition to firing goes where the routes say. One that ends it goes to whoever was told that it fires, whatever routes and
silences say by then: who was alarmed is also told that it is over, and nobody else. Others are not sent.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from waterline.connectors.notifiers.book import Book, Told
from waterline.connectors.notifiers.contract import closes, opens
from waterline.connectors.notifiers.routes import Routes
from waterline.schemas.alerts import AlertTransition, DeliveryState
from waterline.schemas.events import Clock

CLOCKS_DIFFER = timedelta(minutes=5)
"""of the sources and of the notifier, at most"""
GONE = "the channel is no more in the routes file"
NOT_OPENED = "the channel refused to tell that it fires"
OPENING_REFUSED = frozenset({DeliveryState.REFUSED})
UNTOLD = frozenset({DeliveryState.SILENCED, DeliveryState.UNROUTED, DeliveryState.REFUSED})


class Step(Struct, frozen=True):
    """For one channel: send it (`state` None), or only write down what becomes of it."""

    channel: str
    state: DeliveryState | None = None
    reason: str = ""
    note: str = ""


def plan(alert: AlertTransition, routes: Routes, book: Book, now: datetime) -> list[Step]:
    """In no channel twice; what has a receipt is left out, and what corrects a transition that was told."""
    if alert.revision > 1:
        return []
    if opens(alert):
        steps = _opening(alert, routes, now)
    elif closes(alert):
        steps = _closing(alert, routes, book)
    else:
        return []
    left = []
    for step in steps:
        told = book.find(alert.alert_id, step.channel, alert.transition)
        if told is None or _of_another(told, alert):
            left.append(step)
        elif told.state is DeliveryState.REFUSED and (again := instead(step.channel, alert, routes, book)):
            left.append(again)
    return list({step.channel: step for step in left}.values())


def _of_another(told: Told, alert: AlertTransition) -> bool:
    """Whether the receipt is of an earlier transition that had the same number, before the streams folded their history again: a
    receipt does not come before what it is about. Of a replay, whose time is another, nobody can tell."""
    return told.at is not None and alert.clock is not Clock.REPLAY and alert.at > told.at + CLOCKS_DIFFER


def instead(channel: str, alert: AlertTransition, routes: Routes, book: Book, why: str = "") -> Step | None:
    """What goes to the fallback channel because `channel` refused it; None when there is none or it was told there."""
    other = routes.fallback
    if not other or other == channel or book.find(alert.alert_id, other, alert.transition) is not None:
        return None
    return Step(other, note=f"told here because the channel {channel} refused it{f': {why}' if why else ''}")


def _opening(alert: AlertTransition, routes: Routes, now: datetime) -> list[Step]:
    channels = routes.channels_of(alert)
    if not channels:
        return [Step("", DeliveryState.UNROUTED, "no route matches")]
    if silence := routes.silence(alert, now):
        reason = f"until {silence.until:%Y-%m-%dT%H:%M:%SZ}{f': {silence.reason}' if silence.reason else ''}"
        return [Step(channel, DeliveryState.SILENCED, reason) for channel in channels]
    return [Step(channel) for channel in channels]


def _closing(alert: AlertTransition, routes: Routes, book: Book) -> list[Step]:
    told = book.channels(alert.alert_id, alert.transition - 1)
    if not told:
        return [Step("", DeliveryState.UNROUTED, "nobody was told that it fires")]
    return [_end(channel, was, routes) for channel, was in told.items()]


def _end(channel: str, was: Told, routes: Routes) -> Step:
    if was.state in UNTOLD:
        return Step(channel, was.state, NOT_OPENED if was.state in OPENING_REFUSED else "so was that it fires")
    if channel not in routes.channels:
        return Step(channel, DeliveryState.REFUSED, GONE)
    return Step(channel)
