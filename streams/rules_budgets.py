"""The budgets of a rules file: who may spend how much, and when gateways are told to stop.

budgets:
  - budget: search-monthly        # its name, which is in every alert and limit
    scope: team                   # agent, team, key (a credential of the gateway) or tenant
    of: search                    # which one; left out = each has this much
    tenant: acme                  # left out = every tenant
    period: month                 # month or day, in UTC
    limit: 1000 USD
    warn_at: 80%                  # gateways are told `warn` from here on, and while the forecast is over the limit
    deny_at: 100%                 # and `deny` from here on; `never` = they are warned at most
    severity: warning
"""

import re
from collections.abc import Callable
from decimal import Decimal

from yaml.nodes import Node

from waterline.schemas.alerts import Severity
from waterline.schemas.control import Period, Scope
from waterline.schemas.yaml_lines import Mistake
from waterline.streams.rules_nodes import Fields, listed
from waterline.streams.rules_words import meant, share
from waterline.streams.steps.rules import Budget

FIELDS = {
    "budget": "search-monthly",
    "scope": "team",
    "of": "search",
    "tenant": "acme",
    "period": "month",
    "limit": "1000 USD",
    "warn_at": "80%",
    "deny_at": "100%",
    "severity": "warning",
}
REQUIRED = ("budget", "scope", "period", "limit")
ALSO = {"name": "budget", "by": "scope", "for": "of", "every": "period", "amount": "limit", "above": "limit", "deny": "deny_at"}
CALLED = {"daily": "day", "monthly": "month"}
NEVER = "never"
_AMOUNT = re.compile(r"(\d{1,10}(?:\.\d{1,9})?)\s*USD")
MOST = Decimal(10) ** 9


def budgets(
    node: Node | None, found: list[Mistake], name: Callable[[str], str], severity: Callable[[str], Severity]
) -> list[Budget]:
    """Those that can be read. `name` and `severity` read a name and a severity, as in a rule."""
    lines: dict[str, int] = {}
    return listed(node, "budgets", "budget", found, FIELDS, ALSO, lambda fields: _budget(fields, lines, name, severity))


def _budget(
    fields: Fields, lines: dict[str, int], read_name: Callable[[str], str], read_severity: Callable[[str], Severity]
) -> Budget | None:
    for required in REQUIRED:
        fields.missing(required, FIELDS[required])
    name, scope = fields.read("budget", read_name), fields.read("scope", _scope)
    if name is not None and lines.setdefault(name, fields.lines["budget"]) != fields.lines["budget"]:
        fields.at("budget", f"line {lines[name]} has a budget of this name already; give each its own")
    if scope is Scope.TENANT and "of" in fields.values:
        fields.at("of", "a tenant's budget is told apart by `tenant:`, leave this out")
    period, limit = fields.read("period", _period), fields.read("limit", _usd)
    warn_at, deny_at = fields.read("warn_at", share), fields.read("deny_at", _deny)
    given = {
        "of": fields.text("of"),
        "tenant": fields.text("tenant"),
        "warn_at": warn_at,
        "severity": fields.read("severity", read_severity),
    }
    if name is None or scope is None or period is None or limit is None:
        return None
    more: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if deny_at is not None:
        more["deny_at"] = None if deny_at == NEVER else deny_at
    return Budget(name=name, scope=scope, period=period, limit=limit, **more)  # type: ignore[arg-type]


def _scope(text: str) -> Scope:
    if text in list(Scope):
        return Scope(text)
    raise ValueError(f"there is no scope {text}{meant(text, [one.value for one in Scope])}")


def _period(text: str) -> Period:
    if text in list(Period):
        return Period(text)
    raise ValueError(
        f"there is no period {text}{meant(text, [one.value for one in Period], {'daily': 'day', 'monthly': 'month'})}"
    )


def _usd(text: str) -> Decimal:
    found = _AMOUNT.fullmatch(text)
    if found is None:
        number = re.search(r"\d+(?:\.\d{1,9})?", text)
        raise ValueError(f"{text!r} is no amount in USD; write {number[0] if number else 1000} USD")
    amount = Decimal(found[1])
    if not 0 < amount <= MOST:
        raise ValueError(f"{text!r}: a limit is over 0 and up to {MOST:,} USD")
    return amount


def _deny(text: str) -> Decimal | str:
    return NEVER if text == NEVER else share(text)
