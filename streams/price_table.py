"""genai-prices' bundled table as price versions: every model, tier, context length and time of day as a price of its own.

Its prices fall back (cached input without a price of its own is charged as input); ours name each class, so the fall-back is
resolved here, once. Nothing is fetched: the table is the one that came with the installed package.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from genai_prices import data_snapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from waterline.schemas.facts import PriceVersion
from waterline.streams.steps.moment import EPOCH
from waterline.streams.steps.prices import Conditions, Names

SOURCE = f"genai-prices {version('genai-prices')}"

CLASSES: Mapping[str, tuple[str, ...]] = {
    "tokens_input": ("input_text_mtok", "input_mtok"),
    "tokens_cache_read": ("cache_text_read_mtok", "cache_read_mtok", "input_mtok"),
    "tokens_cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "tokens_cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "tokens_input_audio": ("input_audio_mtok", "input_mtok"),
    "tokens_cache_read_audio": ("cache_audio_read_mtok", "cache_read_mtok", "input_audio_mtok", "input_mtok"),
    "tokens_input_image": ("input_image_mtok", "input_mtok"),
    "tokens_output": ("output_text_mtok", "output_mtok"),
    "tokens_reasoning": ("output_reasoning_mtok",),
    "tokens_output_audio": ("output_audio_mtok", "output_mtok"),
    "tokens_output_image": ("output_image_mtok", "output_mtok"),
    "requests": ("rerank_searches_kcount", "web_searches_kcount"),
    "calls": ("requests_kcount",),
}
"""Our class -> the table's prices to take, the first that is there. Prices for a thousand are made prices for a million."""

TIERS: Mapping[str, dict[str, str]] = {
    "": {},
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
"""Service tier of an event -> the request context that the table's variants are chosen by."""

_CLAUSES: Mapping[type, str] = {
    ClauseStartsWith: "starts_with",
    ClauseEndsWith: "ends_with",
    ClauseContains: "contains",
    ClauseEquals: "equals",
    ClauseRegex: "regex",
}
Window = tuple[int, int]


@cache
def table_versions() -> tuple[PriceVersion, ...]:
    """Every price of the table, without `price_id` and as known since ever."""
    return tuple(_table_versions())


def _table_versions() -> Iterator[PriceVersion]:
    for place, provider in enumerate(data_snapshot.get_snapshot().providers):
        for number, model in enumerate(provider.models):
            names = Names(
                order=(place, number),
                provider=rule_of(provider.provider_match),
                provider_by_model=rule_of(provider.model_match),
                fallback=list(provider.fallback_model_providers or ()),
                model=rule_of(model.match),
            )
            yield from _model_versions(provider, model, msgspec.json.encode(names).decode())


def rule_of(clause: Any) -> dict[str, Any] | None:
    """A matching clause of the table as a rule of `steps.match`."""
    if clause is None:
        return None
    if isinstance(clause, ClauseOr):
        return {"or": [rule_of(part) for part in clause.or_]}
    if isinstance(clause, ClauseAnd):
        return {"and": [rule_of(part) for part in clause.and_]}
    kind = _CLAUSES[type(clause)]
    return {kind: getattr(clause, kind)}


def price_key(provider: str, model: str, conditions: Conditions) -> str:
    """`provider/model#tier>tokens@hours`, the part after # only where it says something."""
    over = f">{conditions.over}" if conditions.over else ""
    window = f"@{_clock(conditions.minutes[0])}-{_clock(conditions.minutes[1])}" if conditions.minutes else ""
    suffix = conditions.tier + over + window
    return f"{provider}/{model}#{suffix}" if suffix else f"{provider}/{model}"


def conditions_text(conditions: Conditions) -> str:
    return "" if conditions == Conditions() else msgspec.json.encode(conditions).decode()


def _model_versions(provider: Provider, model: ModelInfo, names: str) -> Iterator[PriceVersion]:
    parts: list[ConditionalPrice | PriceVariant] = list(model.prices) if isinstance(model.prices, list) else []
    parts += model.price_variants or []
    constraints = [part.constraint for part in parts]
    starts = sorted({EPOCH} | {_midnight(c.start_date) for c in constraints if isinstance(c, StartDateConstraint)})
    edges = sorted({edge for c in constraints if isinstance(c, TimeOfDateConstraint) for edge in _minutes(c)})
    windows: list[Window | None] = list(zip(edges, edges[1:] + edges[:1], strict=True)) if edges else [None]
    standard = [part.prices for part in parts] + ([] if isinstance(model.prices, list) else [model.prices])
    bands = sorted({0} | {tier.start for prices in standard for tier in _tiers(prices)})
    for tier, context in TIERS.items():
        if tier and not any(v.when.items() <= context.items() for v in model.price_variants or ()):
            continue
        for over in bands:
            for window in windows:
                conditions = Conditions(tier, over, window)
                key = price_key(provider.id, model.id, conditions)
                before: dict[str, str] | None = None
                for start in starts:
                    moment = start + timedelta(minutes=window[0] if window else 0)
                    prices = unit_prices(model.get_prices(moment, context or None), over)
                    if prices != before:
                        yield PriceVersion(
                            price_id="",
                            price_key=key,
                            provider=provider.id,
                            model=model.id,
                            known_from=EPOCH,
                            effective_from=start,
                            source=SOURCE,
                            unit_prices=prices,
                            conditions=conditions_text(conditions),
                            match=names,
                        )
                    before = prices


def unit_prices(price: ModelPrice, over: int) -> dict[str, str]:
    """Class -> USD per million for calls with more than `over` input tokens."""
    found: dict[str, str] = {}
    for name, candidates in CLASSES.items():
        for candidate in candidates:
            value = getattr(price, candidate)
            if value is not None:
                if isinstance(value, TieredPrices):
                    value = next((tier.price for tier in reversed(value.tiers) if over >= tier.start), value.base)
                found[name] = plain(value * 1000 if candidate.endswith("_kcount") else value)
                break
    return found


def plain(amount: Decimal) -> str:
    """Digits and a point, at most 18 of them after it, no zeros at the end."""
    text = f"{amount:.18f}"
    return text.rstrip("0").rstrip(".")


def _tiers(prices: ModelPrice) -> Iterator[Any]:
    for value in vars(prices).values():
        if isinstance(value, TieredPrices):
            yield from value.tiers


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _minutes(constraint: TimeOfDateConstraint) -> Window:
    """First minute and end of a daily window, UTC; times without a zone are UTC."""
    edges = []
    for clock in (constraint.start_time, constraint.end_time):
        moment = datetime(1970, 1, 2, clock.hour, clock.minute, tzinfo=clock.tzinfo or UTC).astimezone(UTC)
        edges.append(moment.hour * 60 + moment.minute)
    return edges[0], edges[1]


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
