"""Asking a process whether it is ready, and why not."""

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from waterline.schemas.statusz import Statusz

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """`why` is empty when ready."""

    ready: bool
    why: str = ""


def ask(url: str, timeout: float = 2.0) -> Answer:
    """What `url` (a /readyz or /ping on loopback) says now."""
    try:
        with _DIRECT.open(url, timeout=timeout) as response:
            return Answer(response.status == 200)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read().decode(errors="replace").strip()
        return Answer(False, "; ".join(said.splitlines())[:LONGEST] or f"answered {error.code}")
    except TimeoutError:
        return Answer(False, f"did not answer within {timeout:.0f} s")
    except (urllib.error.URLError, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Answer(False, "did not answer in time" if isinstance(reason, TimeoutError) else f"does not answer: {reason}")


def knows(collector: str, key: str, timeout: float = 2.0) -> bool | None:
    """Whether the collector takes this API key now, asked by a request without an event; None when it does not say."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with _DIRECT.open(urllib.request.Request(f"{collector}/v1/events", b"[]", headers), timeout=timeout):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return None if error.code >= 500 else error.code != 401
    except (OSError, http.client.HTTPException):
        return None


def lag(ready_url: str, part: str, timeout: float = 2.0) -> int | None:
    """Records that wait for the part, over all partitions; None when its metrics do not tell."""
    try:
        with _DIRECT.open(ready_url.removesuffix("/readyz") + "/metrics", timeout=timeout) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
    except (OSError, ValueError):
        return None
    values = [sample.value for family in families for sample in family.samples if sample.name == f"{part}_lag_records"]
    return int(sum(values)) if values else None


def statusz(ready_url: str, timeout: float = 2.0) -> Statusz | None:
    """What the part works by, and what is wrong although it works; None when it does not tell."""
    try:
        with _DIRECT.open(ready_url.removesuffix("/readyz") + "/statusz", timeout=timeout) as response:
            return msgspec.json.decode(response.read(), type=Statusz)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return None


def troubles(part: str, told: Statusz) -> list[str]:
    """A sentence for each thing that is wrong although the part works."""
    said = []
    for one in told.followed:
        if one.mistakes and one.refused_since:
            more = f" (the first of {len(one.mistakes)} mistakes)" if len(one.mistakes) > 1 else ""
            still = f"{part} still works by the {one.what} of {_time(one.since)}, version {one.version}"
            said.append(f"{still}: since {_time(one.refused_since)} the file is refused: {one.mistakes[0]}{more}")
    return said + [f"rule {one.rule} is not answered since {_time(one.since)}: {one.reason[:LONGEST]}" for one in told.unanswered]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
