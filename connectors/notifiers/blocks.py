"""An alert as Slack's Block Kit. Limits: https://docs.slack.dev/reference/block-kit/blocks"""

from collections.abc import Sequence
from typing import Any

from waterline.connectors.notifiers.contract import Notice, closes
from waterline.connectors.notifiers.pagerduty import CUT, decision_link, shorten
from waterline.connectors.notifiers.wording import facts, moment, sentence, title
from waterline.schemas.alerts import AlertTransition, Severity

BLOCKS, HEADER, SECTION, FIELD, FIELDS, URL, TEXT = 50, 150, 3000, 2000, 10, 3000, 4000
DECISIONS = 5
LISTED = 40
"""Alerts of a storm that are listed; the rest is counted. One block each, beside four others."""
MARKS = {Severity.CRITICAL: ":red_circle:", Severity.ERROR: ":red_circle:", Severity.WARNING: ":large_orange_circle:"}
ENDED_MARK, INFO_MARK = ":large_green_circle:", ":large_blue_circle:"

Block = dict[str, Any]


def escape(text: str) -> str:
    """The three characters that mrkdwn reads; all others are plain there."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clip(text: str, limit: int) -> str:
    """Escaped, and within `limit` with its escapes; never half of one."""
    whole = escape(text[: limit + 1])
    if len(whole) <= limit:
        return whole
    left = limit - len(CUT)
    for length, character in enumerate(text):
        left -= len(escape(character))
        if left < 0:
            return escape(text[:length]) + CUT
    return whole


def message(notice: Notice, decision_url: str = "") -> tuple[str, list[Block]]:
    """The fallback text and the blocks."""
    made = _one(notice.alert, decision_url) if len(notice.alerts) == 1 else _storm(notice.alerts)
    if notice.note:
        made.append(_context(notice.note))
    text = sentence(notice.alert) if len(notice.alerts) == 1 else _heading(notice.alerts)
    return clip(text, TEXT), made[:BLOCKS]


def _one(alert: AlertTransition, decision_url: str) -> list[Block]:
    made: list[Block] = [_header(f"{_mark(alert)} {title(alert)}")]
    if alert.summary:
        made.append(_section(clip(alert.summary, SECTION)))
    fields = [_mrkdwn(f"*{name}*\n{clip(value, FIELD - len(name) - 3)}") for name, value in facts(alert)[:FIELDS]]
    made.append({"type": "section", "fields": fields})
    if alert.decisions:
        made.append(_section("*Decisions*\n" + "\n".join(_decisions(alert, decision_url))))
    if alert.runbook.startswith(("http://", "https://")) and len(alert.runbook) <= URL:
        button = {"type": "button", "text": _plain("Runbook"), "url": alert.runbook, "action_id": "runbook"}
        made.append({"type": "actions", "elements": [button]})
    rules = f" by rules {alert.rules_version}" if alert.rules_version else ""
    made.append(_context(f"transition {alert.transition} of alert {alert.alert_id}, concluded at {moment(alert.at)} UTC{rules}"))
    return made


def _decisions(alert: AlertTransition, decision_url: str) -> list[str]:
    lines = []
    for decision in alert.decisions[:DECISIONS]:
        shown = clip(decision, 200)
        link = decision_link(decision_url, alert.tenant, decision).replace("|", "%7C").replace(">", "%3E")
        lines.append(f"• <{link}|{shown}>" if decision_url and len(link) <= 350 else f"• `{shown}`")
    return lines


def _storm(alerts: Sequence[AlertTransition]) -> list[Block]:
    made = [_header(f"{_mark(alerts[-1])} {_heading(alerts)}")]
    made += [_section(f"{_mark(alert)} {clip(sentence(alert), SECTION // 3)}") for alert in alerts[:LISTED]]
    if len(alerts) > LISTED:
        made.append(_context(f"and {len(alerts) - LISTED} more; all are in the table alert_transitions"))
    return made


def _heading(alerts: Sequence[AlertTransition]) -> str:
    ended = sum(closes(alert) for alert in alerts)
    rules = sorted({alert.rule for alert in alerts})
    told = f"{len(alerts) - ended} firing" + (f", {ended} ended" if ended else "")
    return f"{len(alerts)} alerts ({told}): {', '.join(rules)}"


def _mark(alert: AlertTransition) -> str:
    return ENDED_MARK if closes(alert) else MARKS.get(alert.severity, INFO_MARK)


def _header(text: str) -> Block:
    return {"type": "header", "text": _plain(shorten(text, HEADER))}


def _section(mrkdwn: str) -> Block:
    return {"type": "section", "text": _mrkdwn(mrkdwn)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(clip(text, FIELD))]}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": True}
