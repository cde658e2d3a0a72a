"""The price list: the table and the override file as one, and what of it is not published yet. Pure, but for the file."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec
from msgspec.structs import replace

from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.facts import PriceVersion
from waterline.schemas.settings import Settings
from waterline.streams.overrides import Override, hourly, read_overrides
from waterline.streams.price_table import conditions_text, plain, price_key, table_versions
from waterline.streams.steps.match import provider_name
from waterline.streams.steps.moment import EPOCH
from waterline.streams.steps.prices import ANYONE, HUMAN, Conditions, Names, PriceBook

TABLE = "genai-prices"
Series = dict[str, list[PriceVersion]]
"""price key -> its versions that are known from the same time on, by effective date"""


def wanted(settings: Settings) -> Series:
    """All prices as they should be: the table, with the override file's lines in the place of what they override."""
    path = Path(settings.prices_file).expanduser() if settings.prices_file else None
    overrides = [Override(HUMAN, f"{ANYONE}/{ANYONE}", Conditions(), EPOCH, {"review_ms": hourly(_rate(settings))})]
    overrides += read_overrides(path) if path else []
    series = _by_key(table_versions())
    book = PriceBook(numbered(series, EPOCH))
    siblings: dict[tuple[str, str], list[PriceVersion]] = {}
    for versions in series.values():
        siblings.setdefault((versions[0].provider, versions[0].model), []).append(versions[0])
    for number, override in sorted(enumerate(overrides), key=lambda o: (o[1].conditions.over > 0, o[1].effective_from)):
        source = f"override {path.name}" if path and number else "setting reviewer_rate"
        for version in _versions(override, book, siblings, number, source):
            kept = [known for known in series.get(version.price_key, []) if known.effective_from < version.effective_from]
            series[version.price_key] = [*kept, version]
    return series


def changes(wanted: Series, published: Iterable[PriceVersion], known_from: datetime) -> list[PriceVersion]:
    """What to publish so that `wanted` holds from `known_from` on: all versions of each key that differs, and for a key that
    the override file no longer has, that it is withdrawn. Models that left the table keep their last price."""
    current: dict[str, list[PriceVersion]] = {}
    for version in published:
        known = current.get(version.price_key)
        if known is None or version.known_from > known[0].known_from:
            current[version.price_key] = [version]
        elif version.known_from == known[0].known_from:
            known.append(version)
    differing = {key: versions for key, versions in wanted.items() if _contents(versions) != _contents(current.get(key, ()))}
    for key, versions in current.items():
        if key not in wanted and versions[0].unit_prices and not versions[0].source.startswith(TABLE):
            gone = replace(versions[0], unit_prices={}, effective_from=EPOCH, source="withdrawn")
            differing[key] = [gone]
    return list(numbered(differing, known_from))


def numbered(series: Series, known_from: datetime) -> Iterator[PriceVersion]:
    """The versions as known from a time on, each with an id that its content gives it."""
    for versions in series.values():
        for version in versions:
            digest = hashlib.blake2b(repr((_content(version), known_from.isoformat())).encode(), digest_size=4).hexdigest()
            price_id = f"{version.price_key}@{version.effective_from:%Y-%m-%d}.{digest}"
            yield replace(version, price_id=price_id, known_from=known_from)


def _versions(
    override: Override, book: PriceBook, siblings: Mapping[tuple[str, str], list[PriceVersion]], number: int, source: str
) -> Iterator[PriceVersion]:
    """An override as versions: of the table's own keys where the table knows the model, else of a key of its own. A price
    without `over` stands for every length of context and time of day of its tier."""
    provider, model = provider_name(override.provider), override.model.strip().lower()
    prices = {name: plain(amount) for name, amount in sorted(override.amounts.items())}
    listing = None if provider == HUMAN or model.endswith("*") else book.listing(provider, model)
    wanted = override.conditions
    own = PriceVersion(
        price_id="",
        price_key=price_key(provider, model, wanted),
        provider=provider,
        model=override.model if provider == HUMAN else model,
        known_from=EPOCH,
        effective_from=override.effective_from,
        source=source,
        unit_prices=prices,
        conditions=conditions_text(wanted),
        match="" if provider == HUMAN else _names(provider, model, number),
    )
    if listing is None:
        yield own
        return
    known = siblings[listing.provider, listing.model]
    same = [v for v in known if _covers(wanted, msgspec.json.decode(v.conditions or "{}", type=Conditions))]
    if not same:
        key = price_key(listing.provider, listing.model, wanted)
        yield replace(own, price_key=key, provider=listing.provider, model=listing.model, match=known[0].match)
    for version in same:
        yield replace(version, effective_from=override.effective_from, source=source, unit_prices=prices)


def _covers(wanted: Conditions, known: Conditions) -> bool:
    return known.tier == wanted.tier and wanted.over in (0, known.over)


def _names(provider: str, model: str, number: int) -> str:
    """Found before the table, exact names before beginnings."""
    prefix = model.endswith("*")
    rule = {"starts_with": model[:-1]} if prefix else {"equals": model}
    return msgspec.json.encode(Names((-1 if prefix else -2, number), {"equals": provider}, None, [], rule)).decode()


def _by_key(versions: Iterable[PriceVersion]) -> Series:
    series: Series = {}
    for version in versions:
        series.setdefault(version.price_key, []).append(version)
    return series


def _content(version: PriceVersion) -> tuple[object, ...]:
    prices = sorted(version.unit_prices.items())
    return version.price_key, version.effective_from.isoformat(), prices, version.conditions, version.match


def _contents(versions: Iterable[PriceVersion]) -> list[str]:
    return sorted(repr(_content(version)) for version in versions)


def _rate(settings: Settings) -> Decimal:
    try:
        rate = Decimal(settings.reviewer_rate)
    except InvalidOperation:
        rate = Decimal("NaN")
    if not rate.is_finite() or rate < 0:
        reason = f"WATERLINE_REVIEWER_RATE: US dollars an hour are wanted, this is {settings.reviewer_rate!r}"
        raise Permanent(ErrorCode.INVALID_PARAMETER, reason)
    return rate
