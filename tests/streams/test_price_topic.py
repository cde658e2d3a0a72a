"""Prices through a real broker: published once, known since ever the first time, a minute later after that."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from waterline.schemas.errors import Transient
from waterline.schemas.facts import PriceVersion
from waterline.schemas.settings import Settings
from waterline.streams.prices import NOTICE, Feed, publish, read
from waterline.streams.steps.moment import EPOCH

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def topic(new_topic: Callable[..., str]) -> str:
    return new_topic(partitions=3, name="prices", cleanup_policy="compact")


@pytest.fixture
def override(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\ninput = "1"\noutput = "1"\n')
    return path


@pytest.fixture
def feed(kafka: str, topic: str) -> Iterator[Feed]:
    feed = Feed(Settings(kafka=kafka), topic)
    yield feed
    feed.close()


def test_first_all_then_what_changed_then_nothing(kafka: str, topic: str, override: Path, feed: Feed) -> None:
    plain = Settings(kafka=kafka, prices_file="")
    first = publish(plain, NOW, topic)
    assert len(first) > 3000
    assert {version.known_from for version in first} == {EPOCH}
    assert (
        sorted(v.price_id for v in feed.catch_up())
        == sorted(v.price_id for v in first)
        == sorted(v.price_id for v in read(plain, topic))
    )
    assert publish(plain, NOW, topic) == []

    later = NOW + timedelta(hours=1)
    second = publish(Settings(kafka=kafka, prices_file=str(override)), later, topic)
    assert {version.price_key for version in second} == {"openai/gpt-4o"}
    assert {version.known_from for version in second} == {later + NOTICE}
    news: list[PriceVersion] = []
    until = time.monotonic() + 30
    while len(news) < len(second):
        assert time.monotonic() < until, "what is published reaches a feed that is open"
        news += feed.news(1)
    assert news == second


def test_without_kafka_it_is_said_that_it_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waterline.streams.prices.TIMEOUT_S", 0.5)
    with pytest.raises(Transient, match=r"price\.versions"):
        read(Settings(kafka="127.0.0.1:1"))
