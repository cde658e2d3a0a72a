"""The override file (setting `prices_file`, TOML): prices that no public table knows. Everything in it is dated.

    [[rate]]                      # US dollars for one unit of another currency
    currency = "EUR"
    usd = "1.08"
    from = 2026-01-01

    [[price]]                     # negotiated: takes the place of the list price from its day on
    provider = "openai"           # as events name it
    model = "gpt-4o"              # a model of the list by any of its names, else exactly this; "name*" = begins so
    from = 2026-01-01             # left out = since ever
    currency = "EUR"              # left out = USD
    tier = "batch"                # left out = the default tier
    over = 200000                 # for calls with more input tokens than this; left out = all
    input = "2.10"                # per million tokens: input, cache_read, cache_write_5m, cache_write_1h, input_audio,
    output = "8.40"               #   cache_read_audio, input_image, output, reasoning, output_audio, output_image
    request = "0.01"              # per request or search unit that the event counts
    call = "0.002"                # per call

    [[gpu]]                       # self-hosted: by the time a call takes
    provider = "vllm"
    model = "llama-3.1-70b*"
    usd_per_second = "0.0011"     # or per_second with a currency
    gpus = 2

    [[reviewer]]                  # what human review costs; the most particular entry applies
    tenant = "acme"               # left out = every tenant
    reviewer = "r-41"             # left out = everyone
    per_hour = "55"               # or per_review = "12.50", a fixed price

Cached and audio classes that are left out are charged as `input` or `output`.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from msgspec import Struct

from waterline.schemas.errors import ErrorCode, Permanent
from waterline.streams.steps.moment import EPOCH
from waterline.streams.steps.prices import ANYONE, HUMAN, Conditions

INPUT = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "cache_read_audio", "input_image")
OUTPUT = ("output", "output_audio", "output_image")
AMOUNTS = (*INPUT, *OUTPUT, "reasoning", "request", "call")
MILLION = 1_000_000
KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rate": (("currency", "usd", "from"), ()),
    "price": (("provider", "model"), ("from", "currency", "tier", "over", *AMOUNTS)),
    "gpu": (("provider", "model"), ("from", "currency", "usd_per_second", "per_second", "gpus")),
    "reviewer": ((), ("tenant", "reviewer", "from", "currency", "per_hour", "per_review")),
}
"""table -> keys that must be there, keys that may be"""


class Override(Struct):
    """One priced line of the file: in USD per million units, from a time on."""

    provider: str
    model: str
    conditions: Conditions
    effective_from: datetime
    amounts: dict[str, Decimal]


class _Line:
    """One table of the file, with where it stands, for messages."""

    def __init__(self, path: Path, kind: str, number: int, line: int, values: dict[str, Any]) -> None:
        self.kind, self.values = kind, values
        self.place = f"{path}, line {line}, [[{kind}]] number {number}"

    def wrong(self, key: str, what: str) -> Permanent:
        return Permanent(ErrorCode.INVALID_PARAMETER, f"{self.place}: {key}: {what}")

    def check_keys(self) -> None:
        required, optional = KEYS[self.kind]
        for key in self.values:
            if key not in required and key not in optional:
                close = get_close_matches(key, [*required, *optional], 1)
                raise self.wrong(key, f"no such key{f', is {close[0]} meant?' if close else ''}")
        for key in required:
            if key not in self.values:
                raise self.wrong(key, "is missing")

    def text(self, key: str, default: str = "") -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or (key in self.values and not value):
            raise self.wrong(key, f"text is wanted, this is {value!r}")
        return value

    def amount(self, key: str) -> Decimal:
        value = self.values[key]
        try:
            amount = Decimal(value if isinstance(value, str) else str(value))
        except InvalidOperation:
            raise self.wrong(key, f'an amount such as "2.50" is wanted, this is {value!r}') from None
        if not amount.is_finite() or not 0 <= amount <= 10**9 or isinstance(value, bool):
            raise self.wrong(key, f"an amount from 0 to a billion is wanted, this is {value!r}")
        return amount

    def whole(self, key: str, default: int, least: int) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(key, f"a whole number from {least} on is wanted, this is {value!r}")
        return value

    def start(self) -> datetime:
        value = self.values.get("from")
        if value is None:
            return EPOCH
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        raise self.wrong("from", f"a date such as 2026-01-31 is wanted (without quotes), this is {value!r}")


def read_overrides(path: Path) -> list[Override]:
    """The file's lines in its order, converted to USD; one for each day on which the price or its rate changes. Raises
    `Permanent` with file, line, table, key and what was meant."""
    lines = list(_lines(path))
    rates: dict[str, list[tuple[datetime, Decimal]]] = {}
    for line in lines:
        line.check_keys()
        if line.kind == "rate":
            rates.setdefault(line.text("currency").upper(), []).append((line.start(), line.amount("usd")))
    return [override for line in lines if line.kind != "rate" for override in _overrides(line, rates)]


def _lines(path: Path) -> Iterator[_Line]:
    try:
        source = path.read_text("utf-8")
        tables = tomllib.loads(source, parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"{path}: {error}") from error
    heads = [
        (found.group(1), number)
        for number, text in enumerate(source.splitlines(), 1)
        if (found := re.match(r"\s*\[\[\s*([\w-]+)\s*\]\]", text))
    ]
    for kind, entries in tables.items():
        if kind not in KEYS or not isinstance(entries, list):
            wanted = ", ".join(f"[[{name}]]" for name in KEYS)
            raise Permanent(ErrorCode.INVALID_PARAMETER, f"{path}: {kind}: there may be only {wanted}")
        places = [line for name, line in heads if name == kind]
        for number, values in enumerate(entries, 1):
            yield _Line(path, kind, number, places[number - 1] if number <= len(places) else 1, values)


def _overrides(line: _Line, rates: Mapping[str, list[tuple[datetime, Decimal]]]) -> Iterator[Override]:
    provider, model, conditions, amounts = _priced(line)
    start = line.start()
    currency = line.text("currency", "USD").upper() if "usd_per_second" not in line.values else "USD"
    if currency == "USD":
        yield Override(provider, model, conditions, start, amounts)
        return
    known = sorted(rates.get(currency, []))
    if not known or known[0][0] > start:
        since = f"before {known[0][0]:%Y-%m-%d}" if known else "at all"
        raise line.wrong("currency", f"there is no [[rate]] for {currency} {since}; the price is from {start:%Y-%m-%d}")
    at_start = [rate for rate in known if rate[0] <= start][-1][1]
    for day, rate in [(start, at_start)] + [rate for rate in known if rate[0] > start]:
        yield Override(provider, model, conditions, day, {name: amount * rate for name, amount in amounts.items()})


def _priced(line: _Line) -> tuple[str, str, Conditions, dict[str, Decimal]]:
    """provider, model, conditions, and amounts per million units in the line's own currency."""
    if line.kind == "reviewer":
        return HUMAN, f"{line.text('tenant', ANYONE)}/{line.text('reviewer', ANYONE)}", Conditions(), _review_amounts(line)
    provider, model = line.text("provider"), line.text("model")
    if line.kind == "gpu":
        if ("usd_per_second" in line.values) == ("per_second" in line.values):
            raise line.wrong("usd_per_second", "give either usd_per_second, or per_second with a currency")
        per_second = line.amount("usd_per_second" if "usd_per_second" in line.values else "per_second")
        free = dict.fromkeys((*(f"tokens_{name}" for name in (*INPUT, *OUTPUT)), "requests"), Decimal(0))
        return provider, model, Conditions(), free | {"duration_ms": per_second * line.whole("gpus", 1, 1) * 1000}
    given = [name for name in AMOUNTS if name in line.values]
    if not given:
        raise line.wrong("input", f"no price is given; prices are {', '.join(AMOUNTS)}")
    amounts = {name: line.amount(name) for name in given}
    for whole, parts in (("input", INPUT), ("output", OUTPUT)):
        if whole in amounts:
            amounts = dict.fromkeys(parts, amounts[whole]) | amounts
    priced = {f"tokens_{name}": amount for name, amount in amounts.items() if name not in ("request", "call")}
    priced |= {f"{name}s": amounts[name] * MILLION for name in ("request", "call") if name in amounts}
    return provider, model, Conditions(line.text("tier").lower(), line.whole("over", 0, 0)), priced


def _review_amounts(line: _Line) -> dict[str, Decimal]:
    if ("per_hour" in line.values) == ("per_review" in line.values):
        raise line.wrong("per_hour", "give either per_hour or per_review")
    if "per_hour" in line.values:
        return {"review_ms": hourly(line.amount("per_hour"))}
    return {"reviews": line.amount("per_review") * MILLION}


def hourly(rate: Decimal) -> Decimal:
    """An hourly rate as a price per million milliseconds; an hour has 3.6 million."""
    return rate * 10 / 36
