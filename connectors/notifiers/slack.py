"""Slack, by its own client. An incoming webhook only adds messages: an end is a second one. A bot edits the message that it
posted, so that it shows how the alert stands. https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

Retries are the lane's: the client's own sleep in the thread, or repeat what is for good.
"""

from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, TypeVar

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.client import WebClient
from slack_sdk.webhook.client import WebhookClient

from waterline.connectors.notifiers.blocks import message
from waterline.connectors.notifiers.contract import Notice, Receipt, Refused, Unavailable
from waterline.connectors.notifiers.http import TOO_MANY, judge, retry_after

API = "https://slack.com/api/"
PASSING = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Codes with which Slack's Web API answers 200 and may not the next time."""
UNEDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})

Found = TypeVar("Found")


class SlackWebhook:
    def __init__(self, webhook: str, timeout_s: float = 10.0, decision_url: str = "") -> None:
        self._client = WebhookClient(webhook, timeout=max(1, round(timeout_s)), retry_handlers=[])
        self._decision_url = decision_url

    def send(self, notice: Notice) -> Receipt:
        text, blocks = message(notice, self._decision_url)
        answer = _reach(lambda: self._client.send(text=text, blocks=blocks))
        judge(answer.status_code, answer.body, answer.headers)
        return Receipt(answer.status_code, each=False)

    def close(self) -> None:
        """The client keeps no connection."""


class SlackBot:
    """`channel` is a channel's id. The name of a receipt is `channel/ts`, which is what an edit needs."""

    def __init__(self, token: str, channel: str, api_url: str = API, timeout_s: float = 10.0, decision_url: str = "") -> None:
        self._client = WebClient(token, api_url, timeout=max(1, round(timeout_s)), retry_handlers=[])
        self._channel, self._decision_url = channel, decision_url

    def send(self, notice: Notice) -> Receipt:
        text, blocks = message(notice, self._decision_url)
        where, _, ts = notice.opening.partition("/")
        if ts:
            try:
                return self._call(lambda: self._client.chat_update(channel=where, ts=ts, text=text, blocks=blocks))
            except Refused as error:
                if error.reason not in UNEDITABLE:
                    raise
        return self._call(lambda: self._client.chat_postMessage(channel=self._channel, text=text, blocks=blocks))

    def close(self) -> None:
        """The client keeps no connection."""

    def _call(self, call: Callable[[], Any]) -> Receipt:
        try:
            answer = _reach(call)
        except SlackApiError as error:
            raise _judged(error) from error
        return Receipt(answer.status_code, f"{answer.get('channel', self._channel)}/{answer.get('ts', '')}", each=False)


def _reach(call: Callable[[], Found]) -> Found:
    """What the client raises while no answer came."""
    try:
        return call()
    except (OSError, HTTPException) as error:  # URLError and timeouts among them
        raise Unavailable(0, f"{type(error).__name__}: {error}") from error
    except SlackApiError:
        raise
    except SlackClientError as error:  # its words may hold the URL, which is the secret
        raise Refused(0, type(error).__name__) from error


def _judged(error: SlackApiError) -> Refused | Unavailable:
    """The code of the body decides where the status is 200."""
    answer = error.response
    status, headers = int(answer.status_code), _flat(answer.headers)
    code = str(answer.get("error") or "") if isinstance(answer.data, dict) else ""
    if status == TOO_MANY or code in ("ratelimited", "rate_limited"):
        return Unavailable(status, code, retry_after(headers), whole=True)
    if status >= 500 or code in PASSING:
        return Unavailable(status, code or f"{status}", retry_after(headers))
    return Refused(status, code or f"{status}")


def _flat(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name: value[0] if isinstance(value, list) and value else str(value) for name, value in headers.items()}
