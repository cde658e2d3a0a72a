"""The price book: which price applied to a call, found from the versions published so far. Pure: it is given versions.

A version applies to an event when it was known at the event's receipt and effective at its time, so that a replay prices
alike. Names are matched by the rules that travel in the versions, and only by those known at the receipt.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from waterline.schemas.facts import PriceVersion
from waterline.streams.steps.match import GATEWAYS, Test, compile_rule, dashed_dates, provider_name
from waterline.streams.steps.moment import DAY, micros

SCALE = 10**18
"""Unit prices are held as whole 1e-18 USD per million."""
HUMAN = "human"
ANYONE = "*"


class Price(Struct, frozen=True, gc=False):
    """What a leaf is charged. `units` holds `unit_prices` times SCALE."""

    key: str
    id: str
    model: str
    known_from: datetime
    unit_prices: dict[str, str]
    units: dict[str, int]


class Names(Struct, omit_defaults=True):
    """`PriceVersion.match`: rank of the provider and of the model in it (negative: before the table), and their rules."""

    order: tuple[int, int] = (0, 0)
    provider: dict[str, Any] | None = None
    provider_by_model: dict[str, Any] | None = None
    fallback: list[str] = []
    model: dict[str, Any] | None = None


class Conditions(Struct, omit_defaults=True):
    """`PriceVersion.conditions`: service tier, more input tokens than `over`, and a time of day in minutes (end excluded)."""

    tier: str = ""
    over: int = 0
    minutes: tuple[int, int] | None = None


class Offer:
    """The versions of one price key that are known: effective from when, and the price; the newest known first."""

    __slots__ = ("over", "tier", "versions", "window")

    def __init__(self, conditions: Conditions) -> None:
        self.tier, self.over = conditions.tier, conditions.over
        self.window = conditions.minutes
        self.versions: list[tuple[int, Price | None]] = []

    def takes(self, total_input: int, ts: int) -> bool:
        if self.over and total_input <= self.over:
            return False
        if self.window is None:
            return True
        first, end = self.window
        minute = ts % DAY // 60_000_000
        return first <= minute < end if first < end else minute >= first or minute < end

    def at(self, ts: int) -> Price | None:
        for effective, price in self.versions:
            if effective <= ts:
                return price
        return None


class Listing:
    """All offers of one model of one provider, and what it is called."""

    __slots__ = ("model", "names", "offers", "provider", "test")

    def __init__(self, provider: str, model: str, names: Names, offers: list[Offer]) -> None:
        self.provider, self.model, self.names, self.offers = provider, model, names, offers
        self.test: Test = compile_rule(names.model)

    def at(self, tier: str, total_input: int, ts: int) -> Price | None:
        for wanted in (tier, "") if tier else ("",):
            for offer in self.offers:
                if offer.tier == wanted and offer.takes(total_input, ts) and (price := offer.at(ts)) is not None:
                    return price
        return None


class _Edition:
    """The listings as they were known at one time."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.found: dict[tuple[str, str], list[tuple[Listing, bool]]] = {}
        ordered = sorted(listings, key=lambda listing: listing.names.order)
        self.overrides = [listing for listing in ordered if listing.names.order[0] < 0]
        self.override_tests = [compile_rule(listing.names.provider) for listing in self.overrides]
        self.table: dict[str, list[Listing]] = {}
        for listing in ordered:
            if listing.names.order[0] >= 0:
                self.table.setdefault(listing.provider, []).append(listing)
        heads = {provider: listings[0].names for provider, listings in self.table.items()}
        self.by_name = [(provider, compile_rule(names.provider)) for provider, names in heads.items() if names.provider]
        self.by_model = [(p, compile_rule(names.provider_by_model)) for p, names in heads.items() if names.provider_by_model]
        self.fallback = {provider: names.fallback for provider, names in heads.items()}

    def lookup(self, provider: str, model: str) -> list[tuple[Listing, bool]]:
        """Listings to try in turn, each with whether it is the provider's own: tiers of another's list do not apply."""
        key = (provider, model)
        if (found := self.found.get(key)) is None:
            if len(self.found) > 10_000:
                self.found.clear()
            found = self.found[key] = self._lookup(provider_name(provider), model.strip().lower())
        return found

    def _lookup(self, provider: str, model: str) -> list[tuple[Listing, bool]]:
        if provider in GATEWAYS and "/" in model:
            before, after = model.split("/", 1)
            if (known := self._provider(provider_name(before), "")) is not None:
                provider, model = known, after
        found = [
            (listing, True)
            for listing, takes in zip(self.overrides, self.override_tests, strict=True)
            if takes(provider) and (listing.test(model) or listing.test(dashed_dates(model)))
        ]
        if (known := self._provider(provider, model)) is not None:
            listing = self._model(known, model) or self._model(known, dashed_dates(model))
            found += [(listing, listing.provider == known)] if listing else []
        return found

    def _provider(self, name: str, model: str) -> str | None:
        if name in self.table:
            return name
        if name not in GATEWAYS:
            return next((provider for provider, takes in self.by_name if takes(name)), None)
        return next((provider for provider, takes in self.by_model if model and takes(model)), None)

    def _model(self, provider: str, model: str) -> Listing | None:
        for place in (provider, *self.fallback[provider]):
            for listing in self.table.get(place, ()):
                if listing.test(model):
                    return listing
        return None


