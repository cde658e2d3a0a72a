"""The rules file: YAML -> rules."""

from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from waterline.schemas.alerts import Severity
from waterline.streams.steps.rules import Rule, Rules

DEFAULT = Path(__file__).with_name("default_rules.yaml")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def load(path: Path) -> Rules:
    text = path.read_bytes()
    found = yaml.safe_load(text)
    return Rules(sha256(text).hexdigest()[:12], tuple(_rule(one) for one in found["rules"]))


@cache
def default() -> Rules:
    return load(DEFAULT)


def _rule(one: dict[str, Any]) -> Rule:
    return Rule(
        name=one["rule"],
        measure=one["measure"],
        window_s=_seconds(one["window"]),
        above=_amount(str(one["above"])),
        by=tuple(one["by"]),
        at_least=one.get("at_least", 1),
        severity=Severity(one.get("severity", "warning")),
        runbook=one.get("runbook", ""),
    )


def _seconds(text: str) -> int:
    return int(text[:-1]) * SECONDS[text[-1]]


def _amount(text: str) -> Decimal:
    return Decimal(text.removesuffix("%")) / 100 if text.endswith("%") else Decimal(text)
