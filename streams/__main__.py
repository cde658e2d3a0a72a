"""The streams worker: `python -m waterline.streams`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from waterline.schemas.errors import Permanent
from waterline.schemas.facts import GroupInput, PriceVersion
from waterline.schemas.frames import parse_facts, parse_frame, parse_moved
from waterline.schemas.settings import Settings, settings
from waterline.schemas.statusz import Statusz
from waterline.schemas.topics import (
    AGENT_EVENTS,
    AGENT_MOVED,
    ALERT_TRANSITIONS,
    CANARY_VERDICTS,
    CONTROL_LIMITS,
    COST_FACTS,
    DECIDE_CHANGELOG,
    DECISION_FACTS,
    DECISION_LINKS,
    DRIFT_FACTS,
    GROUP_INPUTS,
    GROUPS_CHANGELOG,
    PRICE_VERSIONS,
    QUALITY_FACTS,
)
from waterline.streams import rules_file
from waterline.streams.meter import Meters
from waterline.streams.prices import Feed, publish
from waterline.streams.rules_feed import RulesFeed, followed
from waterline.streams.run import run
from waterline.streams.stage import Plan
from waterline.streams.steps.decide import DecideFold
from waterline.streams.steps.fold import Cold
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.prices import PriceBook
from waterline.streams.steps.rules import RuleBook
from waterline.streams.worker import Companion, Worker

NEWS_S = 5.0
"""how long the feed is listened to at once; a price is published 60 s before it applies"""


class Prices:
    """The price book of this worker, and what keeps it up to date."""

    what = "prices"
    topics: Sequence[str] = (PRICE_VERSIONS.name,)

    def __init__(self, config: Settings) -> None:
        self.book = PriceBook()
        self._config = config
        self._feed: Feed | None = None

    def catch_up(self) -> None:
        publish(self._config, datetime.now(UTC))
        self._feed = self._feed or Feed(self._config)
        self.book.add(self._feed.catch_up())

    def listen(self) -> list[PriceVersion]:
        return self._feed.news(NEWS_S) if self._feed else []

    def take(self, news: list[PriceVersion]) -> None:
        if news:
            self.book.add(news)


def plans(config: Settings, book: PriceBook, rules: RuleBook) -> tuple[Plan, Plan]:
    """Stages `decide` and `groups`."""
    limits = Limits.of(config)

    def decide(partition: int, partitions: int, cold: Cold) -> DecideFold:
        return DecideFold(partition, partitions, cold, book, limits)

    def groups(partition: int, partitions: int, cold: Cold) -> GroupsFold:
        return GroupsFold(partition, partitions, cold, limits, rules)

    judged = (QUALITY_FACTS, DRIFT_FACTS, ALERT_TRANSITIONS, CONTROL_LIMITS, CANARY_VERDICTS)
    told = (DECISION_FACTS, COST_FACTS, DECISION_LINKS, AGENT_MOVED, GROUP_INPUTS)
    group_inputs = partial(parse_facts, msgspec.json.Decoder(GroupInput).decode)
    return (
        Plan(
            name="decide",
            inputs={AGENT_EVENTS.name: parse_frame, AGENT_MOVED.name: parse_moved},
            outputs=[topic.name for topic in told],
            changelog=DECIDE_CHANGELOG.name,
            fold=decide,
        ),
        Plan(
            name="groups",
            inputs={GROUP_INPUTS.name: group_inputs},
            outputs=[topic.name for topic in judged],
            changelog=GROUPS_CHANGELOG.name,
            fold=groups,
        ),
    )


def main() -> None:
    config = settings()
    prices, meters = Prices(config), Meters()
    try:
        feed = RulesFeed(Path(config.rules_file).expanduser(), meters) if config.rules_file else None
    except Permanent as error:
        raise SystemExit("\n".join(f"streams: {line}" for line in error.reason.splitlines())) from error
    book = feed.book if feed else RuleBook(rules_file.default())
    default = followed(book.now)
    decide, groups = plans(config, prices.book, book)
    companions: list[Companion] = [prices, feed] if feed else [prices]

    def statusz() -> Statusz:
        return Statusz(followed=(feed.followed if feed else default,))

    run(Worker(config, decide, groups, companions=companions, meters=meters, statusz=statusz))


if __name__ == "__main__":
    main()
