"""A rules file that changes under a running worker: what is taken, what is refused, and what is said of it."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from waterline.schemas.errors import Permanent
from waterline.streams.meter import Meters
from waterline.streams.rules_feed import RulesFeed

ONE = "rules:\n  - rule: errors\n    measure: tool_error_rate\n    window: 5m\n    above: 5%\n"
OTHER = ONE.replace("5%", "10%")
WRONG = ONE.replace("5%", "5").replace("errors", "errors!")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(ONE)
    return path


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def feed(path: Path, meters: Meters) -> RulesFeed:
    return RulesFeed(path, meters, look_s=0)


def look(feed: RulesFeed, times: int = 2) -> None:
    for _ in range(times):
        feed.take(feed.listen())


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def test_a_changed_file_is_taken_when_it_was_found_the_same_twice(feed: RulesFeed, path: Path, meters: Meters) -> None:
    first = feed.book.now
    look(feed)
    assert feed.book.now is first
    path.write_text(OTHER[:30])
    look(feed, 1)
    path.write_text(OTHER)
    look(feed, 1)
    assert feed.book.now is first, "it was being written"
    look(feed, 1)
    assert [str(rule.above) for rule in feed.book.now.rules] == ["0.10"]
    assert feed.book.now.version != first.version
    assert feed.followed.version == feed.book.now.version
    assert value(meters.registry, "streams_rules_reloads_total", outcome="taken") == 1


def test_a_mistake_keeps_the_old_rules_and_says_so_until_it_is_mended(
    feed: RulesFeed, path: Path, meters: Meters, capsys: pytest.CaptureFixture[str]
) -> None:
    first = feed.book.now
    path.write_text(WRONG)
    look(feed, 5)
    assert feed.book.now is first
    assert value(meters.registry, "streams_rules_unreadable") == 1
    assert value(meters.registry, "streams_rules_reloads_total", outcome="refused") == 1, "once, not with every look"
    said = capsys.readouterr().out
    assert said.count("rules refused") == 1
    assert "line 2: " in said
    assert "write 5%" in said
    told = feed.followed
    assert (told.version, told.file, len(told.mistakes)) == (first.version, str(path), 2)
    assert told.mistakes[0].startswith(f"{path}, line 2: ")
    assert told.refused_since is not None
    path.write_text(WRONG.replace("!", "?"))
    look(feed)
    assert feed.followed.refused_since == told.refused_since, "it is another mistake, and still refused since then"
    path.write_text(ONE)
    look(feed)
    mended = feed.followed
    assert (mended.mistakes, mended.refused_since, mended.since) == ((), None, told.since)
    assert feed.book.now is first
    assert value(meters.registry, "streams_rules_unreadable") == 0
    assert value(meters.registry, "streams_rules_reloads_total", outcome="taken") == 0, "nothing was new"


def test_a_file_that_is_gone_keeps_the_old_rules_too(feed: RulesFeed, path: Path, meters: Meters) -> None:
    first = feed.book.now
    path.unlink()
    look(feed, 3)
    assert feed.book.now is first
    assert value(meters.registry, "streams_rules_unreadable") == 1
    replaced = path.with_name("new.yaml")
    replaced.write_text(OTHER)
    replaced.replace(path)
    look(feed)
    assert feed.book.now is not first
    assert value(meters.registry, "streams_rules_unreadable") == 0


def test_a_worker_does_not_start_without_rules(path: Path, meters: Meters, tmp_path: Path) -> None:
    path.write_text(WRONG)
    with pytest.raises(Permanent) as raised:
        RulesFeed(path, meters)
    assert len(raised.value.reason.splitlines()) == 2
    with pytest.raises(Permanent, match="No such file"):
        RulesFeed(tmp_path / "none.yaml", meters)
