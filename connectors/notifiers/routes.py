"""Where alerts go, as data. Pure: an alert and a moment give channels, or the silence that holds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct

from waterline.schemas.alerts import AlertTransition


class Kind(StrEnum):
    SLACK = "slack"
    PAGERDUTY = "pagerduty"
    WEBHOOK = "webhook"


class Secret(Struct, frozen=True):
    """A value that lies in an environment variable."""

    variable: str


class Storm(Struct, frozen=True):
    """At most one message each `every_s` seconds for alerts that are equal in `by`: tenant, rule and names of group labels."""

    by: tuple[str, ...] = ("tenant", "rule")
    every_s: float = 60.0

    def group(self, alert: AlertTransition) -> tuple[str, ...]:
        own = {"tenant": alert.tenant, "rule": alert.rule}
        return tuple(own.get(name, alert.group.get(name, "")) for name in self.by)


class Spec(Struct, frozen=True):
    """A channel as the file has it. `per_second`: messages it may get, 0 = as many as come; `at_once`: requests under way."""

    name: str
    kind: Kind
    options: Mapping[str, str | Secret]
    storm: Storm | None = None
    per_second: float = 0.0
    at_once: int = 1
    timeout_s: float = 10.0


class Match(Struct, frozen=True):
    """Empty = any. Values are patterns, where `*` stands for anything; None for a label = the alert has no such label."""

    tenant: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    group: Mapping[str, tuple[str, ...] | None] = {}

    def holds(self, alert: AlertTransition) -> bool:
        return (
            _any(self.tenant, alert.tenant)
            and _any(self.rule, alert.rule)
            and _any(self.severity, alert.severity.value)
            and all(_label(wanted, alert.group.get(name)) for name, wanted in self.group.items())
        )


class Route(Struct, frozen=True):
    """`go_on`: the routes after it are looked at, too."""

    name: str
    match: Match
    channels: tuple[str, ...]
    go_on: bool = False


class Silence(Struct, frozen=True):
    match: Match
    since: datetime
    until: datetime
    reason: str = ""


class Routes(Struct, frozen=True):
    """`fallback` tells of a channel's own failure. `failing_after_s`: so long may a channel take nothing before that is told.
    `decision_url` may hold {tenant} and {decision}."""

    channels: Mapping[str, Spec] = {}
    routes: Sequence[Route] = ()
    silences: Sequence[Silence] = ()
    fallback: str = ""
    failing_after_s: float = 300.0
    external_url: str = ""
    decision_url: str = ""

    def matching(self, alert: AlertTransition) -> list[Route]:
        """The routes that decide: the first that matches, and those after it while they say so."""
        found = []
        for route in self.routes:
            if route.match.holds(alert):
                found.append(route)
                if not route.go_on:
                    break
        return found

    def channels_of(self, alert: AlertTransition) -> list[str]:
        return list(dict.fromkeys(name for route in self.matching(alert) for name in route.channels))

    def silence(self, alert: AlertTransition, now: datetime) -> Silence | None:
        """By the clock of the notifier, not of the alert: a silence is about people, not about data."""
        return next((one for one in self.silences if one.since <= now < one.until and one.match.holds(alert)), None)


def _any(patterns: Sequence[str], value: str) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


def _label(patterns: Sequence[str] | None, value: str | None) -> bool:
    if patterns is None:
        return value is None
    return value is not None and _any(patterns, value)
