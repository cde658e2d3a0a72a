"""One POST with an end: of time, whatever the receiver does, and of what is read of its answer."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import httpx

from waterline.connectors.notifiers.contract import ANSWER_LIMIT, Refused, Unavailable

READ_LIMIT = 64 * 1024
LONGEST_WAIT_S = 3600.0
"""How long a Retry-After is believed."""
TOO_MANY, TIMED_OUT, TOO_EARLY = 429, 408, 425


class Poster:
    """Answers 2xx, or raises Refused and Unavailable. Safe in several threads."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Status and the beginning of the answer. A redirect is a refusal: a signed body is for one address."""
        latest = time.monotonic() + self._timeout_s
        try:
            with self._client.stream("POST", url, content=body, headers=dict(headers)) as answer:
                told = b""
                for chunk in answer.iter_bytes():
                    told += chunk
                    if len(told) >= READ_LIMIT or time.monotonic() > latest:
                        break
        except httpx.InvalidURL as error:
            raise Refused(0, type(error).__name__) from error
        except httpx.HTTPError as error:
            raise Unavailable(0, f"{type(error).__name__}: {error}") from error
        text = told[:READ_LIMIT].decode(answer.encoding or "utf-8", "replace")
        judge(answer.status_code, text, answer.headers)
        return answer.status_code, text

    def close(self) -> None:
        self._client.close()


def judge(status: int, text: str, headers: Mapping[str, str]) -> None:
    """Returns for 2xx. Too many requests, a timeout and a server's own error may pass; all else is for good."""
    if 200 <= status < 300:
        return
    reason = f"{status} {' '.join(text.split())}"[:ANSWER_LIMIT].strip()
    if status == TOO_MANY:
        raise Unavailable(status, reason, retry_after(headers), whole=True)
    if status >= 500 or status in (TIMED_OUT, TOO_EARLY):
        raise Unavailable(status, reason, retry_after(headers))
    raise Refused(status, reason)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds in the header Retry-After, a number or a date (RFC 9110); 0 when it says nothing."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if seconds == seconds else 0.0
