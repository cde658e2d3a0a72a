"""An alert in words: the same on every channel."""

from datetime import datetime
from decimal import Decimal

from waterline.connectors.notifiers.contract import closes
from waterline.schemas.alerts import AlertState, AlertTransition

ENDED = {
    AlertState.RESOLVED: "resolved",
    AlertState.OK: "resolved",
    AlertState.NO_DATA: "closed, no data any more",
    AlertState.INSUFFICIENT: "closed, too little data to go on",
}


def standing(alert: AlertTransition) -> str:
    """firing, or how it ended."""
    if closes(alert):
        return ENDED.get(alert.state, alert.state.value)
    return "firing (provisional)" if alert.provisional else alert.state.value


def title(alert: AlertTransition) -> str:
    about = ", ".join(alert.group.values())
    return f"{standing(alert)}: {alert.rule}" + (f" of {about}" if about else "") + (f" [{alert.tenant}]" if alert.tenant else "")


def sentence(alert: AlertTransition) -> str:
    """One line: what a list, a fallback text or a telephone shows."""
    return f"{title(alert)}{f' - {alert.summary}' if alert.summary else ''}"


def quantity(value: Decimal | None, unit: str) -> str:
    if value is None:
        return "none"
    if unit == "ratio":
        return f"{plain(value * 100)} %"
    return f"{plain(value)} {unit}".rstrip()


def plain(value: Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def window(alert: AlertTransition) -> str:
    if alert.window_from is None or alert.window_to is None:
        return ""
    same = alert.window_from.date() == alert.window_to.date()
    return f"{moment(alert.window_from)} to {alert.window_to.strftime('%H:%M:%S') if same else moment(alert.window_to)} UTC"


def completeness(alert: AlertTransition) -> str:
    said = f"{plain(Decimal(round(alert.completeness * 100, 1)).quantize(Decimal('0.1')))} %"
    if alert.provisional:
        said += ", provisional: the window is not over; `waterline ask alerts` will have its last word"
    return said + (", late events changed what was said" if alert.late else "")


def facts(alert: AlertTransition) -> list[tuple[str, str]]:
    """What a person reads beside the sentence; what is not known is left out."""
    compared = alert.value is not None or alert.threshold is not None
    found = [
        ("Value", quantity(alert.value, alert.unit) if compared else ""),
        ("Threshold", quantity(alert.threshold, alert.unit) if compared else ""),
        ("Window", window(alert)),
        ("Group", ", ".join(f"{name} = {value}" for name, value in alert.group.items())),
        ("Samples", f"{alert.samples}{f' (at least {alert.samples_needed})' if alert.samples_needed else ''}"),
        ("Completeness", completeness(alert)),
        ("Severity", alert.severity.value),
        ("Tenant", alert.tenant),
    ]
    return [(name, value) for name, value in found if value]


def evidence(alert: AlertTransition) -> dict[str, str]:
    """All of it, as text by name, for machines that pass it on to people."""
    found = {
        "summary": sentence(alert),
        "state": alert.state.value,
        "value": quantity(alert.value, alert.unit) if alert.value is not None else "",
        "threshold": quantity(alert.threshold, alert.unit) if alert.threshold is not None else "",
        "window": window(alert),
        "samples": str(alert.samples),
        "completeness": completeness(alert),
        "decisions": ", ".join(alert.decisions),
        "sql": alert.sql,
        "runbook_url": alert.runbook,
        "rules_version": alert.rules_version,
    }
    return {name: value for name, value in found.items() if value}
