"""What rules conclude, and what became of it: transitions of alerts, and receipts of their delivery.

An alert is one rule on one group of one tenant. It has one state at a time, and every change of it is one transition, numbered
from 1 without a hole. Values are decimal text, so that a rate, a duration and an amount of money are each exact.
"""

from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Annotated

from msgspec import Meta, Struct, field

from waterline.schemas.events import Clock, Instant

Quantity = Annotated[Decimal, Meta(description="decimal text, at most 9 digits after the point")]


class AlertState(StrEnum):
    """`pending`: the condition holds, not yet for as long as the rule wants. `insufficient`: too little data to say anything,
    `no_data`: none at all, where there used to be. All but `pending` and `firing` are at rest for the receiver."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    NO_DATA = "no_data"
    INSUFFICIENT = "insufficient"


class Severity(StrEnum):
    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class AlertTransition(Struct, kw_only=True, omit_defaults=True):
    """One change of state of one alert. Topic `alert.transitions`, table `alert_transitions`, key (alert_id, transition,
    revision). What changes later of its window is told as another revision, which changes no state and goes to no receiver."""

    alert_id: Annotated[str, Meta(description="of (tenant, rule, group), see `alert_id`; never of a time")]
    transition: Annotated[int, Meta(ge=1, description="running number within the alert")]
    tenant: str
    rule: str
    group: Annotated[dict[str, str], Meta(description="what the alert is about: agent, tool, team, ...")] = field(
        default_factory=dict
    )
    severity: Severity = Severity.WARNING
    previous: AlertState = AlertState.OK
    state: AlertState
    at: Annotated[Instant, Meta(description="event time at which it was concluded")]
    opened_at: Annotated[Instant | None, Meta(description="when it last began to fire; null while it never has")] = None
    clock: Clock = Clock.SOURCE
    # the evidence
    summary: Annotated[str, Meta(description="one sentence for a person")] = ""
    measure: str = ""
    unit: Annotated[str, Meta(description="ratio, ms, USD, tokens, s or count")] = ""
    value: Quantity | None = None
    threshold: Quantity | None = None
    clear: Annotated[Quantity | None, Meta(description="what the value must come back under before it resolves")] = None
    samples: Annotated[int, Meta(ge=0, description="how many calls, decisions, ... the value is drawn from")] = 0
    samples_needed: int = 0
    window_from: Instant | None = None
    window_to: Annotated[Instant | None, Meta(description="exclusive")] = None
    completeness: Annotated[float, Meta(ge=0, le=1, description="the share of the window that is known to be in")] = 1
    provisional: Annotated[bool, Meta(description="said before the window was over; the last word follows")] = False
    late: Annotated[bool, Meta(description="events that came after the window was over changed what was said")] = False
    decisions: Annotated[list[str], Meta(max_length=5, description="decision keys of examples")] = field(default_factory=list)
    sql: Annotated[str, Meta(description="a statement that returns the events behind the value")] = ""
    runbook: str = ""
    rules_version: Annotated[str, Meta(description="hash of the rules that were in force")] = ""
    revision: Annotated[int, Meta(ge=1, description="counts up with each word on the same change of state")] = 1


class DeliveryState(StrEnum):
    """`delivered`: the receiver took it. `refused`: it said never. `silenced` and `grouped`: kept back on purpose, by a silence
    or because a storm was told as one message. `unrouted`: no route matches."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    SILENCED = "silenced"
    GROUPED = "grouped"
    UNROUTED = "unrouted"


class AlertDelivery(Struct, kw_only=True, omit_defaults=True):
    """What became of one transition on one channel. Topic `alert.deliveries`, table `alert_deliveries`, key
    (alert_id, transition, channel)."""

    alert_id: str
    transition: int
    channel: Annotated[str, Meta(description="the channel's name in the routes file; empty when no route matched")] = ""
    tenant: str
    rule: str
    state: DeliveryState
    at: Annotated[Instant, Meta(description="when the receiver answered, by the clock of the notifier")]
    attempts: Annotated[int, Meta(ge=0)] = 0
    status: Annotated[int, Meta(ge=0, description="the HTTP status of the last answer; 0 = none came")] = 0
    receipt: Annotated[str, Meta(description="what the receiver calls it: a Slack ts, a PagerDuty dedup_key")] = ""
    reason: str = ""


def alert_id(tenant: str, rule: str, group: dict[str, str]) -> str:
    """The same for the same (tenant, rule, group) whenever it fires: 32 hex digits of SHA-256 over their lines."""
    lines = [tenant, rule, *(f"{name}={value}" for name, value in sorted(group.items()))]
    return sha256("\n".join(lines).encode()).hexdigest()[:32]
