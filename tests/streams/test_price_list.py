"""The price list: table and override file as one, what of it is published, and messages for a wrong file."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from waterline.schemas.errors import Permanent
from waterline.schemas.events import Event, Kind
from waterline.schemas.facts import PriceState, PriceVersion
from waterline.schemas.settings import Settings
from waterline.streams.price_list import Series, changes, numbered, wanted
from waterline.streams.steps.cost import leaf_of
from waterline.streams.steps.entry import money
from waterline.streams.steps.moment import EPOCH, micros
from waterline.streams.steps.prices import PriceBook

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def listed(tmp_path: Path, text: str = "", **settings: Any) -> Series:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return wanted(Settings(prices_file=str(path), **settings))


def cost(book: PriceBook, at: datetime = NOW, received: datetime = NOW, **fields: Any) -> Decimal | None:
    given: dict[str, Any] = {"kind": Kind.MODEL_CALL, "provider": "openai", "model_served": "gpt-4o"} | fields
    event = Event(tenant="acme", ts=at, **given)
    found = leaf_of(event, micros(at), micros(received), book)
    assert found is not None
    return money(found[0].cost) if found[0].base == PriceState.PRICED else None


def initial(series: Series) -> PriceBook:
    return PriceBook(numbered(series, EPOCH))


MILLION: dict[str, Any] = {"tokens_input": 1_000_000}
LIST_PRICE = Decimal("2.5")

NEGOTIATED = """
[[price]]
provider = "openai"
model = "gpt-4o-2024-08-06"
from = 2026-06-01
input = "2.10"
output = 8.4
"""


def test_a_negotiated_price_takes_the_place_of_the_list_price_from_its_day_on(tmp_path: Path) -> None:
    """By whatever name the model is called; cached input has no price of its own here and is charged as input."""
    book = initial(listed(tmp_path, NEGOTIATED))
    before = datetime(2026, 5, 31, 23, tzinfo=UTC)
    for name in ("gpt-4o", "gpt-4o-2024-11-20"):
        assert cost(book, before, model_served=name, **MILLION) == LIST_PRICE
        assert cost(book, NOW, model_served=name, **MILLION) == Decimal("2.1")
    assert cost(book, NOW, tokens_cache_read=1_000_000) == Decimal("2.1")
    assert cost(book, NOW, tokens_output=1_000_000) == Decimal("8.4")
    assert cost(book, NOW, provider="anthropic", model_served="claude-sonnet-4-5", **MILLION) == Decimal(6), "over 200,000"


def test_without_over_a_price_stands_for_every_length_of_context(tmp_path: Path) -> None:
    text = '[[price]]\nprovider = "anthropic"\nmodel = "claude-sonnet-4-5"\ninput = "1"\noutput = "1"\n'
    book = initial(listed(tmp_path, text))
    sonnet: dict[str, Any] = {"provider": "anthropic", "model_served": "claude-sonnet-4-5"}
    assert cost(book, **MILLION, **sonnet) == 1
    long = text + text.replace('input = "1"', "over = 200000\ninput = 1.5")
    book = initial(listed(tmp_path, long))
    assert (cost(book, **MILLION, **sonnet), cost(book, tokens_input=1000, **sonnet)) == (Decimal("1.5"), Decimal("0.001"))


def test_other_currencies_are_converted_at_the_rate_of_the_day(tmp_path: Path) -> None:
    text = """
