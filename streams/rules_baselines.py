"""The baselines of a rules file: what the distributions of an agent are compared with.

baselines:
  - agent: refund-agent             # whose; of two that are about it, the first holds
    tenant: acme                    # left out = every tenant
    artifact: sha256:11ab           # an artifact, or where none is told the agent's version
  - agent: search-agent
    days: 2026-10-01 to 2026-10-31  # in place of an artifact: UTC days, both included, whatever artifact it had on them
"""

import re
from datetime import date

from yaml.nodes import Node

from waterline.schemas.yaml_lines import Mistake
from waterline.streams.rules_nodes import Fields, listed
from waterline.streams.steps.baselines import KEPT
from waterline.streams.steps.moment import day_name, day_number
from waterline.streams.steps.rules import Pin

FIELDS = {"agent": "refund-agent", "tenant": "acme", "artifact": "sha256:11ab", "days": "2026-10-01 to 2026-10-31"}
ALSO = {
    "name": "agent", "of": "agent", "version": "artifact", "agent_version": "artifact", "baseline": "artifact", "range": "days",
    "day": "days", "dates": "days", "window": "days",
}  # fmt: skip
_DAYS = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\s+to\s+(\d{4}-\d{2}-\d{2}))?")


def baselines(node: Node | None, found: list[Mistake]) -> list[Pin]:
    """Those that can be read."""
    lines: dict[tuple[str, str], int] = {}
    return listed(node, "baselines", "baseline", found, FIELDS, ALSO, lambda fields: _pin(fields, lines))


def _pin(fields: Fields, lines: dict[tuple[str, str], int]) -> Pin | None:
    fields.missing("agent", FIELDS["agent"])
    agent, tenant, artifact = (fields.text(name) for name in ("agent", "tenant", "artifact"))
    days = fields.read("days", _days)
    if "artifact" in fields.values and "days" in fields.values:
        fields.at("days", "an artifact is pinned already; leave one of the two out")
    elif not fields.values.keys() & {"artifact", "days"}:
        fields.missing("artifact", f"{FIELDS['artifact']}, or days: {FIELDS['days']}")
    if agent is None:
        return None
    line = lines.setdefault((agent, tenant or ""), fields.lines["agent"])
    if line != fields.lines["agent"]:
        fields.at("agent", f"line {line} pins what it is compared with already; leave one of them out")
    since, until = days or (0, 0)
    return Pin(agent=agent, tenant=tenant or "", artifact=artifact or "", since=since, until=until)


def _days(text: str) -> tuple[int, int]:
    found = _DAYS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:60]!r} are no days; write {FIELDS['days']}")
    first, last = _day(found[1]), _day(found[2] or found[1])
    if last < first:
        raise ValueError(f"{found[2]} is before {found[1]}; write {found[2]} to {found[1]}")
    if last - first >= KEPT:
        raise ValueError(f"these are {last - first + 1} days; {KEPT} are kept, write {day_name(last - KEPT + 1)} to {found[2]}")
    return first, last


def _day(text: str) -> int:
    try:
        return day_number(text)
    except ValueError:
        month = text[:7] if 1 <= int(text[5:7]) <= 12 and text > f"{date.min}" else "2026-10"
        raise ValueError(f"there is no day {text}; write one such as {month}-28") from None
