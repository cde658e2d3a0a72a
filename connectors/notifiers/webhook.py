"""Generic webhook: Alertmanager's body, version 4, so that its receivers work, with a signature of ours in the headers.

    X-Waterline-Timestamp: 1790000000
    X-Waterline-Signature: v1=<hex of HMAC-SHA256(secret, timestamp "." body)>
    Idempotency-Key: <alert id>-<transition>

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from waterline.connectors.notifiers.contract import Notice, Receipt, closes, idempotency_key
from waterline.connectors.notifiers.http import Poster
from waterline.connectors.notifiers.wording import evidence
from waterline.schemas.alerts import AlertTransition

TIMESTAMP, SIGNATURE, KEY = "X-Waterline-Timestamp", "X-Waterline-Signature", "Idempotency-Key"
TOLERANCE_S = 300
NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: how Alertmanager says that an alert has not ended."""


class Webhook:
    def __init__(self, name: str, url: str, secret: str = "", timeout_s: float = 10.0, external_url: str = "") -> None:
        self.name, self._url, self._secret, self._external_url = name, url, secret, external_url
        self._poster = Poster(timeout_s)

    def send(self, notice: Notice) -> Receipt:
        content = msgspec.json.encode(body(notice, self.name, self._external_url))
        headers = {"Content-Type": "application/json", "User-Agent": "waterline", KEY: notice.key}
        if self._secret:
            timestamp = str(int(time.time()))
            headers |= {TIMESTAMP: timestamp, SIGNATURE: signature(self._secret, timestamp, content)}
        status, _ = self._poster.post(self._url, content, headers)
        return Receipt(status)

    def close(self) -> None:
        self._poster.close()


def signature(secret: str, timestamp: str, content: bytes) -> str:
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + content, sha256).hexdigest()


def verify(secret: str, headers: Mapping[str, str], content: bytes, now: float) -> bool:
    """What a receiver does: is it from us, whole, and of this moment."""
    timestamp, given = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    fresh = timestamp.isdecimal() and abs(now - int(timestamp)) <= TOLERANCE_S
    return fresh and hmac.compare_digest(given, signature(secret, timestamp, content))


def body(notice: Notice, receiver: str, external_url: str = "") -> dict[str, Any]:
    alerts = [_alert(alert, notice.note) for alert in notice.alerts]
    one = notice.alert
    group = {"alertname": one.rule, "tenant": one.tenant} | (one.group if len(alerts) == 1 else {})
    return {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f'{name}="{value}"' for name, value in sorted(group.items())) + "}",
        "truncatedAlerts": 0,
        "receiver": receiver,
        "status": "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved",
        "groupLabels": group,
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": external_url,
        "alerts": alerts,
    }


def _alert(alert: AlertTransition, note: str) -> dict[str, Any]:
    labels = alert.group | {"alertname": alert.rule, "tenant": alert.tenant, "severity": alert.severity.value}
    annotations = evidence(alert) | {"idempotency_key": idempotency_key(alert)}
    if note:
        annotations["note"] = note
    begun = alert.opened_at or alert.at
    return {
        "status": "resolved" if closes(alert) else "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": begun,
        "endsAt": alert.at if closes(alert) else NEVER,
        "generatorURL": alert.runbook,
        "fingerprint": alert.alert_id[:16],
    }


def _common(found: list[dict[str, str]]) -> dict[str, str]:
    first, *others = found
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
