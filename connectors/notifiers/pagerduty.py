"""PagerDuty, Events API v2: trigger, acknowledge, resolve. https://developer.pagerduty.com/docs/events-api-v2/overview/

`dedup_key` is of (tenant, rule, group) and never of a time: an alert that fires again while its incident is open joins it, and
what is sent twice counts once.
"""

from enum import StrEnum
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import msgspec

from waterline.connectors.notifiers.contract import Notice, Receipt, closes
from waterline.connectors.notifiers.http import Poster
from waterline.connectors.notifiers.wording import evidence, sentence
from waterline.schemas.alerts import AlertTransition, Severity

ENQUEUE = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_LIMIT = 1024
DETAILS_LIMIT = 512 * 1000
LINK_LIMIT = 5
SHORTEST = 50
CUT = " ... (cut)"
SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "info",
}


class Action(StrEnum):
    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


class PagerDuty:
    def __init__(
        self,
        routing_key: str,
        url: str = ENQUEUE,
        source: str = "waterline",
        timeout_s: float = 10.0,
        external_url: str = "",
        decision_url: str = "",
    ) -> None:
        self._routing_key, self._url, self._source = routing_key, url, source
        self._external_url, self._decision_url = external_url, decision_url
        self._poster = Poster(timeout_s)

    def send(self, notice: Notice) -> Receipt:
        alert = notice.alert
        if closes(alert):
            return self._post(Action.RESOLVE, dedup_key(alert), {})
        return self._post(Action.TRIGGER, dedup_key(alert), self._told(notice))

    def acknowledge(self, alert: AlertTransition) -> Receipt:
        """Somebody looks after it; PagerDuty escalates no further."""
        return self._post(Action.ACKNOWLEDGE, dedup_key(alert), {})

    def close(self) -> None:
        self._poster.close()

    def _post(self, action: Action, key: str, told: dict[str, Any]) -> Receipt:
        event = {"routing_key": self._routing_key, "event_action": action.value, "dedup_key": key} | told
        content = msgspec.json.encode(event)
        status, _ = self._poster.post(self._url, content, {"Content-Type": "application/json", "User-Agent": "waterline"})
        return Receipt(status, key)

    def _told(self, notice: Notice) -> dict[str, Any]:
        alert = notice.alert
        links = [{"href": alert.runbook, "text": "Runbook"}] if alert.runbook.startswith(("http://", "https://")) else []
        if self._decision_url:
            links += [
                {"href": decision_link(self._decision_url, alert.tenant, decision), "text": f"Decision {decision}"}
                for decision in alert.decisions[:LINK_LIMIT]
            ]
        payload = {
            "summary": shorten(sentence(alert), SUMMARY_LIMIT),
            "source": self._source,
            "severity": SEVERITIES[alert.severity],
            "timestamp": alert.at,
            "component": alert.group.get("agent", ""),
            "group": alert.tenant,
            "class": alert.rule,
            "custom_details": details(alert, notice.note),
        }
        whole: dict[str, Any] = {"payload": {name: value for name, value in payload.items() if value}, "links": links}
        return whole | {"client": "Waterline"} | ({"client_url": self._external_url} if self._external_url else {})


def dedup_key(alert: AlertTransition) -> str:
    lines = [alert.tenant, alert.rule, *(f"{name}={value}" for name, value in sorted(alert.group.items()))]
    return sha256("\n".join(lines).encode()).hexdigest()


def details(alert: AlertTransition, note: str = "") -> dict[str, Any]:
    """Within DETAILS_LIMIT bytes of JSON: of what is longest as much is cut as must be, and it says so."""
    found: dict[str, Any] = evidence(alert) | {f"group.{name}": value for name, value in alert.group.items()}
    if note:
        found["note"] = note
    while (size := len(msgspec.json.encode(found))) > DETAILS_LIMIT:
        longest = max(found, key=lambda name: len(found[name]))
        if len(found[longest]) <= SHORTEST:
            del found[longest]
            continue
        spare = size - DETAILS_LIMIT
        found[longest] = shorten(found[longest], max(len(found[longest]) // 2, len(found[longest]) - spare - 100, SHORTEST))
    return found


def shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(CUT)].rstrip() + CUT


def decision_link(template: str, tenant: str, decision: str) -> str:
    return template.replace("{tenant}", quote(tenant, safe="")).replace("{decision}", quote(decision, safe=""))
