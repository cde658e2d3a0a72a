"""What a gateway reads before it lets a request out: what was spent of a budget, and whether there is any left."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from waterline.schemas.events import Clock, Instant, Money


class Scope(StrEnum):
    """Whose spending a budget limits. `key` is a credential of the gateway (`credential_id`)."""

    AGENT = "agent"
    TEAM = "team"
    KEY = "key"
    TENANT = "tenant"


class Period(StrEnum):
    """In UTC, by event time."""

    DAY = "day"
    MONTH = "month"


class LimitVerdict(StrEnum):
    """`warn`: over the budget's warning mark, or its forecast is over the limit. `deny`: the limit is used up."""

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"


class ControlLimit(Struct, kw_only=True, omit_defaults=True):
    """A budget as it stands for one name. Topic `control.limits`, table `control_limits`, key (tenant, budget, scope, name,
    clock); the newest record of a key is the truth."""

    tenant: str
    budget: str
    scope: Scope
    name: Annotated[str, Meta(description="of the agent, team or key; empty for the tenant as a whole")] = ""
    period: Period
    period_from: Annotated[str, Meta(description="first UTC day of the period, YYYY-MM-DD")]
    revision: Annotated[int, Meta(ge=1, description="running number within the key")]
    limit: Money
    spent: Annotated[Money, Meta(description="priced leaves whose ts lies in the period")]
    forecast: Annotated[Money | None, Meta(description="of the whole period; null while too little of it is known to say")] = None
    verdict: LimitVerdict
    withdrawn: Annotated[bool, Meta(description="the budget is no more, and allows")] = False
    at: Annotated[Instant, Meta(description="event time up to which spending is known")]
    clock: Annotated[Clock, Meta(description="a replay has budgets of its own, which no gateway should follow")] = Clock.SOURCE
    rules_version: str = ""
