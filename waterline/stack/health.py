"""Asking a process whether it is ready, and why not."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
REASONS = ("why", "reasons", "reason", "message", "error")


@dataclass(frozen=True, slots=True)
class Answer:
    """`why` is empty when ready; `details` is the rest of what it said, when it spoke JSON."""

    ready: bool
    why: str = ""
    details: dict[str, object] = field(default_factory=dict)


def ask(url: str, timeout: float = 2.0) -> Answer:
    """What `url` (a /readyz or /ping on loopback) says now."""
    try:
        with _DIRECT.open(url, timeout=timeout) as response:
            return Answer(response.status == 200, "", _details(response.read()))
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        details = _details(body)
        return Answer(False, _why(details) or body.decode(errors="replace").strip()[:500] or f"answered {error.code}", details)
    except TimeoutError:
        return Answer(False, f"did not answer within {timeout:.0f} s")
    except (urllib.error.URLError, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Answer(False, "did not answer in time" if isinstance(reason, TimeoutError) else f"does not answer: {reason}")


def _details(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _why(details: dict[str, object]) -> str:
    for name in REASONS:
        if said := details.get(name):
            return "; ".join(map(str, said)) if isinstance(said, list) else str(said)
    return ""
