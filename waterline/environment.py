"""The settings as a person gave them: what is wrong with them, in words that name the variable."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import urlsplit

from pydantic import ValidationError

from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.settings import Settings

PREFIX = "WATERLINE_"
OTHERS = re.compile(r"KEY|TEST_.*|.*_SERVICE_(HOST|PORT)(_\w+)?|.*_PORT_\d+_.*")
"""Of `replay-runs`, of the tests, and what Kubernetes sets for a service whose name begins with waterline-."""
NEAR = 0.8


def read(names: Iterable[str]) -> Settings:
    """The settings in force; `names` are the variables of the environment. Raises Permanent with a line for each mistake."""
    if unknown := misspelt(names):
        raise Permanent(ErrorCode.INVALID_PARAMETER, "\n".join(unknown))
    try:
        settings = Settings()
    except ValidationError as error:
        said = [f"{PREFIX}{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}, not {one['input']!r}" for one in error.errors()]
        raise Permanent(ErrorCode.INVALID_PARAMETER, "\n".join(said)) from error
    if wrong := [line for line in (_clickhouse(settings.clickhouse), _kafka(settings.kafka)) if line]:
        raise Permanent(ErrorCode.INVALID_PARAMETER, "\n".join(wrong))
    return settings


def misspelt(names: Iterable[str]) -> list[str]:
    """A line for each name that is no setting but nearly one."""
    lines = []
    for name in names:
        short = name.upper().removeprefix(PREFIX)
        if not name.upper().startswith(PREFIX) or short.lower() in Settings.model_fields or OTHERS.fullmatch(short):
            continue
        if near := get_close_matches(short.lower(), Settings.model_fields, 1, NEAR):
            lines.append(f"{name} is no setting; did you mean {PREFIX}{near[0].upper()}? `waterline settings` lists them")
    return lines


def _clickhouse(value: str) -> str:
    url = urlsplit(value)
    if url.scheme in ("http", "https") and url.hostname and _has_port(value):
        return ""
    return f"{PREFIX}CLICKHOUSE: {value!r} is no URL such as http://127.0.0.1:8123 with a port up to 65535"


def _kafka(value: str) -> str:
    brokers = [one if "//" in one else f"//{one}" for one in value.split(",")]
    if all(urlsplit(one).hostname and _has_port(one) for one in brokers):
        return ""
    return f"{PREFIX}KAFKA: {value!r} is no host:port[,host:port] such as 127.0.0.1:9092 with ports up to 65535"


def _has_port(url: str) -> bool:
    """Whether the port can be one, or is left out."""
    try:
        urlsplit(url).port  # noqa: B018 - it is the property that reads and judges the text
    except ValueError:
        return False
    return True