[[rate]]
currency = "EUR"
usd = "1.10"
from = 2026-01-01
[[rate]]
currency = "EUR"
usd = "1.20"
from = 2026-09-01
[[price]]
provider = "openai"
model = "gpt-4o"
from = 2026-02-01
currency = "EUR"
input = "2"
"""
    book = initial(listed(tmp_path, text))
    days = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 10)]
    assert [cost(book, day, **MILLION) for day in days] == [LIST_PRICE, Decimal("2.2"), Decimal("2.4")]


def test_a_self_hosted_model_is_charged_by_its_seconds(tmp_path: Path) -> None:
    text = '[[gpu]]\nprovider = "vllm"\nmodel = "llama-3.1-70b*"\nusd_per_second = "0.0011"\ngpus = 2\n'
    book = initial(listed(tmp_path, text))
    call: dict[str, Any] = {"provider": "vllm", "model_served": "Llama-3.1-70B-Instruct", "duration_ms": 2500.0}
    assert cost(book, tokens_input=10, **call) == Decimal("0.0055")
    assert cost(book, tokens_input=10, **call | {"model_served": "other"}) is None


def test_requests_and_calls_have_prices(tmp_path: Path) -> None:
    text = '[[price]]\nprovider = "search"\nmodel = "web"\nrequest = "0.01"\ncall = "0.002"\n'
    book = initial(listed(tmp_path, text))
    assert cost(book, provider="search", model_served="web", requests=3) == Decimal("0.032")


REVIEWERS = """
[[reviewer]]
per_hour = "90"
from = 2026-11-01
[[reviewer]]
tenant = "acme"
reviewer = "r-2"
per_review = "12.50"
"""


@pytest.mark.parametrize(
    ("reviewer", "day", "expected"), [("r-1", 20, "45"), ("r-1", -30, "30"), ("r-2", 20, "12.5"), ("r-2", -30, "12.5")]
)
def test_reviewers_cost_what_the_file_says_else_the_setting(tmp_path: Path, reviewer: str, day: int, expected: str) -> None:
    book = initial(listed(tmp_path, REVIEWERS, reviewer_rate="60"))
    at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=day)
    review: dict[str, Any] = {"kind": Kind.REVIEW, "reviewer": reviewer, "review_minutes": 30}
    assert cost(book, at, **review) == Decimal(expected)


# what is published


def known(series: Series, published: list[PriceVersion], minute: int) -> list[PriceVersion]:
    return published + changes(series, published, NOW + timedelta(minutes=minute))


def test_only_what_changed_is_published(tmp_path: Path) -> None:
    first = list(numbered(listed(tmp_path), EPOCH))
    assert changes(listed(tmp_path), first, NOW) == []
    fresh = changes(listed(tmp_path, NEGOTIATED), first, NOW)
    assert {version.price_key for version in fresh} == {"openai/gpt-4o"}
    assert [version.effective_from.year for version in fresh] == [1970, 2026], "all dates of the key again"
    assert {version.known_from for version in fresh} == {NOW}
    assert len({version.price_id for version in first + fresh}) == len(first) + len(fresh)


def test_a_price_that_changes_and_changes_back_is_told_each_time(tmp_path: Path) -> None:
    published = list(numbered(listed(tmp_path), EPOCH))
    published = known(listed(tmp_path, NEGOTIATED), published, 1)
    published = known(listed(tmp_path), published, 2)
    assert len({version.price_id for version in published}) == len(published)
    book = PriceBook(published)
    costs = [cost(book, NOW, NOW + timedelta(minutes=minute), **MILLION) for minute in (0, 1, 2)]
    assert costs == [LIST_PRICE, Decimal("2.1"), LIST_PRICE]
    assert changes(listed(tmp_path), published, NOW) == []


def test_an_override_that_is_gone_is_withdrawn_and_a_model_that_left_the_table_is_not(tmp_path: Path) -> None:
    text = '[[price]]\nprovider = "in-house"\nmodel = "bison"\ninput = "1"\n'
    published = list(numbered(listed(tmp_path, text), EPOCH))
    without = listed(tmp_path)
    del without["openai/gpt-4o"]
    published = known(without, published, 1)
    book = PriceBook(published)
    bison: dict[str, Any] = {"provider": "in-house", "model_served": "bison"}
    assert cost(book, **MILLION, **bison) == 1
    assert cost(book, NOW, NOW + timedelta(minutes=1), **MILLION, **bison) is None
    assert cost(book, NOW, NOW + timedelta(minutes=1), **MILLION) == LIST_PRICE
    assert changes(without, published, NOW) == []


def test_a_model_that_is_new_in_the_table_prices_nothing_that_came_before(tmp_path: Path) -> None:
    series = listed(tmp_path)
    old = {key: versions for key, versions in series.items() if key != "openai/gpt-4o"}
    published = known(series, list(numbered(old, EPOCH)), 1)
    book = PriceBook(published)
    received = [cost(book, NOW, NOW + timedelta(minutes=minute), provider="openai", **MILLION) for minute in (0, 1)]
    assert received == [None, LIST_PRICE]


# messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[price]]\nprovider = "a"\nmodel = "b"\noutptu = 1',
            "line 1, [[price]] number 1: outptu: no such key, is output",
        ),
        ('\n[[price]]\nprovider = "a"\ninput = 1', "line 2, [[price]] number 1: model: is missing"),
        ('[[price]]\nprovider = "a"\nmodel = "b"', "no price is given"),
        (
            '[[price]]\nprovider = "a"\nmodel = "b"\ninput = "cheap"',
            'input: an amount such as "2.50" is wanted, this',
        ),
        ('[[price]]\nprovider = "a"\nmodel = "b"\ninput = -1', "input: an amount from 0 to a billion is wanted"),
        ('[[price]]\nprovider = "a"\nmodel = "b"\ninput = 1\nfrom = "2026-01-01"', "from: a date such as 2026-01-31 is wanted"),
        ('[[price]]\nprovider = "a"\nmodel = "b"\ninput = 1\nover = "x"', "over: a whole number from 0 on is wanted"),
        ('[[price]]\nprovider = 7\nmodel = "b"\ninput = 1', "provider: text is wanted, this is 7"),
        ('[[price]]\nprovider = "a"\nmodel = "b"\ninput = 1\ncurrency = "EUR"', "there is no [[rate]] for EUR at all"),
        (
            '[[rate]]\ncurrency = "EUR"\nusd = 1\nfrom = 2026-05-01\n[[price]]\nprovider = "a"\nmodel = "b"\ninput = 1\n'
            'currency = "EUR"\nfrom = 2026-01-01',
            "there is no [[rate]] for EUR before 2026-05-01; the price is from 2026-01-01",
        ),
        ('[[gpu]]\nprovider = "a"\nmodel = "b"', "give either usd_per_second, or per_second with a currency"),
        ("[[reviewer]]\nper_hour = 1\nper_review = 1", "give either per_hour or per_review"),
        ("[[prices]]\nx = 1", "prices: there may be only [[rate]], [[price]], [[gpu]], [[reviewer]]"),
        ("[price]\nprovider = 1", "price: there may be only"),
        ("x = ", "prices.toml: Invalid value (at end of document)"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        listed(tmp_path, text)
    assert message in caught.value.reason
    assert "prices.toml" in caught.value.reason


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(Permanent, match=r"nowhere\.toml"):
        wanted(Settings(prices_file="/nowhere.toml"))


@pytest.mark.parametrize("rate", ["sixty", "-1", "NaN"])
def test_a_wrong_reviewer_rate_names_its_setting(rate: str) -> None:
    with pytest.raises(Permanent, match="WATERLINE_REVIEWER_RATE"):
        wanted(Settings(reviewer_rate=rate))
