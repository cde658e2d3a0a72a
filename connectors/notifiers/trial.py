"""Trying a channel: a test alert through it, once, and what came back."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from waterline.connectors.notifiers.contract import Channel, Notice, Refused, Unavailable
from waterline.connectors.notifiers.pagerduty import PagerDuty
from waterline.schemas.alerts import AlertState, AlertTransition, Severity, alert_id

ADVICE = {
    0: "nobody answered: check the address, and that this machine may reach it",
    400: "the receiver does not take this: check which service and which version of its API the address is of",
    401: "the receiver does not know the credential",
    403: "the credential is known and may not do this",
    404: "the address, or the channel it stands for, does not exist any more",
    410: "the channel is archived or the integration was removed: make a new one",
    429: "too many requests: the notifier waits for as long as it is told",
}
PASSES = "the notifier would try again until it is taken"
FOR_GOOD = "the notifier would not try again, and tell the fallback channel"


class Outcome(Struct):
    """Of one request. `status` is 0 when no answer came."""

    what: str
    good: bool
    status: int
    seconds: float
    said: str = ""
    advice: str = ""


def alert(tenant: str = "test", rule: str = "test", severity: Severity = Severity.INFO) -> AlertTransition:
    """An alert that says that it is none. Its number is of this second, so that a receiver that drops copies takes it."""
    now = datetime.now(UTC).replace(microsecond=0)
    group = {"agent": "none"}
    return AlertTransition(
        alert_id=alert_id(tenant, rule, group),
        transition=int(now.timestamp()),
        tenant=tenant,
        rule=rule,
        group=group,
        severity=severity,
        state=AlertState.FIRING,
        at=now,
        opened_at=now,
        summary="this is a test by `waterline notify test`: nothing is wrong, and it ends by itself",
        measure="test",
        unit="ratio",
        value=Decimal("0.42"),
        threshold=Decimal("0.4"),
        samples=42,
        window_from=now,
        window_to=now,
    )


def ended(fired: AlertTransition) -> AlertTransition:
    return replace(fired, transition=fired.transition + 1, previous=AlertState.FIRING, state=AlertState.RESOLVED)


def run(channel: Channel, fired: AlertTransition) -> Iterator[Outcome]:
    """Fires, acknowledges where that exists, and ends; stops at the first that fails."""
    name = ""
    for what in ("fires", "acknowledged", "resolved"):
        if what == "acknowledged" and not isinstance(channel, PagerDuty):
            continue
        began = time.monotonic()
        try:
            if isinstance(channel, PagerDuty) and what == "acknowledged":
                receipt = channel.acknowledge(fired)
            else:
                notice = Notice([fired]) if what == "fires" else Notice([ended(fired)], opening=name)
                receipt = channel.send(notice)
        except (Refused, Unavailable) as error:
            end = FOR_GOOD if isinstance(error, Refused) else PASSES
            advice = "; ".join(filter(None, (ADVICE.get(error.status, ""), end)))
            yield Outcome(what, False, error.status, time.monotonic() - began, error.reason, advice)
            return
        name = name or receipt.name
        yield Outcome(what, True, receipt.status, time.monotonic() - began, receipt.name)
