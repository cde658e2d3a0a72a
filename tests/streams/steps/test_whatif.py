"""What routing and caching would have saved."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.streams.steps.moment import SECOND
from waterline.streams.steps.whatif import Cacheable, Sent, Tier, cacheable, cached_saving, routed, saving

PLAN = [
    Tier(Decimal("0.80"), Decimal("0.001")),
    Tier(Decimal("0.15"), Decimal("0.01")),
    Tier(Decimal("0.05"), Decimal("0.05")),
]
PRICES = {"tokens_input": Decimal(3), "tokens_cache_read": Decimal("0.3"), "tokens_cache_write_5m": Decimal("3.75")}

sent = st.lists(
    st.builds(Sent, st.integers(0, 10**9), st.integers(0, 9000), st.integers(0, 9000), st.integers(0, 9000)), max_size=8
).map(lambda calls: sorted(calls, key=lambda call: call.at))


def test_ten_thousand_requests_a_second_over_three_tiers() -> None:
    """48 dollars a second against 100: 52 % saved, exactly."""
    instead, flat = routed(10_000, PLAN), routed(10_000, [Tier(Decimal(1), Decimal("0.01"))])
    assert (instead, flat, saving(flat, instead)) == (Decimal(48), Decimal(100), Decimal("0.52"))
    assert saving(Decimal(0), Decimal(0)) is None


@pytest.mark.parametrize("shares", [("0.8", "0.15"), ("1.2", "-0.2"), ()])
def test_shares_that_are_no_whole_are_refused(shares: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="they have to add up to 1"):
        routed(1, [Tier(Decimal(share), Decimal(1)) for share in shares])


def test_a_conversation_reads_again_what_it_sent_before() -> None:
    """The second call could read all of the first and write what is new; the third comes too late; the fourth did read."""
    calls = [
        Sent(0, 2000),
        Sent(60 * SECOND, 3000),
        Sent(600 * SECOND, 4000),
        Sent(660 * SECOND, 1000, read=4000),
        Sent(661 * SECOND, 500),
    ]
    found = cacheable(calls)
    assert found == [Cacheable(0, 2000), Cacheable(2000, 0), Cacheable(0, 4000), Cacheable(0, 0), Cacheable(0, 0)]
    assert cached_saving(found, PRICES) == (2000 * Decimal("2.7") - 6000 * Decimal("0.75")) / 1_000_000
    without_write_price = {name: price for name, price in PRICES.items() if "write" not in name}
    assert cached_saving(found, without_write_price) == 2000 * Decimal("2.7") / 1_000_000
    assert cached_saving(found, {"tokens_input": Decimal(3)}) is None


@given(sent)
def test_no_token_is_read_or_written_that_was_not_fresh(calls: list[Sent]) -> None:
    found = cacheable(calls)
    assert len(found) == len(calls)
    for call, could in zip(calls, found, strict=True):
        assert could.read >= 0
        assert could.write >= 0
        assert could.read + could.write <= call.fresh
    assert all(could.read == 0 for could in found[:1])


@given(sent)
def test_what_lies_too_far_apart_saves_nothing(calls: list[Sent]) -> None:
    assert all(could == Cacheable(0, 0) for could in cacheable(calls, kept=-1))
