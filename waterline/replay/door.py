"""HTTP to the collector, as a well-mannered client: what may pass is tried again, what cannot is said."""

import threading
import time
from types import TracebackType
from typing import Self

import httpx

AGAIN = frozenset({429, 502, 503, 504})
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 5.0


class Refused(Exception):
    """The collector said no for good, or could not be reached in time. The text tells a person why."""


class Door:
    """One collector. `key` is sent as a bearer token; `patience_s` bounds how long one request is tried again."""

    def __init__(self, endpoint: str, key: str = "", patience_s: float = 60.0) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.headers = {"authorization": f"Bearer {key}"} if key else {}
        self.patience_s = patience_s
        self.retries = 0
        self._client = httpx.Client(base_url=self.endpoint, headers=self.headers, timeout=30.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def post(self, path: str, body: bytes, content_type: str) -> httpx.Response:
        """POST until it is accepted. Honours Retry-After. Raises `Refused`."""
        deadline, backoff = time.monotonic() + self.patience_s, FIRST_BACKOFF_S
        while True:
            wait = backoff
            try:
                answer = self._client.post(path, content=body, headers={"content-type": content_type})
                if answer.status_code not in AGAIN:
                    break
                problem = f"{answer.status_code} {answer.text.strip()[:200]}"
                wait = _retry_after(answer, backoff)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            if time.monotonic() + wait > deadline:
                raise Refused(f"{self.endpoint}{path} did not accept within {self.patience_s:g} s: {problem}")
            self.retries += 1
            threading.Event().wait(wait)
            backoff = min(2 * backoff, LONGEST_BACKOFF_S)
        if not answer.is_success:
            raise Refused(f"{self.endpoint}{path} answered {answer.status_code}: {answer.text.strip()[:500]}")
        return answer


def _retry_after(answer: httpx.Response, otherwise: float) -> float:
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return otherwise
