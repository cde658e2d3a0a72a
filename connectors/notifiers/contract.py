"""What every channel does: `send(notice) -> Receipt`, or one of two errors that say what to do about it.

A notice that is sent again (no receipt could be written) has the same `key`. A receiver that looks at it acts once.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from waterline.schemas.alerts import AlertState, AlertTransition
from waterline.schemas.errors import ErrorCode, Permanent, Transient

ANSWER_LIMIT = 300
"""Characters kept of what a receiver says."""

CODES = {
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    410: ErrorCode.NOT_FOUND,
    413: ErrorCode.TOO_LARGE,
    429: ErrorCode.QUOTA_EXCEEDED,
}


class Receipt(Struct, frozen=True):
    """`name`: what the receiver calls it, such as a Slack ts. `each`: every alert of a storm is in it by itself, not only
    counted."""

    status: int
    name: str = ""
    each: bool = True


class Notice(Struct, frozen=True):
    """`alerts`: one, or in their order those of a storm. `note`: what else a person must know, such as that another channel
    refused it. `opening`: what the receiver calls the message that this one puts to rest; empty when it gave it no name."""

    alerts: Sequence[AlertTransition]
    note: str = ""
    opening: str = ""

    @property
    def alert(self) -> AlertTransition:
        """The newest."""
        return self.alerts[-1]

    @property
    def key(self) -> str:
        return idempotency_key(self.alerts[0]) + (f"+{len(self.alerts) - 1}" if len(self.alerts) > 1 else "")


class Refused(Permanent):
    """The receiver says never. `status` is its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(CODES.get(status, ErrorCode.INVALID_PARAMETER), reason[:ANSWER_LIMIT])
        self.status = status


class Unavailable(Transient):
    """It may take it later. `retry_after` in seconds as the receiver names it, 0 when it names none; `whole` when that goes for
    all that is sent there. `status` is 0 when no answer came."""

    def __init__(self, status: int, reason: str, retry_after: float = 0.0, whole: bool = False) -> None:
        super().__init__(CODES.get(status, ErrorCode.OVERLOADED), reason[:ANSWER_LIMIT], retry_after)
        self.status = status
        self.whole = whole


class Channel(Protocol):
    """Safe in several threads. Raises Refused and Unavailable."""

    def send(self, notice: Notice) -> Receipt: ...

    def close(self) -> None: ...


def idempotency_key(alert: AlertTransition) -> str:
    return f"{alert.alert_id}-{alert.transition}"


def opens(alert: AlertTransition) -> bool:
    return alert.state is AlertState.FIRING


def closes(alert: AlertTransition) -> bool:
    return alert.previous is AlertState.FIRING and alert.state is not AlertState.FIRING
