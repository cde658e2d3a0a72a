"""Sessions by name (`session_id`): temporary tables and SET live on between requests, for `session_timeout` seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from waterline.connectors.stores.clickhouse.front.errors import Code, refuse
from waterline.connectors.stores.clickhouse.front.link import Link

DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 60, 3600
LIMIT = 1000
"""Sessions kept; at the limit the one that has rested longest is closed, with none at rest the request is refused."""


@dataclass(slots=True)
class Session:
    """`link` is opened by the first request that uses the session, in its own thread."""

    timeout: float
    link: Link | None = None
    busy: bool = False
    used: float = field(default_factory=time.monotonic)


class Sessions:
    """Only for the event loop's thread. `discard` gets the connections of sessions that are over."""

    def __init__(self, discard: Callable[[Link], object]) -> None:
        self.discard = discard
        self.named: dict[str, Session] = {}

    def take(self, name: str, timeout: int = DEFAULT_TIMEOUT, must_exist: bool = False) -> Session:
        """The session, marked busy until `rest`; opened when there is none."""
        self.expire()
        session = self.named.pop(name, None)
        if session is None and must_exist:
            raise refuse(Code.SESSION_NOT_FOUND, f"Session {name} not found")
        if session is not None and session.busy:
            self.named[name] = session
            raise refuse(Code.SESSION_IS_LOCKED, f"Session {name} is locked by a concurrent client")
        if session is None:
            self._make_room()
            session = Session(timeout)
        session.busy, session.timeout = True, timeout
        self.named[name] = session
        return session

    def rest(self, session: Session) -> None:
        session.busy, session.used = False, time.monotonic()

    def expire(self) -> None:
        now = time.monotonic()
        for name in [n for n, s in self.named.items() if not s.busy and now - s.used > s.timeout]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        session = self.named.pop(name)
        if session.link:
            self.discard(session.link)

    def _make_room(self) -> None:
        if len(self.named) < LIMIT:
            return
        for name, session in self.named.items():  # the order is that of use
            if not session.busy:
                self._drop(name)
                return
        raise refuse(Code.TOO_MANY_SIMULTANEOUS_QUERIES, f"All of {LIMIT} sessions are at work")

    def close(self) -> None:
        for name in list(self.named):
            self._drop(name)


def timeout_of(text: str) -> int:
    """Seconds, from the parameter `session_timeout`."""
    if not text:
        return DEFAULT_TIMEOUT
    if not text.isdecimal() or int(text) > LONGEST_TIMEOUT:
        raise refuse(Code.INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{text}', the longest is {LONGEST_TIMEOUT}")
    return int(text)
