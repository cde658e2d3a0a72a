"""What is known of the delivery of each alert on each channel: receipts, and what is under way. In memory; safe in many
threads. Kafka has the receipts (`receipts.py`)."""

from datetime import datetime
from threading import Lock

from msgspec import Struct

from waterline.schemas.alerts import AlertDelivery, DeliveryState

KEPT = 16
"""Newest transitions of an alert that are kept by channel. Older ones count as told: they were, before these."""


class Told(Struct, frozen=True):
    """`state` None = it is under way. `name`: what the receiver calls its message. `at`: when it answered, None = not known."""

    state: DeliveryState | None
    name: str = ""
    at: datetime | None = None


UNDER_WAY = Told(None)
LONG_AGO = Told(DeliveryState.DELIVERED)


class Book:
    def __init__(self) -> None:
        self._alerts: dict[str, dict[str, dict[int, Told]]] = {}
        self._lock = Lock()

    def note(self, delivery: AlertDelivery) -> None:
        self._put(delivery.alert_id, delivery.channel, delivery.transition, Told(delivery.state, delivery.receipt, delivery.at))

    def expect(self, alert_id: str, channel: str, transition: int) -> None:
        self._put(alert_id, channel, transition, UNDER_WAY)

    def forget(self, alert_id: str, channel: str, transition: int) -> None:
        """It is not under way any more, and nobody took it."""
        with self._lock:
            told = self._alerts.get(alert_id, {}).get(channel, {})
            if told.get(transition) is UNDER_WAY:
                del told[transition]

    def find(self, alert_id: str, channel: str, transition: int) -> Told | None:
        with self._lock:
            told = self._alerts.get(alert_id, {}).get(channel, {})
            if len(told) >= KEPT and transition < min(told):
                return LONG_AGO
            return told.get(transition)

    def channels(self, alert_id: str, transition: int) -> dict[str, Told]:
        """Who was told of this transition, or is being told."""
        with self._lock:
            found = self._alerts.get(alert_id, {}).items()
            return {channel: told[transition] for channel, told in found if transition in told}

    def last(self, alert_id: str, channel: str) -> int:
        """The newest transition on the channel; 0 = none."""
        with self._lock:
            return max(self._alerts.get(alert_id, {}).get(channel, {}), default=0)

    def _put(self, alert_id: str, channel: str, transition: int, told: Told) -> None:
        with self._lock:
            mine = self._alerts.setdefault(alert_id, {}).setdefault(channel, {})
            mine[transition] = told
            if len(mine) > KEPT:
                del mine[min(mine)]