class PriceBook:
    """Every version published so far. `add` takes in more; lookups are cached until then."""

    def __init__(self, versions: Iterable[PriceVersion] = ()) -> None:
        self._versions: dict[str, PriceVersion] = {}
        self.add(versions)

    def __len__(self) -> int:
        return len(self._versions)

    def versions(self) -> list[PriceVersion]:
        return list(self._versions.values())

    def add(self, versions: Iterable[PriceVersion]) -> None:
        """Take in versions; one that is known already changes nothing."""
        for version in versions:
            self._versions.setdefault(version.price_id, version)
        self._known = sorted({micros(version.known_from) for version in self._versions.values()})
        self._editions: dict[int, _Edition] = {}
        self._people: dict[int, dict[tuple[str, str], Offer]] = {}

    def find(self, provider: str, model: str, tier: str, total_input: int, ts: int, received: int) -> Price | None:
        """The price of a call of `model` with `total_input` input tokens of all classes, at `ts`, received at `received`
        (microseconds); None if there is none. A tier that the model has no price for is charged as the default one."""
        for listing, own in self._edition(received).lookup(provider, model):
            if (price := listing.at(tier if own else "", total_input, ts)) is not None:
                return price
        return None

    def listing(self, provider: str, model: str) -> Listing | None:
        """What a name means today, if the provider itself lists it."""
        edition = self._edition(self._known[-1]) if self._known else None
        found = edition.lookup(provider, model) if edition else []
        return next((listing for listing, own in found if own), None)

    def reviewer(self, tenant: str, reviewer: str, ts: int, received: int) -> Price | None:
        """What an hour or a review of this person costs: their own rate, else the tenant's, else everyone's."""
        self._edition(received)
        people = self._people[bisect_right(self._known, received)]
        for who in ((tenant, reviewer), (tenant, ANYONE), (ANYONE, reviewer), (ANYONE, ANYONE)):
            if (offer := people.get(who)) is not None and (price := offer.at(ts)) is not None:
                return price
        return None

    def _edition(self, received: int) -> _Edition:
        number = bisect_right(self._known, received)
        if (edition := self._editions.get(number)) is None:
            edition = self._editions[number] = self._compile(number, self._known[number - 1] if number else -1)
        return edition

    def _compile(self, number: int, until: int) -> _Edition:
        offers: dict[tuple[str, str], dict[str, Offer]] = {}
        names: dict[tuple[str, str], tuple[int, Names]] = {}
        for version in sorted(self._versions.values(), key=lambda v: (v.known_from, v.effective_from, v.price_id), reverse=True):
            if (known := micros(version.known_from)) > until:
                continue
            place = (version.provider, version.model)
            offer = offers.setdefault(place, {}).get(version.price_key)
            if offer is None:
                conditions = msgspec.json.decode(version.conditions or "{}", type=Conditions)
                offer = offers[place][version.price_key] = Offer(conditions)
            offer.versions.append((micros(version.effective_from), _price(version)))
            if place not in names:
                names[place] = (known, msgspec.json.decode(version.match or "{}", type=Names))
        self._people[number] = {
            (place[1].partition("/")[0], place[1].partition("/")[2]): next(iter(keys.values()))
            for place, keys in offers.items()
            if place[0] == HUMAN
        }
        return _Edition(
            Listing(*place, names[place][1], sorted(keys.values(), key=lambda offer: -offer.over))
            for place, keys in offers.items()
            if place[0] != HUMAN
        )


def _price(version: PriceVersion) -> Price | None:
    if not version.unit_prices:
        return None
    units = {unit: int((Decimal(price) * SCALE).to_integral_value()) for unit, price in version.unit_prices.items()}
    return Price(version.price_key, version.price_id, version.model, version.known_from, version.unit_prices, units)
