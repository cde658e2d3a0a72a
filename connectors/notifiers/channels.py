"""From a channel of the file to one that sends. Secrets are read here, from the environment, and nowhere else."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from waterline.connectors.notifiers.contract import Channel
from waterline.connectors.notifiers.pagerduty import PagerDuty
from waterline.connectors.notifiers.routes import Kind, Routes, Secret, Spec
from waterline.connectors.notifiers.slack import SlackBot, SlackWebhook
from waterline.connectors.notifiers.webhook import Webhook
from waterline.schemas.errors import ErrorCode, Permanent

URLS = {"url", "api_url", "webhook"}


def is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def missing(spec: Spec, environment: Mapping[str, str]) -> list[str]:
    """Variables that the channel needs and that are not set."""
    return [one.variable for one in spec.options.values() if isinstance(one, Secret) and not environment.get(one.variable)]


def build(spec: Spec, routes: Routes, environment: Mapping[str, str]) -> Channel:
    """Raises Permanent when a secret is not in the environment."""
    if absent := missing(spec, environment):
        reason = f"channel {spec.name}: set {' and '.join(absent)} in the environment of the notifier"
        raise Permanent(ErrorCode.INVALID_PARAMETER, reason)
    given = {
        name: environment[value.variable].strip() if isinstance(value, Secret) else value for name, value in spec.options.items()
    }
    for name in URLS & given.keys():
        if not is_url(given[name]):
            value = spec.options[name]
            place = value.variable if isinstance(value, Secret) else name
            raise Permanent(ErrorCode.INVALID_PARAMETER, f"channel {spec.name}: {place} is no URL with http:// or https://")
    if spec.kind is Kind.PAGERDUTY:
        return PagerDuty(**given, timeout_s=spec.timeout_s, external_url=routes.external_url, decision_url=routes.decision_url)
    if spec.kind is Kind.WEBHOOK:
        return Webhook(spec.name, **given, timeout_s=spec.timeout_s, external_url=routes.external_url)
    if "webhook" in given:
        return SlackWebhook(given["webhook"], spec.timeout_s, routes.decision_url)
    return SlackBot(**given, timeout_s=spec.timeout_s, decision_url=routes.decision_url)
