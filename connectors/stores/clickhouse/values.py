"""Values of parameters as people write them, made into what ClickHouse reads. Pure but for the clock that `now` asks."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

TIME = "DateTime64(6, 'UTC')"
TYPES = ("String", "UInt32", "UInt64", "Float64", "Decimal(38, 9)", "Date", TIME)
"""Every type a parameter may have."""

RELATIVE = re.compile(r"(?P<base>now|today|yesterday)(?:(?P<sign>[+-])(?P<count>\d{1,6})(?P<unit>[smhdw]))?")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LIMITS = {"UInt32": 2**32 - 1, "UInt64": 2**64 - 1}


def read_value(kind: str, text: str, now: datetime | None = None) -> str:
    """`text` for a parameter of type `kind`. Raises ValueError saying what would be right.

    Times are ISO 8601 (UTC where they name no offset), `now`, `today` and `yesterday` (midnight, UTC), and these with an
    offset: `now-24h`, `today-7d`.
    """
    match kind:
        case "String":
            return text
        case "UInt32" | "UInt64":
            if not text.isascii() or not text.isdigit() or int(text) > LIMITS[kind]:
                raise ValueError(f"{text!r} is not a whole number from 0 to {LIMITS[kind]}")
            return text
        case "Float64" | "Decimal(38, 9)":
            return _number(text)
        case "Date":
            return read_time(text, now).date().isoformat()
        case _ if kind == TIME:
            return read_time(text, now).strftime("%Y-%m-%d %H:%M:%S.%f")
    raise ValueError(f"{kind} is not a type that a parameter may have; those are {', '.join(TYPES)}")


def read_time(text: str, now: datetime | None = None) -> datetime:
    """An instant in UTC. Raises ValueError."""
    if told := RELATIVE.fullmatch(text.strip()):
        at = now or datetime.now(UTC)
        if told["base"] != "now":
            at = at.replace(hour=0, minute=0, second=0, microsecond=0)
        if told["base"] == "yesterday":
            at -= timedelta(days=1)
        if told["count"]:
            distance = timedelta(**{UNITS[told["unit"]]: int(told["count"])})
            try:
                at = at + distance if told["sign"] == "+" else at - distance
            except OverflowError:
                raise ValueError(f"{text!r} is not a time that a calendar has") from None
        return at
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time: 2026-11-20, 2026-11-20T09:30:00Z, now, today, yesterday, now-24h") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _number(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{text!r} is not a finite number")
    return text
