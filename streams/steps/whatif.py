"""What the same calls would have cost otherwise (M11). Money is Decimal USD.

    routing    calls spread over tiers by share: calls x sum(share x price of a call)
    caching    a conversation sends what it sent before once more, and more after it: the input of a call begins with the whole
               input of the call before. That prefix could have been read from a cache, where the provider keeps it that long.

Which calls a router would have sent where is not known, so each call counts in every tier by its share. That a conversation's
prefix stays the same is an assumption; what a call did read from a cache is taken off it.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from msgspec import Struct

from waterline.streams.steps.moment import SECOND

MILLION = Decimal(1_000_000)
INPUT, READ, WRITE = "tokens_input", "tokens_cache_read", "tokens_cache_write_5m"
KEPT = 300 * SECOND
"""How long a prefix stays in a cache after it was last used, microseconds."""
SHORTEST = 1024
"""Tokens: what is shorter is not cached."""


class Tier(Struct, frozen=True):
    """`cost` of one call, USD."""

    share: Decimal
    cost: Decimal


def routed(calls: Decimal | int, tiers: Sequence[Tier]) -> Decimal:
    """What `calls` cost by the plan; a rate of calls gives a rate of cost. Raises ValueError when the shares are not a whole."""
    if sum(tier.share for tier in tiers) != 1 or any(tier.share < 0 for tier in tiers):
        raise ValueError(f"the shares of the tiers are {', '.join(str(tier.share) for tier in tiers)}; they have to add up to 1")
    return sum((calls * tier.share * tier.cost for tier in tiers), Decimal(0))


def saving(cost: Decimal, instead: Decimal) -> Decimal | None:
    """The share of `cost` that is saved, negative when it is more; None of nothing."""
    return (cost - instead) / cost if cost else None


class Sent(Struct, frozen=True):
    """The input of one call: when it was sent (microseconds) and its tokens, disjoint."""

    at: int
    fresh: int
    read: int = 0
    written: int = 0

    @property
    def whole(self) -> int:
        return self.fresh + self.read + self.written


class Cacheable(Struct, frozen=True):
    """Of the fresh tokens of one call: how many could have been read from a cache, and how many of the others would have had to
    be written there for the next call."""

    read: int
    write: int


def cacheable(calls: Sequence[Sent], kept: int = KEPT, shortest: int = SHORTEST) -> list[Cacheable]:
    """For the calls of one conversation with one model, in order."""

    def shared(one: Sent, next_one: Sent) -> int:
        prefix = min(one.whole, next_one.whole)
        return prefix if next_one.at - one.at <= kept and prefix >= shortest else 0

    prefixes = [0, *map(shared, calls, calls[1:]), 0]
    found = []
    for call, before, after in zip(calls, prefixes, prefixes[1:], strict=False):
        read = min(call.fresh, max(0, before - call.read))
        write = min(call.fresh - read, max(0, after - call.read - read - call.written))
        found.append(Cacheable(read, write))
    return found


def cached_saving(found: Iterable[Cacheable], prices: Mapping[str, Decimal]) -> Decimal | None:
    """USD saved at `prices` (USD per million tokens of a class); writing costs as input does where it has no price of its own.
    None where the model has no price for input or for reading from a cache."""
    if INPUT not in prices or READ not in prices:
        return None
    fresh, read = prices[INPUT], prices[READ]
    write = prices.get(WRITE, fresh)
    return sum((one.read * (fresh - read) - one.write * (write - fresh) for one in found), Decimal(0)) / MILLION
