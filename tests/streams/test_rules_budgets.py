"""Budgets of a rules file: what is read, and what each mistake is told as."""

from decimal import Decimal

from waterline.schemas.control import Period, Scope
from waterline.streams import rules_budgets, rules_file
from waterline.streams.steps.rules import Budget

GOOD = b"""
rules: []
budgets:
  - budget: search-monthly
    scope: team
    of: search
    period: month
    limit: 1000 USD
    deny_at: never
  - budget: all
    scope: tenant
    tenant: acme
    period: day
    limit: 12.50 USD
    warn_at: 50%
    severity: critical
"""
BAD = b"""rules: []
budgets:
  - budget: search
    scope: teem
    period: monthly
    limit: 1000
    warn_at: 0.8
  - budget: search
    scope: tenant
    of: x
    period: day
    limit: 0 USD
    limt: 5 USD
  - just words
"""


def test_budgets_are_read_with_their_units() -> None:
    rules, mistakes = rules_file.parse(GOOD)
    assert mistakes == []
    search, whole = rules.budgets
    assert (search.scope, search.of, search.period, search.limit, search.deny_at) == (
        Scope.TEAM,
        "search",
        Period.MONTH,
        Decimal(1000),
        None,
    )
    assert (whole.tenant, whole.limit, whole.warn_at) == ("acme", Decimal("12.5"), Decimal("0.5"))
    assert search.warn_at == Budget(name="", scope=Scope.TEAM, period=Period.DAY, limit=Decimal(1)).warn_at


def test_every_mistake_says_what_to_write() -> None:
    rules, mistakes = rules_file.parse(BAD)
    assert rules.budgets == ()
    assert [(one.line, one.what) for one in mistakes] == [
        (4, "budget number 1: scope: there is no scope teem; is team meant?"),
        (5, "budget number 1: period: there is no period monthly; is month meant?"),
        (6, "budget number 1: limit: '1000' is no amount in USD; write 1000 USD"),
        (7, "budget number 1: warn_at: '0.8' is no share of the threshold, over 0% and up to 100%; write 80%"),
        (8, "budget number 2: budget: line 3 has a budget of this name already; give each its own"),
        (10, "budget number 2: of: a tenant's budget is told apart by `tenant:`, leave this out"),
        (12, "budget number 2: limit: '0 USD': a limit is over 0 and up to 1,000,000,000 USD"),
        (13, f"budget number 2: there is no field limt; there are {', '.join(rules_budgets.FIELDS)}"),
        (14, "budget number 3: fields such as `budget:` are wanted, this is 'just words'"),
    ]
